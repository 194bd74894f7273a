"""Weights on other coordinates: what is written goes through a map, what is read through its
inverse.

A variable that lies on coordinates by a code C (see `codes.py`) is written as x C and read by g and
an offset c with C g + c = f. Offsets enter biases, and are taken off again at begin-of-sequence,
whose coordinate stays an axis: it is read with large weights and must be exactly 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth.compiled_models.layout import BOS, Layout, Variable
from groundtruth.compiled_models.placement import PlacedBlock, Placement
from groundtruth.models import MLP, Block, Head, Weights


@dataclass(frozen=True)
class Read:
    """A reader in coordinates.

    Fields:
        weights: (coordinate, column).
        offset: (column,) what is added.
    """

    weights: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True, eq=False)
class Coding:
    """Where the variables of a layout lie.

    Fields:
        codes: of each variable, (labels, coordinates).
        free: coordinates that carry no variable.
        basis: (coordinate, d_model) orthonormal: the directions of the coordinates.
        fixed: coordinates that are axes of the residual stream, or pairs of them; see `norms.py`.
        ballast: (d_model,) what every position carries beside them.
    """

    layout: Layout
    codes: Mapping[Variable, np.ndarray]
    free: int
    basis: np.ndarray
    fixed: tuple[int, ...] = (BOS,)
    ballast: np.ndarray | None = None

    @cached_property
    def places(self) -> dict[Variable, slice]:
        """The coordinates of each variable; 0 is of begin-of-sequence."""
        found, start = {}, 1
        for variable in self.layout.variables:
            found[variable] = slice(start, start + self.codes[variable].shape[1])
            start = found[variable].stop
        return found

    @property
    def size(self) -> int:
        """Coordinates that carry something."""
        return len(self.basis) - self.free

    @cached_property
    def matrix(self) -> np.ndarray:
        """(direction of the layout, coordinate)."""
        found = np.zeros((self.layout.d_model, len(self.basis)))
        found[BOS, BOS] = 1
        for variable, place in self.places.items():
            found[_rows(variable), place] = self.codes[variable]
        return found

    @cached_property
    def directions(self) -> np.ndarray:
        """(direction of the layout, d_model)."""
        return self.matrix @ self.basis

    def basis_of(self, variable: Variable) -> np.ndarray:
        """(coordinate, d_model) orthonormal rows that span what carries `variable`."""
        return self.basis[self.places[variable]]

    def held(self, variable: Variable, x: np.ndarray) -> np.ndarray:
        """(n, label) what the directions of `variable` hold in residual vectors x (n, d_model)."""
        read = self.read_of(variable, np.eye(len(variable.labels)))
        return x @ self.basis_of(variable).T @ read.weights + read.offset

    @cached_property
    def at_bos(self) -> np.ndarray:
        """(direction,) what each holds at begin-of-sequence, once written."""
        held = np.zeros(self.layout.d_model)
        for variable in self.layout.variables:
            held[_rows(variable)] = variable.at_bos
        return held

    def read_of(self, variable: Variable, asked: np.ndarray) -> Read:
        """The reader of `asked` (labels, column), of the least length."""
        code = self.codes[variable]
        if not variable.one_hot or np.array_equal(code, np.eye(len(code))):
            return Read(asked, np.zeros(asked.shape[1]))
        open_code = np.concatenate([code, np.ones((len(code), 1))], axis=1)
        found = np.linalg.lstsq(open_code, asked, rcond=None)[0]
        return Read(found[:-1], found[-1])

    def read(self, asked: np.ndarray) -> Read:
        """The reader of `asked` (direction, column)."""
        weights = np.zeros((len(self.basis), asked.shape[1]))
        offset = np.zeros(asked.shape[1])
        for variable, place in self.places.items():
            part = asked[_rows(variable)]
            if part.any():
                read = self.read_of(variable, part)
                weights[place] = read.weights
                offset += read.offset
        weights[BOS] = asked[BOS] + self.at_bos @ asked - self.at_bos @ self.matrix @ weights
        weights[BOS] -= offset
        return Read(weights, offset)


def on_axes(layout: Layout) -> Coding:
    """Every direction of the layout an axis of the residual stream."""
    codes = {variable: np.eye(len(variable.labels)) for variable in layout.variables}
    return Coding(layout, codes, 0, np.eye(layout.d_model), tuple(range(layout.d_model)))


def transported(weights: Weights, placement: Placement, coding: Coding) -> Weights:
    """`weights`, whose directions are those of the layout, on the directions of `coding`."""
    output = weights.W_U.argmax(axis=0)
    W_U, b_U = _unembedding(coding, output)
    return Weights(
        W_E=weights.W_E @ coding.directions,
        W_pos=weights.W_pos @ coding.directions,
        blocks=tuple(
            _block(block, placed, coding) for block, placed in zip(weights.blocks, placement.blocks)
        ),
        W_U=W_U,
        b_U=b_U,
        bos=weights.bos,
        pad=weights.pad,
        causal=weights.causal,
    )


def _unembedding(coding: Coding, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest code word has the greatest output; a number is read as it is."""
    variable = next(v for v in coding.places if v.start == output[0])
    words = coding.codes[variable]
    read = coding.basis[coding.places[variable]].T @ words.T
    if not variable.one_hot or np.array_equal(words, np.eye(len(words))):
        return read, np.zeros(len(words))
    return read, -np.square(words).sum(axis=1) / 2


def _block(block: Block, placed: PlacedBlock, coding: Coding) -> Block:
    heads = tuple(_head(head, part.writes, coding) for head, part in zip(block.heads, placed.heads))
    mlp = None if block.mlp is None else _mlp(block.mlp, coding)
    return Block(heads, np.zeros(coding.basis.shape[1]), mlp)


def _head(head: Head, written: Variable, coding: Coding) -> Head:
    Q, K = coding.read(head.W_Q), coding.read(head.W_K)
    V = coding.read(value_of(head, written, coding))
    return Head(
        W_Q=coding.basis.T @ Q.weights,
        b_Q=head.b_Q + Q.offset,
        W_K=coding.basis.T @ K.weights,
        b_K=head.b_K + K.offset,
        W_V=coding.basis.T @ V.weights,
        b_V=V.offset,
        W_O=coding.basis[coding.places[written]],
    )


def value_of(head: Head, written: Variable, coding: Coding) -> np.ndarray:
    """(direction, coordinate of what is written) what a head moves."""
    return head.W_V @ head.W_O[:, _rows(written)] @ coding.codes[written]


def _mlp(mlp: MLP, coding: Coding) -> MLP:
    read = coding.read(mlp.W_in)
    W_in = coding.basis.T @ read.weights
    return MLP(
        W_in, mlp.b_in + read.offset, mlp.W_out @ coding.directions, mlp.b_out @ coding.directions
    )


def _rows(variable: Variable) -> slice:
    return slice(variable.directions.start, variable.directions.stop)
