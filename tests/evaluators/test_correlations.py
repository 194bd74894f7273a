"""Planted correlations by other routes: the joint law pair by pair, formulas, and samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundtruth import kin
from groundtruth.errors import Undefined
from groundtruth.evaluators import correlations
from groundtruth.evaluators.correlations import LEAST_CORRELATION, MOST_PARTNERS
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.structure import Structure
from groundtruth.truth import FeatureTruth

# Two trees, an exclusive pair of siblings, one of roots, and a root that is alone.
PARENT = np.array([-1, 0, 0, 0, 1, 1, -1, 6, -1, -1, -1])
EXCLUSIVE = np.array([-1, 0, 0, -1, -1, -1, -1, -1, 1, 1, -1])
RATE = np.array([0.6, 0.4, 0.3, 0.5, 0.5, 0.2, 0.2, 0.6, 0.3, 0.4, 0.2])
N = len(RATE)


def world(structure: Structure, size: float = 0.5, **changes) -> FeatureTruth:
    law = MagnitudeLaw("log-normal", {"mu": 0.0, "sigma": size})
    n = structure.n_features
    return FeatureTruth(
        **{
            "directions": np.eye(n),
            "firing_probability": structure.marginal.value,
            "magnitude": law,
            "bias": np.zeros(n),
            "structure": structure,
            **changes,
        }
    )


def factors(scale: float = 1.0) -> np.ndarray:
    """Loadings on two factors for features outside exclusive groups."""
    loadings = scale * np.random.default_rng(1).standard_normal((N, 2))
    loadings /= np.maximum(1, np.linalg.norm(loadings, axis=1, keepdims=True) + 0.1)
    loadings[EXCLUSIVE >= 0] = 0
    return loadings


def table(truth: FeatureTruth) -> np.ndarray:
    """(n, n) dense; 0 where it is below the least."""
    found = correlations.planted(truth)
    out = np.zeros((truth.n_features,) * 2)
    row, place = np.nonzero(found.partner >= 0)
    out[row, found.partner[row, place]] = found.value[row, place]
    assert not found.value[found.partner < 0].any()
    assert (np.diff(np.abs(found.value), axis=1) <= 0).all()
    return out


def by_joint(truth: FeatureTruth) -> np.ndarray:
    """(n, n) from P(both fire), where no value carries another's; 0 below the least."""
    structure = truth.structure
    p = structure.marginal.value
    m = np.broadcast_to(truth.magnitude.mean, len(p))
    variance = p * truth.magnitude.second_moment - (p * m) ** 2
    out = np.zeros((len(p),) * 2)
    for i in range(len(p)):
        for j in range(len(p)):
            if i != j:
                both = float(structure.joint([i, j]).value)
                out[i, j] = (both - p[i] * p[j]) * m[i] * m[j] / np.sqrt(variance[i] * variance[j])
    return np.where(np.abs(out) >= LEAST_CORRELATION, out, 0.0)


@pytest.mark.parametrize("choice", ["one", "race"])
def test_trees_and_exclusive_groups_are_exact(choice):
    truth = world(Structure(PARENT, RATE, EXCLUSIVE, choice=choice))
    assert correlations.planted(truth).source == "exact"
    found = table(truth)
    assert found == pytest.approx(by_joint(truth), abs=1e-12)
    assert found[1, 2] < 0 and found[8, 9] < 0  # exclusive siblings and roots
    assert found[0, 1] > 0 and found[4, 5] > 0
    assert not found[10].any()


@pytest.mark.parametrize("choice", ["one", "race"])
def test_factors_connect_trees(choice):
    truth = world(Structure(PARENT, RATE, EXCLUSIVE, choice=choice, loadings=factors()))
    found, source = table(truth), correlations.planted(truth).source
    assert source == "average over 16384 quasi-random points"
    # Both routes average; the joint law states errors of this size.
    assert found == pytest.approx(by_joint(truth), abs=5e-4)
    assert found[:6, 6:].any()  # of other trees


def test_few_points_are_close_to_many(monkeypatch):
    truth = world(Structure(PARENT, RATE, EXCLUSIVE, loadings=factors()))
    many = table(truth)
    monkeypatch.setattr(correlations, "_CELLS", 0)
    again = world(Structure(PARENT, RATE, EXCLUSIVE, loadings=factors()))
    assert correlations.planted(again).source == "average over 256 quasi-random points"
    both = (many != 0) & (table(again) != 0)
    assert np.abs(table(again) - many)[both].max() < 0.02
    assert np.abs(many[(many != 0) & ~both]).max(initial=0) < 0.12


def test_a_child_that_carries_its_parents_value_is_correlated_by_it():
    p, q, sigma, reference = 0.4, 0.5, 0.5, 1.3
    structure = Structure(
        np.array([-1, 0, 1, 0]),
        np.array([p, q, q, q]),
        np.full(4, -1),
        scaled=np.array([False, True, True, False]),
        reference=np.full(4, reference),
    )
    m1, m2 = np.exp(sigma**2 / 2), np.exp(2 * sigma**2)  # moments of a feature's own draw
    mean, square = m1 * np.array([1, m1 / reference]), m2 * np.array([1, m2 / reference**2])
    fires = np.array([p, p * q])
    sd = np.sqrt(fires * square - (fires * mean) ** 2)
    # Parent and child: both carry the parent's draw.
    both = p * q * m1 * m2 / reference
    found = table(world(structure, sigma))
    assert found[0, 1] == pytest.approx((both - np.prod(fires * mean)) / np.prod(sd))
    # The other child does not.
    plain = np.sqrt(p * q * m2 - (p * q * m1) ** 2)
    both = p * q * m1 * m1
    assert found[0, 3] == pytest.approx((both - p * m1 * p * q * m1) / (sd[0] * plain))


def test_samples_agree():
    rng, n = np.random.default_rng(0), 200_000
    structure = Structure(np.array([-1, 0, 0, 1]), np.array([0.5, 0.4, 0.3, 0.5]), np.full(4, -1))
    fires = rng.random((n, 4)) < structure.rate
    for level in structure.levels[1:]:
        fires[:, level] &= fires[:, structure.parent[level]]
    a = fires * rng.lognormal(0.0, 0.5, (n, 4))
    expected = np.corrcoef(a.T) - np.eye(4)
    found = table(world(structure))
    # Standard error at most 1 / sqrt(n) = .0022: five of them.
    assert np.abs(found - expected)[found != 0].max() < 0.012


def test_small_blocks_find_the_same(monkeypatch):
    monkeypatch.setattr(correlations, "_CELLS", 0)  # few points
    whole = table(world(Structure(PARENT, RATE, EXCLUSIVE, loadings=factors())))
    monkeypatch.setattr(kin, "_PAIRS", 1)
    monkeypatch.setattr(correlations, "_ROWS", 2)
    parts = table(world(Structure(PARENT, RATE, EXCLUSIVE, loadings=factors())))
    assert parts == pytest.approx(whole, abs=1e-7)  # products of blocks are float32


def test_only_the_strongest_partners_are_kept():
    n = MOST_PARTNERS + 5
    rate = np.full(n, 0.5)
    rate[1:] = np.linspace(0.3, 0.9, n - 1)
    star = Structure(np.array([-1] + [0] * (n - 1)), rate, np.full(n, -1))
    found = correlations.planted(world(star))
    assert sorted(found.partner[0]) == list(range(n - MOST_PARTNERS, n))


def test_what_never_varies_or_has_a_sign_of_its_own_is_correlated_with_nothing():
    structure = Structure(np.array([-1, 0]), np.array([1.0, 0.5]), np.full(2, -1))
    constant = world(structure, magnitude=MagnitudeLaw("constant", {"value": 1.0}))
    assert not correlations.planted(constant).any.any()
    with pytest.raises(Undefined) as error:
        correlations.planted(world(structure, signed=True))
    assert str(error.value) == "features have signs of their own, and no correlation"
    with pytest.raises(Undefined) as error:
        correlations.planted(replace(world(structure), structure=None))
    assert str(error.value) == "features fire independently in this world"
