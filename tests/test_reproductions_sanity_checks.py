"""The Sanity Checks page can be redone: stored runs become its table, figure and file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundtruth.cards import describe_testbed
from groundtruth.catalogue import build
from groundtruth.jobs import Job, Settings, World, run_job
from groundtruth.score_data import Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec, suite
from reproductions import sanity_checks

PLACE = Path(__file__).resolve().parent.parent / "docs" / "reproductions"
SMALL = {"n_features": 60, "d": 16, "log_normal": "sigma"}
LAW = "sparse/sanity-variable"
SETTINGS = Settings(None, None, Scoring(512, 512, 4), 0.9, 0.8)


def job(method: str, dead: str = "auxiliary", **changes: object) -> Job:
    parameters = {"width": 60, "l0": 3, "n_samples": 4096, "dead": dead, **changes}
    spec = MethodSpec(method, parameters, (2048, 4096))
    return Job(World(LAW, SMALL, 0, 4096), SETTINGS, spec)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for each in (job("sae/topk"), job("sae/batchtopk"), job("sae/batchtopk", "none")):
        run_job(each, out)
    return out


def test_runs_become_a_file_tables_and_a_figure(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reproductions.sanity_checks", str(folder)]
    for _ in range(2):  # the second time replaces what is there
        done = subprocess.run(
            [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=True
        )
        rows = sanity_checks.read(tmp_path / "sanity_checks.csv")
        assert [row["kind"] for row in rows].count("method") == 3
        assert [row["kind"] for row in rows].count("history") == 3
    assert done.stdout.count("| variable | sigma | batchtopk | none | 4,096 |") == 2
    assert "9 %" in done.stdout
    assert (tmp_path / "sanity_checks_tables.md").read_text() in done.stdout + "\n"
    drawn = np.asarray(Image.open(tmp_path / "sanity_checks_samples.png").convert("RGB"))
    assert drawn.min() < 100 < drawn.max()


def test_tables_can_be_made_from_the_file_alone(folder: Path, tmp_path: Path) -> None:
    rows = sanity_checks.merged([], sanity_checks.exported(folder))
    sanity_checks.write(tmp_path / "kept.csv", rows)
    kept = sanity_checks.merged(sanity_checks.read(tmp_path / "kept.csv"), [])
    assert sanity_checks.results_table(kept) == sanity_checks.results_table(rows)
    assert sanity_checks.decile_table(kept) == sanity_checks.decile_table(rows)


def test_a_run_is_replaced_and_not_counted_twice(folder: Path) -> None:
    rows = sanity_checks.exported(folder)
    changed = [{**row, "above_08": 0.5} for row in rows]
    assert {row["above_08"] for row in sanity_checks.merged(rows, changed)} == {0.5}
    assert len(sanity_checks.merged(rows, changed)) == len(rows)


def test_deciles_count_features_from_the_most_frequent() -> None:
    world = build(LAW, seed=0, **{**SMALL, "d": 64})  # no two directions are within 0.8 by chance
    truth = world.truth.features
    order = np.argsort(-truth.firing_probability)
    half = truth.directions[order[:30]]
    shares = sanity_checks.recovered_by_decile(describe_testbed(world), 3.0 * half)
    assert shares == pytest.approx([1.0] * 5 + [0.0] * 5)
    opposite = sanity_checks.recovered_by_decile(describe_testbed(world), -half)
    assert max(opposite) == 0


def test_the_share_of_a_run_is_that_of_its_decoder(folder: Path) -> None:
    truth = build(LAW, seed=0, **SMALL).truth.features
    for run in Store(folder).records():
        decoder = run.tensors()["decoder"]
        unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
        found = ((truth.directions @ unit.T).max(1) > 0.8).mean()
        assert run.record["results"]["recover.above_08"]["value"] == pytest.approx(found)


def test_the_page_holds_the_tables_of_the_kept_runs() -> None:
    rows = sanity_checks.read(PLACE / "sanity_checks.csv")
    page = (PLACE / "sanity_checks.md").read_text()
    for table in (sanity_checks.results_table, sanity_checks.ladder_table):
        assert table(rows) in page
    assert sanity_checks.decile_table(rows) in page
    assert "sanity_checks_samples.png" in page and (PLACE / "sanity_checks_samples.png").exists()


@pytest.mark.parametrize(
    ("name", "n_samples"), [("sanity-checks", "3000000"), ("sanity-checks-long", "30000000")]
)
def test_the_kept_runs_are_the_whole_suite(name: str, n_samples: str) -> None:
    rows = sanity_checks.read(PLACE / "sanity_checks.csv")
    kept = {
        (row["testbed"], row["reading"], int(row["seed"]), row["method"], row["dead"])
        for row in rows
        if row["kind"] == "method" and row["n_samples"] == n_samples
    }
    asked = {
        (world.testbed, world.parameters["log_normal"], seed, spec.name, spec.parameters["dead"])
        for world in suite(name).worlds
        for seed in world.seeds
        for spec in world.methods
        if spec.name.startswith("sae/")
    }
    assert kept == asked
