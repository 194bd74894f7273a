"""What a planted model computes, written in features instead of weights.

Features a (row vectors) are brought to the residual stream; then, layer by layer,

    h = ReLU(a read + bias),   a <- (a, h write),   and at the end   outputs = a out + constant

so that what follows from setting a feature is known in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundtruth.errors import InputError, reject


@dataclass(frozen=True)
class Layer:
    """Neurons that read all features so far and write new ones.

    Fields:
        read: (n_before, n_neurons).
        bias: (n_neurons,).
        write: (n_neurons, n_new).
    """

    read: np.ndarray
    bias: np.ndarray
    write: np.ndarray


@dataclass(frozen=True)
class PlantedNetwork:
    """The layers and what the outputs read.

    Fields:
        layers: in order; each adds features behind those before it.
        out: (n_features, n_outputs), over all features, brought and computed.
        constant: (n_outputs,).

    Raises:
        InputError: shapes that do not follow from one another, numbers that are not finite.

    Example, two features of which the second only counts above 1:
        >>> layer = Layer(np.array([[0.0], [1.0]]), np.array([-1.0]), np.ones((1, 1)))
        >>> network = PlantedNetwork((layer,), np.array([[2.0], [0.0], [1.0]]), np.zeros(1))
        >>> network.outputs(np.array([[1.0, 3.0]])).tolist()
        [[4.0]]
        >>> network.change(np.array([[1.0, 3.0]]), np.array([[1.0, 0.0]])).tolist()
        [[-2.0]]
    """

    layers: tuple[Layer, ...]
    out: np.ndarray
    constant: np.ndarray

    def __post_init__(self) -> None:
        n = self.n_brought
        for i, layer in enumerate(self.layers):
            neurons = layer.read.shape[1:]
            _check(f"layers.{i}.read", layer.read, (n, *neurons))
            _check(f"layers.{i}.bias", layer.bias, neurons)
            _check(f"layers.{i}.write", layer.write, (*neurons, layer.write.shape[-1]))
            n += layer.write.shape[1]
        _check("out", self.out, (n, *self.out.shape[1:]))
        _check("constant", self.constant, self.out.shape[1:])

    @property
    def n_brought(self) -> int:
        """Features that are there before any layer."""
        return len(self.layers[0].read) if self.layers else len(self.out)

    @property
    def n_features(self) -> int:
        """Features after the last layer."""
        return len(self.out)

    def width(self, level: int) -> int:
        """Features that are there after `level` layers."""
        if not 0 <= level <= len(self.layers):
            raise reject("level", level, f"0 to {len(self.layers)}, the number of layers")
        return self.n_brought + sum(layer.write.shape[1] for layer in self.layers[:level])

    def codes(self, brought: np.ndarray, level: int) -> np.ndarray:
        """(n, n_features at level) of brought features (n, n_brought)."""
        return self._on(brought, self.layers[:level])

    def outputs(self, codes: np.ndarray, level: int = 0) -> np.ndarray:
        """(n, n_outputs) that follow where the features after `level` layers are `codes`."""
        return self._on(codes, self.layers[level:]) @ self.out + self.constant

    def change(self, codes: np.ndarray, changed: np.ndarray, level: int = 0) -> np.ndarray:
        """(n, n_outputs) what the outputs change by, from `codes` to `changed`."""
        return self.outputs(changed, level) - self.outputs(codes, level)

    def read_by(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """(feature at level,) whether the outputs read it, and whether a later layer does."""
        n = self.width(level)
        later = np.zeros(n, dtype=bool)
        for layer in self.layers[level:]:
            later |= (layer.read[:n] != 0).any(axis=1)
        return (self.out[:n] != 0).any(axis=1), later

    def _on(self, codes: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
        for layer in layers:
            hidden = np.maximum(codes @ layer.read + layer.bias, 0)
            codes = np.concatenate([codes, hidden @ layer.write], axis=1)
        return codes


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse another shape, or numbers that are not finite; freeze the array."""
    if array.shape != shape:
        raise InputError(f"{name}: expected shape {shape}, got {array.shape}.")
    if array.dtype != np.float64 or not np.isfinite(array).all():
        raise InputError(f"{name}: expected finite float64 numbers, got {array.dtype}.")
    array.setflags(write=False)
