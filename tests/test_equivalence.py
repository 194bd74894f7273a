"""What cannot be told apart, and what is sparser than the truth: each against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import inference
from groundtruth.equivalence import ALWAYS_COACTIVE, DUPLICATE, ONE_OF_EACH
from groundtruth.generators.sparse import sparse
from groundtruth.truth import FeatureTruth

CONSTANT = {"law": "constant", "value": 1.0}


def truth_of(**recipe) -> FeatureTruth:
    base = {"d": 12, "dictionary": "orthonormal", "magnitude": CONSTANT}
    return sparse(**{**base, **recipe}).truth.features


def of_kind(truth: FeatureTruth, name: str) -> list[tuple[int, ...]]:
    return [one.members for one in truth.equivalence_classes if one.name == name]


# --- classes -----------------------------------------------------------------------------------


def test_independent_features_can_all_be_told():
    truth = gt.build("sparse/small").truth.features
    assert truth.equivalence_classes == ()
    assert truth.sparse_optimum.is_planted


def test_equal_directions_are_one_class():
    rows = np.eye(4)[[0, 1, 2, 1, 3, 0]]
    truth = truth_of(n_features=6, d=4, dictionary={"law": "given", "directions": rows})
    assert sorted(of_kind(truth, DUPLICATE)) == [(0, 5), (1, 3)]
    for one in truth.equivalence_classes:
        np.testing.assert_array_equal(one.basis[0], truth.directions[one.members[0]])


def test_two_that_always_fire_together_are_their_sum():
    truth = truth_of(
        n_features=6, together=[[1, 4, 5]], firing={"law": "constant", "probability": 0.2}
    )
    (one,) = truth.equivalence_classes
    assert (one.name, one.members) == (ALWAYS_COACTIVE, (1, 4, 5))
    total = truth.directions[[1, 4, 5]].sum(axis=0)
    np.testing.assert_allclose(one.basis, [total / math.sqrt(3)], atol=1e-12)
    assert set(np.flatnonzero(truth.identifiability(10**6).classes == ALWAYS_COACTIVE)) == {1, 4, 5}


def test_together_with_magnitudes_of_their_own_they_are_a_plane():
    truth = truth_of(n_features=6, together=[[1, 4]], magnitude="exponential")
    (one,) = truth.equivalence_classes
    assert one.basis.shape == (2, 12)
    held = np.linalg.norm(truth.directions[[1, 4]] @ one.basis.T, axis=1)
    np.testing.assert_allclose(held, 1)


def test_random_signs_leave_the_plane():
    (one,) = truth_of(n_features=6, together=[[0, 1]], signed=True).equivalence_classes
    assert len(one.basis) == 2


def test_one_of_each_group_leaves_all_but_a_shift():
    """16 sums of one of four and one of four span 7 dimensions, and no fewer."""
    world = gt.build("failure/one-of-each")
    (one,) = world.truth.features.equivalence_classes
    assert (one.name, one.members) == (ONE_OF_EACH, tuple(range(8)))
    x = world.sample(2000)[0].numpy().astype(np.float64)
    assert np.linalg.matrix_rank(x, tol=1e-3) == len(one.basis) == 7
    np.testing.assert_allclose(x @ one.basis.T @ one.basis, x, atol=1e-5)
    assert not world.truth.features.identifiability(10**6).identifiable.any()


def test_a_parent_that_never_fires_alone_is_told_only_with_its_children():
    """Sums of a parent and one of four children span 4 dimensions, for 5 features."""
    world = gt.build("failure/splitting")
    found = world.truth.features.equivalence_classes
    assert [one.members for one in found] == [(0, 2, 3, 4, 5), (1, 6, 7, 8, 9)]
    x = world.sample(2000)[0].numpy().astype(np.float64)
    span = np.concatenate([one.basis for one in found])
    assert np.linalg.matrix_rank(x, tol=1e-3) == len(span) == 8
    np.testing.assert_allclose(x @ span.T @ span, x, atol=1e-5)
    alone = {"firing": {"law": "given", "values": [0.3] * 2 + [0.05] * 8}}
    assert gt.build("failure/splitting", **alone).truth.features.equivalence_classes == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"magnitude": "log-normal"},
        {"firing": {"law": "constant", "probability": 0.2}},
        {"exclusive": [[0, 1, 2, 3]]},
        {"signed": True},
    ],
    ids=["magnitudes differ", "not always one", "one group", "signs"],
)
def test_what_breaks_the_symmetry_makes_features_identifiable(changes):
    truth = gt.build("failure/one-of-each", **changes).truth.features
    assert of_kind(truth, ONE_OF_EACH) == []


# --- the sparsest known code ---------------------------------------------------------------------


def test_absorption_saves_what_its_closed_form_says():
    """L0 falls by the children's firings, L1 by 2 - sqrt 2 for each of them."""
    truth = gt.build("failure/absorption").truth.features
    optimum, children = truth.sparse_optimum, 4 * 0.05
    assert not optimum.is_planted and optimum.n_latents == 8
    assert optimum.l0 - optimum.rewritten_l0 == pytest.approx(children)
    assert optimum.l1 - optimum.rewritten_l1 == pytest.approx((2 - math.sqrt(2)) * children)


def test_absorbed_codes_write_every_sample_at_the_stated_cost():
    """A second route: non-negative codes on the absorbing dictionary itself."""
    world = gt.build("failure/tree", seed=2, magnitude=CONSTANT)
    truth = world.truth.features
    structure = truth.structure
    assert structure is not None
    absorbing = truth.directions.copy()
    for level in structure.levels[1:]:
        for child in level[structure.exclusive[level] >= 0]:
            absorbing[child] += absorbing[structure.parent[child]]
    length = np.linalg.norm(absorbing, axis=1)
    x, codes = world.sample(20_000)
    # Each sample by the deepest features of its trees.
    deep = codes.toarray()
    for feature in np.flatnonzero(structure.parent >= 0):
        hidden = deep[:, feature] > 0
        deep[hidden, structure.parent[feature]] = 0
    np.testing.assert_allclose(deep @ absorbing, x.numpy(), atol=1e-5)
    l0, l1 = (deep > 0).sum(axis=1), deep @ length
    optimum = truth.sparse_optimum
    assert optimum.rewritten_l0 == pytest.approx(l0.mean(), abs=6 * l0.std() / math.sqrt(len(l0)))
    assert optimum.rewritten_l1 == pytest.approx(l1.mean(), abs=6 * l1.std() / math.sqrt(len(l1)))


def test_combinations_write_every_sample_of_the_composed_world_with_one_code():
    world = gt.build("failure/one-of-each")
    truth, optimum = world.truth.features, world.truth.features.sparse_optimum
    pairs = (truth.directions[:4, None] + truth.directions[None, 4:]).reshape(16, -1)
    pairs /= math.sqrt(2)
    x = world.sample(500)[0].numpy()
    best = (x @ pairs.T).max(axis=1)
    np.testing.assert_allclose(best, math.sqrt(2), atol=1e-5)
    np.testing.assert_allclose(pairs[(x @ pairs.T).argmax(axis=1)] * math.sqrt(2), x, atol=1e-5)
    assert (optimum.rewritten_l0, optimum.n_latents) == (pytest.approx(1), 16)
    assert (optimum.l0, optimum.l1) == (pytest.approx(2), pytest.approx(2))
    assert optimum.rewritten_l1 == pytest.approx(math.sqrt(2))


def test_splitting_a_parent_costs_what_its_closed_form_says():
    """Each firing of a parent: one code of length sqrt 5 instead of two that sum to 3."""
    truth = gt.build("failure/splitting").truth.features
    optimum = truth.sparse_optimum
    assert (optimum.l0, optimum.rewritten_l0) == pytest.approx((0.8, 0.4))
    assert (optimum.l1, optimum.rewritten_l1) == pytest.approx((1.2, 0.4 * math.sqrt(5)))
    both = 2 * truth.directions[0] + truth.directions[2]
    assert both @ truth.directions[0] / math.sqrt(5) == pytest.approx(0.8944, abs=5e-5)


def test_children_with_magnitudes_of_their_own_cannot_be_absorbed_exactly():
    truth = gt.build("failure/absorption", magnitude="log-normal").truth.features
    assert truth.sparse_optimum.is_planted


def test_children_scaled_by_parents_of_any_magnitude_can():
    hierarchy = {"parents": [-1, 0], "scale_children": True}
    law = {"law": "rectified-normal", "mean": 1.0, "std": [0.3, 0.0]}
    firing = {"law": "given", "values": [0.4, 0.1]}
    truth = truth_of(n_features=2, hierarchy=hierarchy, magnitude=law, firing=firing)
    p = truth.firing_probability
    assert truth.sparse_optimum.rewritten_l0 == pytest.approx(p[0])


# --- the score -----------------------------------------------------------------------------------


def recall_classes(world: gt.Testbed, rows: np.ndarray) -> tuple[float, float]:
    small = {"n_select": 512, "n_score": 512, "n_positives": 4}
    claim = gt.Dictionary(rows, lambda x: inference.nnls(x, rows))
    wanted = ["recover.recall", "recover.recall_classes"]
    report = gt.evaluate(world, claim, metrics=wanted, scoring=small)
    return report[wanted[0]].value, report[wanted[1]].value


def test_either_reading_of_a_class_is_found():
    world = sparse(n_features=6, d=12, dictionary="orthonormal", together=[[0, 1]])
    d = world.truth.features.directions
    both = np.concatenate([d[:1] + d[1:2], d[2:]])
    assert recall_classes(world, d) == (1, 1)
    for law, expected in (("exponential", 0.8), (CONSTANT, 1.0)):
        world = sparse(
            n_features=6, d=12, dictionary="orthonormal", together=[[0, 1]], magnitude=law
        )
        both = world.truth.features.directions
        both = np.concatenate([both[:1] + both[1:2], both[2:]])
        assert recall_classes(world, both) == pytest.approx((4 / 6, expected))


def test_a_rotated_plane_is_found_where_only_the_plane_can_be_told():
    world = sparse(
        n_features=6, d=12, dictionary="orthonormal", together=[[0, 1]], magnitude="exponential"
    )
    rows = world.truth.features.directions.copy()
    c, s = math.cos(0.7), math.sin(0.7)
    rows[:2] = np.array([[c, s], [-s, c]]) @ rows[:2]
    assert recall_classes(world, rows) == pytest.approx((4 / 6, 1))
    rows[1] = rows[0]
    assert recall_classes(world, rows) == pytest.approx((4 / 6, 4 / 5))


def test_combinations_find_the_composed_class_and_no_feature():
    world = gt.build("failure/one-of-each")
    d = world.truth.features.directions
    pairs = (d[:4, None] + d[None, 4:]).reshape(16, -1) / math.sqrt(2)
    assert recall_classes(world, pairs) == (0, 1)
    assert recall_classes(world, pairs[:4]) == (0, 0)
    rng = np.random.default_rng(0)
    assert recall_classes(world, rng.standard_normal((16, 16))) == (0, 0)


def test_where_all_can_be_told_it_is_recall():
    world = gt.build("sparse/orthonormal")
    rows = world.truth.features.directions[:40]
    assert recall_classes(world, rows) == (40 / 64, 40 / 64)
