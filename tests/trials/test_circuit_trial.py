"""Circuits through `evaluate`, the runner, the store and the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import catalogue, reporting, rescoring, runner
from groundtruth.errors import InputError, UnknownName
from groundtruth.store import Store
from groundtruth.structural_edges import live_edges
from groundtruth.suites import SUITES, MethodSpec, Suite, WorldSpec
from groundtruth.trials import CircuitScoring, CircuitTrial, Terms, all_metrics, trial_of

METHODS = [
    entry.name
    for entry in catalogue.METHODS.values()
    if entry.explains == "circuit" and entry.make is not None
]
OF_NODES = (
    "circuit/activation-patching",
    "circuit/attribution-patching",
    "circuit/causal-tracing",
)


def test_every_circuit_method_is_scored_by_name() -> None:
    for name in METHODS:
        unit = "node" if name in OF_NODES else "edge"
        testbed = gt.build("circuit/gate-and", unit=unit)
        report = gt.evaluate(testbed, name)
        assert 0 <= report[f"circuit.{unit}_auprc"].value <= 1, name
        assert report["circuit.faith"].floor == 0 and report["circuit.faith"].ceiling == 1
        assert report.flags == (), name


@pytest.mark.parametrize("name", ["circuit/gate-or", "circuit/gate-backup", "circuit/hist"])
def test_rows_stand_where_they_must(name: str) -> None:
    trial = CircuitTrial(gt.build(name), Terms())
    rows = {row: trial.row(row).results for row in trial.rows}
    truth = rows["O0-truth"]
    for metric in ("precision", "recall", "f1", "auroc", "auprc", "class_hit"):
        assert truth[f"circuit.edge_{metric}"].value == 1, metric
    assert truth["circuit.edge_shd"].value == 0
    assert rows["O1-smallest"]["circuit.edge_best_f1"].value == 1
    # What is in some valid circuit need not be one: without what silences it, a backup adds to a.
    assert rows["O1-smallest"]["circuit.faith"].value == pytest.approx(1)
    for control in ("C0-whole", "C1-empty"):
        assert rows[control]["circuit.edge_auroc"].value == 0.5  # a constant ranks nothing
    assert rows["C1-empty"]["circuit.edge_recall"].value == 0


def test_hypothesis_tests_come_with_every_report_and_say_what_they_test() -> None:
    trial = CircuitTrial(gt.build("circuit/hist"), Terms())
    tests = {m: r for m, r in trial.row("O0-truth").results.items() if ".test_" in m}
    passed = {m[13:]: r.parameters["passes"] for m, r in tests.items() if r.status == "ok"}
    assert passed == {"indep": True, "min": True, "suff": True, "partial_nec": True}
    assert "so that none is better or worse" in tests["circuit.test_equiv"].reason
    for result in tests.values():
        if result.status == "ok":
            assert result.parameters["null"] and result.parameters["alpha"] == 0.05
            assert result.parameters["n"] == result.n_units > 0
    # Neither all nor a part of the circuit passes, by the test that is there to see it.
    universe, truth = trial.testbed.universe, trial.testbed.truth.members("relevant")
    idle = [edge for edge in universe.edges if edge not in truth]
    more = gt.Circuit(universe, members=[*truth, *idle[1:]])
    found = gt.evaluate(trial.testbed, more, metrics="circuit.test_min")["circuit.test_min"]
    assert found.value < 1e-6 and not found.parameters["passes"]
    part = gt.Circuit(universe, members=sorted(truth)[1:])
    report = gt.evaluate(trial.testbed, part, metrics="circuit.test_suff")
    assert list(report) == ["circuit.test_suff"]
    assert not report["circuit.test_suff"].parameters["passes"]


def test_what_is_left_of_an_exact_circuit_is_independent_under_resampling() -> None:
    """What nothing does varies over inputs here, together with what the model does."""
    trial = CircuitTrial(gt.build("circuit/reverse"), Terms())
    subject, universe = trial.testbed.scored, trial.testbed.universe
    nothing = subject.metric(subject.ablated("edge", np.zeros((1, len(universe)), dtype=bool)))
    assert float(nothing.std()) > 0.1
    assert trial.row("O0-truth").results["circuit.test_indep"].value == 1
    empty = trial.row("C1-empty").results["circuit.test_indep"]
    assert empty.value == empty.floor and not empty.parameters["passes"]


def test_the_random_control_sits_at_its_floors() -> None:
    testbed = gt.build("circuit/reverse", ablation="zero")
    reports = [gt.evaluate(testbed, "circuit/random", seed=seed) for seed in range(60)]
    for metric in ("edge_auprc", "edge_auroc", "edge_f1", "edge_precision", "edge_recall"):
        results = [report[f"circuit.{metric}"] for report in reports]
        values = np.array([result.value for result in results])
        error = values.std(ddof=1) / math.sqrt(len(values))
        # Five tests at 3.5 standard errors: a false alarm in one of 400 such files, seeds fixed.
        assert abs(values.mean() - results[0].floor) < 3.5 * error, metric


def test_a_method_of_another_kind_is_refused_before_it_runs() -> None:
    with pytest.raises(InputError, match="sae/topk: explains by a dictionary, but circuit/gate-or"):
        gt.evaluate("circuit/gate-or", "sae/topk")
    with pytest.raises(InputError, match="circuit/eap: explains by a circuit, but sparse/small"):
        gt.evaluate("sparse/small", "circuit/eap")
    wrong = Suite("wrong", 1, "", (WorldSpec("circuit/gate-or", (MethodSpec("sae/topk"),)),), ())
    with pytest.raises(InputError, match="Methods for it: circuit/acdc"):
        runner.check_suite(wrong)
    rows = Suite("wrong", 1, "", (WorldSpec("circuit/gate-or", ()),), ("O0-identity",))
    with pytest.raises(InputError, match="O0-identity: explains by a dictionary"):
        runner.check_suite(rows)


def test_a_threshold_is_the_methods_where_the_testbed_has_none() -> None:
    strict = gt.evaluate("circuit/gate-and", "circuit/acdc", threshold=2.0)
    assert strict["circuit.edge_recall"].value == 0
    with pytest.raises(UnknownName, match="parameter of circuit/eap is called 'share'"):
        gt.evaluate("circuit/gate-and", "circuit/eap", share=0.5)


def test_scores_against_another_set_say_so() -> None:
    testbed = gt.build("circuit/gate-or")
    found = {
        against: gt.evaluate(testbed, "circuit/edge-patching", scoring={"against": against})
        for against in ("relevant", "singly_active")
    }
    recalls = {a: r["circuit.edge_recall"] for a, r in found.items()}
    # Of the two ways through OR, patching single edges sees neither.
    assert recalls["singly_active"].value == 1 > recalls["relevant"].value
    assert {a: r.parameters["against"] for a, r in recalls.items()} == {a: a for a in found}
    with pytest.raises(InputError, match="against: expected one of structural, singly_active"):
        gt.evaluate("circuit/gate-or", "circuit/eap", scoring={"against": "true"})
    with pytest.raises(UnknownName, match="part of scoring is called 'n_score'"):
        gt.evaluate("circuit/gate-or", "circuit/eap", scoring={"n_score": 3})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"absolute": "flase"}, "absolute of circuit/eap: expected true or false, got 'flase'."),
        ({"steps": "nan"}, "steps of circuit/eap-ig-inputs: expected a number, got 'nan'."),
    ],
)
def test_words_in_place_of_numbers_are_refused(given: dict[str, str], message: str) -> None:
    name = message.split(" of ")[1].split(":")[0]
    with pytest.raises(InputError, match=message):
        gt.evaluate("circuit/gate-or", name, **given)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="benign: expected true or false, got 'no'"):
        gt.build("causes/trojan", benign="no")
    with pytest.raises(InputError, match="n_inputs: expected a number, got 'many'"):
        gt.build("circuit/hist", n_inputs="many")


def test_asking_for_recovery_alone_gives_it_alone() -> None:
    report = gt.evaluate("circuit/gate-or", "circuit/eap", metrics=["circuit.edge_f1"])
    assert list(report) == ["circuit.edge_f1"]
    with pytest.raises(UnknownName, match=r"metric is called 'recover\.joint'"):
        gt.evaluate("circuit/gate-or", "circuit/eap", metrics="recover.joint")


def test_a_report_prints_its_verdict_its_scores_and_its_testbed() -> None:
    text = str(gt.evaluate("circuit/gate-or", "circuit/acdc"))
    assert text.startswith(
        "acdc on circuit/gate-or: circuit.edge_auprc 0.695, between chance 0.339"
    )
    assert "circuit.edge_best_f1" in text and "undefined: the circuit is a set" in text
    assert "21 edges, 5 relevant, 2 minimal valid circuits, resample ablation" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small suite of gates, once under each of two ablations."""
    out = tmp_path_factory.mktemp("gates")
    methods = (MethodSpec("circuit/eap"), MethodSpec("circuit/acdc"), MethodSpec("circuit/random"))
    worlds = tuple(
        WorldSpec(f"circuit/gate-{name}", methods, (0,), {"ablation": ablation})
        for name in ("and", "or", "decoy")
        for ablation in ("resample", "zero")
    )
    rows = ("O0-truth", "C0-whole")
    suite = Suite("gates", 1, "", worlds, rows, "circuit.edge_auprc", CircuitScoring())
    ran = runner.run_suite(suite, out)
    assert not ran.failures and len(ran.records) == 6 * 5
    return out


def test_a_stored_circuit_is_scored_again_to_the_same_numbers(folder: Path) -> None:
    for run in Store(folder).records():
        if run.record["method"]["name"] in ("O0-truth", "C0-whole"):
            continue
        again = rescoring.rescore(run).results
        stored = run.record["results"]
        assert {m: r.to_json() for m, r in again.items()} == stored


def test_a_finished_suite_is_not_run_again(folder: Path) -> None:
    ran = runner.run_suite(
        runner.single(
            "circuit/gate-and",
            "circuit/eap",
            seed=0,
            parameters={},
            testbed_parameters={"ablation": "zero"},
        ),
        folder.parent / "single",
        lock=False,
    )
    keys = {run.key for run in Store(folder).records()}
    assert {run.key for run in Store(folder.parent / "single").records()} & keys
    assert len(ran.records) == 5


def test_the_report_averages_over_testbeds_under_one_ablation_only(folder: Path) -> None:
    records = [run.record for run in Store(folder).records()]
    text = reporting.render_text(records)
    for ablation in ("resample", "zero"):
        assert f"all testbeds: edges (qkv), {ablation} ablation" in text
    runs = reporting.read_runs(records)
    from groundtruth.reporting.aggregate import aggregate

    (together,) = [s for s in aggregate(runs) if s.testbed.endswith("resample ablation")]
    (eap,) = [row for row in together.rows if row.label == "circuit/eap"]
    mean = eap["circuit.edge_auprc"]
    assert mean is not None and together.n_testbeds == mean.n_runs == 3
    assert mean.over == "testbeds"
    own = [
        run.results["circuit.edge_auprc"].value
        for run in runs
        if run.label == "circuit/eap" and run.world.group.endswith("resample ablation")
    ]
    assert mean.value == pytest.approx(np.mean(own))


def test_seeds_on_one_testbed_count_as_one_testbed(tmp_path: Path) -> None:
    worlds = (
        WorldSpec("circuit/gate-and", (MethodSpec("circuit/random"),), (0, 1, 2, 3)),
        WorldSpec("circuit/gate-or", (MethodSpec("circuit/random"),), (0,)),
    )
    suite = Suite("gates", 1, "", worlds, (), "circuit.edge_auprc", CircuitScoring())
    runs = reporting.read_runs(runner.run_suite(suite, tmp_path).records)
    from groundtruth.reporting.aggregate import aggregate

    together = aggregate(runs)[0].rows[0]["circuit.edge_auprc"]
    by_testbed = [
        np.mean([r.results["circuit.edge_auprc"].value for r in runs if r.testbed == testbed])
        for testbed in {run.testbed for run in runs}
    ]
    assert together is not None and together.value == pytest.approx(np.mean(by_testbed))


def test_a_report_on_both_kinds_shows_each_its_own_way(folder: Path, tmp_path: Path) -> None:
    small = {"n_features": 12, "d": 8, "firing": {"law": "constant", "probability": 0.05}}
    runner.run_suite(
        runner.single(
            "sparse/small",
            "linear/pca",
            seed=0,
            parameters={},
            testbed_parameters=small,
            scoring=gt.Scoring(512, 512, 8),
        ),
        tmp_path,
        lock=False,
    )
    records = [run.record for out in (folder, tmp_path) for run in Store(out).records()]
    paths = reporting.write_report(records, tmp_path / "report")
    page = next(path for path in paths if path.suffix == ".html").read_text()
    assert "joint recall" in page and "edge AUPRC" in page
    assert "Joint recall is the share" in page and "AUPRC is the average precision" in page


def test_a_suite_of_circuits_locks_the_metrics_of_circuits() -> None:
    manifest = SUITES["circuits-small"].manifest()
    assert json.dumps(manifest)
    assert set(manifest["metrics"]) == {metric.key for metric in CircuitTrial.metrics.values()}
    assert manifest["scoring"] == {"against": "relevant", "trivial": True}
    assert not set(manifest["metrics"]) & set(SUITES["demo"].manifest()["metrics"])


@pytest.mark.parametrize("name", ["circuits-small", "circuits-full"])
def test_all_circuits_of_every_world_of_the_suites_can_be_tried(name: str) -> None:
    for world in SUITES[name].worlds:
        testbed = gt.build(world.testbed, seed=world.seeds[0], **world.parameters)
        live = {c for edge in live_edges(testbed.scored) for c in (edge, edge.writer)}
        assert len(live & set(testbed.universe.candidates)) <= 20, world


def test_metrics_of_all_kinds_have_one_name_each() -> None:
    trials: list[Any] = [trial_of(gt.build(n), Terms()) for n in ("sparse/small", "circuit/hist")]
    assert len(all_metrics()) >= sum(len(trial.metrics) for trial in trials)
