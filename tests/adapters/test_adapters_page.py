"""The examples of docs/adapters.md that need no outside library run; tests/integrations has the
others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters.md"
OUTSIDE = (
    "sae_lens",
    "sparsify",
    "dictionary_learning",
    "overcomplete",
    "groundtruth.adapters.transformer_lens",
    "groundtruth.adapters.nnsight",
)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def needs_outside(block: str) -> bool:
    return any(f"from {library}" in block for library in OUTSIDE)


def test_every_library_in_the_table_has_an_example() -> None:
    for library in (*OUTSIDE, "sklearn", "jax", "torch"):
        assert any(f"{library}" in block for block in BLOCKS), library


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    import groundtruth as gt

    own = gt.evaluate

    def cheaper(*args: Any, **kwargs: Any) -> gt.Report:
        return own(*args, scoring=gt.Scoring(n_select=1024, n_score=1024, n_positives=10), **kwargs)

    monkeypatch.setattr(gt, "evaluate", cheaper)
    names: dict[str, Any] = {}
    reports = []
    for block in BLOCKS:
        if not needs_outside(block):
            exec(compile(block, str(PAGE), "exec"), names)
            reports.append(names.pop("report", None))
    told = [report.name for report in reports if report is not None]
    assert told == ["tuple", "Mine", "Module", "<lambda>", "FastICA"]
