"""Provenance names everything that can move a number and nobody it belongs to."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import groundtruth
from groundtruth import files, hashing, provenance
from groundtruth.errors import Undefined
from groundtruth.provenance import Stopwatch, Usage, collect, environment_flags, git_state


def test_what_is_collected_is_plain_json_that_comes_back_equal() -> None:
    found = collect()
    files.check_plain("provenance", found)
    assert json.loads(hashing.canonical_json(found)) == found


def test_every_promised_field_is_there() -> None:
    found = collect()
    assert sorted(found) == [
        "blas", "cpu", "device", "environment", "git", "groundtruth", "libraries", "platform",
        "python", "threads",
    ]  # fmt: skip
    assert found["python"].endswith(platform.python_version())
    assert found["libraries"]["numpy"] == np.__version__
    assert found["libraries"]["scikit-learn"] == metadata.version("scikit-learn")
    assert found["cpu"]["count"] == os.cpu_count()
    assert found["cpu"]["model"]
    assert found["blas"]["name"]
    assert all(pool["num_threads"] >= 1 for pool in found["blas"]["pools"])


def test_no_user_host_or_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_TOOL_LIBRARIES", "/home/somebody/tool.so")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/somebody")
    monkeypatch.setenv("MKL_HOME", "C:\\Users\\somebody")
    monkeypatch.setattr(platform, "node", lambda: "somebodys-laptop")
    text = hashing.canonical_json(collect())
    for private in (str(Path.home()) + "/", str(Path.cwd()), "somebody", "somebodys-laptop"):
        assert private not in text


def test_the_flags_that_move_numbers_are_kept() -> None:
    given = {
        "OMP_NUM_THREADS": "4",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Haswell",
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "KMP_\udcff": "\udcff",
    }
    kept = environment_flags({**given, "PATH": "/bin", "SECRET_TOKEN": "x", "USER": "me"})
    del given["KMP_\udcff"]
    assert kept == {**given, "KMP_\\udcff": "\\udcff"}


def test_a_loaded_library_answers_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", SimpleNamespace(__version__="99.0"))
    assert collect()["libraries"]["scipy"] == "99.0"


def test_a_library_that_is_not_loaded_is_not_imported() -> None:
    code = (
        "import sys\nfrom groundtruth.provenance import collect\nfound = collect()\n"
        "print(*[n for n in ('torch', 'jax', 'sklearn') if n in sys.modules])\n"
        "print(found['libraries']['torch'], found['threads'], found['device'])"
    )
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output == f"\n{metadata.version('torch')} None {{'kind': 'cpu'}}\n"


def test_what_is_not_installed_is_none_and_we_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.delattr(groundtruth, "__version__", raising=False)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    found = collect()
    assert found["groundtruth"] == "unknown"
    assert found["libraries"]["jax"] is None


def fake_torch(initialised: bool) -> Any:
    cuda = SimpleNamespace(
        is_initialized=lambda: initialised,
        get_device_name=lambda: "H",
        device_count=lambda: 2,
    )
    return SimpleNamespace(
        __version__="9.9",
        cuda=cuda,
        version=SimpleNamespace(cuda="13.0"),
        get_num_threads=lambda: 3,
        get_num_interop_threads=lambda: 5,
        are_deterministic_algorithms_enabled=lambda: True,
    )


def test_torch_is_asked_for_threads_and_a_device_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(initialised=False))
    found = collect()
    assert found["threads"] == {"torch": 3, "torch_interop": 5, "deterministic": True}
    assert found["device"] == {"kind": "cpu"}
    monkeypatch.setitem(sys.modules, "torch", fake_torch(initialised=True))
    device = collect()["device"]
    assert device.pop("driver", "absent") != "absent"
    assert device == {"kind": "cuda", "name": "H", "count": 2, "cuda": "13.0"}


# --- git ------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package folder of a committed repository."""
    package = tmp_path / "repository" / "package"
    package.mkdir(parents=True)
    (package / "core.py").write_text("x = 1\n")
    (package / "notes.md").write_text("notes\n")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    return package


def test_the_commit_of_a_clean_checkout(checkout: Path) -> None:
    assert git_state(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize(
    ("name", "dirty"),
    [
        ("package/core.py", True),
        ("package/new.py", True),
        ("deep/er/new.py", True),
        ("pyproject.toml", True),
        ("package/notes.md", False),
        ("out/runs/ab.json", False),
    ],
)
def test_changed_code_is_dirty_and_other_files_are_not(
    checkout: Path, name: str, dirty: bool
) -> None:
    path = checkout.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed\n")
    state = git_state(checkout)
    assert state is not None
    assert state["dirty"] is dirty


def test_a_package_installed_inside_anothers_repository_has_no_commit(checkout: Path) -> None:
    installed = checkout.parent / "venv" / "package"
    shutil.copytree(checkout, installed)
    assert git_state(installed) is None


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "core.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path) is None


def test_no_repository_or_no_folder_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "core.py").write_text("x = 1\n")
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "missing") is None


def test_gits_own_variables_do_not_mislead(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_state(checkout) is not None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert git_state(checkout) is None


def test_a_git_that_hangs_is_given_up(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = checkout / "git"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(30)\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(checkout))
    monkeypatch.setattr(provenance, "_GIT_SECONDS", 0.2)
    began = time.monotonic()
    assert git_state(checkout) is None
    assert time.monotonic() - began < 5


# --- the stopwatch --------------------------------------------------------------------------


def test_sleeping_takes_wall_time_and_hardly_any_cpu_time() -> None:
    with Stopwatch() as watch:
        time.sleep(0.1)
    assert watch.usage.wall_seconds >= 0.1
    # 0.05 s is half the wall time; a sleep that burned the CPU would take all of it.
    assert watch.usage.cpu_seconds < 0.05


def test_the_cpu_time_and_memory_of_children_are_counted() -> None:
    code = "import time\nx = b'x' * 2**28\nwhile time.process_time() < .3: pass"
    with Stopwatch() as watch:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert watch.usage.cpu_seconds >= 0.3
    # In KiB taken for bytes this would be some 260 thousand; bytes taken for KiB, 270 billion.
    assert 2**28 <= watch.usage.peak_rss_bytes < 2**36


def test_start_and_end_are_utc() -> None:
    with Stopwatch() as watch:
        pass
    start, end = (datetime.fromisoformat(t) for t in (watch.usage.start, watch.usage.end))
    assert start.utcoffset() == timedelta(0) == end.utcoffset()
    assert start <= end


def test_fault_49_a_clock_that_goes_backwards_cannot_make_time_negative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stamps = iter(["2030-01-01T00:00:00.000+00:00", "2020-01-01T00:00:00.000+00:00"])
    monkeypatch.setattr(time, "time", lambda: -1e9)
    monkeypatch.setattr(provenance, "_utc", lambda: next(stamps))
    with Stopwatch() as watch:
        pass
    assert watch.usage.end < watch.usage.start
    assert 0 <= watch.usage.wall_seconds < 5
    assert watch.usage.cpu_seconds >= 0


def test_a_block_that_fails_is_measured_too() -> None:
    watch = Stopwatch()
    with pytest.raises(RuntimeError, match="in the block"), watch:
        raise RuntimeError("in the block")
    assert sorted(watch.usage.to_json()) == [
        "cpu_seconds", "end", "peak_rss_bytes", "start", "wall_seconds",
    ]  # fmt: skip
    files.check_plain("usage", watch.usage.to_json())


def test_usage_before_the_end_is_undefined() -> None:
    with Stopwatch() as watch, pytest.raises(Undefined, match="before the block has ended"):
        _ = watch.usage


def test_the_cost_of_a_part_is_taken_out() -> None:
    whole = Usage("a", "b", 3.0, 2.0, 5)
    assert whole.without(Usage("a", "b", 1.0, 0.5, 9)) == Usage("a", "b", 2.0, 1.5, 5)
    # Clocks are read one after the other: what is left of a whole is never below 0.
    assert whole.without(Usage("a", "b", 3.1, 2.0, 5)).wall_seconds == 0
