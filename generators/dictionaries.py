"""Dictionary laws: how feature directions lie in the activation space. Each gives unit rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from groundtruth.errors import InputError, MemoryRefused, UnknownName, reject
from groundtruth.generators.orthogonalised import orthogonalised
from groundtruth.generators.pairs import lifetimes, pair

MEMORY_LIMIT = 8 << 30
"""Bytes that the directions of one world may take while they are made."""


def check_memory(n_features: int, d: int, entries: int) -> None:
    """Refuse directions of which `entries` float64 numbers would be held at once."""
    needed = 8 * entries
    if needed > MEMORY_LIMIT:
        raise MemoryRefused(
            f"n_features, d: making {n_features:,} directions in {d:,} dimensions takes about "
            f"{needed / 2**30:,.1f} GiB; the limit is {MEMORY_LIMIT / 2**30:g} GiB. Lower "
            "n_features or d, or raise groundtruth.generators.dictionaries.MEMORY_LIMIT."
        )


def sphere(n_features: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Independent uniform directions on the unit sphere."""
    return unit_rows(rng.standard_normal((n_features, d)))


def orthonormal(n_features: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal rows, uniformly rotated; needs n_features <= d."""
    if n_features > d:
        raise InputError(
            f"dictionary (orthonormal): expected n_features <= d, got {n_features} in {d} "
            f'dimensions. Lower n_features, or use {{"law": "sphere"}}.'
        )
    return random_rotation(d, rng)[:n_features]


def simplex(n_features: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """n_features = d + 1 vertices of a regular simplex: every cosine is -1/d."""
    if n_features != d + 1:
        raise InputError(
            f"dictionary (simplex): expected n_features = d + 1, got {n_features} in {d} "
            f"dimensions. Pass n_features={d + 1}."
        )
    check_memory(n_features, d, 4 * n_features**2)  # with the factors of the decomposition
    centred = np.eye(n_features) - 1.0 / n_features
    basis = np.linalg.svd(centred)[2][:d]
    return unit_rows(centred @ basis.T)


def equiangular(n_features: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """An equiangular tight frame: every |cosine| equals the Welch bound exactly.

    Available (n_features, d): (d + 1, d) simplex; (q + 1, (q + 1) / 2) from the Paley conference
    matrix of a prime q = 1 mod 4, such as (6, 3), (14, 7), (18, 9), (30, 15); (16, 6) from a
    difference set; (28, 7) from the permutations of (3, 3, -1, -1, -1, -1, -1, -1).

    Source: Fickus and Mixon, "Tables of the existence of equiangular tight frames", 2015,
    https://arxiv.org/abs/1504.00253
    """
    if n_features == d + 1:
        return simplex(n_features, d, rng)
    if (n_features, d) == (28, 7):
        rows = np.array(
            [[3.0 if k in pair else -1.0 for k in range(8)] for pair in combinations(range(8), 2)]
        )
        return unit_rows(rows @ _complement_basis(8))
    if (n_features, d) == (16, 6):
        # Characters of Z_2^4 restricted to the difference set where x0 x1 + x2 x3 is odd.
        points = (np.arange(16)[:, None] >> np.arange(4)) & 1
        odd = points[(points[:, 0] * points[:, 1] + points[:, 2] * points[:, 3]) % 2 == 1]
        return unit_rows((-1.0) ** (points @ odd.T))
    q = n_features - 1
    if n_features == 2 * d and q % 4 == 1 and _is_prime(q):
        return _paley(q)
    raise InputError(
        f"dictionary (equiangular): no frame of {n_features} directions in {d} dimensions is "
        "known here. Known (n_features, d): (d+1, d), (6, 3), (14, 7), (16, 6), (18, 9), "
        '(28, 7), (30, 15), ... or use {"law": "low-coherence"}.'
    )


def low_coherence(
    n_features: int, d: int, rng: np.random.Generator, *, n_steps: int = 200
) -> np.ndarray:
    """Directions pushed apart: descent on sum over i != j of <d_i, d_j>^4 from `sphere`.

    The fourth power weighs the largest cosines, so coherence falls, toward (never below) the
    Welch bound sqrt((F - d) / (d (F - 1))). Needs n_features^2 memory.
    """
    check_memory(n_features, d, 3 * n_features**2)  # the Gram matrix and its powers
    directions = sphere(n_features, d, rng)
    velocity, rate = np.zeros_like(directions), 0.5
    for step in range(n_steps):
        gram = directions @ directions.T
        np.fill_diagonal(gram, 0.0)
        gradient = gram**3 @ directions
        gradient -= np.sum(gradient * directions, axis=1, keepdims=True) * directions
        # Unit-free step: the largest row moves by `rate` of a radian scale that cools down.
        size = np.linalg.norm(gradient, axis=1).max()
        if size == 0:
            break
        velocity = 0.9 * velocity - 0.1 * rate * (1 - step / n_steps) * gradient / size
        directions = unit_rows(directions + velocity)
    return directions


def given(n_features: int, d: int, rng: np.random.Generator, *, directions: Any) -> np.ndarray:
    """Directions as given, (n_features, d); rows are scaled to unit length."""
    array = np.array(directions, dtype=np.float64)
    if array.shape != (n_features, d):
        raise reject("dictionary.directions", array.shape, f"shape ({n_features}, {d})")
    norms = np.linalg.norm(array, axis=1)
    if not np.all(np.isfinite(array)) or np.any(norms == 0):
        raise reject("dictionary.directions", array, "finite rows that are not all zero")
    return array / norms[:, None]


LAWS: dict[str, Callable[..., np.ndarray]] = {
    "sphere": sphere,
    "orthonormal": orthonormal,
    "simplex": simplex,
    "equiangular": equiangular,
    "low-coherence": low_coherence,
    "orthogonalised": orthogonalised,
    "pair": pair,
    "lifetimes": lifetimes,
    "given": given,
}


def dictionary(
    n_features: int, d: int, rng: np.random.Generator, law: str, **parameters: Any
) -> np.ndarray:
    """Unit rows (n_features, d) of the named law."""
    if law not in LAWS:
        raise UnknownName("dictionary law", law, LAWS)
    try:
        return LAWS[law](n_features, d, rng, **parameters)
    except TypeError as error:
        raise reject(f"dictionary ({law})", parameters, f"its parameters ({error})") from None


def welch_bound(n_features: int, d: int) -> float:
    """The least possible max |cosine| of n_features > d directions in d dimensions.

    sqrt((F - d) / (d (F - 1))); 0 if n_features <= d.

    Source: Welch, "Lower bounds on the maximum cross correlation of signals", 1974,
    https://doi.org/10.1109/TIT.1974.1055219

    Example:
        >>> round(welch_bound(28, 7), 6)
        0.333333
    """
    if n_features <= d:
        return 0.0
    return float(np.sqrt((n_features - d) / (d * (n_features - 1))))


def random_rotation(d: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform (Haar) orthogonal matrix (d, d)."""
    check_memory(d, d, 4 * d**2)  # with the factors of the decomposition
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def unit_rows(array: np.ndarray) -> np.ndarray:
    """Rows divided by their norms."""
    out = np.empty(array.shape)
    for start in range(0, len(array), 1024):  # numpy's norm holds the squares of all it is given
        rows = array[start : start + 1024].astype(np.float64, copy=False)
        np.divide(rows, np.linalg.norm(rows, axis=1, keepdims=True), out=out[start : start + 1024])
    return out


def _paley(q: int) -> np.ndarray:
    """The q + 1 equiangular lines in (q + 1) / 2 dimensions of the Paley conference matrix."""
    squares = {(k * k) % q for k in range(1, q)}
    chi = np.array([0] + [1 if k in squares else -1 for k in range(1, q)])
    conference = np.ones((q + 1, q + 1))
    conference[0, 0] = 0
    index = np.arange(q)
    conference[1:, 1:] = chi[(index[:, None] - index[None, :]) % q]
    # I + C / sqrt(q) is twice a projection of rank (q + 1) / 2; its factor has equal cosines.
    values, vectors = np.linalg.eigh(np.eye(q + 1) + conference / np.sqrt(q))
    top = values > 1
    return unit_rows(vectors[:, top] * np.sqrt(values[top]))


def _complement_basis(n: int) -> np.ndarray:
    """An orthonormal basis (n, n - 1) of the vectors whose entries sum to 0."""
    return np.linalg.svd(np.eye(n) - 1.0 / n)[2][: n - 1].T


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % k for k in range(2, int(n**0.5) + 1))
