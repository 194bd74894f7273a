"""Structured worlds: samples follow the stated truth, given that a feature fires too.

Seeds are fixed. Each test's comparisons together have a false-alarm rate below one in a million.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from groundtruth.errors import InputError, UnknownName
from groundtruth.generators.sparse import sparse
from groundtruth.moments import covariance
from groundtruth.testbed import Testbed

TREES = {"roots": 2, "branching": 2, "depth": 2, "scale_children": True}
FACTORS = {"law": "low-rank", "rank": 3, "scale": 0.35}
RECTIFIED = {
    "law": "rectified-normal",
    "mean": {"law": "linear", "first": 2.0, "last": 1.0},
    "std": {"law": "folded-normal", "mean": 0.5, "std": 0.5},
}
P = {"law": "zipf-range", "exponent": 0.5, "high": 0.5, "low": 0.02}
WORLDS = {
    "exact": {"hierarchy": {"law": "exact_marginals", **TREES}, "firing": P},
    "exact, correlated": {
        "hierarchy": {"law": "exact_marginals", **TREES},
        "firing": P,
        "correlation": FACTORS,
    },
    "published": {"hierarchy": {"law": "as_published", **TREES}, "firing": P},
    "published, correlated": {
        "hierarchy": {"law": "as_published", **TREES},
        "firing": P,
        "correlation": FACTORS,
        "magnitude": RECTIFIED,
    },
    "shuffled": {
        "hierarchy": {"law": "as_published", **TREES},
        "firing": P,
        "magnitude": RECTIFIED,
        "shuffle": ["firing", "hierarchy", "magnitude"],
    },
    "independent children": {"hierarchy": {**TREES, "exclusive": 0.0}, "firing": P},
    "groups": {
        "firing": {"law": "constant", "probability": 0.2},
        "exclusive": [[0, 3, 5], [1, 2]],
        "together": [[7, 8, 9]],
    },
    "full": {
        "firing": {"law": "constant", "probability": 0.3},
        "correlation": {"law": "full", "matrix": (0.6 * np.eye(18) + 0.4).tolist()},
    },
}
FIRING = {"law": "constant", "probability": 0.1}
IMPOSSIBLE = (1.2 * np.ones((18, 18)) - 0.2 * np.eye(18)).tolist()
# A normal comparison at this many standard deviations fails once in ten billion.
SPREADS = 6.5


def world(name: str, **changes: object) -> Testbed:
    return sparse(**{"n_features": 18, "d": 12, "seed": 4, **WORLDS[name], **changes})


def codes_of(testbed: Testbed, n_blocks: int = 100) -> np.ndarray:
    blocks = [testbed.block("train", 0, b)[1] for b in range(n_blocks)]
    return sp.vstack(blocks).toarray().astype(np.float64)


def pairs(testbed: Testbed) -> np.ndarray:
    n = testbed.truth.features.n_features
    of = testbed.truth.features
    return np.array([[of.coactivation(i, j) for j in range(n)] for i in range(n)])


def check_pairs(fires: np.ndarray, expected: np.ndarray, extra: float = 1e-5) -> None:
    n = len(fires)
    found = fires.T.astype(np.float64) @ fires / n
    spread = np.sqrt(np.maximum(expected * (1 - expected), 20 / n) / n + extra**2)
    far = np.abs(found - expected) / spread
    assert far.max() < SPREADS, np.unravel_index(far.argmax(), far.shape)


@pytest.mark.parametrize("name", WORLDS)
def test_pairs_fire_together_as_often_as_the_truth_says(name):
    testbed = world(name)
    expected = pairs(testbed)
    check_pairs(codes_of(testbed) != 0, expected)
    np.testing.assert_allclose(np.diag(expected), testbed.truth.features.firing_probability)


def test_the_check_of_pairs_catches_independent_draws():
    testbed = world("exact")
    apart = np.random.default_rng(0).permuted(codes_of(testbed) != 0, axis=0)
    with pytest.raises(AssertionError):
        check_pairs(apart, pairs(testbed))


@pytest.mark.parametrize("name", WORLDS)
def test_moments_of_codes_are_those_of_the_truth(name):
    testbed = world(name)
    truth, codes = testbed.truth.features, codes_of(testbed)
    centred = codes - truth.mean_activity
    expected = covariance(truth.structure, np.eye(18), *truth.size_moments)
    found = centred.T @ centred / len(codes)
    spread = np.sqrt((centred**2).T @ centred**2 / len(codes) - found**2) / np.sqrt(len(codes))
    # Averages over factors have an error of their own, below half a per cent.
    allowed = SPREADS * spread + 5e-3 * np.abs(found) + 1e-4
    assert (np.abs(found - expected) < allowed).all()
    assert np.abs(np.diag(expected) - truth.variance).max() < 5e-3 * truth.variance.max()
    np.testing.assert_allclose(
        truth.covariance,
        truth.directions.T @ expected @ truth.directions,
        atol=1e-9 + 5e-3 * np.abs(truth.covariance).max(),
    )


@pytest.mark.parametrize("name", WORLDS)
def test_samples_given_that_a_feature_fires_follow_the_conditional_law(name):
    testbed, n = world(name), 4000
    joint = pairs(testbed)
    for i in range(0, 18, 3):
        blocks = [testbed.active_block("score", b, np.full(1000, i))[1] for b in range(n // 1000)]
        fires = sp.vstack(blocks).toarray() != 0
        assert fires[:, i].all()
        expected = joint[i] / joint[i, i]
        spread = np.sqrt(np.maximum(expected * (1 - expected), 20 / n) / n + 1e-8)
        assert (np.abs(fires.mean(axis=0) - expected) < SPREADS * spread).all(), i


def test_exact_marginals_are_those_asked_for_and_published_ones_are_not():
    asked = sparse(n_features=18, d=12, firing=P).truth.features.firing_probability
    exact = world("exact").truth.features.firing_probability
    published = world("published").truth.features.firing_probability
    np.testing.assert_allclose(exact, asked, rtol=1e-12)
    assert np.abs(published / asked - 1).max() > 0.01


def test_children_fire_under_their_parents_and_siblings_never_together():
    codes = codes_of(world("exact, correlated"), 20) != 0
    parent = world("exact, correlated").truth.features.structure.parent
    for child in np.flatnonzero(parent >= 0):
        assert not (codes[:, child] & ~codes[:, parent[child]]).any()
    assert not (codes[:, 2] & codes[:, 3]).any()
    assert codes[:, 2].any() and codes[:, 3].any()


def test_magnitudes_of_children_follow_their_parents():
    codes = codes_of(world("exact"))
    both = codes[(codes[:, 2] != 0) & (codes[:, 0] != 0)]
    assert stats.spearmanr(both[:, 2], both[:, 0]).statistic > 0.5
    plain = world("exact", hierarchy={**TREES, "scale_children": False})
    codes = codes_of(plain)
    both = codes[(codes[:, 2] != 0) & (codes[:, 0] != 0)]
    assert abs(stats.spearmanr(both[:, 2], both[:, 0]).statistic) < 0.05


def test_signs_are_even_and_leave_the_firing_as_it_was():
    testbed = world("groups", signed=True)
    codes = codes_of(testbed, 20)
    on = codes[codes != 0]
    assert 0 < stats.binomtest(int((on > 0).sum()), len(on)).pvalue > 1e-7
    assert testbed.truth.features.signed and not testbed.truth.features.mean_activity.any()
    x = np.concatenate([testbed.block("train", 0, b)[0] for b in range(40)]).astype(np.float64)
    cov = testbed.truth.features.covariance
    assert np.abs(np.cov(x.T) - cov).max() < 0.05 * np.abs(cov).max()


def test_what_always_fires_together_is_not_identifiable():
    classes = world("groups").truth.features.identifiability(10**6).classes
    assert classes[[7, 8, 9]].tolist() == ["always_coactive"] * 3
    assert classes[0] == "identifiable"


def test_shuffling_breaks_the_tie_between_frequency_depth_and_magnitude():
    tied, free = world("published, correlated"), world("shuffled", n_features=18)
    order = np.arange(18)
    p, q = (w.truth.features.structure.rate for w in (tied, free))
    assert stats.spearmanr(tied.truth.features.magnitude.mean, order).statistic < -0.5
    assert abs(stats.spearmanr(free.truth.features.magnitude.mean, order).statistic) < 0.5
    assert not np.array_equal(np.sort(p)[::-1], q)
    depth = free.truth.features.structure.depth
    assert np.array_equal(np.bincount(depth), np.bincount(tied.truth.features.structure.depth))
    assert not np.array_equal(depth, tied.truth.features.structure.depth)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_roots_among_correlated_ones(probability):
    law = {"law": "given", "values": [probability] + [0.2] * 17}
    testbed = sparse(n_features=18, d=12, firing=law, correlation=FACTORS, magnitude="constant")
    codes = codes_of(testbed, 5)
    assert set(codes[:, 0].tolist()) == {probability}
    assert testbed.truth.features.coactivation(0, 1) == pytest.approx(0.2 * probability)


def test_children_of_what_never_fires_never_fire():
    law = {"law": "given", "values": [0.0] * 3 + [0.2] * 15}
    for name in ("exact_marginals", "as_published"):
        trees = {"law": name, "roots": 1, "branching": 2, "depth": 1}
        testbed = sparse(n_features=18, d=12, firing=law, hierarchy=trees)
        assert testbed.truth.features.firing_probability[:3].tolist() == [0.0] * 3
        assert not codes_of(testbed, 2)[:, :3].any()


def test_features_that_fire_together_may_each_have_a_magnitude_of_0():
    testbed = world("groups", magnitude={"law": "rectified-normal", "mean": 1.0, "std": 1.0})
    p, present = testbed.truth.features.firing_probability, stats.norm.cdf(1)
    np.testing.assert_allclose(p[[7, 8, 9]], [0.2, 0.2 * present, 0.2 * present])
    check_pairs(codes_of(testbed) != 0, pairs(testbed))


def test_blocks_are_random_access():
    testbed = world("published, correlated")
    first = testbed.block("train", 0, 3)
    testbed.block("train", 0, 1)
    again = world("published, correlated").block("train", 0, 3)
    assert np.array_equal(first[0], again[0]) and (first[1] != again[1]).nnz == 0


def test_the_hash_tells_structures_apart():
    assert world("exact").hash != world("published").hash != world("shuffled").hash
    assert world("exact").hash == world("exact").hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hierarchy": {"roots": 9, "branching": 2, "depth": 1}},
            "hierarchy: expected at most 18 features in the trees, got 9 roots with branching 2 "
            "and depth 1, which are more. Lower one of them.",
        ),
        (
            {
                "hierarchy": {"parents": [-1, 0] + [-1] * 16},
                "firing": {"law": "given", "values": [0.1, 0.2] + [0.1] * 16},
            },
            "hierarchy, firing: expected a feature to fire at most as often as its parent, "
            "feature 0, fires (0.1), got probability 0.2 for feature 1 (1 such). Lower it, or use "
            '{"law": "as_published"}, which clamps.',
        ),
        (
            {
                "hierarchy": {"parents": [-1, 0, 0] + [-1] * 15, "exclusive": [[1, 2]]},
                "firing": {"law": "constant", "probability": 0.1},
            },
            "structure.rate: expected exclusive features to have chances that sum to at most 1, "
            "got 2 for features [1, 2]. Lower them, raise their parent's probability, or have "
            "fewer exclusive children.",
        ),
        (
            {"hierarchy": {"parents": [1, 0] + [-1] * 16}},
            "structure.parent: expected trees, got a cycle through feature 0. Every chain of "
            "parents must end at a root, whose parent is -1.",
        ),
        (
            {"hierarchy": {"parents": [-1, 0, 0, 0] + [-1] * 14, "exclusive": [[1, 2], [2, 3]]}},
            "hierarchy.exclusive: expected groups without a common feature, got feature 2 in two.",
        ),
        (
            {"hierarchy": {"parents": [-1] * 18, "exclusive": 5}},
            "hierarchy.exclusive: expected groups of siblings, such as [[1, 2]], got 5.",
        ),
        (
            {"hierarchy": {"parents": [-1] * 18, "roots": 2}},
            "hierarchy: expected parents, or roots, branching, depth, got parents and roots. Leave "
            "out one of the two.",
        ),
        (
            {"hierarchy": {"roots": 2, "branching": 2, "depth": 10**9}},
            "hierarchy: expected at most 18 features in the trees, got 2 roots with branching 2 "
            "and depth 1000000000, which are more. Lower one of them.",
        ),
        (
            {"hierarchy": {"roots": 2, "scale_children": "yes"}},
            "hierarchy.scale_children: expected True or False, got 'yes'.",
        ),
        (
            {"exclusive": [[0, 1], [1, 2]]},
            "exclusive: expected roots that are in no other group, got feature 1. Exclusive "
            "children are named in hierarchy.exclusive.",
        ),
        (
            {
                "correlation": {
                    "law": "full",
                    "matrix": (1.2 * np.ones((18, 18)) - 0.2 * np.eye(18)).tolist(),
                }
            },
            "correlation.matrix: expected a positive semi-definite matrix, got one with eigenvalue "
            "-0.2. No random variables have these correlations; lower those that contradict each "
            "other.",
        ),
        (
            {"exclusive": [[0, 1]], "correlation": FACTORS},
            "exclusive, correlation: expected exclusive roots without a correlation, got feature "
            '0. Which one of a group fires is one choice under "exact_marginals"; leave out one '
            'of the two, or use hierarchy={"law": "as_published"}.',
        ),
        (
            {"exclusive": 5},
            "exclusive: expected groups of feature indices, such as [[0, 1], [4, 5, 6]], got 5.",
        ),
        ({"signed": "yes"}, "signed: expected True or False, got 'yes'."),
        ({"shuffle": 3}, "shuffle: expected names among firing, hierarchy, magnitude, got 3."),
        (
            {"dictionary": {"law": "orthogonalised", "lr": float("nan")}},
            "dictionary.lr: expected a number from 0 to 1, got nan.",
        ),
        (
            {"together": [[0, 0]]},
            "together: expected different indices from 0 to 17, got [0, 0].",
        ),
    ],
)
def test_impossible_structures_are_refused(changes, message):
    with pytest.raises(InputError) as caught:
        sparse(
            **{
                "n_features": 18,
                "d": 12,
                "firing": {"law": "constant", "probability": 0.1},
                **changes,
            }
        )
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"hierarchy": {"law": "exact"}}, "hierarchy law"),
        ({"hierarchy": {"rots": 2}}, "part of hierarchy"),
        ({"correlation": {"law": "low"}}, "correlation law"),
        ({"shuffle": "frequency"}, "what to shuffle"),
        ({"magnitude": {"law": "constant", "value": {"law": "lin"}}}, "law of magnitude.value"),
    ],
)
def test_misspelt_words_are_told(changes, name):
    with pytest.raises(UnknownName, match=name):
        sparse(n_features=18, d=12, **changes)


def test_a_cycle_is_named_whatever_the_probabilities():
    with pytest.raises(InputError, match="expected trees, got a cycle through feature 0"):
        sparse(n_features=3, d=3, hierarchy={"parents": [1, 0, -1]})
    with pytest.raises(InputError, match=r"hierarchy\.parents: expected indices from -1 to 2"):
        sparse(n_features=3, d=3, hierarchy={"parents": [3, -1, -1]})
