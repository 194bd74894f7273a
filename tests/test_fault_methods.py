"""Faults in methods: what one does is recorded against it, and the suite goes on, once per run."""

from __future__ import annotations

import os
import random
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth.errors import ExplanationError, InputError, MethodError
from groundtruth.runner import Ran, run_suite
from groundtruth.score_data import Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec, Suite, WorldSpec

SCORING = Scoring(n_select=512, n_score=512, n_positives=16)
PARAMETERS: dict[str, Any] = {
    "n_features": 12,
    "d": 8,
    "firing": {"law": "constant", "probability": 0.05},
}
ROWS = ("O0-identity", "C0-random")

METHODS = '''
import os
import random
import warnings
from pathlib import Path

import numpy as np
import torch

import groundtruth as gt


def _note(name):
    """Leave a trace of this execution, wherever it happens."""
    with open(os.environ["EXECUTIONS"], "a") as file:
        file.write(name + "\\n")


def _claim(subject, seed, **settings):
    rows = np.random.default_rng(seed).standard_normal((12, subject.d)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    encode = settings.pop("encode", lambda x: np.maximum(x @ rows.T - 0.3, 0))
    return gt.Dictionary(rows, encode, **settings)


def good(subject, *, seed):
    """A method without faults."""
    _note("good")
    return _claim(subject, seed)


def better(subject, *, seed, shift=0.0):
    _note("better")
    x = subject.sample(64, seed=seed).numpy()
    return gt.Dictionary(x + np.float32(shift), lambda y: np.maximum(y @ x.T - 0.3, 0))


def raises(subject, *, seed):
    _note("raises")
    raise ZeroDivisionError("the loss is 0 / 0")


def exits(subject, *, seed):
    _note("exits")
    raise SystemExit(3)


def interrupted(subject, *, seed):
    _note("interrupted")
    if not Path(os.environ["EXECUTIONS"] + ".again").exists():
        raise KeyboardInterrupt
    return _claim(subject, seed)


def returns_none(subject, *, seed):
    pass


def returns_tuple(subject, *, seed):
    return np.eye(subject.d), None


def returns_array(subject, *, seed):
    return torch.eye(subject.d)


def returns_dict(subject, *, seed):
    return {"W_dec": np.eye(subject.d), "b_dec": np.zeros(subject.d)}


def not_unit(subject, *, seed):
    return gt.Dictionary(2 * np.eye(subject.d), unit_norm=True)


def transposed(subject, *, seed):
    return gt.Dictionary(np.ones((subject.d, 5)))


def encode_raises(subject, *, seed):
    def encode(x):
        raise RuntimeError("out of cheese")

    return _claim(subject, seed, encode=encode)


def fails_late(subject, *, seed):
    calls = []

    def encode(x):
        calls.append(len(x))
        if len(calls) > 5:
            raise OSError("the checkpoint has gone")
        return np.ones((len(x), 12))

    return _claim(subject, seed, encode=encode)


class _Lazy(torch.nn.Module):
    @property
    def W_dec(self):
        raise OSError("the checkpoint has gone")

    def encode(self, x):
        return x


def lazy(subject, *, seed):
    return _Lazy()


def mutates(subject, *, seed):
    rows = np.eye(subject.d, dtype=np.float32)

    def encode(x):
        codes = np.maximum(x @ rows.T, 0)
        x *= 0
        return codes

    return gt.Dictionary(rows, encode)


def mutates_samples(subject, *, seed):
    x = subject.sample(2000, seed=seed)
    x.zero_()
    for batch in subject.batches(100, n=300, seed=seed):
        batch.zero_()
    return _claim(subject, seed)


def views(subject, *, seed):
    return gt.Dictionary(np.eye(subject.d), lambda x: x, signed=True)


def nondeterministic(subject, *, seed):
    rng = np.random.default_rng(seed)
    return _claim(subject, seed, encode=lambda x: rng.random((len(x), 12)))


def batch_topk(subject, *, seed):
    rows = np.eye(subject.d, dtype=np.float32)

    def encode(x):
        dense = np.maximum(x @ rows.T, 0)
        return np.where(dense >= np.sort(dense.ravel())[-len(x)], dense, 0)

    return gt.Dictionary(rows, encode)


def messy(subject, *, seed):
    random.random()
    np.random.rand()
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    os.chdir("/")
    os.environ["GROUNDTRUTH_CACHE"] = "/nowhere"
    torch.rand(1)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    return _claim(subject, seed)
'''


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a module of faulty methods that can be imported, here and in child processes."""
    folder = tmp_path_factory.mktemp("methods")
    (folder / "faulty_methods_under_test.py").write_text(textwrap.dedent(METHODS))
    sys.path.insert(0, str(folder))
    yield "faulty_methods_under_test"
    sys.path.remove(str(folder))
    sys.modules.pop("faulty_methods_under_test", None)


@pytest.fixture
def executions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which methods note each execution."""
    path = tmp_path / "executions"
    path.touch()
    monkeypatch.setenv("EXECUTIONS", str(path))
    return path


def counted(executions: Path) -> Counter[str]:
    return Counter(executions.read_text().split())


def suite_of(module: str, *methods: str, seeds: tuple[int, ...] = (0,)) -> Suite:
    specs = tuple(MethodSpec(f"{module}:{name}") for name in methods)
    worlds = (WorldSpec("sparse/small", specs, seeds, PARAMETERS, 2000),)
    return Suite("tiny", 1, "for tests", worlds, rows=ROWS, scoring=SCORING)


def record_of(ran: Ran, name: str) -> dict[str, Any]:
    return next(r for r in ran.records if r["method"]["name"].endswith(f":{name}"))


def by_run(ran: Ran) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["method"]["name"], r["seed"]): r["results"] for r in ran.records}


FAILURES = {
    "raises": (
        "ZeroDivisionError",
        "the method raised ZeroDivisionError: the loss is 0 / 0",
    ),
    "exits": ("SystemExit", "the method raised SystemExit: 3"),
    "returns_none": (
        "ExplanationError",
        "A method must return a Dictionary, got None. Return gt.Dictionary(decoder=directions, "
        "encode=function); is a return statement missing?",
    ),
    "returns_tuple": (
        "ExplanationError",
        "A method must return a Dictionary, got tuple. Return gt.Dictionary(decoder=directions, "
        "encode=function).",
    ),
    "returns_array": (
        "ExplanationError",
        "A method must return a Dictionary, got a torch array. Return gt.Dictionary(decoder=array) "
        "with one row per direction.",
    ),
    "returns_dict": (
        "ExplanationError",
        "A method must return a Dictionary, got a dict with keys 'W_dec', 'b_dec'. Return "
        "gt.Dictionary(decoder=directions, encode=function) with its entries.",
    ),
    "not_unit": (
        "ExplanationError",
        "decoder: declared unit_norm=True, but row 0 has norm 2 (8 of 8 rows). Divide the rows by "
        "their norms (and multiply the codes), or drop unit_norm.",
    ),
    "transposed": (
        "ExplanationError",
        "decoder: expected shape (k, 8) for this testbed, got (8, 5). The decoder looks "
        "transposed: pass decoder=W.T.",
    ),
    "encode_raises": ("RuntimeError", "encode raised RuntimeError: out of cheese"),
    "fails_late": ("OSError", "encode raised OSError: the checkpoint has gone"),
    "lazy": (
        "OSError",
        "_Lazy: reading it as a Dictionary raised OSError: the checkpoint has gone. Return "
        "gt.Dictionary(decoder=directions, encode=function) instead.",
    ),
}


@pytest.fixture(scope="module")
def failed(
    module: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Suite, Path, Ran]]:
    """One suite of every method that fails, and one at its end that does not."""
    folder = tmp_path_factory.mktemp("failures")
    os.environ["EXECUTIONS"] = str(folder / "executions")
    suite = suite_of(module, *FAILURES, "good")
    yield suite, folder / "out", run_suite(suite, folder / "out")
    del os.environ["EXECUTIONS"]


@pytest.mark.parametrize("name", FAILURES)
def test_29_a_failure_is_recorded_with_its_traceback(
    name: str, failed: tuple[Suite, Path, Ran]
) -> None:
    record = record_of(failed[2], name)
    kind, message = FAILURES[name]
    assert record["status"] == "failed"
    assert (record["error"]["type"], record["error"]["message"]) == (kind, message)
    assert record["error"]["traceback"].startswith("Traceback (most recent call last):")
    assert (
        f"sparse/small n_features=12 d=8 seed 0: faulty_methods_under_test:{name}: {message}"
        in failed[2].failures
    )


@pytest.mark.parametrize("name", FAILURES)
def test_29_a_failed_run_counts_at_the_floor(name: str, failed: tuple[Suite, Path, Ran]) -> None:
    results = record_of(failed[2], name)["results"]
    identity = next(r for r in failed[2].records if r["method"]["name"] == "O0-identity")
    assert set(results) == set(identity["results"])
    for metric, result in results.items():
        assert result["status"] == "failed" and result["reason"].startswith("the run failed: ")
        assert result["value"] == result["floor"] == identity["results"][metric]["floor"]


def test_29_the_suite_goes_on_after_failures(failed: tuple[Suite, Path, Ran]) -> None:
    good = record_of(failed[2], "good")
    assert good["status"] == "ok" and good["error"] is None
    assert len(failed[2].failures) == len(FAILURES)
    assert len(failed[2].records) == len(FAILURES) + 1 + len(ROWS)


def test_29_a_stored_failure_is_told_again_and_not_run_again(
    failed: tuple[Suite, Path, Ran],
) -> None:
    suite, out, first = failed
    before = counted(out.parent / "executions")
    again = run_suite(suite, out)
    assert counted(out.parent / "executions") == before
    assert again.n_reused == len(again.records)
    assert again.failures == first.failures


@pytest.mark.parametrize(
    ("name", "kind"),
    [("raises", MethodError), ("exits", MethodError), ("lazy", ExplanationError)],
)
def test_29_evaluate_raises_a_named_error_with_the_cause(
    module: str, executions: Path, name: str, kind: type[Exception]
) -> None:
    method = getattr(__import__(module), name)
    with pytest.raises(kind) as caught:
        gt.evaluate(gt.build("sparse/small", **PARAMETERS), method, scoring=SCORING)
    assert str(caught.value) == FAILURES[name][1]
    assert type(caught.value.__cause__).__name__ == FAILURES[name][0]


def test_34_to_38_what_a_method_does_is_flagged(
    module: str, executions: Path, tmp_path: Path
) -> None:
    expected = {
        "mutates": ["mutates_input"],
        "mutates_samples": [],  # samples are copies: nobody else sees them
        "views": [],
        "nondeterministic": ["nondeterministic"],
        "batch_topk": ["batch_dependent"],
        "messy": [
            "changed python random state",
            "changed numpy random state",
            "changed numpy error settings",
            "changed warning filters",
            "changed working folder",
            "changed environment variables",
            "changed torch random state",
            "changed torch default dtype",
            "changed torch default device",
            "changed torch gradient mode",
            "changed torch thread count",
        ],
        "good": [],
    }
    states = [
        random.getstate,
        lambda: np.random.get_state()[1].tolist(),  # type: ignore[index]  # noqa: NPY002
        np.geterr,
        lambda: list(warnings.filters),
        Path.cwd,
        lambda: dict(os.environ),
        lambda: torch.get_rng_state().tolist(),
        torch.get_default_dtype,
        torch.get_default_device,
        torch.is_grad_enabled,
        torch.get_num_threads,
    ]
    before = [state() for state in states]
    ran = run_suite(suite_of(module, *expected), tmp_path / "out")
    assert [state() for state in states] == before
    assert {name: record_of(ran, name)["flags"] for name in expected} == expected
    assert {record["status"] for record in ran.records} == {"ok"}


def test_34_edited_samples_change_nobody_elses(module: str) -> None:
    world = gt.build("sparse/small", **PARAMETERS)
    before = world.subject.sample(2000, seed=0)
    __import__(module).mutates_samples(world.subject, seed=0)
    assert torch.equal(world.subject.sample(2000, seed=0), before)


def test_48_an_interrupted_suite_loses_nothing_and_goes_on(
    module: str, executions: Path, tmp_path: Path
) -> None:
    suite, out = suite_of(module, "good", "interrupted", "better"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, out)
    stored = {run.key for run in Store(out).records()}
    assert counted(executions) == {"good": 1, "interrupted": 1}
    assert len(stored) == len(ROWS) + 1
    assert Store(out).damaged() == [] and not list(out.glob("**/*.lock"))
    Path(f"{executions}.again").touch()
    ran = run_suite(suite, out)
    assert counted(executions) == {"good": 1, "interrupted": 2, "better": 1}
    assert ran.n_reused == len(stored)
    assert stored < {run.key for run in Store(out).records()}
    assert ran.failures == [] and {record["status"] for record in ran.records} == {"ok"}


def test_two_processes_give_the_numbers_of_one(
    module: str, executions: Path, tmp_path: Path
) -> None:
    suite = suite_of(module, "good", "better", seeds=(0, 1))
    one = run_suite(suite, tmp_path / "one")
    two = run_suite(suite, tmp_path / "two", jobs=2)
    assert by_run(one) == by_run(two)
    assert len(one.records) == 2 * (2 + len(ROWS))
    assert counted(executions) == {"good": 4, "better": 4}


def _deleted(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", [_deleted, _truncated, _flipped])
def test_only_a_damaged_run_is_done_again(
    module: str, executions: Path, tmp_path: Path, damage: Any, ending: str
) -> None:
    suite, out = suite_of(module, "good", "better"), tmp_path / "out"
    first = run_suite(suite, out)
    key = next(
        run.key for run in Store(out).records() if run.record["method"]["name"].endswith(":good")
    )
    others = {p: p.stat().st_mtime_ns for p in out.glob("runs/*") if p.stem != key}
    damage(out / "runs" / f"{key}{ending}")
    again = run_suite(suite, out)
    assert counted(executions) == {"good": 2, "better": 1}
    assert again.n_reused == len(again.records) - 1
    assert by_run(again) == by_run(first)
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_another_parameter_or_an_edited_source_is_another_run(
    module: str, executions: Path, tmp_path: Path
) -> None:
    def suite(parameters: dict[str, Any]) -> Suite:
        spec = MethodSpec(f"{module}:better", parameters)
        worlds = (WorldSpec("sparse/small", (spec,), (0,), PARAMETERS, 2000),)
        return Suite("tiny", 1, "", worlds, rows=ROWS, scoring=SCORING)

    out = tmp_path / "out"
    run_suite(suite({}), out, lock=False)
    assert run_suite(suite({"shift": 1.0}), out, lock=False).n_reused == len(ROWS)
    assert run_suite(suite({}), out, lock=False).n_reused == len(ROWS) + 1
    source = Path(sys.modules[module].__file__ or "")
    text = source.read_text()
    try:
        source.write_text(text + "\n# edited\n")
        assert run_suite(suite({}), out, lock=False).n_reused == len(ROWS)
    finally:
        source.write_text(text)
    assert counted(executions) == {"better": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"testbed": "sparse/smal"},
            r"No testbed is called 'sparse/smal'\. Nearest: sparse/small.*",
        ),
        (
            {"methods": (MethodSpec("C0-random"),)},
            "C0-random is a row of the ladder, made from the testbed and not by a method; list it "
            r"under rows\.",
        ),
        (
            {"methods": (MethodSpec("sae/topk", {"widht": 3}),)},
            r"No parameter of sae/topk is called 'widht'\. Nearest: width\.",
        ),
        (
            {"methods": (MethodSpec("sae/topk", {"seed": 3}),)},
            r"No parameter of sae/topk is called 'seed'\. .*",
        ),
        (
            {"parameters": {"seed": 3}},
            r"sparse/small: seed is not a parameter of a world\. Seeds are listed in "
            r"WorldSpec\(seeds=\.\.\.\), or given by --seed; name and source are the catalogue's\.",
        ),
        ({"seeds": (-1,)}, r"seed: expected a non-negative whole number, got -1\. .*"),
    ],
)
def test_a_wrong_suite_is_refused_before_anything_runs(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    world = WorldSpec(
        **{"testbed": "sparse/small", "methods": (), "parameters": PARAMETERS, **changes}
    )
    with pytest.raises((InputError, gt.GroundtruthError), match=f"^{message}$"):
        run_suite(Suite("tiny", 1, "", (world,), scoring=SCORING), tmp_path / "out")
    assert not (tmp_path / "out").exists()
