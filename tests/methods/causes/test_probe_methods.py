"""Probes on activations and on latents, with a correlate that turns round, and of a belief."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groundtruth.errors import InputError
from groundtruth.evaluators.probes import planted_probe, score_probe
from groundtruth.explanation import Dictionary
from groundtruth.generators.beliefs import belief
from groundtruth.generators.concept_shift import concept_shift
from groundtruth.methods.causes import mean_difference, probe_latents, probe_raw, random_probe
from groundtruth.probe import linear_probe

SHIFT = concept_shift()


def values(testbed, claim):
    found = score_probe(testbed, claim)
    return {id.removeprefix("probe."): result.value for id, result in found.items()}


def planted_latents(testbed):
    """Concept and rival as non-negative latents."""
    truth = testbed.truth
    rows = np.stack([truth.direction, truth.rival_direction])
    readouts = np.stack([truth.readout, truth.rival_readout], axis=1)
    return Dictionary(rows, lambda x: np.maximum(x @ readouts, 0))


def test_a_raw_probe_is_the_best_there_until_the_correlate_turns_round():
    found = score_probe(SHIFT, probe_raw(SHIFT.subject))
    familiar, shifted = found["probe.familiar"], found["probe.shifted"]
    # A linear rule is within a percent of the best there is.
    assert familiar.value > familiar.ceiling - 0.01
    planted = values(SHIFT, planted_probe(SHIFT.truth))
    assert familiar.value > planted["familiar"] + 0.05
    assert shifted.value < planted["shifted"] - 0.3


def test_the_fit_is_the_minimum_of_its_formula():
    # By a second route: the gradient of the stated loss is 0 there.
    penalty = 0.01
    x, labels = SHIFT.subject.labelled(500)
    probe = probe_raw(SHIFT.subject, n=500, penalty=penalty)
    from groundtruth.methods.causes.probes import fit

    weights, intercept = fit(x, labels, penalty)
    wrong = 1 / (1 + np.exp(-(x @ weights + intercept))) - labels
    assert np.abs(x.T @ wrong / 500 + penalty * weights).max() < 1e-6
    assert abs(wrong.mean()) < 1e-6
    assert np.array_equal(probe.decide(x), x @ weights + intercept > 0)


def test_without_correlation_a_raw_probe_reads_the_concept():
    testbed = concept_shift(correlation=0.001, shifted=-0.9)
    found = values(testbed, probe_raw(testbed.subject))
    assert found["cosine"] > 0.95 and abs(found["drop"]) < 0.03


def test_one_latent_is_the_one_that_tells_best_and_that_is_the_correlate():
    # d' of the correlate is higher: 1.9 against 1, over noise of .4 and its own spread.
    latents = planted_latents(SHIFT)
    one = values(SHIFT, probe_latents(SHIFT.subject, dictionary=latents))
    assert one["rival_cosine"] == pytest.approx(1)
    assert one["shifted"] < 0.15
    both = values(SHIFT, probe_latents(SHIFT.subject, dictionary=latents, n_latents=2))
    assert both["familiar"] > one["familiar"] and both["shifted"] > one["shifted"]


def test_latents_of_the_concept_alone_survive_the_shift():
    truth = SHIFT.truth
    alone = Dictionary(truth.direction[None], lambda x: np.maximum(x @ truth.readout[:, None], 0))
    found = values(SHIFT, probe_latents(SHIFT.subject, dictionary=alone))
    assert found["cosine"] == pytest.approx(1)
    assert abs(found["drop"]) < 0.02
    assert abs(found["shifted"] - stats.norm.cdf(1.25)) < 0.02


def test_learned_latents_are_probed_too():
    found = values(SHIFT, probe_latents(SHIFT.subject, n_latents=8))
    assert found["familiar"] > 0.9 and found["shifted"] < 0.8


def test_a_mean_difference_reads_the_report_and_a_probe_with_flags_the_belief():
    testbed = belief(flag_rate=0.05)
    x, labels = testbed.subject.labelled(4096)
    direction = mean_difference(testbed.subject).direction
    middle = (x[labels].mean(0) + x[~labels].mean(0)) @ direction / 2
    by_mean = values(testbed, linear_probe(direction, float(middle)))
    assert by_mean["familiar"] == pytest.approx(1) and by_mean["shifted"] == 0
    assert values(testbed, probe_raw(testbed.subject))["shifted"] == pytest.approx(1)
    # Where methods never see the flag, no label tells the two apart.
    blind = belief(flag_rate=0)
    found = values(blind, probe_raw(blind.subject))
    assert found["familiar"] == pytest.approx(1) and found["shifted"] == 0


def test_random_probes_are_at_chance():
    found = [values(SHIFT, random_probe(SHIFT.subject, seed=seed, n=1024)) for seed in range(30)]
    drawn = np.array([scores["familiar"] for scores in found])
    # Directions have either sign: four standard errors, a false alarm in 16,000.
    assert abs(drawn.mean() - 0.5) < 4 * drawn.std() / np.sqrt(30)


def test_more_latents_than_there_are_are_refused():
    with pytest.raises(InputError) as error:
        probe_latents(SHIFT.subject, dictionary=planted_latents(SHIFT), n_latents=3)
    assert str(error.value) == "n_latents: expected 1 to 2, the width of the dictionary, got 3."
