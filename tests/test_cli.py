"""Every command: what it prints and where, its exit code, and one message for each mistake.

Commands run in this process, through `main()`; two go through a real one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import groundtruth
from groundtruth import cli, runner
from groundtruth.catalogue import METHODS, TESTBEDS
from groundtruth.score_data import Scoring
from groundtruth.suites import SUITES
from groundtruth.trials import all_metrics

METHOD = '''
import numpy as np
import groundtruth as gt


def my_method(subject, *, seed, width=4):
    """Rows drawn at random."""
    rows = np.random.default_rng(seed).standard_normal((width, subject.d))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return gt.Dictionary(rows, lambda x: np.maximum(x @ rows.T - 0.3, 0))


def older_style(subject, seed, width=4):
    return my_method(subject, seed=seed, width=width)


def takes_anything(subject, *, seed, **parameters):
    return my_method(subject, seed=seed)


def broken(subject, *, seed):
    raise ValueError("no")


def interrupted(subject, *, seed):
    raise KeyboardInterrupt


def no_method(x):
    return x
'''
SMALL = (
    "--testbed=sparse/small",
    "--set=testbed.n_features=12",
    "--set=testbed.d=8",
    '--set=testbed.firing={"law": "constant", "probability": 0.05}',
)
MINE = "--method=my_cli_package.my_module:my_method"


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """call("list", "suites") -> (exit code, standard output, standard error)."""

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["groundtruth", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Answer(code or 0, out, err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a package of methods, and one that cannot be imported."""
    package = tmp_path / "my_cli_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_module.py").write_text(METHOD)
    (package / "broken_module.py").write_text("raise RuntimeError('not today')\n")
    (package / "needy_module.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    single = runner.single
    scoring = Scoring(n_select=512, n_score=512, n_positives=16)
    monkeypatch.setattr(runner, "single", lambda *a, **k: single(*a, **k, scoring=scoring))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_cli_package")]:
        del sys.modules[name]


def assert_mistake(answer: Answer, message: str) -> None:
    assert answer == Answer(2, "", f"error: {message}\n")


# --- list and describe ------------------------------------------------------------------------

NAMES = {
    "testbeds": list(TESTBEDS),
    "methods": list(METHODS),
    "metrics": list(all_metrics()),
    "suites": list(SUITES),
}


@pytest.mark.parametrize("kind", NAMES)
def test_list_names_everything_once(call: Any, kind: str) -> None:
    answer = call("list", kind)
    assert (answer.code, answer.err) == (0, "")
    assert sorted(line.split()[0] for line in answer.out.splitlines()) == sorted(NAMES[kind])


@pytest.mark.parametrize("kind", NAMES)
def test_list_as_json_holds_name_and_summary(call: Any, kind: str) -> None:
    answer = call("list", kind, "--json")
    entries = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert sorted(entry["name"] for entry in entries) == sorted(NAMES[kind])
    assert all(entry["summary"] for entry in entries)


def test_list_of_an_unknown_kind(call: Any) -> None:
    assert_mistake(call("list", "metric"), "No list is called 'metric'. Nearest: metrics.")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("sparse/small", "testbed"),
        ("recover.joint", "metric"),
        ("demo", "suite"),
        ("sae/topk", "method"),
        ("C0-random", "method"),
    ],
)
def test_describe_every_kind(call: Any, name: str, key: str) -> None:
    answer = call("describe", name)
    assert answer.code == 0 and all(line.startswith("[") for line in answer.err.splitlines())
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in answer.out.splitlines()}
    assert shown[key].strip() == name and shown["summary"]
    found = json.loads(call("describe", name, "--json").out)
    assert found[key] == name and set(found) == set(shown)


def test_describe_a_testbed_says_what_it_exposes_and_what_oracles_score(call: Any) -> None:
    found = json.loads(call("describe", "failure/one-of-each", "--json").out)
    assert found["planted_is_sparse_optimal"] is False
    assert "(16 latents): L0 1 instead of 2, L1 1.414 instead of 2" in found["sparser"]
    assert found["one_of_each"] == [list(range(8))]
    assert found["O0-identity"]["recover.joint"] == 1
    assert set(found["O1-prior"]) == set(found["O2*-linear"])
    brief = json.loads(call("describe", "failure/one-of-each", "--json", "--no-oracle").out)
    assert set(found) - set(brief) == {"O0-identity", "O1-prior", "O2*-linear"}


def test_describe_a_compiled_testbed_prints_what_is_planted_and_draws_it(
    call: Any, tmp_path: Path
) -> None:
    file = tmp_path / "square.svg"
    answer = call("describe", "compiled/square", "--no-oracle", "--svg", str(file))
    assert answer.code == 0
    assert "m0 neurons 0 to 2: square of tokens" in answer.out
    assert "1 expressions, 0 of which attend, 0 on one path; up to length 8 token" in answer.out
    assert "3 nodes besides the outputs, 5 edges, of which 2 structural" in answer.out
    assert "relevant: embed > m0, m0 > logits" in answer.out
    assert "    square = map(x * x, tokens)" in answer.out
    assert "agrees with the interpreter on" in answer.out
    assert file.read_text().startswith("<svg")
    assert_mistake(
        call("describe", "sparse/small", "--svg", str(file)),
        "--svg: expected a compiled testbed, such as compiled/reverse, got 'sparse/small'.",
    )


def test_describe_a_method_of_ones_own(call: Any, folder: Path) -> None:
    found = json.loads(call("describe", MINE.removeprefix("--method="), "--json").out)
    assert found == {
        "method": "my_cli_package.my_module:my_method",
        "kind": "method",
        "summary": "Rows drawn at random.",
        "parameters": {"width": 4},
    }


def test_describe_an_unknown_name(call: Any) -> None:
    assert_mistake(
        call("describe", "sae/topq"),
        "No testbed, method, metric or suite is called 'sae/topq'. Nearest: sae/topk, "
        "sae/batchtopk, sae/meta.",
    )


# --- run --------------------------------------------------------------------------------------


def test_run_a_method_from_the_working_folder(call: Any, folder: Path) -> None:
    answer = call("run", *SMALL, MINE, "--set=width=5", "--out=out")
    assert answer.code == 0
    assert answer.out.splitlines()[0] == "sparse/small"
    assert "my_cli_package.my_module:my_method" in answer.out
    assert answer.out.splitlines()[-1] == "report: out/report.html"
    assert (folder / "out" / "report.html").exists()
    assert answer.err.splitlines()[-1] == "[1/2] sparse/small n_features=12 d=8 seed 0: " + MINE[9:]
    again = call("run", *SMALL, MINE, "--set=width=5", "--out=out", "--json")
    assert again.err.splitlines()[-1] == "5 of 5 runs were stored already."
    records = json.loads(again.out)
    mine = next(r for r in records if r["method"]["name"] == MINE[9:])
    assert mine["method"]["parameters"] == {"width": 5} and mine["status"] == "ok"
    report = call("report", "out")
    assert (report.code, report.err) == (0, "")
    assert report.out == answer.out


def test_run_passes_parameters_to_methods_of_any_signature(call: Any, folder: Path) -> None:
    older = call(
        "run", *SMALL, MINE.replace("my_method", "older_style"), "--set=width=5", "--out=out"
    )
    assert older.code == 0
    anything = MINE.replace("my_method", "takes_anything")
    assert call("run", *SMALL, anything, "--set=testbed=5", "--out=out").code == 0


def test_run_of_a_failing_method_ends_with_one_and_says_so_each_time(
    call: Any, folder: Path
) -> None:
    arguments = ("run", *SMALL, MINE.replace("my_method", "broken"), "--out=out")
    line = (
        f"failed: sparse/small n_features=12 d=8 seed 0: {MINE[9:-9]}broken: the method raised "
        "ValueError: no"
    )
    first = call(*arguments)
    assert first.code == 1 and line in first.err.splitlines()
    again = call(*arguments)
    assert again.code == 1 and line in again.err.splitlines()
    assert again.err.splitlines()[-1] == "5 of 5 runs were stored already."


def test_run_that_is_interrupted_ends_with_130(call: Any, folder: Path) -> None:
    answer = call("run", *SMALL, MINE.replace("my_method", "interrupted"), "--out=out")
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == (
        "interrupted; finished runs are stored. The same command goes on from there."
    )


OUT = "--out=out"
MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "no out": (
        ("demo",),
        "run: expected --out DIR, the folder for results. Add it.",
    ),
    "nothing to run": (
        (OUT,),
        "run: expected a suite (groundtruth run demo --out DIR) or --testbed and --method "
        "(groundtruth run --testbed sparse/small --method sae/topk --out DIR).",
    ),
    "testbed alone": (
        (OUT, "--testbed=sparse/small"),
        "run: expected --method as well. See groundtruth run --help.",
    ),
    "method alone": (
        (OUT, "--method=sae/topk"),
        "run: expected --testbed as well. See groundtruth run --help.",
    ),
    "suite with seed": (
        ("demo", OUT, "--seed=1"),
        "run: --set and --seed go with --testbed and --method, not a suite.",
    ),
    "unknown suite": (("dem", OUT), "No suite is called 'dem'. Nearest: demo."),
    "unknown method": (
        (*SMALL, OUT, "--method=sae/topl"),
        "No method is called 'sae/topl'. Nearest: sae/topk, sae/batchtopk, sae/relu.",
    ),
    "negative seed": (
        (*SMALL, OUT, MINE, "--seed=-1"),
        "seed: expected a non-negative whole number, got -1. Pass for example seed=0.",
    ),
    "no jobs": (
        (*SMALL, OUT, MINE, "--jobs=0"),
        "jobs: expected a whole number >= 1, got 0.",
    ),
    "set without a value": (
        (*SMALL, OUT, MINE, "--set=width"),
        "--set: expected key=value, got 'width'. For example l0=20.",
    ),
    "set without a key": (
        (*SMALL, OUT, MINE, "--set==5"),
        "--set: expected key=value, got '=5'. For example l0=20.",
    ),
    "set to NaN": (
        (*SMALL, OUT, MINE, "--set=width=NaN"),
        "--set: expected a finite number or text, got 'width=NaN'.",
    ),
    "unknown parameter": (
        (*SMALL, OUT, MINE, "--set=widht=5"),
        "No parameter of my_cli_package.my_module:my_method is called 'widht'. Nearest: width.",
    ),
    "unknown parameter of the testbed": (
        (*SMALL, OUT, MINE, "--set=testbed.nfeatures=5"),
        "No parameter of sparse/small is called 'nfeatures'. Nearest: n_features.",
    ),
    "parameter of the wrong type": (
        (*SMALL, OUT, MINE, "--set=testbed.d=wide"),
        "d: expected a whole number >= 1, got 'wide'.",
    ),
    "seed as a parameter of the testbed": (
        (*SMALL, OUT, MINE, "--set=testbed.seed=5"),
        "sparse/small: seed is not a parameter of a world. Seeds are listed in "
        "WorldSpec(seeds=...), or given by --seed; name and source are the catalogue's.",
    ),
    "no such module": (
        (*SMALL, OUT, "--method=my_cli_package.no_module:my_method"),
        "method 'my_cli_package.no_module:my_method': there is no module "
        "'my_cli_package.no_module' in this folder or on the Python path. Run from the folder "
        "that holds it, or install it.",
    ),
    "no such function": (
        (*SMALL, OUT, MINE + "s"),
        "No function in my_cli_package.my_module is called 'my_methods'. Nearest: my_method, "
        "no_method.",
    ),
    "module that raises": (
        (*SMALL, OUT, "--method=my_cli_package.broken_module:my_method"),
        "method 'my_cli_package.broken_module:my_method': importing "
        "my_cli_package.broken_module raised RuntimeError: not today",
    ),
    "module that needs another": (
        (*SMALL, OUT, "--method=my_cli_package.needy_module:my_method"),
        "method 'my_cli_package.needy_module:my_method': importing it failed: No module named "
        "'a_library_that_is_not_there'",
    ),
    "no method": (
        (*SMALL, OUT, MINE.replace("my_method", "no_method")),
        "method: expected no_method to take (subject, *, seed), but it takes (x). Bind other "
        "parameters with functools.partial.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_run_answers_a_mistake_with_one_message_and_runs_nothing(
    call: Any, folder: Path, mistake: str
) -> None:
    arguments, message = MISTAKES[mistake]
    assert_mistake(call("run", *arguments), message)
    assert not (folder / "out").exists()


def test_run_refuses_parameters_of_a_ladder_row(call: Any, folder: Path) -> None:
    answer = call("run", *SMALL, OUT, "--method=C0-random", "--set=l0=3")
    assert answer.code == 2
    assert answer.err.startswith("error: No parameter of C0-random is called 'l0'. ")


def test_run_answers_an_unknown_testbed_with_the_nearest(call: Any, folder: Path) -> None:
    answer = call("run", "--testbed=sparse/smal", MINE, OUT)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: No testbed is called 'sparse/smal'. Nearest: sparse/small")


def test_run_into_a_file_is_refused(call: Any, folder: Path) -> None:
    (folder / "taken").touch()
    answer = call("run", *SMALL, MINE, "--out=taken")
    assert answer.code == 2
    assert "A file stands where a folder is needed: choose another folder." in answer.err


def test_usage_errors_end_with_two(call: Any) -> None:
    assert call("list").code == 2
    assert call("run", "--jobs=many").code == 2
    assert call("no-such-command").code == 2


# --- report -----------------------------------------------------------------------------------


def test_report_on_a_missing_folder(call: Any, folder: Path) -> None:
    assert_mistake(
        call("report", "nowhere"),
        "report: there is no folder nowhere. Run a suite with --out first.",
    )


def test_report_on_an_empty_folder(call: Any, folder: Path) -> None:
    (folder / "empty").mkdir()
    assert_mistake(
        call("report", "empty"),
        "report: expected at least one run, got none. Make some with `groundtruth run SUITE --out "
        "DIR`, then report on that folder.",
    )


def test_report_names_the_files_it_leaves_out(call: Any, folder: Path) -> None:
    call("run", *SMALL, MINE, OUT)
    path = sorted((folder / "out" / "runs").glob("*.json"))[0]
    path.write_text("{}")
    answer = call("report", "out")
    assert answer.code == 0
    assert answer.err.startswith(f"left out {path.name}: ")


# --- the program itself -----------------------------------------------------------------------


def test_version(call: Any) -> None:
    assert call("--version") == Answer(0, f"{groundtruth.__version__}\n", "")


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "groundtruth", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{groundtruth.__version__}\n"


def test_a_mistake_in_a_real_process_is_one_line_on_standard_error(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "groundtruth", "report", "nowhere"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "error: report: there is no folder nowhere. Run a suite with --out first.\n"
    )


def test_a_schedulers_signal_interrupts_like_a_key_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "groundtruth", "run", "--testbed", "sparse/orthonormal"]
    command += ["--method", "sae/topk", "--set", "n_samples=5000000", "--out", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        # Well within the training, which takes minutes.
        assert any(" 10%" in line for line in running.stderr)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=120) == 130
    assert list((tmp_path / "checkpoints").glob("*.pt"))
