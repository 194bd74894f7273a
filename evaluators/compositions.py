"""Claimed directions as short sums of planted ones, by orthogonal matching pursuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundtruth import seeds
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.once import once
from groundtruth.evaluators.similarity import EDGE_FLOOR, pair_cosine, search_type
from groundtruth.truth import FeatureTruth

MOST_ATOMS = 5
RESIDUAL = 0.05
"""Share of the squared length at which the pursuit stops."""
LEAST_SHARED = 0.1
"""No atom enters whose inner product with what is left is smaller: it would explain under 1 %."""
LEAST_WEIGHT = 0.3
"""An atom of less weight carries less than a tenth of the squared length, and is not counted."""

_DRAWS = 512
_ROWS = 512  # directions at a time: with 16,384 features their cosines take 32 MB


@dataclass(frozen=True)
class Compositions:
    """Unit directions u_j (m, d), each as sum_s weight_js d_(atom_js) + what is left.

    Fields:
        atom: (m, MOST_ATOMS) planted features, -1 where fewer were needed.
        weight: (m, MOST_ATOMS) signed; 0 where there is no atom.
        residual: (m,) share of the squared length that is left.
        near_row, near_cosine: every pair of a direction and a feature with |cosine| >= 0.5.
    """

    atom: np.ndarray
    weight: np.ndarray
    residual: np.ndarray
    near_row: np.ndarray
    near_cosine: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """(m,) atoms of |weight| >= LEAST_WEIGHT."""
        return (np.abs(self.weight) >= LEAST_WEIGHT).sum(axis=1)

    def near(self, share: float) -> np.ndarray:
        """(m,) features whose |cosine| is at least 0.5 and at least `share` of the largest."""
        largest = np.zeros(len(self.residual))
        np.maximum.at(largest, self.near_row, self.near_cosine)
        counted = self.near_cosine >= share * largest[self.near_row]
        return np.bincount(self.near_row[counted], minlength=len(largest))


@once
def of_latents(c: Comparison) -> Compositions:
    """The live latents' compositions."""
    return compositions(c.truth.directions, c.latents)


@once
def of_chance(truth: FeatureTruth) -> Compositions:
    """Compositions of 512 uniformly random directions: what latents that know nothing score."""
    # A stream of its own: directions that somebody drew from seed 0 are no chance.
    rows = seeds.generator(b"compositions", "chance").standard_normal((_DRAWS, truth.d))
    return compositions(truth.directions, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def compositions(directions: np.ndarray, latents: np.ndarray) -> Compositions:
    """Signed sparse codes of unit rows `latents` (m, d) over unit rows `directions` (F, d).

    Each step adds the direction of largest |<residual, d>| and refits by least squares, until
    RESIDUAL, MOST_ATOMS or LEAST_SHARED is reached. One pass over the F m cosines, and one more for
    each further atom of the latents that need it, at most five; blocks only are held. Large
    problems are searched in float32; weights, residuals and cosines are float64.

    Source: Pati, Rezaiifar and Krishnaprasad, "Orthogonal Matching Pursuit", 1993,
    https://doi.org/10.1109/ACSSC.1993.342465
    """
    searched = directions.astype(search_type(directions, latents), copy=False)
    blocks = [
        _pursue(directions, searched, latents[start : start + _ROWS])
        for start in range(0, len(latents), _ROWS)
    ]
    atom, weight, residual, rows, features = zip(*blocks)
    row = np.concatenate([part + i * _ROWS for i, part in enumerate(rows)])
    cosine = pair_cosine(directions, latents, np.concatenate(features), row, True)
    # Rounding must not decide about an even sum of four, whose cosines are 1/2.
    kept = cosine >= EDGE_FLOOR - 1e-9
    atom, weight, residual = map(np.concatenate, (atom, weight, residual))
    return Compositions(atom, weight, residual, row[kept], cosine[kept])


def _pursue(directions: np.ndarray, searched: np.ndarray, latents: np.ndarray) -> tuple:
    """atom, weight and residual of a block (b, d), and its pairs of |cosine| near 0.5 or above."""
    n_rows = len(latents)
    atom = np.full((n_rows, MOST_ATOMS), -1)
    weight, residual = np.zeros(atom.shape), np.ones(n_rows)
    left, going = latents, np.arange(n_rows)
    near = (going[:0], going[:0])
    for step in range(min(MOST_ATOMS, len(directions))):
        size = left.astype(searched.dtype, copy=False) @ searched.T
        np.abs(size, out=size)
        if step == 0:
            near = np.nonzero(size >= EDGE_FLOOR - 1e-5)
        best = size.argmax(axis=1)
        shared = size[np.arange(len(going)), best] >= LEAST_SHARED
        going = going[shared]
        if not len(going):
            break
        atom[going, step] = best[shared]
        fit, remaining = _refitted(directions[atom[going, : step + 1]], latents[going])
        weight[going, : step + 1] = fit
        residual[going] = np.clip((remaining**2).sum(axis=1), 0.0, 1.0)
        unfinished = residual[going] > RESIDUAL
        left, going = remaining[unfinished], going[unfinished]
    return atom, weight, residual, *near


def _refitted(atoms: np.ndarray, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of latents (b, d) on atoms (b, s, d): weights (b, s), and what is left."""
    gram = atoms @ atoms.transpose(0, 2, 1)
    # Two atoms may nearly coincide; this ridge is far below what is reported.
    gram[:, range(gram.shape[1]), range(gram.shape[1])] += 1e-12
    fit = np.linalg.solve(gram, atoms @ latents[:, :, None])[:, :, 0]
    return fit, latents - (fit[:, None] @ atoms)[:, 0]
