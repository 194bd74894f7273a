"""The catalogue of metrics: complete entries, no duplicates, help for wrong names."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from evaluator_cases import ENOUGH, compared, worlds_and_claims
from hypothesis import given, settings

from groundtruth.errors import InputError, UnknownName
from groundtruth.evaluators import METRICS, Comparison, names, score, with_ceiling
from groundtruth.evaluators.registry import FAMILIES, metric
from groundtruth.generators.sparse import sparse
from groundtruth.ladder import planted
from groundtruth.outputs import Outputs
from groundtruth.references import References
from groundtruth.result import Result
from groundtruth.score_data import ScoreData

# What a formula is recognised by; or the metric that it differs from, by name.
FORMULA = (
    "/",
    "mean",
    "sum",
    "|",
    "1 -",
    "recall among",
    "fraction",
    "area under",
    "share of",
    "as recover.",
)
DATA = ScoreData(sparse(n_features=4, d=8), ENOUGH)


@pytest.mark.parametrize("name", METRICS)
def test_every_entry_states_formula_direction_range_unit_and_version(name):
    entry = METRICS[name]
    assert entry.id == name and entry.key == f"{name}/{entry.version}"
    assert name.partition(".")[0] in FAMILIES
    assert entry.version >= 1
    assert entry.direction in ("max", "min", "target")
    low, high = entry.range
    assert low < high and not math.isnan(low) and not math.isnan(high)
    assert entry.unit in ("feature", "latent", "sample", "edge", "manifold", "class")
    assert entry.summary.endswith(".")
    assert any(mark in entry.summary.lower() for mark in FORMULA), entry.summary


def test_reconstruction_is_never_a_success():
    assert {name for name, m in METRICS.items() if name.startswith("recon.") and m.success} == set()


def test_a_second_metric_of_one_name_is_refused():
    with pytest.raises(AssertionError, match=r"metric recover\.joint is in the catalogue already"):

        @metric("recover.joint", 1, "max", (0.0, 1.0), "feature")
        def again(entry, c):
            """Anything."""


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        names(["recover.jiont"])
    assert str(error.value) == (
        "No metric is called 'recover.jiont'. "
        "Nearest: recover.joint, recover.joint_o1, recover.joint_f1."
    )


def test_a_family_stands_for_its_metrics_and_none_for_all():
    assert names("act") == names(["act"]) == [m for m in METRICS if m.startswith("act.")]
    assert names(["recover.joint", "recover.joint"]) == ["recover.joint"]
    assert sorted(names()) == sorted(METRICS)
    families = [m.partition(".")[0] for m in names()]
    assert families == sorted(families, key=FAMILIES.index)


@pytest.mark.parametrize("threshold", [0.5, 0.7071, 1.0, 1.1, "a"])
def test_thresholds_that_a_sum_of_two_features_or_no_rounding_passes_are_refused(threshold):
    with pytest.raises(InputError) as error:
        Comparison(DATA.truth, planted.identity(DATA), DATA, References(np.ones(4)), threshold)
    assert str(error.value) == (
        f"threshold: expected a cosine above 0.7071 and at most 0.9999, got {threshold!r}. "
        "The sum of two orthogonal features has cosine 0.7071 with both; at 1, rounding decides."
    )


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_shares_outside_the_unit_interval_are_refused(share):
    with pytest.raises(InputError) as error:
        Comparison(DATA.truth, planted.identity(DATA), DATA, References(np.ones(4)), share=share)
    assert str(error.value) == f"share: expected a number in (0, 1], got {share}."


def test_a_claim_without_codes_has_decoder_scores_only():
    results = score(compared(DATA, Outputs(DATA.truth.directions, DATA.truth.bias)))
    assert results["recover.recall"].value == 1.0
    for name, result in results.items():
        if name.startswith(("act.", "recon.", "recover.joint", "recover.match")):
            assert result.status == "undefined", name
            assert result.reason == (
                "the explanation has no codes; pass encode= to gt.Dictionary"
            ), name


def test_ceilings_come_from_the_reference_row_unless_the_metric_sets_one():
    result = Result(METRICS["recover.joint"], 0.4, floor=0.0)
    ceilings = {"O2*-linear": {"recover.joint": 0.8}, "O0-identity": {"recover.joint": 1.0}}
    bounded = with_ceiling(result, ceilings)
    assert (bounded.ceiling, bounded.ceiling_kind, bounded.normalised) == (0.8, "O2*-linear", 0.5)
    held = with_ceiling(bounded, {"O2*-linear": {"recover.joint": 0.1}})
    assert held.ceiling == 0.8
    assert with_ceiling(result, {}).ceiling is None


@settings(max_examples=25)
@given(worlds_and_claims())
def test_results_survive_json_without_nan(case):
    for name, result in score(compared(*case)).items():
        text = json.dumps(result.to_json(), allow_nan=False)
        again = Result.from_json(json.loads(text), METRICS[name])
        assert again.to_json() == result.to_json()
        assert (again.value, again.status, again.low) == (result.value, result.status, result.low)
