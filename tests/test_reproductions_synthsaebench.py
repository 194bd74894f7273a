"""The SynthSAEBench page can be redone: stored runs become its file, tables and figure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundtruth.jobs import Job, Settings, World, run_job
from groundtruth.score_data import Scoring
from groundtruth.suites import MethodSpec, suite
from reproductions import synthsaebench
from reproductions.sanity_checks import read

PLACE = Path(__file__).resolve().parent.parent / "docs" / "reproductions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    world = World("synthsaebench-1k", {"n_features": 64, "d": 16, "hierarchy": None}, 0, 4096)
    settings = Settings(None, None, Scoring(512, 512, 4), 0.9, 0.8)
    for method in ("sae/batchtopk", "sae/relu"):
        parameters = {"width": 24, "l0": 3, "n_samples": 4096}
        run_job(Job(world, settings, MethodSpec(method, parameters, (2048, 4096))), out)
    return out


def test_runs_become_a_file_tables_and_a_figure(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reproductions.synthsaebench", str(folder)]
    for _ in range(2):  # the second time replaces what is there
        done = subprocess.run(
            [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=True
        )
    rows = read(tmp_path / "synthsaebench.csv")
    assert [row["kind"] for row in rows].count("method") == 2
    assert [row["kind"] for row in rows].count("history") == 2
    assert {row["at"] for row in rows} == {"2048", "4096"}
    assert "| sae/batchtopk | 0.004096 M | " in done.stdout and "| 0.7574 |" in done.stdout
    assert (tmp_path / "synthsaebench_tables.md").read_text() in done.stdout
    drawn = np.asarray(Image.open(tmp_path / "synthsaebench_samples.png").convert("RGB"))
    assert drawn.min() < 100 < drawn.max()


def test_the_page_says_what_the_file_holds() -> None:
    page = (PLACE / "synthsaebench.md").read_text()
    rows = read(PLACE / "synthsaebench.csv")
    tables = f"{synthsaebench.beside_published(rows)}\n\n{synthsaebench.ours(rows)}\n"
    assert (PLACE / "synthsaebench_tables.md").read_text() == tables
    for table in tables.strip().split("\n\n"):
        assert table in page


def test_what_was_run_is_of_the_suite() -> None:
    world = suite("synthsaebench").worlds[0]
    asked = {spec.name: spec.parameters["n_samples"] for spec in world.methods}
    for row in read(PLACE / "synthsaebench.csv"):
        if row["kind"] == "method":
            assert int(row["at"]) == asked[row["method"]]
