"""Small worlds with a planted structure, and claims that make one structure error each.

Not a test file. `HandSampler` draws events one by one, as the definition of `Structure` reads; it
knows trees of independent events and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from groundtruth.generators.dictionaries import random_rotation
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.outputs import Outputs, linear_outputs
from groundtruth.score_data import PARTS, ScoreData, Scoring
from groundtruth.structure import Structure
from groundtruth.testbed import Recipe, Testbed
from groundtruth.truth import FeatureTruth, Truth

ENOUGH = Scoring(n_select=1000, n_score=1000, n_positives=100)


@dataclass(frozen=True)
class HandSampler:
    """x = a D + bias, where a child's event counts only if its parent fires."""

    truth: FeatureTruth

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, sp.csr_array]:
        return self._finish(rng, rng.random((n, self.truth.n_features)))

    def draw_active(
        self, rng: np.random.Generator, features: np.ndarray
    ) -> tuple[np.ndarray, sp.csr_array]:
        """Given that features[r] fires: events on its path happen, all others are as they were."""
        uniform = rng.random((len(features), self.truth.n_features))
        for row, feature in enumerate(features):
            uniform[row, self.truth.structure.path(int(feature))] = 0.0
        return self._finish(rng, uniform)

    def _finish(
        self, rng: np.random.Generator, uniform: np.ndarray
    ) -> tuple[np.ndarray, sp.csr_array]:
        structure = self.truth.structure
        fires = uniform < structure.rate
        for level in structure.levels[1:]:
            fires[:, level] &= fires[:, structure.parent[level]]
        feature = np.broadcast_to(np.arange(self.truth.n_features), fires.shape).ravel()
        size = self.truth.magnitude.draw(rng, feature).reshape(fires.shape)
        codes = (fires * size).astype(np.float32)
        x = codes @ self.truth.directions + self.truth.bias
        return x.astype(np.float32), sp.csr_array(codes)


def tree_world(
    parent: list[int],
    rate: list[float],
    *,
    d: int,
    size: float | list[float] = 1.0,
    directions: np.ndarray | None = None,
    scoring: Scoring = ENOUGH,
    structure: Structure | None = None,
    seed: int = 0,
) -> ScoreData:
    """Score data of orthonormal features (unless given) that fire with constant size, as a tree.

    Args:
        structure: another than the tree; then no data can be drawn.
    """
    if structure is None:
        structure = Structure(np.array(parent), np.array(rate), np.full(len(parent), -1))
    if directions is None:
        directions = random_rotation(d, np.random.default_rng(seed))[: len(parent)]
    features = FeatureTruth(
        directions=directions,
        firing_probability=structure.marginal.value,
        magnitude=MagnitudeLaw("constant", {"value": np.asarray(size, dtype=np.float64)}),
        bias=np.zeros(d),
        structure=structure,
    )
    recipe = Recipe("by hand", {"parent": parent, "rate": rate, "d": d}, seed)
    root = seed.to_bytes(32, "little")
    world = Testbed("by hand", recipe, Truth(features), HandSampler(features), root)
    return ScoreData(world, scoring)


def dense(data: ScoreData) -> dict[str, np.ndarray]:
    """Planted codes by part, dense float64."""
    return {part: getattr(data, part).toarray().astype(np.float64) for part in PARTS}


def claim(data: ScoreData, decoder: np.ndarray, codes: dict[str, np.ndarray]) -> Outputs:
    """The linear claim of unit rows `decoder` with these codes."""
    sparse = {part: sp.csr_array(value.astype(np.float32)) for part, value in codes.items()}
    return linear_outputs(decoder, data.truth.bias, **sparse)


def absorbing(data: ScoreData, dose: float = 1.0, *, seed: int = 0) -> Outputs:
    """Every child's latent is the sum of child and parent, and where it fires the parent's is
    silent, on a share `dose` of the samples. x_hat is x.

    Reconstructs exactly where each parent has at most one active child.
    """
    truth, rng = data.truth, np.random.default_rng(seed)
    parent, size = truth.structure.parent, np.broadcast_to(truth.magnitude.mean, truth.n_features)
    child = np.flatnonzero(parent >= 0)
    rows = truth.directions.copy()
    rows[child] = size[child, None] * rows[child] + size[parent[child], None] * rows[parent[child]]
    codes = {}
    for part, a in dense(data).items():
        z = a.copy()
        for i in child:
            taken = (a[:, i] > 0) & (rng.random(len(a)) < dose)
            z[taken, parent[i]] = 0.0
            z[:, i] = (a[:, i] > 0) * np.linalg.norm(rows[i])
        codes[part] = z
    return claim(data, rows / np.linalg.norm(rows, axis=1, keepdims=True), codes)
