"""The toy model of superposition as a torch module.

h = W x, x_hat = ReLU(W^T h + b); the linear model leaves out the ReLU. h is read at `hook_hidden`,
a name in the style of TransformerLens.

Source: Elhage et al., "Toy Models of Superposition", 2022,
https://transformer-circuits.pub/2022/toy_model/index.html
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from groundtruth import arrays
from groundtruth.errors import UnknownName, reject
from groundtruth.generators.toy_worlds import SITE

ACTIVATIONS = ("relu", "linear")


class ToyModel(torch.nn.Module):
    """x -> h = W x -> x_hat = act(W^T h + b).

    `hook_hidden` passes h on unchanged. A torch hook registered there reads h, or edits it by what
    it returns: `model.hook_hidden.register_forward_hook(...)`.

    Args:
        W: (d, n_features); column i is the direction of feature i.
        b: (n_features,); zeros if None.
        activation: "relu" or "linear".

    Raises:
        InputError, ExplanationError, UnknownName: wrong shapes, values or activation.

    Example:
        >>> model = ToyModel(np.array([[1.0, -1.0]]))
        >>> x_hat, cache = model.run_with_cache(torch.tensor([[0.5, 0.2]]))
        >>> [round(v, 4) for v in x_hat[0].tolist()], round(cache["hook_hidden"].item(), 4)
        ([0.3, 0.0], 0.3)
    """

    def __init__(self, W: Any, b: Any = None, *, activation: str = "relu") -> None:
        super().__init__()
        weights = arrays.to_numpy("W", W)
        if weights.ndim != 2 or 0 in weights.shape:
            raise reject("W", weights.shape, "shape (d, n_features)")
        bias = np.zeros(weights.shape[1]) if b is None else arrays.to_numpy("b", b)
        if bias.shape != (weights.shape[1],):
            raise reject("b", bias.shape, f"shape ({weights.shape[1]},)")
        for name, value in (("W", weights), ("b", bias)):
            arrays.check_finite(name, value)
        self.activation = check_activation(activation)
        self.W = torch.nn.Parameter(torch.tensor(weights, dtype=torch.float32))
        self.b = torch.nn.Parameter(torch.tensor(bias, dtype=torch.float32))
        self.hook_hidden = torch.nn.Identity()

    @property
    def d(self) -> int:
        """Width of h."""
        return self.W.shape[0]

    @property
    def n_features(self) -> int:
        return self.W.shape[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (n, n_features) -> x_hat (n, n_features)."""
        return read_out(self.W, self.b, self.hook_hidden(hidden(self.W, x)), self.activation)

    def run_with_cache(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """x_hat, and the activations by site: {"hook_hidden": h (n, d)}, detached.

        h is what went into `hook_hidden`, before any hook that edits it.
        """
        h = hidden(self.W, x)
        out = read_out(self.W, self.b, self.hook_hidden(h), self.activation)
        return out, {SITE: h.detach()}


def check_activation(activation: Any) -> str:
    """`activation`, or an error with the known ones."""
    if activation not in ACTIVATIONS:
        raise UnknownName("activation", str(activation), ACTIVATIONS)
    return activation


def hidden(W: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """h = W x: (..., n, d) for W (..., d, n_features) and x (n, n_features)."""
    return x @ W.mT


def read_out(W: torch.Tensor, b: torch.Tensor, h: torch.Tensor, activation: str) -> torch.Tensor:
    """x_hat = act(W^T h + b): (..., n, n_features) for b (..., n_features)."""
    out = h @ W + b.unsqueeze(-2)
    return out.relu() if activation == "relu" else out
