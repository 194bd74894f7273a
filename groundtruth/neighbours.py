"""How close directions lie to one another, without holding all their cosines."""

from __future__ import annotations

import numpy as np

_BLOCK = 1024
# Below this many multiplications comparing all pairs in float64 costs about a second.
_EXACT_BELOW = 3e10
# The first listed is mostly the direction itself; fewer would seldom prove the second the best.
_LISTED = 16


def neighbour_cosine(directions: np.ndarray, *, absolute: bool) -> np.ndarray:
    """(n,) largest cosine of each of n unit rows (n, d) with another one; 0 if it is alone.

    Many rows are searched in float32, and the cosines found computed again in float64.

    Args:
        absolute: |cosine|.

    Example:
        >>> neighbour_cosine(np.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]), absolute=False)
        array([ 0.6,  0.6, -0.6])
    """
    n, d = directions.shape
    if n == 1:
        return np.zeros(1)
    if float(n) * n * d <= _EXACT_BELOW:
        return _compared(directions, np.arange(n), absolute)
    out, bound = _searched(directions, absolute)
    doubtful = np.flatnonzero(out < bound)
    out[doubtful] = _compared(directions, doubtful, absolute)
    return out


def _compared(directions: np.ndarray, rows: np.ndarray, absolute: bool) -> np.ndarray:
    """Of the listed rows, by all their cosines."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        cosine = directions[some] @ directions.T
        cosine = np.abs(cosine) if absolute else cosine
        cosine[np.arange(len(some)), some] = -1.0
        out[start : start + _BLOCK] = cosine.max(axis=1)
    return out


def _searched(directions: np.ndarray, absolute: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of all rows, the largest cosine in a list of their best, and a bound on those left out."""
    from groundtruth.inference.top_edges import top_edges

    short = directions.astype(np.float32)
    top = top_edges(short, short, _LISTED, absolute=absolute, both=False)
    other = top.latent_truth.numpy() != np.arange(len(short))[:, None]
    nearest = top.latent_truth.numpy()[np.arange(len(short)), other.argmax(axis=1)]
    out = np.empty(len(short))
    for start in range(0, len(short), _BLOCK):
        part = slice(start, start + _BLOCK)
        out[part] = np.einsum("rd,rd->r", directions[part], directions[nearest[part]])
    return np.abs(out) if absolute else out, top.latent_bound.numpy()
