"""The gallery can be redone: each figure runs, and its page names and quotes what exists."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import groundtruth as gt
from groundtruth import catalogue
from groundtruth.evaluators import METRICS
from reproductions import sae_lab

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "sae_lab.md"
LITTLE = gt.Scoring(n_select=512, n_score=512, n_positives=4)
TINY = sae_lab.Lab(
    n_samples=2048,
    seeds=(0,),
    scoring=LITTLE,
    rare_scoring=LITTLE,
    budgets=(1024,),
    long=2048,
    finished=(1024,),
    marks=(1024,),
    widths=(16, 32),
    l0s=(2, 8),
)


def sections(text: str) -> dict[str, str]:
    """Section of the page by the name of its figure."""
    parts = text.split("\n## ")[1:]
    return {match[1]: part for part in parts if (match := re.search(r"sae_lab/(\w+)\.png", part))}


def unbacked(section: str) -> set[str]:
    """Numbers with three decimals in the prose that the section's table does not hold."""
    prose, table = section.split("```text")
    return set(re.findall(r"\d\.\d{3}\b", prose)) - set(re.findall(r"\d\.\d{3}\b", table))


@pytest.mark.parametrize("name", sae_lab.FIGURES)
def test_a_figure_is_drawn_from_runs_and_its_numbers_are_returned(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {**sae_lab.RARE.changes, "n_features": 32, "d": 16}
    monkeypatch.setattr(sae_lab, "RARE", sae_lab.World("sparse/small", 16, 3, few))
    monkeypatch.setattr(
        sae_lab, "ZIPF", sae_lab.World("sparse/zipf", 16, 3, {"n_features": 32, "d": 16})
    )
    lab = replace(TINY, seeds=(0, 1)) if name == "seeds" else TINY
    text = sae_lab.FIGURES[name](lab, tmp_path / f"{name}.png")
    assert re.search(r"\d\.\d{3}", text)
    drawn = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
    assert drawn.shape[1] > 1000
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20  # blank paper has one


def test_the_page_shows_every_figure_and_names_what_exists() -> None:
    text = PAGE.read_text()
    shown = re.findall(r"\]\(([\w/]+\.png)\)", text)
    assert sorted(shown) == sorted(f"sae_lab/{name}.png" for name in sae_lab.FIGURES)
    for path in shown:
        assert (PAGE.parent / path).stat().st_size <= 60_000
    methods = set(re.findall(r"`((?:sae|frozen|linear)/[\w-]+)`", text))
    assert methods >= set(sae_lab.VARIANTS) and methods <= set(catalogue.METHODS)
    assert set(re.findall(r"`(sparse/[\w-]+)`", text)) <= set(catalogue.testbeds())
    assert set(re.findall(r"`((?:recover|recon|act)\.\w+)`", text)) <= set(METRICS)


@pytest.mark.parametrize("name", sae_lab.FIGURES)
def test_the_prose_quotes_what_is_printed(name: str) -> None:
    assert unbacked(sections(PAGE.read_text())[name]) == set()


def test_a_number_that_is_not_printed_is_caught() -> None:
    assert unbacked("It finds 0.123 and 0.456.\n```text\ntopk 0.456\n```") == {"0.123"}


def test_a_table_replaces_that_of_its_own_section_alone() -> None:
    page = "".join(f"\n## {n}\n![](lab/{n}.png)\n```text\nold\n```\nend\n" for n in ("a", "b"))
    changed = sae_lab.with_table(page, "b", "new  \nrow")
    head, _, tail = page.rpartition("old")
    assert changed == f"{head}new\nrow{tail}"


def test_agreement_is_blind_to_order_and_not_to_sign() -> None:
    rows = np.random.default_rng(0).normal(size=(8, 8))
    assert sae_lab.agreement(rows, 3 * rows[::-1]) == pytest.approx((1, 1))
    flipped = rows * np.where(np.arange(8) < 2, -1, 1)[:, None]
    assert sae_lab.agreement(rows, flipped)[0] == 0.75


def test_the_slope_where_both_fire_is_the_factor_that_codes_were_scaled_by() -> None:
    world = gt.build("sparse/orthonormal", seed=0, noise=0.0, bias=0.0)
    rows = world.truth.features.directions.astype(np.float32)

    def encode(x: np.ndarray) -> np.ndarray:
        codes = 0.6 * np.asarray(x) @ rows.T
        return np.where(codes > 0.6, codes, 0)  # weak firings are lost, and must not count

    report = gt.evaluate(world, gt.Dictionary(rows, encode), scoring=LITTLE)
    assert sae_lab.fired_slope(report) == pytest.approx(0.6, rel=1e-4)
    assert (report["recon.latent_shrinkage"].value or 0) < 0.59


def test_frequencies_are_counted_over_all_runs() -> None:
    p = np.array([5e-5, 5e-5, 2e-4])
    flags = [np.array([True, False, True]), np.array([False, False, False])]
    runs = [sae_lab.Run({}, np.zeros((1, 1)), p, flag, flag, 0.0) for flag in flags]
    assert sae_lab.by_frequency(runs, "joint")[:2].tolist() == [0.25, 0.5]
