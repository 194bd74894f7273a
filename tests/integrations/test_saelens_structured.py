"""SAELens's sampler of structured worlds has the chances that our truth states for them.

Each test's comparisons together have a false-alarm rate below one in a million: normal deviations
of at most `SPREADS` standard errors, for at most 4,000 comparisons.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from saelens_cases import synthetic

import groundtruth as gt

pytestmark = pytest.mark.integration

SPREADS, N, BATCH = 6.2, 200_000, 4000
SIZES = {"n_features": 400, "d": 32, "dictionary": "sphere"}
TREES = {"roots": 4, "branching": 4, "depth": 3, "exclusive": 1.0, "scale_children": True}


@cache
def world() -> gt.Testbed:
    return gt.build("synthsaebench-1k", **SIZES, hierarchy={"law": "as_published", **TREES})


@cache
def their_codes() -> np.ndarray:
    """(N, n_features) drawn by SAELens from the rates, loadings, trees and laws of our truth."""
    truth = world().truth.features
    structure = truth.structure
    assert structure is not None

    def node(i: int) -> Any:
        children = [node(int(c)) for c in np.flatnonzero(structure.parent == i)]
        return synthetic.HierarchyNode(
            i, children, mutually_exclusive_children=bool(children), scale_children_by_parent=True
        )

    as_tensor = lambda array: torch.from_numpy(np.array(array)).float()  # noqa: E731
    law = truth.magnitude.parameters
    generator = synthetic.ActivationGenerator(
        truth.n_features,
        as_tensor(structure.rate),
        mean_firing_magnitudes=as_tensor(law["mean"]),
        std_firing_magnitudes=as_tensor(law["std"]),
        correlation_matrix=(as_tensor(structure.loadings), as_tensor(structure.own**2)),
        modify_activations=synthetic.hierarchy_modifier([node(i) for i in range(TREES["roots"])]),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251  (SAELens draws from the global state)
        return np.concatenate([generator.sample(BATCH).numpy() for _ in range(N // BATCH)])


def deviations(found: np.ndarray, chance: np.ndarray, error: np.ndarray) -> np.ndarray:
    spread = np.sqrt(np.maximum(chance * (1 - chance), 20 / N) / N + error**2)
    return np.abs(found - chance) / spread


def test_marginals_agree() -> None:
    structure = world().truth.features.structure
    assert structure is not None
    fires = (their_codes() > 0).mean(axis=0)
    assert deviations(fires, *structure.marginal).max() < SPREADS


def test_the_comparison_of_marginals_catches_the_configured_ones() -> None:
    plain = gt.build("synthsaebench-1k", **SIZES, hierarchy=None, correlation=None)
    configured = plain.truth.features.firing_probability
    fires = (their_codes() > 0).mean(axis=0)
    assert deviations(fires, configured, np.zeros(400)).max() > 2 * SPREADS


def test_pairs_fire_together_as_often() -> None:
    structure = world().truth.features.structure
    assert structure is not None
    rng = np.random.default_rng(0)
    inside = [(0, 4), (4, 5), (4, 20), (0, 85), (20, 21), (20, 84), (1, 0), (2, 300)]
    pairs = [*inside, *itertools.combinations(rng.permutation(400)[:20].tolist(), 2)]
    fires = (their_codes() > 0).astype(np.float32)
    for i, j in pairs:
        found = float((fires[:, i] * fires[:, j]).mean())
        chance, error = structure.joint([i, j])
        assert deviations(np.array(found), chance, error) < SPREADS, (i, j)


def test_magnitudes_have_the_stated_moments() -> None:
    truth, codes = world().truth.features, their_codes().astype(np.float64)
    fires = (codes > 0).sum(axis=0)
    often = fires > 500
    assert often.sum() > 100
    first, second = truth.size_moments
    mean = codes.sum(axis=0) / np.maximum(fires, 1)
    square = np.square(codes).sum(axis=0) / np.maximum(fires, 1)
    for found, stated, power in ((mean, first, 2), (square, second, 4)):
        spread = np.sqrt((codes**power).sum(axis=0) / np.maximum(fires, 1) / np.maximum(fires, 1))
        assert (np.abs(found - stated)[often] < SPREADS * spread[often]).all()


def test_our_samples_have_the_same_chances() -> None:
    structure = world().truth.features.structure
    assert structure is not None
    counts = np.zeros(400)
    for block in range(N // 1024):
        counts += np.bincount(world().block("train", 0, block)[1].indices, minlength=400)
    found = counts / (N // 1024 * 1024)
    assert deviations(found, *structure.marginal).max() < SPREADS


def test_rates_are_those_of_its_compensation() -> None:
    hierarchy = synthetic.HierarchyConfig(
        total_root_nodes=4,
        branching_factor=4,
        max_depth=3,
        mutually_exclusive_portion=1.0,
        compensate_probabilities=True,
    )
    model = synthetic.SyntheticModel(
        synthetic.SyntheticModelConfig(
            num_features=400,
            hidden_dim=32,
            firing_probability=synthetic.ZipfianFiringProbabilityConfig(0.5, 0.4, 5e-4),
            hierarchy=hierarchy,
            seed=0,
        )
    )
    structure = world().truth.features.structure
    assert structure is not None
    theirs = model.activation_generator.firing_probabilities.numpy()
    np.testing.assert_allclose(structure.rate, theirs, rtol=1e-5)
