"""Causal variables through `evaluate`, the runner, the store and the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth import catalogue, descriptions, reporting, rescoring, runner
from groundtruth.errors import ExplanationError, InputError, MethodError, UnknownName
from groundtruth.evaluators.variable_claims import planted_alignment
from groundtruth.methods.variables import das, linear_probe, pca
from groundtruth.store import Store, frozen
from groundtruth.suites import SUITES, MethodSpec, Suite, WorldSpec
from groundtruth.trials import Terms, VariableTrial

EQUALITY = "variables/hierarchical_equality"
SMALL = {"n_objects": 4}
APART = "blocks.0.hook_resid_post"
METHODS = [e.name for e in catalogue.METHODS.values() if e.explains == "alignment" and e.make]
QUICK: dict[str, Any] = {
    "variables/das": {"steps": 20, "starts": 1},
    "variables/boundless-das": {"steps": 20},
}


def equality(**changes: Any) -> gt.VariableTestbed:
    return gt.build(EQUALITY, **SMALL, **changes)


def planted(testbed: gt.VariableTestbed, **changes: Any) -> gt.Alignment:
    oracle = planted_alignment(testbed.truth)
    return gt.Alignment({v: replace(oracle[v], **changes) for v in testbed.hypothesis})


def trial(testbed: gt.VariableTestbed) -> VariableTrial:
    return VariableTrial(testbed, Terms())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_scored_by_name(name: str) -> None:
    report = gt.evaluate(EQUALITY, name, **QUICK.get(name, {}))
    assert set(report) == set(VariableTrial.metrics)
    for metric in ("cv.iia", "cv.iia_selectivity"):
        assert report[metric].value is not None and report[metric].floor is not None
    decodes = report["probe.accuracy"].value is not None
    assert (report["probe.selectivity"].value is not None) == decodes
    assert "variables WX, YZ" in str(report) and "cv.iia" in report.verdict
    assert report.flags == ()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (EQUALITY, {}),
        ("variables/sort_unique", {}),
        ("variables/sort_unique", {"twin": {"superpose": 0.9, "rotate": True}}),
        ("variables/two_hop", {"variables": ["link"]}),
    ],
)
def test_rows_stand_where_they_must(name: str, parameters: dict[str, Any]) -> None:
    made = trial(gt.build(name, seed=2, **parameters))
    rows: Any = [made.row(row).results for row in made.rows]
    oracle, random, layer = rows
    for metric in ("iia", "iia_all", "cause", "iso", "cause_iso", "subspace_coverage"):
        assert oracle[f"cv.{metric}"].value == pytest.approx(1), metric
        assert oracle[f"cv.{metric}"].normalised == pytest.approx(1), metric
    assert oracle["probe.accuracy"].value == 1
    assert random["cv.iia"].value < 0.5 and random["probe.accuracy"].value is None
    assert layer["cv.cause"].value == 1 and layer["cv.iso"].value < 0.5
    assert layer["cv.iia"].value == layer["cv.iia"].floor
    with pytest.raises(UnknownName, match="row is called 'O0-truth'"):
        made.row("O0-truth")


def test_random_subspaces_sit_at_their_floors() -> None:
    # Another world each: the draws of a floor are the same at every score of one.
    worlds = [equality(seed=seed) for seed in range(12)]
    method = "variables/random-subspace"
    found = [gt.evaluate(w, method, seed=s, site=APART).results for s, w in enumerate(worlds)]
    rows: Any = [trial(w).row("C0-subspace").results for w in worlds]
    for metric in ("iia", "iia_all", "cause", "subspace_coverage", "subspace_purity"):
        for kind in (found, rows):
            gaps = [r[f"cv.{metric}"].value - r[f"cv.{metric}"].floor for r in kind]
            error = np.std(gaps, ddof=1) / np.sqrt(len(gaps))
            # Ten tests of t with 11 degrees of freedom: a false alarm in one of 100 such files,
            # seeds fixed.
            assert abs(np.mean(gaps)) < 4.5 * error, metric


def test_a_method_is_run_on_both_twins_and_an_alignment_on_none() -> None:
    seen: list[Any] = []

    def method(subject: Any, *, seed: int, n: int = 1000) -> gt.Alignment:
        seen.append((subject, n))
        return pca(subject, seed=seed, site=APART, n=n)

    testbed = equality()
    report = gt.evaluate(testbed, method, seed=3, n=200)
    (own, *asked), (untrained, *there), (control, *here) = seen
    assert asked == there == here == [200]
    # The model is the testbed's, the untrained twin's, and the testbed's with other labels.
    weights = testbed.model.to_weights().hash
    assert own.model.to_weights().hash == weights == control.model.to_weights().hash
    assert untrained.model.to_weights().hash == testbed.untrained(seed=3).model.to_weights().hash
    task = testbed.control(seed=3).labelled("WX", 50, "train")
    assert (control.labelled("WX", 50).labels == task.labels).all()
    claim = report.explanation.alignment
    alone = gt.evaluate(testbed, claim)
    assert alone["cv.iia"].value == report["cv.iia"].value
    for metric, reason in (
        ("cv.iia_selectivity", "what the same method claims of an untrained model is not known"),
        ("probe.selectivity", "no control task was given"),
    ):
        assert report[metric].value is not None
        assert alone[metric].value is None and alone[metric].reason == reason


def test_the_untrained_twin_is_scored_as_a_testbed_of_its_own() -> None:
    testbed = equality()
    report = gt.evaluate(testbed, das, seed=1, site=APART, steps=30, starts=1)
    fresh = testbed.untrained(seed=1)
    there = gt.evaluate(fresh, das(fresh.subject, seed=1, site=APART, steps=30, starts=1))
    selectivity = report["cv.iia_selectivity"]
    assert selectivity.parameters["untrained_iia"] == there["cv.iia"].value
    assert selectivity.value == pytest.approx(report["cv.iia"].value - there["cv.iia"].value)


def breaks_on_twins(subject: Any, *, seed: int) -> gt.Alignment:
    if getattr(breaks_on_twins, "ran", False):
        raise ZeroDivisionError("no gradient")
    breaks_on_twins.ran = True  # type: ignore[attr-defined]
    return pca(subject, seed=seed)


def test_what_breaks_on_a_twin_leaves_its_scores_undefined_and_says_so() -> None:
    breaks_on_twins.ran = False  # type: ignore[attr-defined]
    report = gt.evaluate(EQUALITY, breaks_on_twins)
    assert report["cv.iia"].value is not None and report["probe.accuracy"].value is not None
    for metric, name in (("cv.iia_selectivity", "untrained"), ("probe.selectivity", "control")):
        said = f"on the {name} twin: the method raised ZeroDivisionError: no gradient"
        assert report[metric].value is None and report[metric].reason == said
        assert said in report.flags


def test_what_a_method_leaves_on_a_model_is_found_on_every_subject() -> None:
    testbed = equality()

    def method(subject: Any, *, seed: int) -> gt.Alignment:
        found = pca(subject, seed=seed)
        subject.model.hook_points[APART].register_forward_hook(lambda *_: None)
        with torch.no_grad():
            subject.model.W_U.mul_(2)
        return found

    report = gt.evaluate(testbed, method)
    left = f"hooks left at {APART}; weights changed (put right)"
    assert report.flags == (left, *(f"on the {t} twin: {left}" for t in ("untrained", "control")))
    clean = gt.evaluate(testbed, pca)
    assert {m: r.value for m, r in report.results.items()} == {
        m: r.value for m, r in clean.results.items()
    }


def test_a_map_that_is_not_linear_is_scored_beside_the_untrained_model_alone() -> None:
    testbed = equality()
    bent = planted(testbed, featurizer=(lambda x: x + 1, lambda z: z - 1))
    alone = gt.evaluate(testbed, bent)
    assert alone["cv.iia"].value is None
    assert "can find any variable in any model" in alone["cv.iia"].reason
    report = gt.evaluate(testbed, lambda subject, *, seed: bent)
    assert report["cv.iia"].value == 1 and report["cv.iia_selectivity"].value is not None
    assert "read cv.iia_selectivity" in report.flags[0]


def raising(x: Any) -> Any:
    raise RuntimeError("no such layer")


SITES_SHAPE = r"expected a site of shape \(batch, position, width\)"
FAULTS: list[tuple[Any, type[Exception], str]] = [
    (lambda t: gt.Dictionary(np.eye(3)), ExplanationError, "an Alignment here, got Dictionary"),
    (lambda t: planted(t)["WX"], ExplanationError, "must return an Alignment here, got Subspace"),
    (
        lambda t: gt.Alignment({"WX": gt.Subspace(APART, np.ones((1, 19)))}),
        ExplanationError,
        "expected orthonormal rows, got products off by 18",
    ),
    (
        lambda t: planted(t, site="blocks.9.hook_resid_post"),
        UnknownName,
        r"No site is called 'blocks\.9\.hook_resid_post'",
    ),
    (lambda t: planted(t, site="blocks.0.attn.hook_z"), InputError, SITES_SHAPE),
    (
        lambda t: gt.Alignment({"XW": planted(t)["WX"]}),
        UnknownName,
        f"variable of {EQUALITY} is called 'XW'",
    ),
    (
        lambda t: gt.Alignment({"WX": gt.Subspace(APART, np.eye(4))}),
        ExplanationError,
        "expected rows of width 19, got 4",
    ),
    (
        lambda t: planted(t, decode=lambda x: [True]),
        ExplanationError,
        r"decode at blocks\.0\.hook_resid_post: expected 500 values, one for each row, got 1",
    ),
    (
        lambda t: planted(t, decode=raising),
        ExplanationError,
        r"array of shape \(500, 19\), got RuntimeError: no such layer",
    ),
    (
        lambda t: planted(t, featurizer=(raising, raising)),
        ExplanationError,
        r"featurizer at blocks\.0\.hook_resid_post: .* got RuntimeError: no such layer",
    ),
    (
        lambda t: planted(t, featurizer=(lambda x: x, lambda z: z[..., :1])),
        ExplanationError,
        r"expected shape \(500, 5, 19\) back, got \(500, 5, 1\)",
    ),
]


@pytest.mark.parametrize(("claim", "kind", "message"), FAULTS)
def test_a_fault_is_one_clear_error(claim: Any, kind: type[Exception], message: str) -> None:
    testbed = equality()
    with pytest.raises(kind, match=message):
        gt.evaluate(testbed, claim(testbed))
    with pytest.raises(kind, match=message):
        gt.evaluate(testbed, lambda subject, *, seed: claim(testbed))


def test_a_method_of_another_kind_and_settings_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match="explains by a dictionary, but variables/hist is scored"):
        gt.evaluate("variables/hist", "sae/topk")
    with pytest.raises(InputError, match="by an alignment, but sparse/small is scored by a dict"):
        gt.evaluate("sparse/small", "variables/das")
    with pytest.raises(InputError, match="scoring: expected None: 500 pairs score each variable"):
        gt.evaluate("variables/hist", "variables/pca", scoring={"n_score": 3})
    with pytest.raises(UnknownName, match="parameter of variables/pca is called 'share'"):
        gt.evaluate("variables/hist", "variables/pca", share=0.5)
    with pytest.raises(MethodError, match="the method raised RuntimeError: no such layer"):
        gt.evaluate("variables/hist", lambda subject, *, seed: raising(subject))


def stored_again(testbed: gt.VariableTestbed, method: Any, seed: int = 4) -> tuple[Any, Any]:
    """A report, and what its tensors score, through nothing but the tensors."""
    made = trial(testbed)
    report = gt.evaluate(testbed, method, seed=seed)
    tensors = frozen(made.tensors(report))
    assert all(array.dtype.kind in "biuf" for array in tensors.values())
    again = trial(testbed).again(tensors, name=report.name, seed=seed)
    return report, again


def numbers(report: Any) -> dict[str, Any]:
    return {metric: result.to_json() for metric, result in report.results.items()}


def test_decoders_and_maps_are_stored_by_their_answers() -> None:
    turn = torch.linalg.qr(torch.randn(19, 19, generator=torch.Generator().manual_seed(0))).Q

    def bent(subject: Any, *, seed: int) -> gt.Alignment:
        maps = (lambda x: (x @ turn).sinh(), lambda z: z.asinh() @ turn.T)
        found = linear_probe(subject, seed=seed, site=APART)
        return gt.Alignment(
            {v: replace(c, featurizer=maps, positions=(3, 4)) for v, c in found.subspaces.items()}
        )

    report, again = stored_again(equality(), bent)
    assert numbers(again) == numbers(report)
    assert report["cv.iia"].value is not None and report["probe.selectivity"].value is not None
    assert again.explanation.alignment["WX"].positions == (3, 4)


def test_answers_that_are_no_values_and_variables_that_nobody_asked_for_are_stored() -> None:
    testbed = equality()
    claim = planted(testbed, decode=lambda x: ["neither"] * len(x))
    others = {"W": planted_alignment(testbed.truth)["W"]}
    for given in (claim, gt.Alignment(others)):
        report, again = stored_again(testbed, given)
        assert numbers(again) == numbers(report)
    assert gt.evaluate(testbed, claim)["probe.accuracy"].value == 0


def test_a_twin_that_broke_is_stored_with_its_reason() -> None:
    breaks_on_twins.ran = False  # type: ignore[attr-defined]
    report, again = stored_again(equality(), breaks_on_twins)
    assert numbers(again) == numbers(report)
    assert "no gradient" in again["cv.iia_selectivity"].reason


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("variables")
    methods = tuple(MethodSpec(f"variables/{name}") for name in ("linear-probe", "random-subspace"))
    worlds = (
        WorldSpec(EQUALITY, methods, (0, 1), SMALL),
        WorldSpec("variables/count", methods, (0,)),
        WorldSpec("variables/count", methods[:1], (0,), {"twin": {"rotate": True}}),
    )
    rows = ("O0-alignment", "C0-subspace")
    suite = Suite("variables", 1, "", worlds, rows, "cv.iia", None)
    ran = runner.run_suite(suite, out)
    assert not ran.failures and len(ran.records) == 3 * 4 + 3
    return out


def test_a_stored_alignment_is_scored_again_to_the_same_numbers(folder: Path) -> None:
    for run in Store(folder).records():
        if run.record["method"]["kind"] != "oracle" and run.tensors():
            again = rescoring.rescore(run).results
            assert {m: r.to_json() for m, r in again.items()} == run.record["results"]


def test_the_time_of_a_run_is_that_on_the_testbed(folder: Path) -> None:
    for run in Store(folder).records():
        cost = run.record["provenance"]
        if not run.tensors():
            assert cost.get("twins") is None
            continue
        assert cost["cpu_seconds"] >= 0 and cost["twins"]["cpu_seconds"] >= 0
        assert cost["twins"]["start"] >= cost["start"]


def test_the_report_shows_the_kind_its_own_way(folder: Path, tmp_path: Path) -> None:
    records = [run.record for run in Store(folder).records()]
    paths = reporting.write_report(records, tmp_path)
    page = next(path for path in paths if path.suffix == ".html").read_text()
    for said in ("IIA is the share of pairs", "over untrained", "all testbeds: causal variables"):
        assert said in page
    assert "variables/linear-probe" in page and "O0-alignment" in page


def test_describe_says_where_variables_are() -> None:
    found = dict(descriptions.description(EQUALITY, oracle=True, watch=lambda *_: None))
    assert found["asked for"] == {"WX": ["False", "True"], "YZ": ["False", "True"]}
    assert "WX: 1 dimensions from blocks.0.hook_resid_post on" in found["planted"]
    assert found["O0-alignment"]["cv.iia"] == 1 and json.dumps(found)


def test_the_suite_can_be_run_and_locks_the_metrics_of_variables() -> None:
    suite = SUITES["variables-small"]
    runner.check_suite(suite)
    manifest = suite.manifest()
    assert json.dumps(manifest)
    assert set(manifest["metrics"]) == {metric.key for metric in VariableTrial.metrics.values()}
    run = {spec.name for world in suite.worlds for spec in world.methods}
    assert run == set(METHODS)
