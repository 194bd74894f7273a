"""What features of the planted worlds cause, against their formulas and against the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.generators.cause_worlds import causal_dictionary, steering
from groundtruth.models.site_edits import read_site, run_edited

DICTIONARY = causal_dictionary(n_inputs=128, seed=3)
LATER = causal_dictionary(n_inputs=128, seed=3, level=1, cosine=0.2)
STEERING = steering(n_inputs=128)


def moved(testbed, edit):
    """What the outputs of the real model change by."""
    site, tokens = testbed.truth.site, torch.tensor(testbed.truth.tokens)
    intact = run_edited(testbed.model, site, tokens, lambda x: x)
    return (run_edited(testbed.model, site, tokens, edit) - intact).numpy()


@pytest.mark.parametrize("testbed", [DICTIONARY, LATER, STEERING], ids=lambda t: t.truth.site)
def test_planted_effects_are_what_the_model_does(testbed):
    truth = testbed.truth
    directions, codes = torch.tensor(truth.directions), torch.tensor(truth.codes)
    for i in range(len(truth.names)):
        found = moved(testbed, lambda x, i=i: x - codes[:, [i]] * directions[i])
        assert np.abs(found - truth.ablated(i)).max() < 1e-10
        for amount in (-1.5, 0.7):
            found = moved(testbed, lambda x, i=i, t=amount: x + t * directions[i])
            assert np.abs(found - truth.steered(i, amount)).max() < 1e-10


def test_the_dictionary_follows_its_formula():
    truth = DICTIONARY.truth
    a = dict(zip(truth.names, truth.codes.T))
    planted = truth.network.outputs(truth.codes)
    gate = np.maximum(a["m0"] + a["m1"] - 1, 0)
    assert np.allclose(
        planted[:, 0], 3 * a["c0"] + 1.5 * a["c1"] + 0.75 * a["c2"] + 2 * gate + 2 * a["dormant"]
    )
    assert np.allclose(planted[:, 1:], np.column_stack([a["c0"], a["c1"], a["c2"]]))


def test_each_kind_of_feature_has_its_effects():
    truth = DICTIONARY.truth
    by_name = {name: i for i, name in enumerate(truth.names)}
    for name, i in by_name.items():
        kind = truth.kinds[i]
        ablated, steered = truth.ablated(i), truth.steered(i, 1.0)
        assert kind == (
            "inert" if "~" in name else {"c": "causal", "m": "mediated", "d": "dormant"}[name[0]]
        )
        if kind == "inert":
            assert not ablated.any() and not steered.any()
        if kind == "dormant":
            assert not ablated.any() and np.allclose(steered, [[2, 0, 0, 0]])
        if kind in ("causal", "mediated"):
            assert np.abs(ablated[:, 0]).max() > 1
    # Mediated: with the mediator held, nothing is left.
    codes = truth.network.codes(truth.codes, 1)
    changed = codes.copy()
    changed[:, by_name["m0"]] = 0
    assert not truth.network.change(codes, changed, 1).any()


def test_behind_the_mediator_what_it_reads_is_inert():
    kinds = dict(zip(LATER.truth.names, LATER.truth.kinds))
    assert kinds["mediator"] == "causal"
    assert kinds["m0"] == kinds["m1"] == "inert"
    assert kinds["c0"] == "causal" and kinds["dormant"] == "dormant"


def test_decoys_have_their_correlations():
    truth, n = causal_dictionary(n_inputs=4096).truth, 4096
    found = np.corrcoef(truth.codes[:, truth.of_kind("causal", "inert", "mediated")].T)
    for i in np.flatnonzero(truth.parent >= 0):
        rho = truth.correlation[i]
        # The error of a correlation of what is copied or not is at most 1.5 / sqrt(n); five of
        # them, over nine decoys, are a false alarm in 100,000.
        assert abs(found[i, truth.parent[i]] - rho) < 5 * 1.5 / np.sqrt(n)
    assert sorted(set(truth.correlation)) == [0, 0.3, 0.6, 0.9]


def test_curves_break_where_they_should_and_nowhere_else():
    truth = STEERING.truth
    breaks = truth.breakpoints(truth.concept)
    directions = torch.tensor(truth.directions)
    step = 1e-3

    def bend(amounts):
        """Second difference of the model's target at one amount for each input."""
        at = torch.tensor(amounts)[:, None]
        runs = [
            moved(STEERING, lambda x, s=s: x + (at + s) * directions[truth.concept])[:, 0]
            for s in (-step, 0, step)
        ]
        return (runs[0] - 2 * runs[1] + runs[2]) / step

    # 2 ReLU(v + o0 - 2) starts, and -ReLU(1 - v) stops: slopes rise by 2, and fall by 1.
    together = np.isclose(breaks[:, 0], breaks[:, 1])
    for neuron, rise in enumerate([2, -1]):
        assert np.allclose(bend(breaks[:, neuron])[~together], rise)
        assert np.allclose(bend(breaks[:, neuron])[together], 1)
    between = breaks.mean(1)
    assert np.allclose(bend(between)[~together], 0, atol=1e-9)
    assert np.allclose(bend(breaks.max(1) + 0.5), 0, atol=1e-9)


def test_side_effects_are_the_projections_that_are_planted():
    truth = STEERING.truth
    assert np.allclose(truth.steered(0, 0.6)[:, 1:], [[0.3, 0, 0]])
    assert np.allclose(truth.steered(1, 0.6), [[0, 0, 0.6, 0]])


def test_a_testbed_is_its_content():
    again = causal_dictionary(n_inputs=128, seed=3)
    assert again.hash == DICTIONARY.hash
    assert np.array_equal(again.truth.tokens, DICTIONARY.truth.tokens)
    changes = [{"seed": 4}, {"firing": 0.4}, {"level": 1}, {"n_inputs": 127}]
    others = [causal_dictionary(**{"n_inputs": 128, "seed": 3} | change) for change in changes]
    assert len({t.hash for t in (DICTIONARY, *others)}) == 5
    assert DICTIONARY.truth_class == "analytic" and DICTIONARY.name == "causes/dictionary"


def test_the_subject_shows_what_the_model_does_and_not_what_scores():
    subject, truth = DICTIONARY.subject, DICTIONARY.truth
    tokens = subject.tokens(2000, seed=5)
    x = read_site(DICTIONARY.model, truth.site, tokens).numpy()
    assert np.allclose(subject.sample(2000, seed=5).numpy(), x, atol=1e-5)
    given, labels = subject.labelled(2000, seed=5)
    assert np.allclose(given, x)
    assert np.array_equal(labels, subject.labels(tokens))
    assert np.array_equal(labels, x @ truth.readouts[:, 0] > 0.5)
    assert np.array_equal(tokens[:100], subject.tokens(100, seed=5))
    assert not np.array_equal(tokens, subject.tokens(2000, seed=6))
    assert np.array_equal(subject.activations(tokens).numpy(), x)
    assert {name for name in dir(subject) if not name.startswith("_")} == {
        "activations",
        "batches",
        "d",
        "labelled",
        "labels",
        "model",
        "outputs",
        "sample",
        "site",
        "target",
        "tokens",
    }


def test_arguments_out_of_range_are_refused():
    with pytest.raises(InputError, match="strengths: expected at least one number, none 0"):
        causal_dictionary(strengths=(1.0, 0.0))
    with pytest.raises(InputError, match="strengths: expected at least one number, none 0"):
        causal_dictionary(strengths=(math.nan,))
    with pytest.raises(InputError, match="n: expected a whole number >= 1, got 0"):
        DICTIONARY.subject.tokens(0)
    with pytest.raises(InputError, match="correlations: expected numbers between 0 and 1"):
        causal_dictionary(correlations=(1.0,))
    with pytest.raises(InputError, match="level: expected 0 to 1, the number of layers, got 2"):
        causal_dictionary(level=2)
    with pytest.raises(InputError, match="firing"):
        steering(firing=0)
