"""The report prints every score between floor and ceiling, and says in a sentence what it means."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.errors import UnknownName
from groundtruth.evaluators import METRICS
from groundtruth.report import RULES, Report, first_change, result_line, verdict
from groundtruth.result import Metric, Result, undefined

SCORING = gt.Scoring(n_select=512, n_score=512, n_positives=16)
WORLD = gt.build(
    "sparse/small",
    seed=0,
    n_features=8,
    d=8,
    dictionary={"law": "orthonormal"},
    firing={"law": "constant", "probability": 0.05},
)
ROWS = WORLD.truth.features.directions.astype(np.float32)


def scored(n_rows: int = 8, **settings: object) -> Report:
    rows = ROWS[:n_rows]
    claim = gt.Dictionary(rows, lambda x: np.where(x @ rows.T > 0.1, x @ rows.T, 0), name="mine")
    return gt.evaluate(WORLD, claim, scoring=SCORING, n_train=2000, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report() -> Report:
    """Six of the eight planted rows, with their exact codes."""
    return scored(6)


def test_a_metric_is_read_by_its_id(report: Report) -> None:
    assert report["recover.joint"].value == 0.75
    assert "recover.joint" in report and "recover.jont" not in report
    assert set(report) == set(METRICS) and len(report) == len(METRICS)


def test_an_unknown_metric_gets_the_nearest_ones(report: Report) -> None:
    with pytest.raises(UnknownName) as caught:
        report["recover.jont"]
    assert str(caught.value) == (
        "No metric is called 'recover.jont'. Nearest: recover.joint, recover.joint_o1, "
        "recover.joint_f1."
    )


def test_a_metric_that_was_not_asked_for_is_told_apart() -> None:
    part = scored(metrics="recover.recall")
    with pytest.raises(UnknownName) as caught:
        part["recover.joint"]
    assert str(caught.value) == (
        "No computed metric of this report is called 'recover.joint'. Nearest: recover.recall."
    )
    assert part.verdict == "mine on sparse/small: recover.joint was not asked for."


def test_an_unknown_metric_is_refused_before_anything_runs() -> None:
    def never(x: np.ndarray) -> np.ndarray:
        raise AssertionError("encode was called")

    with pytest.raises(UnknownName, match=r"^No metric is called 'recover\.jont'\. Nearest: "):
        gt.evaluate(WORLD, gt.Dictionary(ROWS, never), metrics=["recover.jont"])


def test_the_verdict_says_where_it_stands_what_it_misses_and_what_to_change(report: Report) -> None:
    assert re.fullmatch(
        r"mine on sparse/small: joint recall 0\.750 at joint precision 1\.000, between chance "
        r"0\.00\d and linear ceiling 1\.000 \(75% of the way\); it explains 7\d% of the variance\. "
        r"Of 2 missed, 2: no latent points its way\. Change first: the width; 6 latents cannot "
        r"hold 8 features\.",
        report.verdict,
    )


def test_the_verdict_of_a_claim_without_codes_gives_the_reason() -> None:
    bare = gt.evaluate(WORLD, gt.Dictionary(ROWS), scoring=SCORING, n_train=2000)
    assert bare.verdict == (
        "dictionary on sparse/small: no joint recall, the explanation has no codes; pass encode= "
        "to gt.Dictionary."
    )
    assert "undefined: the explanation has no codes; pass encode= to gt.Dictionary\n  " in str(bare)


def test_the_verdict_never_says_minus_nothing() -> None:
    metric = METRICS["recover.joint"]
    joint = Result(metric, 0.0).between(0.002, "", 1.0, "")
    assert verdict("m", "w", joint, None, {}) == (
        "m on w: joint recall 0.000, between chance 0.002 and linear ceiling 1.000 (0% of the way)."
    )


def test_the_printed_table_shows_the_primary_metric_first(report: Report) -> None:
    lines = str(report).splitlines()
    assert lines[0] == report.verdict
    assert lines[2] == (
        "metric                            value      95% interval    floor  ceiling normalised"
    )
    floor = report["recover.joint"].floor
    normalised = report["recover.joint"].normalised
    assert lines[4] == (
        f"recover.joint                ↑    0.750    [0.409, 0.929] {floor:8.3f}    1.000 "
        f"{normalised:10.3f}"
    )
    assert re.fullmatch(
        r"sparse/small seed 0: 8 features in 8 dimensions, expected L0 0\.4, hash [0-9a-f]{12}\. "
        r"One world and one run: intervals are over features or samples, not over worlds\.",
        lines[-1],
    )
    shown = {line.split()[0] for line in lines[4:] if re.match(r"[a-z]+\.", line)}
    assert shown >= {m for m in report if report[m].value is not None}


def test_a_line_says_why_a_result_is_not_ok() -> None:
    metric = Metric("recon.cos", 1, "", "max", (-1, 1), "sample")
    line = result_line(Result(metric, 0.5, "degenerate", "undefined for 68% of samples"))
    assert line == (
        "recon.cos                    ↑    0.500                          -        -          -"
        "  degenerate: undefined for 68% of samples"
    )
    assert result_line(undefined(metric, "no codes")).endswith("  undefined: no codes")


def test_a_rounded_zero_has_no_sign() -> None:
    metric = Metric("act.corr", 1, "", "max", (-1, 1), "feature")
    assert "-0.000" not in result_line(Result(metric, -1e-9))


def test_flags_are_printed_as_warnings() -> None:
    def editing(x: np.ndarray) -> np.ndarray:
        codes = np.maximum(x @ ROWS.T, 0)
        x[:] = 0
        return codes

    report = gt.evaluate(WORLD, gt.Dictionary(ROWS, editing), scoring=SCORING, n_train=2000)
    assert report.flags == ("mutates_input",)
    assert "\nwarning: encode changes its input in place (it was given a copy).\n" in str(report)


def test_the_verdict_says_when_its_number_is_not_to_be_leaned_on() -> None:
    rare = gt.build("sparse/small", firing={"law": "constant", "probability": 1e-4})
    rows = rare.truth.features.directions
    claim = gt.Dictionary(rows, lambda x: (x @ rows.T.astype("float32")).clip(min=0))
    report = gt.evaluate(rare, claim, scoring=SCORING, n_train=2000, metrics="recover")
    assert "Joint recall is degenerate: 100% of features fire in fewer than 3" in report.verdict
    assert "degenerate: 100% of features" in str(report).split("\n", 1)[1]


WIDE = gt.build(
    "sparse/small",
    seed=0,
    n_features=40,
    d=40,
    dictionary={"law": "orthonormal"},
    firing={"law": "log-uniform", "low": 0.02, "high": 0.1},
)
PLANTED = WIDE.truth.features.directions.astype(np.float32)
RARE = np.argsort(WIDE.truth.features.firing_probability)[:20]
TURNED = PLANTED.copy()
TURNED[RARE] = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0] @ PLANTED[RARE]
JUNK = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 40)))[0].astype(np.float32)


def planted_codes(x: np.ndarray) -> np.ndarray:
    """Exact codes of an orthonormal world."""
    return np.where(x @ PLANTED.T > 0.1, x @ PLANTED.T, 0)


def half_silent(x: np.ndarray) -> np.ndarray:
    codes = planted_codes(x)
    codes[:, RARE] = 0
    return codes


def with_junk(x: np.ndarray) -> np.ndarray:
    more = np.maximum(abs(x @ JUNK.T) - 0.5, 0)
    return np.hstack([planted_codes(x), more, more])


SPECIMENS: dict[str, tuple[np.ndarray, Any, dict[str, Any]]] = {
    "silent": (PLANTED, lambda x: 0 * planted_codes(x), {}),
    "dead": (PLANTED, half_silent, {}),
    "narrow": (
        np.delete(PLANTED, RARE, axis=0),
        lambda x: np.delete(planted_codes(x), RARE, axis=1),
        {},
    ),
    "dense": (PLANTED, lambda x: np.maximum(x @ PLANTED.T + 0.1, 0), {}),
    "sparse": (PLANTED, lambda x: planted_codes(x) * (planted_codes(x) > 1.2), {}),
    "samples": (TURNED, planted_codes, {"n_train": 180}),
    "encoder": (PLANTED, lambda x: np.roll(planted_codes(x), 1, axis=1), {}),
    "shrunken": (PLANTED, lambda x: 0.5 * planted_codes(x), {}),
    "repeated": (
        np.repeat(PLANTED, 2, axis=0),
        lambda x: np.repeat(planted_codes(x), 2, axis=1),
        {},
    ),
    "surplus": (np.vstack([PLANTED, JUNK, -JUNK]), with_junk, {}),
    "ceiling": (PLANTED, planted_codes, {}),
    "longer": (TURNED, planted_codes, {}),
}


def specimen(rule: str) -> Report:
    decoder, encode, settings = SPECIMENS[rule]
    settings = {"n_train": 100_000, **settings}
    scoring = gt.Scoring(n_select=1024, n_score=2048, n_positives=50)
    return gt.evaluate(WIDE, gt.Dictionary(decoder, encode), scoring=scoring, **settings)


@pytest.mark.parametrize("rule", SPECIMENS)
def test_each_rule_is_triggered_by_the_claim_built_for_it(rule: str) -> None:
    report = specimen(rule)
    change = first_change(report.results)
    assert change is not None and change.rule == rule
    assert report.verdict.endswith(change.said)
    assert "nan" not in change.said


def test_every_rule_has_a_specimen() -> None:
    assert list(SPECIMENS) == [rule.name for rule in RULES]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "dead",
            "Change first: revive dead latents (an auxiliary loss, resampling); 20 of 40 ever "
            "fire, for 40 features.",
        ),
        (
            "narrow",
            "Change first: the width; 20 latents cannot hold 40 features.",
        ),
        (
            "samples",
            "Change first: train on more samples; 90% of the missed features occur too seldom in "
            "the training budget for any method.",
        ),
        (
            "encoder",
            "Change first: the encoder, not the decoder (better inference, another threshold); it "
            "has the direction of 100% of the features.",
        ),
        (
            "shrunken",
            "Change first: shrinkage (a threshold, such as JumpReLU or TopK, instead of a "
            "penalty); 2.00 times the reconstruction would fit best.",
        ),
    ],
)
def test_the_advice_names_the_numbers(rule: str, said: str) -> None:
    change = first_change(specimen(rule).results)
    assert change is not None and change.said == said


def test_the_verdict_says_what_the_missed_features_have_in_common() -> None:
    assert (
        " Of 20 missed, 20: no latent points its way; they are more often in the rarer half (20 of "
        "20; of the recovered 0 of 20). Change first: " in specimen("narrow").verdict
    )


def test_a_world_beyond_every_budget_asks_for_samples() -> None:
    decoder, encode, _ = SPECIMENS["samples"]
    scoring = gt.Scoring(n_select=1024, n_score=2048, n_positives=50)
    report = gt.evaluate(WIDE, gt.Dictionary(decoder, encode), scoring=scoring, n_train=1)
    change = first_change(report.results)
    assert change is not None and change.said == (
        "Change first: train on more samples; 100% of the missed features occur too seldom in the "
        "training budget for any method."
    )


def test_too_few_metrics_give_no_advice() -> None:
    assert first_change(scored(6, metrics="recover.joint").results) is None
    assert first_change({}) is None
