"""A results folder belongs to one manifest, fixed before the first result."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from groundtruth import files, hashing, lockfile
from groundtruth.errors import HashMismatch, InputError, StoreError
from groundtruth.lockfile import check_lock, read_lock, write_lock
from groundtruth.store import Store

MANIFEST = {"suite": "tiny", "seeds": [0, 1], "thresholds": {"tau": 0.9}, "note": "naïve"}


def lock_file(folder: Path) -> Path:
    return folder / "suite.lock.json"


def test_the_lock_is_the_hash_of_its_content(tmp_path: Path) -> None:
    sha256 = write_lock(tmp_path / "out", MANIFEST)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["suite.lock.json"]
    document = json.loads(lock_file(tmp_path / "out").read_bytes())
    assert document.pop("self_hash") == sha256
    assert document == {"schema": 1, "manifest": MANIFEST}
    text = hashing.canonical_json(document)
    assert hashlib.sha256(text.encode()).hexdigest() == sha256


def test_the_same_manifest_passes_in_any_order_and_is_written_once(tmp_path: Path) -> None:
    sha256 = write_lock(tmp_path, MANIFEST)
    before = lock_file(tmp_path).stat()
    turned = dict(reversed(MANIFEST.items()))
    Store(tmp_path).save("ab", {}, {})
    assert check_lock(tmp_path, turned) == write_lock(tmp_path, turned) == sha256
    assert lock_file(tmp_path).stat().st_mtime_ns == before.st_mtime_ns
    assert lock_file(tmp_path).stat().st_ino == before.st_ino
    assert read_lock(tmp_path)["manifest"] == MANIFEST


@pytest.mark.parametrize("call", [write_lock, check_lock])
def test_another_suite_in_the_same_folder_is_refused(tmp_path: Path, call: Any) -> None:
    sha256 = write_lock(tmp_path, MANIFEST)
    with pytest.raises(
        StoreError,
        match=rf"this folder holds results of suite 'tiny' with lock {sha256[:12]}, got suite "
        r"'large' with lock [0-9a-f]{12} \(they differ in: seeds, suite\); use another --out\.",
    ):
        call(tmp_path, {**MANIFEST, "suite": "large", "seeds": [0]})
    assert check_lock(tmp_path, MANIFEST) == sha256


@pytest.mark.parametrize("seeds", [[0, 1.0], [False, 1], [0, 1, None], [1, 0]])
def test_manifests_that_only_look_equal_differ(tmp_path: Path, seeds: list[Any]) -> None:
    write_lock(tmp_path, MANIFEST)
    with pytest.raises(StoreError, match="they differ in: seeds"):
        check_lock(tmp_path, {**MANIFEST, "seeds": seeds})


def test_a_removed_field_is_a_difference(tmp_path: Path) -> None:
    write_lock(tmp_path, {**MANIFEST, "extra": None})
    with pytest.raises(StoreError, match="they differ in: extra"):
        check_lock(tmp_path, MANIFEST)


@pytest.mark.parametrize("call", [write_lock, check_lock])
def test_fault_56_a_lock_altered_after_the_results_is_found(tmp_path: Path, call: Any) -> None:
    write_lock(tmp_path, MANIFEST)
    Store(tmp_path).save("ab", {}, {})
    text = lock_file(tmp_path).read_text("utf-8")
    lock_file(tmp_path).write_text(text.replace("0.9", "0.5"), "utf-8")
    for manifest in (MANIFEST, {**MANIFEST, "thresholds": {"tau": 0.5}}):
        with pytest.raises(
            HashMismatch,
            match=r"suite\.lock\.json: its self_hash promises .* altered or damaged .*"
            r"Restore the original lock, or use another --out\.",
        ):
            call(tmp_path, manifest)


def test_fault_56_a_lock_altered_together_with_its_hash_is_another_lock(tmp_path: Path) -> None:
    write_lock(tmp_path, MANIFEST)
    altered = {**MANIFEST, "thresholds": {"tau": 0.5}}
    lock_file(tmp_path).write_bytes(files.seal({"schema": 1, "manifest": altered}))
    with pytest.raises(StoreError, match="they differ in: thresholds"):
        check_lock(tmp_path, MANIFEST)


def test_fault_56_a_lock_that_vanished_after_the_results_is_not_made_again(tmp_path: Path) -> None:
    write_lock(tmp_path, MANIFEST)
    Store(tmp_path).save("ab", {}, {})
    lock_file(tmp_path).unlink()
    with pytest.raises(StoreError, match=r"the folder already holds results.*use another --out"):
        write_lock(tmp_path, MANIFEST)
    with pytest.raises(StoreError, match=r"suite\.lock\.json: cannot be read .*Restore"):
        check_lock(tmp_path, MANIFEST)
    assert not lock_file(tmp_path).exists()


def test_fault_43_and_44_every_truncation_and_flip_is_found(tmp_path: Path) -> None:
    write_lock(tmp_path, MANIFEST)
    whole = lock_file(tmp_path).read_bytes()
    for at in range(len(whole)):
        flipped = whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]
        for content in (whole[:at], flipped):
            lock_file(tmp_path).write_bytes(content)
            with pytest.raises(StoreError, match="Restore the original lock"):
                check_lock(tmp_path, MANIFEST)


def test_fault_51_a_newer_lock_is_refused(tmp_path: Path) -> None:
    lock_file(tmp_path).write_bytes(files.seal({"schema": 3, "suite": "moved"}))
    with pytest.raises(
        StoreError,
        match=r"written by a newer version \(schema 3, this version reads up to 1\); upgrade",
    ):
        check_lock(tmp_path, MANIFEST)


@pytest.mark.parametrize(
    "body", [{"schema": 1, "manifest": {}}, {"schema": 1}, {"schema": 1, "manifest": {"suite": 1}}]
)
def test_a_lock_without_a_suite_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    lock_file(tmp_path).write_bytes(files.seal(body))
    with pytest.raises(StoreError, match="expected a manifest that names its suite"):
        check_lock(tmp_path, MANIFEST)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({}, "manifest: expected the suite's name under 'suite', got {}"),
        ({"suite": 3}, "expected the suite's name under 'suite'"),
        ([], "expected the suite's name under 'suite'"),
        ({"suite": "tiny", "tau": math.nan}, r"manifest\.tau: nan is no JSON number"),
        ({"suite": "tiny", "seeds": (0, 1)}, r"manifest\.seeds: expected a JSON value, got tuple"),
    ],
)
def test_bad_manifests_are_refused_and_nothing_is_written(
    tmp_path: Path, manifest: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_lock(tmp_path / "out", manifest)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_fault_45_a_full_disk_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreError, match=r"No space left on device.*Free some space"):
            write_lock(tmp_path, MANIFEST)
    assert list(tmp_path.iterdir()) == []
    assert write_lock(tmp_path, MANIFEST)


RACE = """
import sys
from groundtruth.errors import StoreError
from groundtruth.lockfile import write_lock
print("ready", flush=True)
sys.stdin.readline()
try:
    print(write_lock(sys.argv[1], {"suite": sys.argv[2]}))
except StoreError:
    print("refused")
"""


def test_of_two_suites_started_together_one_gets_the_folder(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), suite],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for suite in ("first", "second")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0].strip() for process in processes]
    assert said.count("refused") == 1
    winner = "first" if said[1] == "refused" else "second"
    assert check_lock(tmp_path, {"suite": winner}) in said


def test_a_runner_that_stays_too_long_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "_PATIENCE", 0.05)
    guard = tmp_path / ".suite.lock.json.guard"
    with (
        files.held(guard),
        pytest.raises(StoreError, match=r"\.guard: another runner holds it; try again later"),
    ):
        write_lock(tmp_path, MANIFEST)
