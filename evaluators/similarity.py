"""Cosines between planted and claimed directions, without ever holding all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EDGE_FLOOR = 0.5
_BLOCK = 2048
_PAIRS = 256  # their rows stay in the processor's cache
# Below this many multiplications the whole pass costs well under a second in float64.
_EXACT_BELOW = 3e9


@dataclass(frozen=True)
class Similarity:
    """What metrics need of the cosines C (n_features, k).

    Fields:
        best_latent, best_latent_cosine: (n_features,) argmax and max over latents; -1 and 0
            where there is no latent.
        best_truth, best_truth_cosine: (k,) argmax and max over features.
        edge_truth, edge_latent, edge_cosine: all pairs with C >= EDGE_FLOOR.
    """

    best_latent: np.ndarray
    best_latent_cosine: np.ndarray
    best_truth: np.ndarray
    best_truth_cosine: np.ndarray
    edge_truth: np.ndarray
    edge_latent: np.ndarray
    edge_cosine: np.ndarray


def unit_latents(decoder: np.ndarray) -> np.ndarray:
    """Decoder rows as unit vectors; rows of (nearly) no length become zero, so their cosine is 0.

    A row counts as zero below 1e-12 of the median norm.
    """
    # Scaled by the largest entry first: squares of 1e200 or 1e-200 leave the range of a double.
    largest = np.abs(decoder).max(axis=1, keepdims=True, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)
    rows = decoder / safe
    inner = np.linalg.norm(rows, axis=1, keepdims=True)
    norms = (inner * safe).ravel()
    median = np.median(norms[norms > 0]) if np.any(norms > 0) else 1.0
    dead = norms <= 1e-12 * median
    out = rows / np.where(inner > 0, inner, 1.0)
    out[dead] = 0.0
    return out


def search_type(directions: np.ndarray, latents: np.ndarray) -> type[np.floating]:
    """The type in which to look for the largest of F k cosines: float32 for large problems."""
    products = float(len(directions)) * len(latents) * directions.shape[1]
    return np.float64 if products <= _EXACT_BELOW else np.float32


def similarity(directions: np.ndarray, latents: np.ndarray, *, absolute: bool) -> Similarity:
    """One pass over C = directions @ latents.T in blocks of features.

    Args:
        directions: (n_features, d) unit rows.
        latents: (k, d) unit or zero rows.
        absolute: use |cosine|.

    Large problems are searched in float32; the cosines returned are then computed again in
    float64, so that a reported value never carries the search's round-off.
    """
    n_features, k = len(directions), len(latents)
    if k == 0:
        none, zero = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Similarity(
            np.full(n_features, -1), np.zeros(n_features), none, zero, none, none, zero
        )
    dtype = search_type(directions, latents)
    left, right = directions.astype(dtype, copy=False), latents.astype(dtype, copy=False).T
    slack = 0.0 if dtype is np.float64 else 1e-5
    best_latent = np.empty(n_features, dtype=np.int64)
    best_truth, top = np.zeros(k, dtype=np.int64), np.full(k, -np.inf, dtype=dtype)
    edges: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, n_features, _BLOCK):
        block = left[start : start + _BLOCK] @ right
        if absolute:
            np.abs(block, out=block)
        best_latent[start : start + _BLOCK] = block.argmax(axis=1)
        rows = block.argmax(axis=0)
        value = block[rows, np.arange(k)]
        better = value > top
        best_truth[better], top[better] = rows[better] + start, value[better]
        row, column = np.nonzero(block >= EDGE_FLOOR - slack)
        edges.append((row + start, column))
    edge_truth = np.concatenate([e[0] for e in edges])
    edge_latent = np.concatenate([e[1] for e in edges])
    edge_cosine = pair_cosine(directions, latents, edge_truth, edge_latent, absolute)
    kept = edge_cosine >= EDGE_FLOOR
    every = np.arange(n_features)
    return Similarity(
        best_latent,
        pair_cosine(directions, latents, every, best_latent, absolute),
        best_truth,
        pair_cosine(directions, latents, best_truth, np.arange(k), absolute),
        edge_truth[kept],
        edge_latent[kept],
        edge_cosine[kept],
    )


def pair_cosine(
    directions: np.ndarray,
    latents: np.ndarray,
    truth: np.ndarray,
    latent: np.ndarray,
    absolute: bool,
) -> np.ndarray:
    """Cosines of listed pairs (truth[r], latent[r]), float64, clipped to [-1, 1]."""
    out = np.empty(len(truth))
    for start in range(0, len(truth), _PAIRS):
        part = slice(start, start + _PAIRS)
        out[part] = np.einsum("rd,rd->r", directions[truth[part]], latents[latent[part]])
    out = np.clip(out, -1.0, 1.0)
    return np.abs(out) if absolute else out
