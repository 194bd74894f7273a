"""Imports run one way, and importing the package is light. Both checks are shown to fail."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "arrays",
        "seeds",
        "hashing",
        "magnitude",
        "slabs",
        "structure",
        "kin",
        "moments",
        "population",
        "manifold",
        "equivalence",
        "neighbours",
        "truth",
        "variable_truth",
        "alignment",
        "variable_pairs",
        "variable_subject",
        "variable_testbed",
        "mechanism_truth",
        "testbed",
        "explanation",
        "result",
        "references",
        "score_data",
        "guard",
        "outputs",
        "files",
        "store",
        "bundle",
        "cache",
        "lockfile",
        "provenance",
        "inference",
        "models",
        "universe",
        "condition",
        "circuit",
        "circuit_truth",
        "circuit_enumeration",
        "circuit_testbed",
        "model_preset",
        "paired_inputs",
        "model_subject",
        "output_metrics",
        "prediction",
        "predictor",
        "prediction_testbed",
        "structural_edges",
        "planted_network",
        "cause_truth",
        "trigger_truth",
        "probe_truth",
        "site_subject",
        "site_testbed",
        "vectors",
        "ranked_dictionary",
        "latent_edits",
        "steering_vector",
        "probe",
        "backdoor",
    ),
    ("adapters",),
    ("methods", "generators", "compiled_models", "evaluators"),
    ("ladder", "features", "circuit_rows", "prediction_rows", "variable_rows"),
    ("report",),
    ("claim_report",),
    ("catalogue",),
    ("cards",),
    ("trials",),
    ("consistency", "stitching", "evaluation", "suites"),
    ("reporting", "rescoring"),
    ("monitor", "descriptions"),
    ("jobs",),
    ("runner", "testing"),
    ("sweeps",),
    ("cli",),
    ("__main__", "__init__"),
)
"""Lowest first. A module may import from lower layers, and within its own noun. In the lowest
layer, the vocabulary, modules import one another freely."""

HEAVY = ("torch", "jax", "matplotlib", "sklearn", "hypothesis", "scipy", "typer", "rich")


def layer_of(noun: str) -> int:
    for level, nouns in enumerate(LAYERS):
        if noun in nouns:
            return level
    raise AssertionError(f"groundtruth.{noun} has no layer: add it to LAYERS")


def sources() -> list[tuple[str, Path]]:
    """(noun, file) of every module."""
    found = []
    for place in (ROOT / "groundtruth").iterdir():
        # rglob does not enter a link by itself; resolved, the linked folders are walked as well.
        files = place.resolve().rglob("*.py") if place.is_dir() else [place]
        noun = place.name.removesuffix(".py")
        found += [(noun, p) for p in files if p.suffix == ".py" and "__pycache__" not in p.parts]
    return sorted(found)


def imported(source: str) -> list[str]:
    """The nouns that a module of the package imports, also inside functions."""
    nouns: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "groundtruth":
            names = [f"groundtruth.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        nouns += [name.split(".")[1] for name in names if name.startswith("groundtruth.")]
    return nouns


def faults(noun: str, source: str) -> list[str]:
    """Imports of `noun` that run the wrong way."""
    level = layer_of(noun)
    wrong = []
    for other in imported(source):
        same_vocabulary = level == 0 and layer_of(other) == 0
        if other == noun or same_vocabulary or other.startswith("__version__"):
            continue
        if layer_of(other) >= level:
            wrong.append(f"{noun} imports {other}")
    return wrong


def test_imports_run_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {fault}"
        for noun, path in sources()
        for fault in faults(noun, path.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("noun", "source"),
    [
        ("truth", "from groundtruth.evaluators import score"),
        ("evaluators", "from groundtruth.methods import topk"),
        ("methods", "def late():\n    from groundtruth import generators"),
        ("generators", "import groundtruth.evaluators.floors"),
        ("catalogue", "from groundtruth.cli import main"),
    ],
)
def test_the_direction_check_catches(noun: str, source: str) -> None:
    assert faults(noun, source)


def test_every_module_was_walked() -> None:
    nouns = {noun for noun, _ in sources()}
    assert {"generators", "evaluators", "compiled_models", "methods", "cli"} <= nouns
    assert len(sources()) > 60


def loaded_after(statement: str) -> list[str]:
    """Which heavy libraries a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import groundtruth") == []


def test_importing_the_language_loads_nothing_heavy() -> None:
    assert loaded_after("from groundtruth.compiled_models import library") == []


def test_the_light_import_check_catches() -> None:
    assert "scipy" in loaded_after("import groundtruth; groundtruth.FeatureTruth")


def test_public_names_resolve_and_match_the_stub() -> None:
    import groundtruth as gt

    stub = ast.parse((ROOT / "groundtruth" / "__init__.pyi").read_text())
    declared = {
        alias.asname
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == set(gt.__all__)
    for name in gt.__all__:
        assert getattr(gt, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        _ = gt.evalute
