"""Transformers made by hand, whose outputs have a closed form: the type, and what they are made of.

The transformers themselves are in `gates` and `attention_circuits`. In all of them token 0 begins
the sequence, token 1 is padding, and content begins at 2. Where attention is sharp, other keys
score 1000 less: e^-1000 is 0 in double precision, so nothing leaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from groundtruth.models.weights import Head, Weights

BOS, PAD, CONTENT = 0, 1, 2
SHARP = 1000.0


@dataclass(frozen=True)
class AnalyticTransformer:
    """A transformer and what it computes.

    Fields:
        name: of the construction.
        weights: the transformer.
        outputs: (batch, position) tokens -> (batch, position, n_outputs), the closed form; holds at
            every position that is no padding.
        roles: node name -> what it is there for. Nodes that are not named have no effect.
        source: where the construction is from.
    """

    name: str
    weights: Weights
    outputs: Callable[[np.ndarray], np.ndarray]
    roles: Mapping[str, str]
    source: str = ""


def spaces(**widths: int) -> tuple[int, dict[str, slice]]:
    """d_model, and the coordinates of each named part of the residual stream.

    Example:
        >>> spaces(token=3, out=2)
        (5, {'token': slice(0, 3, None), 'out': slice(3, 5, None)})
    """
    ends = np.cumsum(list(widths.values())).tolist()
    parts = {name: slice(end - n, end) for (name, n), end in zip(widths.items(), ends)}
    return ends[-1], parts


def reading(d: int, part: slice, matrix: np.ndarray) -> np.ndarray:
    """(d, width) weights that read `part` by `matrix` and nothing else."""
    weight = np.zeros((d, matrix.shape[1]))
    weight[part] = matrix
    return weight


def writing(d: int, part: slice, matrix: np.ndarray) -> np.ndarray:
    """(width, d) weights that write `matrix` to `part` and nothing else."""
    return reading(d, part, matrix.T).T


def head(
    W_Q: np.ndarray,
    W_K: np.ndarray,
    W_V: np.ndarray,
    W_O: np.ndarray,
    b_Q: np.ndarray | float = 0.0,
) -> Head:
    """A head with no bias but that of its query."""
    none = np.zeros(W_Q.shape[1])
    return Head(W_Q, none + b_Q, W_K, none, W_V, np.zeros(W_V.shape[1]), W_O)
