"""The failure modes page can be redone: stored runs become its figures, and it quotes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundtruth.evaluators import METRICS
from groundtruth.runner import run_suite
from groundtruth.score_data import Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec, Suite, WorldSpec, suite
from reproductions import failure_modes

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "failure_modes.md"
LITTLE = Scoring(n_select=512, n_score=512, n_positives=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    specs = tuple(
        MethodSpec("sae/relu", {"n_samples": 2048, "width": 8, "l1": l1}) for l1 in (0.01, 0.3)
    )
    other = MethodSpec("sae/topk", {"n_samples": 2048, "width": 8, "l0": 1})
    worlds = (WorldSpec("failure/absorption", (*specs, other), (0, 1), n_train=2048),)
    rows = ("O0-identity", "O1-prior", "O2*-linear")
    run_suite(Suite("little", 1, "", worlds, rows=rows, scoring=LITTLE), out)
    return out


def test_runs_become_points_tables_and_figures(folder: Path, tmp_path: Path) -> None:
    failure = failure_modes.FAILURES["absorption"]
    points = failure_modes.points_of(list(Store(folder).records()), failure)
    settings = [setting for _, setting in points]
    assert settings == [0.01, 0.3, "sae/topk"]
    assert all(len(values["recon.ev_total"]) == 2 for values in points.values())
    text = failure_modes.table(failure, points)
    assert len(text.splitlines()) == 4 and "absorb.leak" in text
    failure_modes.draw(failure, points, tmp_path / "absorption.png")
    drawn = np.asarray(Image.open(tmp_path / "absorption.png").convert("RGB"))
    assert drawn.shape[1] > 600 and drawn.min() < 100


def test_every_failure_has_its_worlds_in_the_suite() -> None:
    worlds = {world.testbed for world in suite("failure-modes").worlds}
    for failure in failure_modes.FAILURES.values():
        assert set(failure.worlds) <= worlds
        assert set(failure.scores) <= set(METRICS)


def test_the_page_shows_every_figure_and_quotes_its_tables() -> None:
    text = PAGE.read_text()
    sections = text.split("\n## ")[1:]
    shown = set(re.findall(r"failure_modes/(\w+)\.png", text))
    assert shown == set(failure_modes.FAILURES)
    assert all((ROOT / "docs" / "failure_modes" / f"{name}.png").exists() for name in shown)
    for section in sections:
        if "```text" not in section:
            continue
        prose, table = section.split("```text")
        quoted = set(re.findall(r"\d\.\d{3}\b", prose))
        assert quoted <= set(re.findall(r"\d\.\d{3}\b", table)), section.splitlines()[0]
    assert set(re.findall(r"`((?:absorb|hedge|part|recover|recon)\.\w+)`", text)) <= set(METRICS)


def test_each_failure_is_seen_by_a_score_where_explained_variance_is_blind() -> None:
    """What the page claims, from its own tables."""
    sections = {
        name: part
        for part in PAGE.read_text().split("\n## ")[1:]
        for name in re.findall(r"failure_modes/(\w+)\.png", part)
    }

    def row(name: str, start: str) -> list[float]:
        line = next(x for x in sections[name].splitlines() if x.startswith(start))
        return [float(v) for v in re.findall(r"(-?\d\.\d{3}) \[", line)]

    ev, full, leak, _ = row("absorption", f"{'failure/absorption':<27}{0.1:<17}")
    assert ev > 0.99 and full > 0.9 and leak == pytest.approx(2**-0.5, abs=0.01)
    ev, full, *_ = row("tree", f"{'failure/tree':<27}sae/relu")
    assert ev > 0.99 and full > 0.9
    better = row("tree", f"{'failure/tree':<27}sae/matryoshka")
    assert better[0] < ev and better[1] < 0.2
    ev, degree, *_ = row("hedging", f"{'failure/hedging':<27}1")
    assert degree == pytest.approx(0.2434**2, abs=0.003)
    low, right = (row("wrong_l0", f"{'failure/wrong-l0':<27}{l0:<17}") for l0 in (1.5, 2))
    assert low[1] > 5 * right[1]
    for width in (8, 10, 20):
        ev, split, *_ = row("splitting", f"{'failure/splitting':<27}{width:<17}")
        assert ev > 0.99 and split == pytest.approx(2 / 10)
    (ev, _, joint, *_), (meta_ev, _, meta_joint, *_) = (
        row("composed", f"{'failure/composed':<27}{name}") for name in ("sae/topk", "sae/meta")
    )
    assert meta_ev < ev and meta_joint > 2 * joint
    ev, classes, recall, _ = row("one_of_each", f"{'failure/one-of-each':<27}16")
    assert ev > 0.99 and (classes, recall) == (1, 0)
    ev, _, rare, recall = row("dark_matter", f"{'failure/dark-matter':<27}128")
    assert ev > 0.7 and recall < 0.15 and rare == 0
    ev, coverage, error, *_ = row("manifold", f"{'manifold/circle':<27}26")
    assert ev > 0.99 and (coverage, error) == (0, 1)
    weak, strong = (row("crosscoder", f"{'pair/models':<27}{l1:<17}") for l1 in (0.1, 1.0))
    assert strong[0] > 0.95 and strong[1] > weak[1]
