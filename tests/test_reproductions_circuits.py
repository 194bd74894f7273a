"""The page on circuits can be redone, and says what its file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.methods.circuits import edge_patching, random_circuit
from groundtruth.models.graph import Edge
from reproductions import circuits
from reproductions.tracr_models import ABLATIONS, MODELS, tracr_subject

PLACE = Path(__file__).resolve().parent.parent / "docs" / "reproductions"

PUBLISHED = {
    # AutoCircuit keeps 2 and 3 edges under resampling, and 5 of frac_prevs under zero ablation.
    ("reverse", "equal length"): 2,
    ("frac_prevs", "equal length"): 3,
    ("frac_prevs", "zero"): 5,
}


@pytest.mark.parametrize(("name", "ablation"), PUBLISHED)
def test_tracrs_models_have_the_published_number_of_edges(name, ablation):
    truth = enumerate_circuits(tracr_subject(name, ablation), tolerance=circuits.TOLERANCE)
    assert truth.complete
    assert len(truth.members("relevant")) == PUBLISHED[name, ablation]
    assert truth.members("core") == truth.members("relevant") == truth.members("singly_active")


@pytest.mark.parametrize("reader", ["a1.h0.q", "a1.h0.k"])
def test_the_disputed_edges_matter_at_begin_of_sequence_alone(reader):
    subject = tracr_subject("frac_prevs", "zero")
    edges = subject.universe("edge").edges
    kept = np.array([[edge != Edge("embed", reader) for edge in edges]])
    moved = (subject.ablated("edge", kept) - subject.outputs())[0].abs().amax((0, 2)).numpy()
    assert moved[0] == pytest.approx(2 / 3, abs=1e-4)
    assert moved[1:].max() < 1e-6


def test_the_page_says_what_the_file_holds():
    rows = circuits.read(PLACE / "circuits.csv")
    text = circuits.tables(rows)
    assert (PLACE / "circuits_tables.md").read_text() == text
    page = (PLACE / "circuits.md").read_text()
    for part in text.split("\n\n"):
        assert part.startswith("## ") or part.strip() in page
    assert {row.model for row in rows if row.kind == "Tracr"} == set(MODELS)
    assert {row.ablation for row in rows if row.kind == "Tracr"} == set(ABLATIONS)


def test_rows_are_kept_and_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(
        circuits, "METHODS", {"edge patching": edge_patching, "random": random_circuit}
    )
    monkeypatch.setattr(circuits, "MODELS", ("frac_prevs",))
    monkeypatch.setattr(circuits, "PROGRAMS", ("hist",))
    rows = circuits.run(tmp_path, 1)
    assert {row.kind.split()[0] for row in rows} == {"Tracr", "compiled", "twin"}
    found = {row.auprc for row in rows if row.method == "edge patching"}
    assert found == {1.0}
    monkeypatch.setattr(circuits, "METHODS", {})
    assert len(circuits.run(tmp_path, 1)) == len(rows)
    assert circuits.read(tmp_path / "circuits.csv") == [
        circuits.Row(**{**vars(row), **_rounded(row)}) for row in sorted(rows, key=_order)
    ]


def _rounded(row: circuits.Row) -> dict[str, float]:
    return {k: float(f"{v:.6g}") for k, v in vars(row).items() if isinstance(v, float)}


def _order(row: circuits.Row) -> tuple[bool, str]:
    return (row.kind != "Tracr", row.model)
