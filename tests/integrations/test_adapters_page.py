"""The examples of docs/adapters.md that need an outside library run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from planted_cases import SMALL, part_of
from saelens_cases import sae_lens

import groundtruth as gt

pytestmark = pytest.mark.integration

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
CLAIMS = {
    "from sae_lens import TopKTrainingSAEConfig": "TopKTrainingSAE",
    "from sae_lens import TopKTrainingSAE\n": "TopKSAE",
    "from sparsify": "SparseCoder",
    "from dictionary_learning": "GatedAutoEncoder",
    "from overcomplete": "TopKSAE",
}


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part_of("dictionary_learning", "dictionary")
    part_of("overcomplete", "sae")
    assert sae_lens is not None
    own = gt.evaluate
    monkeypatch.setattr(gt, "evaluate", lambda *a, **k: own(*a, scoring=SMALL, **k))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[0], str(PAGE), "exec"), names)
    for start, claim in CLAIMS.items():
        (block,) = (b for b in BLOCKS if b.startswith(start))
        exec(compile(block, str(PAGE), "exec"), names)
        assert names["report"].name == claim
        if "config" in names and claim == "TopKTrainingSAE":
            assert names["report"]["recover.recall"].value > 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["sae"]


def test_the_circuit_examples_run(tmp_path: Path) -> None:
    names: dict[str, Any] = {"gt": gt}
    file = tmp_path / "example.py"  # nnsight reads the source of what it traces
    for start, claim in (("transformer_lens", "norms"), ("nnsight", "sizes")):
        (block,) = (b for b in BLOCKS if b.startswith(f"from groundtruth.adapters.{start}"))
        file.write_text(block)
        names = runpy.run_path(str(file), names)
        assert names["report"].name == claim
        assert names["report"]["circuit.node_auprc"].value is not None
