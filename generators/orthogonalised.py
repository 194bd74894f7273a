"""The dictionary law of SynthSAEBench: random directions, pushed apart a little."""

from __future__ import annotations

import numpy as np

from groundtruth import cache, hashing
from groundtruth.errors import reject


def orthogonalised(
    n_features: int, d: int, rng: np.random.Generator, *, n_steps: int = 100, lr: float = 3e-4
) -> np.ndarray:
    """Rows after `n_steps` of Adam, from random directions, on

        sum over i != j of <d_i, d_j>^2 + n_features sum_i (|d_i|^2 - 1)^2.

    The first sum is |D^T D|^2 less its diagonal, so a step costs n_features d^2 and not
    n_features^2 d. Worlds of more than 2^22 entries keep the result in the cache.

    Source: Chanin and Garriga-Alonso, "SynthSAEBench", 2026, https://arxiv.org/abs/2602.14687
    (their 16k preset: 100 steps at 3e-4)
    """
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 0:
        raise reject("dictionary.n_steps", n_steps, "a whole number >= 0")
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 <= lr < 1:
        raise reject("dictionary.lr", lr, "a number from 0 to 1")
    start = rng.standard_normal((n_features, d), dtype=np.float32)

    def compute() -> dict[str, np.ndarray]:
        return {"directions": _descend(start, n_steps, float(lr))}

    if start.size < 1 << 22:
        return compute()["directions"]
    described = {"start": hashing.array_digest(start), "n_steps": n_steps, "lr": float(lr)}
    found = cache.cached("orthogonalised dictionary, 1", compute, description=described)
    return found["directions"]


def _descend(start: np.ndarray, n_steps: int, lr: float) -> np.ndarray:
    rows = start / np.linalg.norm(start, axis=1, keepdims=True)
    mean, square = np.zeros_like(rows), np.zeros_like(rows)
    for step in range(1, n_steps + 1):
        length = np.einsum("ij,ij->i", rows, rows)[:, None]
        gradient = rows @ (rows.T @ rows)
        # d/d d_i: 4 sum_(j != i) <d_i, d_j> d_j + 4 F (|d_i|^2 - 1) d_i.
        gradient += (len(rows) * (length - 1) - length) * rows
        gradient *= 4
        mean += 0.1 * (gradient - mean)
        np.square(gradient, out=gradient)
        square += 0.001 * (gradient - square)
        np.divide(square, 1 - 0.999**step, out=gradient)
        np.sqrt(gradient, out=gradient)
        gradient += 1e-8
        np.divide(mean, gradient, out=gradient)
        gradient *= lr / (1 - 0.9**step)
        rows -= gradient
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
