"""Every example runs and prints what its reader is promised."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))

SHOWS = {
    "known_answers.py": [
        "sign-flipped             recall 0.000",
        "one perfect latent       recall",
    ],
    "ten_lines.py": ["my_method on sparse/small: joint recall", "features recovered"],
    "your_own_circuit_method.py": [
        "mean_ablation on circuit/sort_unique: circuit.node_auprc 1.000",
        "circuit.faith",
    ],
    "your_own_world.py": ["coherence 0.3333", "activations (5, 7)"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    for text in SHOWS[path.name]:
        assert text in printed
