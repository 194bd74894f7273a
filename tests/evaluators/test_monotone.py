"""Order and bounds: what may only rise, what stays in range, and what nothing scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluator_cases import (
    ENOUGH,
    compared,
    joined,
    map_codes,
    untied_cases,
    values,
    worlds_and_claims,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groundtruth.evaluators import METRICS, score
from groundtruth.generators.sparse import sparse
from groundtruth.ladder import planted
from groundtruth.result import Result
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.testing import outputs, testbeds

FEWER = settings(max_examples=30)
CASES = worlds_and_claims() | untied_cases()
RISING = ("recover.recall", "recover.mmcs_truth", "recover.joint")


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_pairing_the_decoder_with_wrong_codes_lowers_joint_and_not_recall(share):
    data = ScoreData(sparse(n_features=40, d=40), ENOUGH)
    claim = planted.identity(data)
    moved = np.arange(40)
    n = round(share * 40)
    moved[:n] = np.roll(moved[:n], 1)
    wrong = map_codes(claim, lambda codes: codes[:, moved])
    found = values(compared(data, wrong), ["recover.joint", "recover.recall"])
    assert found["recover.recall"] == 1.0
    assert found["recover.joint"] == pytest.approx(1 - share)


def test_turning_the_decoder_lowers_joint_and_not_activity():
    data = ScoreData(sparse(n_features=8, d=32), ENOUGH)
    claim = planted.identity(data)
    other = np.linalg.svd(data.truth.directions)[2][8:16]  # orthogonal to every feature
    decoder = np.cos(0.6) * claim.decoder + np.sin(0.6) * other
    turned = map_codes(claim, lambda codes: codes, decoder)
    found = values(compared(data, turned), ["recover.joint", "act.f1"])
    assert found == {"recover.joint": 0.0, "act.f1": 1.0}


@FEWER
@given(worlds_and_claims(), st.data())
def test_more_latents_never_lower_recall(case, draw):
    data, claim = case
    few = compared(data, claim)
    # Without a live latent the nearest cosine is 0 by convention, above an opposite direction.
    assume(len(few.live))
    more = values(compared(data, joined(claim, draw.draw(outputs(data, max_k=4)))), RISING)
    for name, value in values(few, RISING).items():
        assert more[name] >= value - 1e-12, name


def test_the_check_rejects_a_score_that_falls_with_width():
    data = ScoreData(sparse(n_features=5, d=8), ENOUGH)
    claim = planted.identity(data)
    one = planted.take(claim, np.array([0]))
    falls = [values(compared(data, c))["recon.ev_total"] for c in (claim, joined(claim, one))]
    assert falls[1] < falls[0]


@FEWER
@given(CASES)
def test_every_value_is_in_its_declared_range_and_never_nan(case):
    data, claim = case
    for result in score(compared(data, claim)).values():
        check_result(result)


@FEWER
@given(testbeds(least=1e-6).map(lambda world: ScoreData(world, Scoring(2, 2, 0))), st.data())
def test_values_stay_in_range_on_two_samples_without_positives(data, draw):
    for result in score(compared(data, draw.draw(outputs(data)))).values():
        check_result(result)


def test_the_range_check_rejects_values_outside():
    entry = METRICS["recover.recall"]
    with pytest.raises(AssertionError):
        check_result(Result(entry, 1.5))
    with pytest.raises(AssertionError):
        check_result(Result(entry, None))
    with pytest.raises(AssertionError):
        Result(entry, math.nan)


@FEWER
@given(testbeds())
def test_a_claim_of_nothing_recovers_nothing(world):
    data = ScoreData(world, ENOUGH)
    results = score(compared(data, planted.dead(data)))
    zero = (
        "recover.joint",
        "recover.joint_f1",
        "recover.recall",
        "recover.f1",
        "recover.mcc",
        "recover.mmcs_truth",
        "recover.rare_recall",
        "recover.by_freq",
        "act.f1",
        "act.recall",
        "act.precision",
        "recon.l0",
    )
    assert {name: results[name].value for name in zero} == dict.fromkeys(zero, 0.0)
    for name in ("recover.precision", "recover.precision_soft", "recover.joint_precision"):
        assert (results[name].value, results[name].status) == (None, "undefined")
        assert results[name].reason == "no latent ever fires"
    assert results["act.fnr"].value == 1.0
    assert results["recon.dead_frac"].value == 1.0


@FEWER
@given(testbeds(least=0.01))
def test_latents_that_always_fire_have_recall_one_and_precision_prevalence(world):
    data = ScoreData(world, ENOUGH)
    claim = planted.always_on(data, np.arange(data.truth.n_features))
    c = compared(data, claim)
    found = values(c, ["act.recall", "act.precision", "act.matthews"])
    p = data.truth.firing_probability
    assert found["act.recall"] == 1.0
    assert found["act.precision"] == pytest.approx(p.mean(), abs=1e-12)
    # A latent that never stops says nothing: no correlation, or none defined where p is 1.
    assert found["act.matthews"] == (None if (p == 1).all() else 0.0)


@FEWER
@given(CASES)
def test_f1_lies_between_precision_and_recall(case):
    data, claim = case
    c = compared(data, claim)
    found = values(c)
    for f1, p, r in (
        ("recover.f1", "recover.precision", "recover.recall"),
        ("recover.joint_f1", "recover.joint_precision", "recover.joint"),
    ):
        if found[p] is not None:
            low, high = sorted((found[p], found[r]))
            assert low - 1e-12 <= found[f1] <= high + 1e-12
    if len(c.live) == 0:
        return
    truth, latent = (m.ravel() for m in np.meshgrid(range(c.truth.n_features), range(len(c.live))))
    rates = c.firing.rates(truth, latent)
    precision, recall = np.nan_to_num(rates.precision), np.nan_to_num(rates.tpr)
    f1 = np.nan_to_num(rates.f1)
    assert (f1 >= np.minimum(precision, recall) - 1e-12).all()
    assert (f1 <= np.maximum(precision, recall) + 1e-12).all()
    phi = np.nan_to_num(rates.matthews)
    assert (np.abs(phi) <= 1 + 1e-9).all()
    lift = np.where((rates.prevalence < 1) & (rates.rate < 1), rates.tpr - rates.fpr, 0)
    assert (phi * np.nan_to_num(lift) >= 0).all()


@FEWER
@given(worlds_and_claims())
def test_misses_are_what_recall_leaves(case):
    found = values(compared(*case), ["act.recall", "act.fnr", "recon.ev_total", "recon.fvu"])
    for rest, part in (("act.fnr", "act.recall"), ("recon.fvu", "recon.ev_total")):
        if found[rest] is not None:
            assert found[rest] + found[part] == pytest.approx(1, abs=1e-9)


def check_result(result: Result) -> None:
    """Raise unless the result keeps its contract."""
    low, high = result.metric.range
    if result.value is None:
        assert result.status in ("undefined", "failed") and result.reason, result.metric.id
    else:
        assert low - 1e-9 <= result.value <= high + 1e-9, (result.metric.id, result.value)
    for bound in (result.low, result.high, result.floor, result.ceiling):
        assert bound is None or math.isfinite(bound), result
    if result.interval is not None:
        assert result.low - 1e-9 <= result.value <= result.high + 1e-9, result
    assert result.status != "degenerate" or result.reason
