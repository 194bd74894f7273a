"""The main job on a real world: ladder, trained methods, stored runs, table, figure, resume."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from groundtruth import reporting
from groundtruth.runner import Ran, run_suite
from groundtruth.store import Store
from groundtruth.suites import SUITES, MethodSpec, Suite, WorldSpec
from groundtruth.trials.dictionaries import explanation_tensors

PAIR = ("recover.joint", "recover.joint_precision")
COLUMNS = (
    "testbed method kind seed metric value low high floor ceiling normalised".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """The demo's small world at one seed, as the demo runs it."""
    demo = SUITES["demo"].worlds[0]
    saes = tuple(m for m in demo.methods if m.name.startswith("sae/"))
    suite = Suite(
        "end-to-end",
        1,
        "for this test",
        (WorldSpec(demo.testbed, (*saes, MethodSpec("linear/nmf")), (0,), n_train=demo.n_train),),
    )
    out = tmp_path_factory.mktemp("suite")
    return run_suite(suite, out), out


def values(ran: Ran, metric: str, *, kind: str | None = None) -> dict[str, float]:
    """Method -> value, where it is defined."""
    found = {}
    for record in ran.records:
        value = record["results"][metric]["value"]
        if value is not None and kind in (None, record["method"]["kind"]):
            found[record["method"]["name"]] = value
    return found


@pytest.mark.parametrize("metric", PAIR)
def test_oracles_stand_in_order_above_every_control(ran: tuple[Ran, Path], metric: str) -> None:
    score = values(ran[0], metric)
    assert score["O0-identity"] == 1.0
    assert score["O0-identity"] >= score["O1-prior"] >= score["O2-encoder"]
    assert score["O0-identity"] >= score["O1-blind"] >= score["O2-encoder"]
    controls = values(ran[0], metric, kind="control")
    if metric == "recover.joint_precision":
        # One perfect latent claims little, and what it claims is right: precision 1 by definition.
        assert controls.pop("C6-one") == 1.0
    assert score["O2-encoder"] > max(controls.values()) + 0.5


def test_oracles_stand_above_every_control_on_the_pair_in_one_number(
    ran: tuple[Ran, Path],
) -> None:
    score = values(ran[0], "recover.joint_f1")
    controls = values(ran[0], "recover.joint_f1", kind="control")
    assert "C6-one" in controls and len(controls) == 11
    assert score["O2-encoder"] > max(controls.values()) + 0.5


def test_trained_autoencoders_land_between_controls_and_oracles(ran: tuple[Ran, Path]) -> None:
    score = values(ran[0], "recover.joint")
    worst_control = max(values(ran[0], "recover.joint", kind="control").values())
    for name in ("sae/relu", "sae/topk", "sae/batchtopk"):
        assert worst_control + 0.1 < score[name] < score["O2-encoder"]


def test_variance_explained_does_not_see_what_joint_recall_sees(ran: tuple[Ran, Path]) -> None:
    ev, joint = values(ran[0], "recon.ev_total"), values(ran[0], "recover.joint")
    assert ev["C2-pca"] > 0.999 and joint["C2-pca"] == 0.0
    assert ev["O2*-linear"] < ev["sae/topk"] and joint["O2*-linear"] > joint["sae/topk"]


def test_a_method_that_does_not_apply_is_a_recorded_failure(ran: tuple[Ran, Path]) -> None:
    (failed,) = [r for r in ran[0].records if r["status"] == "failed"]
    assert failed["method"]["name"] == "linear/nmf"
    assert "non-negative" in failed["error"]["message"]
    joint = failed["results"]["recover.joint"]
    assert joint["status"] == "failed" and joint["value"] == joint["floor"]


def test_stored_explanations_score_the_same_again(ran: tuple[Ran, Path]) -> None:
    from groundtruth import rescoring

    record = next(r for r in ran[0].records if r["method"]["name"] == "sae/topk")
    stored = next(
        run for run in Store(ran[1]).records() if run.record["method"]["name"] == "sae/topk"
    )
    report = rescoring.rescore(stored)
    for metric, result in record["results"].items():
        if result["value"] is None:
            assert report[metric].value is None
        else:
            assert report[metric].value == pytest.approx(result["value"], abs=1e-5), metric
    assert set(explanation_tensors(report)) == set(stored.tensors())


def test_the_report_holds_every_run_and_both_figures(ran: tuple[Ran, Path]) -> None:
    paths = {p.name for p in reporting.write_report(ran[0].records, ran[1])}
    assert {"results.csv", "report.md", "report.html"} <= paths
    assert sum(name.endswith(".png") for name in paths) == 2
    assert sum(name.endswith(".svg") for name in paths) == 2
    with (ran[1] / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(COLUMNS) <= set(rows[0])
    assert {row["kind"] for row in rows} == {"method", "oracle", "control"}
    assert len({row["method"] for row in rows}) == len(ran[0].records) == 22


def test_running_again_redoes_nothing(ran: tuple[Ran, Path]) -> None:
    demo = SUITES["demo"].worlds[0]
    saes = tuple(m for m in demo.methods if m.name.startswith("sae/"))
    world = WorldSpec(demo.testbed, (*saes, MethodSpec("linear/nmf")), (0,), n_train=demo.n_train)
    again = run_suite(Suite("end-to-end", 1, "for this test", (world,)), ran[1])
    assert again.n_reused == len(again.records) == 22
