"""Predictors through `evaluate`, the runner, the store and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import catalogue, descriptions, jobs, reporting, rescoring, runner
from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.prediction_testbed import PredictionTestbed
from groundtruth.store import Store
from groundtruth.suites import SUITES, MethodSpec, Suite, WorldSpec
from groundtruth.trials import PredictionTrial, Terms, trial_of

METHODS = [
    entry.name
    for entry in catalogue.METHODS.values()
    if entry.explains == "predictor" and entry.make is not None
]
SMALL = {"max_length": 8, "n_test": 40}


def trial(program: str = "reverse", seed: int = 0, **changes: object) -> PredictionTrial:
    testbed = gt.build(f"prediction/{program}", seed=seed, **{**SMALL, **changes})
    found = trial_of(testbed, Terms())
    assert isinstance(found, PredictionTrial)
    return found


@pytest.fixture(scope="module")
def reverse() -> PredictionTrial:
    return trial()


def test_programs_are_testbeds_by_name_and_recipes_build_them_again() -> None:
    names = [name for name in catalogue.testbeds() if name.startswith("prediction/")]
    assert len(names) == len([n for n in catalogue.testbeds() if n.startswith("circuit/")]) - 10
    testbed = gt.build("prediction/sort_unique", seed=3, vocab=[1, 2, 3], **SMALL)
    assert isinstance(testbed, PredictionTestbed)
    recipe = testbed.recipe
    again = gt.build(recipe.name, seed=recipe.seed, **recipe.parameters)
    other = gt.build(recipe.name, seed=4, **recipe.parameters)
    fewer = gt.build(recipe.name, seed=3, **{**recipe.parameters, "queries": 64})
    assert testbed.hash == again.hash
    assert len({testbed.hash, other.hash, fewer.hash}) == 3
    with pytest.raises(UnknownName, match="parameter of prediction/reverse is called 'ablation'"):
        gt.build("prediction/reverse", ablation="zero")


def test_every_method_is_scored_by_name(reverse: PredictionTrial) -> None:
    assert len(METHODS) >= 9
    reverse.prepare()  # The first import of scikit-learn changes the environment.
    for name in METHODS:
        report = gt.evaluate(reverse.testbed, name)
        assert set(report) == set(reverse.metrics) and report.flags == (), name
        assert report["pred.agreement.iid"].parameters["queries"] == 256
        assert report["pred.skill.novel"].value <= 1


@pytest.mark.parametrize("program", ["reverse", "running_sum"])
def test_rows_stand_where_they_must(program: str) -> None:
    made = trial(program)
    rows = {row: made.row(row).results for row in made.rows}
    oracle, constant, surrogate = (rows[row] for row in made.rows)
    assert list(rows) == ["O0-predictor", "C0-constant", "C1-surrogate"]
    sets = [*made.testbed.truth.sets, "novel"]
    for name in sets:
        agreement, skill = f"pred.agreement.{name}", f"pred.skill.{name}"
        assert oracle[agreement].value == 1
        assert constant[agreement].value == pytest.approx(constant[agreement].floor)
        for value in (oracle[skill].value, surrogate[skill].value, constant[skill].value):
            assert (value is None) == (surrogate[agreement].value == 1)
        if surrogate[skill].value is not None:
            assert oracle[skill].value == 1 > 0 == surrogate[skill].value
    assert constant["pred.skill.novel"].value < 0
    assert oracle["pred.guarantee_violations"].value == 0
    with pytest.raises(UnknownName, match="row is called 'O0-truth'"):
        made.row("O0-truth")


def test_a_black_box_has_no_skill_and_a_part_of_the_model_has(reverse: PredictionTrial) -> None:
    skill = {name: gt.evaluate(reverse.testbed, name)["pred.skill.novel"].value for name in METHODS}
    for name in ("nearest-neighbour", "random-forest", "majority", "random-circuit"):
        assert skill[f"prediction/{name}"] <= 0, name
    for name in ("acdc", "edge-patching", "eap-ig-inputs"):
        assert skill[f"prediction/{name}"] > 0.3, name


def test_a_circuit_found_on_short_inputs_is_wrong_on_longer_ones_alone() -> None:
    """As `docs/prediction.md` has it."""
    report = gt.evaluate("prediction/reverse", "prediction/edge-patching")
    sets = ("iid", "combinations", "frequencies", "intervened", "mined")
    assert {report[f"pred.agreement.{name}"].value for name in sets} == {1}
    longer = report["pred.agreement.longer"]
    assert (
        longer.value < 0.5
        and report["pred.skill.longer"].value < 0 < report["pred.skill.novel"].value
    )


def test_a_predictor_of_ones_own_is_scored_and_other_claims_are_refused(
    reverse: PredictionTrial,
) -> None:
    testbed = reverse.testbed
    report = gt.evaluate(testbed, testbed.oracle, metrics="pred.agreement")
    assert {result.value for result in report.results.values()} == {1.0}

    def mine(subject, *, seed):
        seen = subject.inputs(10, seed=seed)[0][0]
        answer = subject.ask(seen)[0, 1]
        return gt.Predictor(lambda tokens, _: np.broadcast_to(answer, (*tokens.shape, len(answer))))

    report = gt.evaluate(testbed, mine)
    assert report["pred.agreement.iid"].value <= report["pred.agreement.iid"].floor
    assert "pred.skill.novel" in report.verdict and "256 queries" in str(report)
    with pytest.raises(ExplanationError, match="must return a Predictor here, got SteeringVector"):
        reverse.read(gt.SteeringVector(np.ones(3)))
    with pytest.raises(InputError, match="sae/topk: explains by a dictionary, but prediction/"):
        gt.evaluate(testbed, "sae/topk")
    with pytest.raises(InputError, match="prediction/eap: explains by a predictor, but sparse"):
        gt.evaluate("sparse/small", "prediction/eap")
    with pytest.raises(ExplanationError, match="predict: expected outputs for tokens of shape"):
        gt.evaluate(testbed, gt.Predictor(lambda tokens: tokens))  # pyright: ignore[reportArgumentType]
    refused: list[dict[str, Any]] = [{"queries": 0}, {"n_test": 10**9}, {"n_test": 2.5}]
    for wrong in refused:
        with pytest.raises(
            InputError, match=f"{next(iter(wrong))}: expected a whole number from 1"
        ):
            gt.build("prediction/reverse", **wrong)
    with pytest.raises(InputError, match="scoring: expected None"):
        gt.evaluate(testbed, "prediction/majority", scoring={"n_score": 3})


def test_what_a_method_does_to_its_model_reaches_no_score(reverse: PredictionTrial) -> None:
    def damage(subject, *, seed):
        import torch

        with torch.no_grad():
            subject.model.W_U.zero_()
        return reverse.testbed.oracle

    report = gt.evaluate(reverse.testbed, damage)
    assert report["pred.agreement.novel"].value == 1
    assert any("put right" in flag for flag in report.flags)
    assert gt.evaluate(reverse.testbed, reverse.testbed.oracle)["pred.skill.novel"].value == 1


def test_an_edited_method_of_circuits_is_another_predictor_too(
    reverse: PredictionTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = jobs.method_key(reverse, "prediction/eap", {})
    digest = jobs.source_digest
    monkeypatch.setattr(
        jobs, "source_digest", lambda *f: "edited" if f and f[0].name == "circuits" else digest(*f)
    )
    assert jobs.method_key(reverse, "prediction/eap", {}) != before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predictions")
    names = ("random-forest", "nearest-neighbour", "majority", "acdc")
    methods = tuple(MethodSpec(f"prediction/{name}") for name in names)
    worlds = tuple(
        WorldSpec(f"prediction/{program}", methods, (0,), dict(SMALL))
        for program in ("reverse", "running_sum")
    )
    suite = Suite(
        "small", 1, "", worlds, PredictionTrial.rows, PredictionTrial.primary, scoring=None
    )
    ran = runner.run_suite(suite, out)
    assert not ran.failures and len(ran.records) == 2 * 7
    return out


def test_a_stored_predictor_is_scored_again_to_the_same_numbers(folder: Path) -> None:
    n = 0
    for run in Store(folder).records():
        if run.record["method"]["kind"] == "oracle" or run.record["method"]["name"][:2] == "C0":
            continue
        if not run.tensors():
            continue
        again = rescoring.rescore(run).results
        assert {m: r.to_json() for m, r in again.items()} == run.record["results"]
        n += 1
    assert n == 8


def test_a_stored_guarantee_is_the_one_that_was_tried(reverse: PredictionTrial) -> None:
    oracle = reverse.testbed.oracle

    def wrong_at_times(tokens, given):
        n_outputs = reverse.testbed.truth.sets["iid"][0].outputs.shape[-1]
        outputs = oracle(tokens, given, n_outputs=n_outputs)
        outputs[tokens[:, 1] == 2] = 0
        return outputs

    claim = gt.Predictor(wrong_at_times, guaranteed=3)
    report = gt.evaluate(reverse.testbed, claim)
    again = reverse.again(reverse.tensors(report), name=report.name, seed=0)
    for id, result in report.results.items():
        assert again[id].to_json() == result.to_json(), id
    broken = report["pred.guarantee_violations"]
    assert 0 < broken.value <= 1 / 4 and broken.parameters["domain"] == 4 + 16 + 64


def test_the_report_shows_skill_beside_agreement(folder: Path, tmp_path: Path) -> None:
    records = [run.record for run in Store(folder).records()]
    assert "skill on novel inputs" in reporting.render_text(records)
    paths = reporting.write_report(records, tmp_path)
    page = next(path for path in paths if path.suffix == ".html").read_text()
    assert "Skill is 0 for what the best black box says" in page


def test_a_failed_run_is_counted_at_the_floor(reverse: PredictionTrial) -> None:
    bounds = reverse.bounds()
    assert set(bounds) == set(reverse.metrics)
    constant = reverse.row("C0-constant").results["pred.skill.novel"].value
    assert bounds["pred.skill.novel"].floor == pytest.approx(constant) and constant < -0.5
    # What a black box says of its own certainty is no floor of a run that said nothing.
    assert bounds["pred.selective_risk.longer"].floor is None
    assert bounds["pred.agreement.longer"].floor == pytest.approx(
        reverse.row("C0-constant").results["pred.agreement.longer"].value
    )


def test_the_suite_exists_and_a_testbed_is_described() -> None:
    suite = SUITES["prediction-small"]
    runner.check_suite(suite)
    assert set(suite.manifest()["metrics"]) == {m.key for m in PredictionTrial.metrics.values()}
    said = dict(descriptions.description("prediction/reverse", oracle=False, watch=lambda *_: None))
    assert said["asks for a"] == "predictor" and "256 queries" in said["facts"]
