"""Stability over seeds and agreement of two methods, on dictionaries whose overlap is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import groundtruth as gt
from groundtruth.consistency import agreement, stability
from groundtruth.errors import InputError

WORLD = gt.build("sparse/orthonormal", n_features=40, d=40, seed=1)
ROWS = WORLD.truth.features.directions
SMALL = {"n_select": 512, "n_score": 512, "n_positives": 4}


def report(kept: list[int], testbed: gt.Testbed = WORLD, **changes: object) -> gt.Report:
    rows = testbed.truth.features.directions[kept]
    claim = gt.Dictionary(rows, lambda x: np.maximum(np.asarray(x) @ rows.T - 0.3, 0))
    return gt.evaluate(testbed, claim, scoring=SMALL, metrics="recover", **changes)


FIRST, SECOND, THIRD = (report(list(range(*span))) for span in ((0, 20), (10, 30), (10, 20)))


def test_recovered_sets_are_counted():
    found = stability([FIRST, SECOND, THIRD])
    assert (found.core, found.ever) == (10 / 40, 30 / 40)
    assert found.recall == pytest.approx((20 + 20 + 10) / 120)
    assert found.jaccard.value == pytest.approx((10 / 30 + 10 / 20 + 10 / 20) / 3)
    assert found.mcc.value == pytest.approx((10 / 20 + 10 / 20 + 10 / 20) / 3)
    assert found.independent_jaccard == pytest.approx(found.recall / (2 - found.recall))


def test_the_same_dictionary_is_perfectly_stable_and_that_is_not_recall():
    found = stability([THIRD, THIRD, THIRD])
    assert found.mcc == found.mcc.__class__(pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert found.jaccard.value == 1 and found.recall == 0.25
    assert "0.250" in str(found) and "recover.joint" in str(found)


def test_random_directions_agree_as_the_floor_says():
    rng = np.random.default_rng(0)
    claims = [gt.Dictionary(rng.standard_normal((60, 40))) for _ in range(6)]
    reports = [gt.evaluate(WORLD, c, scoring=SMALL, metrics="recover") for c in claims]
    found = stability(reports, metric="recover.recall")
    assert found.mcc.value == pytest.approx(found.random_mcc, abs=0.02)
    assert found.recall == 0 and math.isnan(found.jaccard.value)
    assert math.isnan(found.independent_jaccard)


def test_the_interval_is_a_jackknife_over_seeds():
    found = stability([FIRST, SECOND, THIRD]).jaccard
    without = np.array([1 / 2, 1 / 2, 1 / 3])  # the pair that is left
    error = np.sqrt(2 / 3 * np.square(without - without.mean()).sum())
    assert found.high == pytest.approx(found.value + stats.t.ppf(0.975, 2) * error)
    assert stability([FIRST, SECOND]).jaccard.low is None


def test_two_methods_share_and_divide_features():
    found = agreement(FIRST, SECOND)
    assert (found.both, found.only_first, found.only_second, found.neither) == (10, 10, 10, 10)
    assert found.p_value == 1.0
    unequal = agreement(FIRST, THIRD)
    assert unequal.p_value == pytest.approx(2 * 0.5**10)
    order = np.argsort(-WORLD.truth.features.firing_probability, kind="stable")
    tenth = found.first_recovered[order[:4]].mean()
    assert found.by_frequency[0][0] == tenth and len(found.by_frequency) == 10
    assert "both 10, only the first 10" in str(found)


def test_equal_claims_agree_wholly():
    found = agreement(FIRST, FIRST)
    assert (found.only_first, found.only_second, found.p_value) == (0, 0, 1.0)
    assert found.mcc == pytest.approx(1)


@pytest.mark.parametrize(
    ("reports", "metric", "message"),
    [
        ([FIRST], "recover.joint", "reports: expected two or more, got '1 of them'."),
        (None, "recover.joint", "reports: expected a list of what gt.evaluate returned, got None."),
        ([1, 2], "recover.joint", "report: expected what gt.evaluate returned, got 1."),
        (
            [FIRST, SECOND],
            "recover.f1",
            'metric: expected "recover.joint" or "recover.recall", got \'recover.f1\'.',
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(reports, metric, message):
    with pytest.raises(InputError) as caught:
        stability(reports, metric=metric)
    assert str(caught.value) == message


def test_other_worlds_and_missing_metrics_are_refused():
    other = gt.build("sparse/orthonormal", n_features=40, d=40, seed=2)
    with pytest.raises(InputError, match="reports: expected one world"):
        agreement(FIRST, report([0, 1], other))
    silent = gt.evaluate(WORLD, gt.Dictionary(ROWS), scoring=SMALL, metrics="recover")
    with pytest.raises(InputError, match=r"expected a value of recover\.joint, got none"):
        agreement(FIRST, silent)
    assert agreement(FIRST, silent, metric="recover.recall").only_second == 20
