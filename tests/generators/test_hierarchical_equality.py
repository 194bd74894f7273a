"""Hierarchical equality by hand: its closed form, its neurons, and interchange on both."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from variable_cases import APART, equality

from groundtruth.alignment import Subspace
from groundtruth.errors import InputError
from groundtruth.generators.hierarchical_equality import HierarchicalEquality, hierarchical_equality
from groundtruth.variable_pairs import activations_at, are_right


def right(testbed, claim, variable="WX", n=400, **draw):
    pairs = testbed.pairs(variable, n, **draw)
    return are_right(testbed.model, pairs, testbed.answers, claim).mean()


@pytest.mark.parametrize("rotated", [True, False])
def test_the_model_answers_right_on_all_inputs(rotated):
    testbed = hierarchical_equality(5, rotated=rotated)
    inputs = list(itertools.product(range(5), repeat=4))
    outputs = testbed.model(testbed.encode(inputs)).detach().numpy()
    same = np.array([(w == x) == (y == z) for w, x, y, z in inputs])
    expected = np.stack([~same, same], axis=-1)[:, None]
    assert np.abs(outputs - expected).max() < 1e-4  # float32, distances up to 10


def test_interchange_of_planted_subspaces_is_always_right():
    testbed = equality()
    for name in testbed.hypothesis:
        variable = testbed.truth[name]
        assert right(testbed, Subspace(variable.site, variable.basis), name) == 1.0


def test_neurons_0_to_3_are_one_equality_and_4_to_7_the_other():
    testbed, site = equality(), "blocks.0.mlp.hook_post"
    halves = np.split(np.eye(8), 2)
    for name, other, half in (("WX", "YZ", halves[0]), ("YZ", "WX", halves[1])):
        assert right(testbed, Subspace(site, half), name) == 1.0
        # Interchange of the other equality flips the answer exactly where that one differs.
        pairs = testbed.pairs(other, 200, discriminating=True)
        causal = testbed.truth.causal_model
        differs = [causal.run(b)[name][-1] != causal.run(s)[name][-1] for b, s, _ in pairs.cases]
        found = are_right(testbed.model, pairs, testbed.answers, Subspace(site, half))
        assert found.tolist() == differs


def test_the_inputs_of_an_equality_carry_it_too():
    # W and X together, at the positions where they stand: an alignment that is nowhere planted.
    testbed = equality()
    everything = np.eye(testbed.model.W_E.shape[1])
    assert right(testbed, Subspace("hook_embed", everything, positions=(1, 2))) == 1.0
    assert right(testbed, Subspace("hook_embed", everything, positions=(1, 3))) < 0.9


def test_a_turned_stream_has_no_axis_of_its_own_and_the_same_outputs():
    turned, plain = hierarchical_equality(6), hierarchical_equality(6, rotated=False)
    assert np.abs(plain.truth["WX"].basis).max() == 1.0
    assert np.abs(turned.truth["WX"].basis).max() < 0.95
    tokens = plain.encode(plain.draw(np.random.default_rng(0), 50))
    outputs = [model(tokens).detach().numpy() for model in (turned.model, plain.model)]
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-4


def test_pairs_are_equal_half_of_the_time_and_objects_are_apart():
    testbed = equality()
    drawn = np.array(testbed.draw(np.random.default_rng(0), 4000))
    # Binomial(8000, 1/2): outside 5 standard deviations once in 2 million.
    assert abs((drawn[:, 0::2] == drawn[:, 1::2]).mean() - 0.5) < 5 * np.sqrt(0.25 / 8000)
    objects = testbed.truth["W"].points
    apart = np.abs(objects[:, None] - objects).sum(-1)[~np.eye(16, dtype=bool)]
    assert np.isclose(apart.min(), 1.0)


def test_the_planted_subspace_holds_the_distance():
    testbed = equality()
    tokens = testbed.encode([[3, 3, 1, 2], [4, 9, 0, 0]])
    held = activations_at(testbed.model, tokens, APART)[:, -1].double().numpy()
    points = testbed.truth["W"].points
    expected = [
        [0, np.abs(points[1] - points[2]).sum()],
        [np.abs(points[4] - points[9]).sum(), 0],
    ]
    bases = np.concatenate([testbed.truth[name].basis for name in ("WX", "YZ")])
    assert np.abs(held @ bases.T - expected).max() < 1e-4


def test_what_follows_from_an_equality_that_is_set():
    model = HierarchicalEquality()
    for w, x, y, z in itertools.product(range(2), repeat=4):
        for set_to in (False, True):
            found = model.run([w, x, y, z], {"WX": dict.fromkeys(range(4), set_to)})["same"]
            assert found == [set_to == (y == z)] * 4


def test_one_object_cannot_differ():
    with pytest.raises(InputError, match="n_objects: expected at least 2, got 1"):
        hierarchical_equality(1)
