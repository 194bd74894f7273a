"""Probes: right on what is familiar, and on what is not if they read the concept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groundtruth.errors import ExplanationError
from groundtruth.evaluators.floors import expected_max_cosine
from groundtruth.evaluators.probes import METRICS, planted_probe, score_probe
from groundtruth.generators.beliefs import belief
from groundtruth.generators.concept_shift import N_SCORE, concept_shift
from groundtruth.probe import Probe, linear_probe

BELIEF, SHIFT = belief(), concept_shift()


def values(testbed, claim):
    found = score_probe(testbed, claim)
    return {id.removeprefix("probe."): result.value for id, result in found.items()}


def test_the_beliefs_readout_is_right_and_the_reports_wrong_wherever_they_differ():
    truth = BELIEF.truth
    found = score_probe(BELIEF, planted_probe(truth))
    assert set(found) == set(METRICS)
    for id, result in found.items():
        assert result.value == pytest.approx(result.ceiling, abs=1e-9), id
    report = values(BELIEF, planted_probe(truth, rival=True))
    assert report["familiar"] == pytest.approx(1) and report["shifted"] == 0
    assert report["drop"] == pytest.approx(1)
    assert report["rival_cosine"] == pytest.approx(1)


def test_accuracies_of_any_direction_have_a_closed_form():
    # x @ w for w = a d_c + b d_s is Gaussian given c and s.
    truth, noise = SHIFT.truth, 0.4
    for a, b, threshold in (1, 0, 0.5), (0, 1, 1.0), (1, 1, 1.5), (2, -1, 0.3):
        claim = linear_probe(a * truth.direction + b * truth.rival_direction, threshold)
        deviation = noise * np.hypot(a, b)
        for id, rho in ("familiar", 0.9), ("shifted", -0.9):
            right = 0.0
            for c in (0, 1):
                for s in (0, 1):
                    above = stats.norm.sf(threshold, a * c + 2 * b * s, deviation)
                    right += (1 + rho * (1 if c == s else -1)) / 4 * (above if c else 1 - above)
            found = score_probe(SHIFT, claim)[f"probe.{id}"]
            # Five standard errors: eight cases, a false alarm in 200,000.
            assert abs(found.value - right) < 5 * 0.5 / np.sqrt(N_SCORE)
            assert found.low < found.value < found.high


def test_leaning_on_the_correlate_helps_until_it_turns_round():
    truth = SHIFT.truth
    planted = values(SHIFT, planted_probe(truth))
    leaning = linear_probe(truth.direction + 0.8 * truth.rival_direction, 1.3)
    found = values(SHIFT, leaning)
    assert found["familiar"] > planted["familiar"] + 0.05
    assert found["shifted"] < planted["shifted"] - 0.3
    assert abs(planted["drop"]) < 0.02 and found["drop"] > 0.4


def test_answering_the_same_always_is_the_floor():
    for testbed in (BELIEF, SHIFT):
        constant = score_probe(testbed, Probe(lambda x: np.ones(len(x), dtype=bool)))
        for id in ("probe.familiar", "probe.shifted"):
            result = constant[id]
            assert result.value == pytest.approx(result.floor, abs=0.02)
            assert result.floor >= 0.5
        assert constant["probe.cosine"].reason == "the probe reads no one direction"


def test_random_directions_lie_at_the_floor():
    rng = np.random.default_rng(0)
    truth = BELIEF.truth
    found = [
        score_probe(BELIEF, linear_probe(rng.standard_normal(truth.d), 0.0)) for _ in range(400)
    ]
    drawn = np.array([scores["probe.cosine"].value for scores in found])
    floor = expected_max_cosine(truth.d, 1, signed=False)
    assert found[0]["probe.cosine"].floor == floor
    # Four standard errors: a false alarm in 16,000.
    assert abs(drawn.mean() - floor) < 4 * drawn.std() / 20


def test_what_is_no_such_claim_is_refused():
    with pytest.raises(ExplanationError, match="claim: expected a Probe, got ndarray"):
        score_probe(SHIFT, np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(ExplanationError, match=r"direction: expected shape \(24,\)"):
        score_probe(SHIFT, linear_probe(np.ones(3), 0.0))
