"""What the documents name exists, and what they show runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from groundtruth import catalogue
from groundtruth.evaluators import METRICS
from groundtruth.suites import SUITES

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "docs/adapters.md",
    "docs/circuits.md",
    "docs/failure_modes.md",
    "docs/sites.md",
    "docs/prediction.md",
    "docs/variables.md",
    "docs/reproductions/sanity_checks.md",
)
MADE_BY_RUNS = {
    "demo/report.html",
    "report.html",
    "suite.lock.json",
    "checkpoints/",
    "config.json",
    "vocab.json",
}


def named_paths(text: str) -> set[str]:
    """Words in backticks or links that look like files or folders of the repository."""
    quoted = re.findall(r"`([\w./-]+)`", text) + re.findall(r"\]\(([\w./-]+)\)", text)
    endings = (".py", ".md", ".png", ".txt", ".cff", ".toml", ".html", ".json", "/")
    return {word for word in quoted if word.endswith(endings)} - MADE_BY_RUNS


def missing(page: str, text: str) -> list[str]:
    homes = [ROOT, ROOT / "groundtruth", (ROOT / page).parent]
    return [p for p in sorted(named_paths(text)) if not any((h / p).exists() for h in homes)]


@pytest.mark.parametrize("page", PAGES)
def test_paths_named_in_documents_exist(page: str) -> None:
    assert missing(page, (ROOT / page).read_text()) == []


def test_the_path_check_catches() -> None:
    assert missing("README.md", "see `docs/nowhere.md` and `evaluators/`") == ["docs/nowhere.md"]


def test_metrics_and_testbeds_named_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    metrics = set(re.findall(r"`((?:recover|act|recon)\.\w+)`", text))
    assert metrics and metrics <= set(METRICS)
    families = "sparse|failure|manifold|pair|synthsaebench|toy|compiled|circuit|causes|prediction"
    families += "|variables"
    worlds = set(re.findall(rf"`((?:{families})[/-][\w-]+)`", text)) - set(SUITES)
    assert worlds <= set(catalogue.testbeds())
    # Of the toy worlds, compiled ones, circuits, predictions and variables, the README shows one.
    many = ("toy/", "compiled/", "circuit/", "prediction/", "variables/")
    assert {w for w in catalogue.testbeds() if not w.startswith(many)} <= worlds
    assert all(any(w.startswith(family) for w in worlds) for family in many)


def test_the_readme_method_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert 0 <= names["report"]["recover.joint"].value <= 1
    assert "features recovered" in capsys.readouterr().out


def test_the_page_on_variables_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    text = (ROOT / "docs/variables.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "variables.md", "exec"), names)
    out = capsys.readouterr().out
    assert out.startswith("(1, 2, 3, 4)\n") and "length: 4 dimensions from blocks.0" in out
    assert names["report"]["cv.iia"].normalised > 0.2


class MySAE(torch.nn.Module):
    """What a newcomer brings: twelve lines that know nothing of this library."""

    def __init__(self, d: int, k: int) -> None:
        super().__init__()
        rows = torch.randn(k, d, generator=torch.Generator().manual_seed(0)) / d**0.5
        self.W_dec = torch.nn.Parameter(rows)
        self.W_enc = torch.nn.Parameter(rows.T.clone())

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        pre = x @ self.W_enc
        return pre.relu() * (pre >= pre.topk(5, dim=1).values[:, -1:])

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes @ self.W_dec


def test_the_readme_training_loop_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    lines = [line for line in block.splitlines() if line and not line.startswith("import")]
    assert len(lines) < 10
    # A tenth of the training shows that it runs.
    exec(compile(block.replace("n=300_000", "n=30_000"), "README.md", "exec"), {"MySAE": MySAE})
    out = capsys.readouterr().out
    assert "linear ceiling of joint recall" in out
    assert "sparse/small" in out.splitlines()[-1]


def test_the_versions_agree() -> None:
    import groundtruth

    assert f'version = "{groundtruth.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"version: {groundtruth.__version__}" in (ROOT / "CITATION.cff").read_text()
