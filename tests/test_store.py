"""The store keeps whole runs or none, whatever happens to its files, its disk or its clock."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from groundtruth import files, hashing
from groundtruth.errors import HashMismatch, InputError, StoreError
from groundtruth.result import Metric, Result, undefined
from groundtruth.store import NewerSchemaError, Store, storable

KEY, OTHER = "ab12", "cd34"
RECORD = {"method": "sparse autoencoder", "score": 0.25, "low": None, "étiquette": "naïve"}
TENSORS = {"per_feature": np.linspace(0, 1, 7), "données": np.arange(6).reshape(2, 3)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that holds OTHER."""
    store = Store(tmp_path / "out")
    store.save(OTHER, {"score": 1.0}, {"x": np.ones(2)})
    return store


def json_file(store: Store, key: str = KEY) -> Path:
    return store.runs / f"{key}.json"


def tensor_file(store: Store, key: str = KEY) -> Path:
    return store.runs / f"{key}.safetensors"


def assert_only_other(store: Store) -> None:
    """OTHER is as it was, KEY is absent, and nothing half-written is left."""
    assert store.load(OTHER).record == {"score": 1.0}
    assert store.load(OTHER).tensors()["x"].tolist() == [1.0, 1.0]
    assert [run.key for run in store.records()] == [OTHER]
    assert KEY not in store
    assert not list(store.runs.glob(".*"))


# --- round trip -----------------------------------------------------------------------------


def test_a_saved_run_comes_back_equal_and_read_only(store: Store) -> None:
    store.save(KEY, RECORD, TENSORS)
    run = store.load(KEY)
    assert run.record == RECORD
    assert {n: (a.dtype, a.tolist()) for n, a in run.tensors().items()} == {
        n: (a.dtype, a.tolist()) for n, a in TENSORS.items()
    }
    with pytest.raises(ValueError, match="read-only"):
        run.tensors()["per_feature"][0] = 2


def test_saving_creates_the_folder_and_reading_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b")
    assert list(store.records()) == [] == store.damaged()
    assert not (tmp_path / "a").exists()
    store.save(KEY, RECORD, {})
    assert store.load(KEY).tensors() == {}


def test_saving_again_replaces_the_run(store: Store) -> None:
    store.save(KEY, RECORD, TENSORS)
    store.save(KEY, {"score": 2}, {})
    assert store.load(KEY).record == {"score": 2}
    assert store.is_complete(KEY)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.text(max_size=8), plain, max_size=4),
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__"),
        hnp.arrays(
            st.sampled_from([np.bool_, np.int8, np.int64, np.uint8, np.float16, np.float64, ">f4"]),
            hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3),
        ),
        max_size=3,
    ),
)
def test_p28_what_is_stored_parses_to_an_equal_value(
    record: dict[str, Any], tensors: dict[str, np.ndarray]
) -> None:
    # Shrinks to an empty record without tensors.
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.save(KEY, record, tensors)
        run = store.load(KEY)
        assert hashing.canonical_json(run.record) == hashing.canonical_json(record)
        assert run.record == record
        found = run.tensors()
        assert sorted(found) == sorted(tensors)
        for name, array in tensors.items():
            assert found[name].shape == array.shape
            assert found[name].dtype == array.dtype.newbyteorder("<")
            np.testing.assert_array_equal(found[name], array)
        json.loads(json_file(store).read_text("utf-8"), parse_constant=pytest.fail)


number = st.floats(0, 1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(value=st.none() | number, floor=st.none() | number, limit=st.floats())
def test_p28_results_come_back_equal_with_none_and_status(
    value: float | None, floor: float | None, limit: float
) -> None:
    # Shrinks to an undefined result without a floor.
    metric = Metric("recover.joint", 1, "share", "max", (0.0, math.inf), "feature")
    result = (
        undefined(metric, "no feature fired", limit=limit)
        if value is None
        else Result(metric, value, low=None, floor=floor, parameters={"limit": limit})
    )
    with tempfile.TemporaryDirectory() as folder:
        Store(folder).save(KEY, result.to_json(), {})
        found = Store(folder).load(KEY).record
        assert "NaN" not in json_file(Store(folder)).read_text("utf-8")
        assert "Infinity" not in json_file(Store(folder)).read_text("utf-8")
    assert found == result.to_json()
    assert Result.from_json(found, metric).to_json() == result.to_json()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(6)[::-2],
        np.asfortranarray(np.ones((2, 3)) * [1, 2, 3]),
        np.array(3.5),
        np.zeros((0, 4), np.float16),
        np.arange(3, dtype=">i4"),
        np.broadcast_to(np.arange(3), (2, 3)),
    ],
    ids=["transposed", "reversed", "fortran", "scalar", "empty", "big-endian", "broadcast"],
)
def test_arrays_keep_their_numbers_however_they_lie_in_memory(
    store: Store, array: np.ndarray
) -> None:
    store.save(KEY, {}, {"a": array})
    found = store.load(KEY).tensors()["a"]
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["", "../ab", "AB", "ab/cd", "ab.json", "a" * 129, "é", "ab\n", "ab\0", b"ab", None]
)
def test_fault_53_only_hexadecimal_keys_are_accepted(store: Store, key: Any) -> None:
    for call in (
        lambda: store.save(key, {}, {}),
        lambda: store.load(key),
        lambda: store.is_complete(key),
        lambda: key in store,
        lambda: store.lock(key),
    ):
        with pytest.raises(InputError, match="key: expected 1 to 128 lowercase hexadecimal"):
            call()


def test_fault_53_the_longest_key_is_stored(store: Store) -> None:
    with store.lock("f" * 128) as mine:
        store.save("f" * 128, RECORD, TENSORS)
    assert mine
    assert "f" * 128 in store


def test_fault_53_odd_file_names_are_reported_and_do_no_harm(store: Store) -> None:
    odd = [b"\xff\xfe.json", "naïve.json".encode(), b"n" * 200 + b".json", b"AB.json", b"a b.json"]
    for name in odd:
        (store.runs / os.fsdecode(name)).write_bytes(b"{}")
    (store.runs / "._ab.json").write_bytes(b"left by a desktop")
    damaged = store.damaged()
    assert sorted(os.fsencode(path.name) for path, _ in damaged) == sorted(odd)
    assert all("the name is no key" in reason for _, reason in damaged)
    assert "".join(reason for _, reason in damaged).encode()
    assert [run.key for run in store.records()] == [OTHER]


def test_fault_53_odd_tensor_names_come_back(store: Store) -> None:
    odd = {"": 1, "n" * 10_000: 2, "a\0b": 3, "é/../\u202e": 4, "日本": 5}
    store.save(KEY, {}, {name: np.array([value]) for name, value in odd.items()})
    assert {name: int(a[0]) for name, a in store.load(KEY).tensors().items()} == odd


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"a": [0, math.nan]}, r"record\.a\[1\]: nan is no JSON number"),
        ({"a": -math.inf}, r"record\.a: -inf is no JSON number"),
        ({"a": (1, 2)}, r"record\.a: expected a JSON value, got tuple"),
        ({"a": np.float32(1)}, r"record\.a: expected a JSON value, got float32"),
        ({1: 2}, "record: expected text as keys, got 1"),
        ({"a": "\ud800"}, r"record\.a: '\\ud800' is not valid Unicode"),
        ({"\ud800": 1}, r"a key: '\\ud800' is not valid Unicode"),
        ({"a": 10**5000}, r"record\.a: expected a whole number below 2\*\*4096"),
    ],
)
def test_values_that_json_would_change_are_refused_by_place(
    store: Store, record: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message + r".*hashing\.jsonable\(record\)"):
        store.save(KEY, record, {})
    assert_only_other(store)


def test_every_bad_value_is_named_at_once(store: Store) -> None:
    with pytest.raises(InputError, match=r"record\.a: nan .*; record\.b: inf "):
        store.save(KEY, {"a": math.nan, "b": math.inf}, {})


def test_endless_nesting_is_refused(store: Store) -> None:
    record: dict[str, Any] = {}
    record["self"] = record
    with pytest.raises(InputError, match="record: expected nesting of a few levels"):
        store.save(KEY, record, {})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.ones(2, complex)}, "'a': expected bool, .* got complex128"),
        ({"a": np.array([None])}, "'a': expected bool, .* got object"),
        ({"a": np.array(["x"])}, "'a': expected bool, .* got <U1"),
        ({"a": np.ma.masked_array([1.0], [True])}, "'a': .* plain numpy array, got MaskedArray"),
        ({"a": [1.0]}, "'a': expected a plain numpy array, got list"),
        ({"__metadata__": np.ones(1)}, "'__metadata__' cannot be a name"),
        ({"\ud800": np.ones(1)}, "is not valid Unicode"),
    ],
)
def test_tensors_that_would_not_come_back_are_refused(
    store: Store, tensors: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        store.save(KEY, {}, tensors)
    assert_only_other(store)


def test_saving_does_not_touch_the_arrays_it_is_given() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    before = array.tobytes(), array.flags.writeable
    storable({"a": array})
    assert (array.tobytes(), array.flags.writeable) == before


# --- damage ---------------------------------------------------------------------------------


def test_fault_43_every_truncation_of_the_record_counts_as_absent(store: Store) -> None:
    store.save(KEY, RECORD, TENSORS)
    whole = json_file(store).read_bytes()
    for size in range(len(whole)):
        json_file(store).write_bytes(whole[:size])
        assert KEY not in store, size
    with pytest.raises(StoreError, match=r"ab12\.json: its self_hash|ab12\.json: not JSON"):
        store.load(KEY)
    assert [path.name for path, _ in store.damaged()] == ["ab12.json"]
    store.save(KEY, RECORD, TENSORS)
    assert store.load(KEY).record == RECORD
    assert store.damaged() == []


def test_fault_43_every_truncation_of_the_tensors_counts_as_absent(store: Store) -> None:
    store.save(KEY, RECORD, TENSORS)
    whole = tensor_file(store).read_bytes()
    for size in range(0, len(whole), 5):
        tensor_file(store).write_bytes(whole[:size])
        assert KEY not in store, size
        with pytest.raises(HashMismatch, match=r"expected SHA-256 .* cut short; run the suite"):
            store.load(KEY).tensors()


def test_fault_43_a_record_without_its_tensors_counts_as_absent(store: Store) -> None:
    store.save(KEY, RECORD, TENSORS)
    tensor_file(store).unlink()
    assert KEY not in store
    with pytest.raises(StoreError, match=r"ab12\.safetensors: cannot be read"):
        store.load(KEY).tensors()
    assert [(p.name, "cannot be read" in why) for p, why in store.damaged()] == [
        ("ab12.json", True)
    ]


@pytest.mark.parametrize("bit", [0, 5])
def test_fault_44_a_flipped_bit_at_any_byte_of_the_record_is_found(store: Store, bit: int) -> None:
    store.save(KEY, {**RECORD, "large": 1e30, "none": None}, TENSORS)
    whole = json_file(store).read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << bit
        json_file(store).write_bytes(changed)
        with pytest.raises(StoreError, match=r"ab12\.json"):
            store.load(KEY)
        assert KEY not in store


@pytest.mark.parametrize("bit", [2, 7])
def test_fault_44_a_flipped_bit_at_any_byte_of_the_tensors_is_found(store: Store, bit: int) -> None:
    store.save(KEY, RECORD, TENSORS)
    whole = tensor_file(store).read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << bit
        tensor_file(store).write_bytes(changed)
        assert KEY not in store
        with pytest.raises(HashMismatch, match=r"ab12\.safetensors: expected SHA-256"):
            store.load(KEY).tensors()


def test_fault_44_the_message_says_what_was_promised_and_found(store: Store) -> None:
    store.save(KEY, RECORD, TENSORS)
    text = json_file(store).read_text("utf-8")
    promised = json.loads(text)["self_hash"]
    json_file(store).write_text(text.replace("0.25", "0.99"), "utf-8")
    with pytest.raises(
        HashMismatch,
        match=rf"promises {promised[:12]}, its content has [0-9a-f]{{12}}\. It was altered",
    ):
        store.load(KEY)


def test_the_same_json_in_another_spelling_is_refused(store: Store) -> None:
    store.save(KEY, RECORD, {})
    document = json.loads(json_file(store).read_bytes())
    json_file(store).write_text(json.dumps(document, indent=1), "utf-8")
    with pytest.raises(HashMismatch):
        store.load(KEY)


def test_a_run_under_another_key_is_refused(store: Store) -> None:
    json_file(store, OTHER).rename(json_file(store))
    with pytest.raises(HashMismatch, match=r"ab12\.json: holds the run 'cd34'"):
        store.load(KEY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON, or cut short"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "expected a JSON object with self_hash"),
        (b'{"self_hash": 3}', "expected a JSON object with self_hash"),
        (b'{"a": NaN, "self_hash": "x"}', "NaN is no JSON number"),
        (b'{"a": "\\ud800", "self_hash": "x"}', "not plain JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (files.seal({"schema": 1, "key": KEY}), "expected record and tensors_sha256"),
        (files.seal({"schema": True}), "expected a schema number, got True"),
        (files.seal({"schema": 0}), "expected a schema number, got 0"),
        (files.seal({}), "expected a schema number, got None"),
    ],
)
def test_what_is_no_record_is_damaged_with_its_reason(
    store: Store, content: bytes, message: str
) -> None:
    json_file(store).write_bytes(content)
    with pytest.raises(StoreError, match=rf"ab12\.json: .*{message}"):
        store.load(KEY)
    assert KEY not in store
    assert [run.key for run in store.records()] == [OTHER]
    assert [message in why for _, why in store.damaged()] == [True]


def test_a_huge_record_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(KEY, {"text": "x" * 500}, {})
    monkeypatch.setattr(files, "JSON_LIMIT", 400)
    with pytest.raises(StoreError, match=r"ab12\.json: expected at most 400 bytes, got more"):
        store.load(KEY)
    with pytest.raises(InputError, match="record: expected at most 400 bytes, got 7"):
        store.save(KEY, {"text": "x" * 500}, {})


def test_a_pipe_or_a_folder_in_place_of_a_record_is_damaged(store: Store) -> None:
    os.mkfifo(json_file(store))
    (store.runs / "ef56.json").mkdir()
    assert KEY not in store
    assert "ef56" not in store
    reasons = sorted(why for _, why in store.damaged())
    assert "ab12.json: expected a plain file, got something else" in reasons[0]
    assert "ef56.json" in reasons[1]


def test_fault_51_a_newer_schema_is_refused_and_never_overwritten(store: Store) -> None:
    body = {"schema": 3, "key": KEY, "record": RECORD, "something": "new"}
    json_file(store).write_bytes(files.seal(body))
    message = (
        r"written by a newer version \(schema 3, this version reads up to 1\); upgrade groundtruth"
    )
    for call in (
        lambda: store.load(KEY),
        lambda: store.is_complete(KEY),
        lambda: store.save(KEY, RECORD, {}),
    ):
        with pytest.raises(NewerSchemaError, match=message):
            call()
    assert json_file(store).read_bytes() == files.seal(body)
    assert ["newer version" in why for _, why in store.damaged()] == [True]


# --- the disk -------------------------------------------------------------------------------


def fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize(
    ("number", "fix"),
    [(errno.ENOSPC, "Free some space there"), (errno.EROFS, "The disk is read-only")],
)
def test_fault_45_a_full_or_read_only_disk_leaves_everything_as_it_was(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int, fix: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, lambda *_, **__: fail(number))
        with pytest.raises(StoreError, match=rf"ab12\..*{os.strerror(number)}.*{fix}") as caught:
            store.save(KEY, RECORD, TENSORS)
    assert "Nothing that was stored before is changed." in str(caught.value)
    assert_only_other(store)
    store.save(KEY, RECORD, TENSORS)
    assert KEY in store


@pytest.mark.parametrize("written", range(0, 3))
def test_fault_45_a_disk_that_fills_up_while_a_run_is_replaced_keeps_the_old_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    store.save(KEY, RECORD, TENSORS)
    write, calls = os.write, []

    def fill(handle: int, data: memoryview) -> int:
        calls.append(handle)
        return write(handle, data[:40]) if len(calls) <= written else fail(errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        with pytest.raises(StoreError, match="No space left on device"):
            store.save(KEY, {"score": 2}, {})
    assert store.load(KEY).record == RECORD
    assert sorted(store.load(KEY).tensors()) == sorted(TENSORS)
    assert not list(store.runs.glob(".*"))


def test_fault_45_an_interrupted_replacement_is_never_read_as_a_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(KEY, RECORD, TENSORS)
    replace, calls = os.replace, []

    def second_fails(*paths: Any) -> None:
        calls.append(paths)
        return replace(*paths) if len(calls) == 1 else fail(errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", second_fails)
        with pytest.raises(StoreError):
            store.save(KEY, {"score": 2}, {})
    assert KEY not in store
    assert [run.key for run in store.records()] == [OTHER]


def test_content_reaches_the_disk_before_its_name_and_the_tensors_before_the_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace, said = os.fsync, os.replace, []

    def synced(handle: int) -> None:
        said.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def renamed(source: Path, target: Path) -> None:
        said.append(Path(target).suffix)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    store.save(KEY, RECORD, TENSORS)
    assert said == ["file", "file", ".safetensors", "folder", ".json", "folder"]


def test_a_file_system_that_cannot_sync_a_folder_is_accepted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def picky(handle: int) -> None:
        return fail(errno.EINVAL) if stat.S_ISDIR(os.fstat(handle).st_mode) else fsync(handle)

    monkeypatch.setattr(os, "fsync", picky)
    store.save(KEY, RECORD, TENSORS)
    assert KEY in store


def test_a_file_in_place_of_the_folder_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    store = Store(tmp_path / "out")
    with pytest.raises(StoreError, match="A file stands where a folder is needed"):
        store.save(KEY, {}, {})
    with pytest.raises(StoreError, match="cannot be listed"):
        list(store.records())
    with pytest.raises(StoreError, match="A file stands"), store.lock(KEY):
        pytest.fail("the lock cannot be had")


def test_interruption_leaves_no_temporary_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.save(KEY, RECORD, TENSORS)
    assert_only_other(store)


# --- other processes ------------------------------------------------------------------------


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs `code` with `store` = Store(arguments[0])."""
    head = "import os, sys, time\nimport numpy as np\nfrom groundtruth.store import Store\n"
    return subprocess.Popen(
        [sys.executable, "-c", f"{head}store = Store(sys.argv[1])\n{code}", *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str], kill: bool = False) -> None:
    """End the process and wait for it, so that its number is free."""
    if kill:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


HOLD = """
with store.lock("ab12") as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_fault_46_a_second_runner_does_not_get_a_key_that_is_held(store: Store) -> None:
    first = child(HOLD, str(store.path))
    assert line_of(first) == "True"
    with store.lock(KEY) as mine, store.lock(OTHER) as other:
        assert not mine
        assert other
    assert (store.runs / "ab12.lock").exists()
    finish(first)
    assert not (store.runs / "ab12.lock").exists()
    with store.lock(KEY) as mine:
        assert mine


def test_fault_46_the_lock_of_a_killed_runner_is_taken_over(store: Store) -> None:
    first = child(HOLD, str(store.path))
    assert line_of(first) == "True"
    first.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # dead, and its number still taken
    with store.lock(KEY) as mine, store.lock(KEY) as again:
        assert (mine, again) == (True, False)
    finish(first)
    assert not (store.runs / "ab12.lock").exists()


CONTEND = """
print("ready", flush=True)
sys.stdin.readline()
for i in range(20):
    with store.lock("ab12") as mine:
        if mine:
            with open(sys.argv[2], "a") as log:
                log.write("in\\n"); log.flush()
                time.sleep(0.001)
                log.write("out\\n")
            store.save("ab12", {"writer": os.getpid()}, {"x": np.full(500, os.getpid())})
"""


def test_fault_46_two_runners_never_hold_the_same_key_at_once(store: Store, tmp_path: Path) -> None:
    (store.runs / "ab12.lock").write_text(dead_owner())
    runners = [child(CONTEND, str(store.path), str(tmp_path / "log")) for _ in range(2)]
    assert [line_of(runner) for runner in runners] == ["ready", "ready"]
    for runner in runners:
        assert runner.stdin is not None
        runner.stdin.write("\n")
        runner.stdin.flush()
    for runner in runners:
        finish(runner)
        assert runner.returncode == 0
    log = (tmp_path / "log").read_text().split()
    assert log[0::2] == ["in"] * (len(log) // 2)
    assert log[1::2] == ["out"] * (len(log) // 2)
    run = store.load(KEY)
    assert set(run.tensors()["x"]) == {run.record["writer"]}


def test_threads_of_one_process_exclude_each_other(store: Store) -> None:
    (store.runs / "ab12.lock").write_text(dead_owner())
    won, gate = [], threading.Barrier(8)

    def contend() -> None:
        gate.wait()
        with store.lock(KEY) as mine:
            won.append(mine)
            gate.wait()

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


STALL = """
os.replace = lambda *_: (print("staged", flush=True), time.sleep(60))
store.save("ab12", {"score": 3}, {"x": np.ones(3)})
"""
STALL_SECOND = """
replace, calls = os.replace, []
def stall(*paths):
    calls.append(paths)
    if len(calls) == 1:
        return replace(*paths)
    print("staged", flush=True)
    time.sleep(60)
os.replace = stall
store.save("ab12", {"score": 3}, {"x": np.ones(3)})
"""


@pytest.mark.parametrize("code", [STALL, STALL_SECOND], ids=["no rename", "one rename"])
def test_fault_47_a_kill_before_the_rename_leaves_only_files_that_are_cleaned(
    store: Store, code: str
) -> None:
    runner = child(code, str(store.path))
    assert line_of(runner) == "staged"
    left = set(store.runs.glob(".*.tmp"))
    assert left
    Store(store.path).save("ef56", {}, {})
    assert left <= set(store.runs.iterdir()), "a live writer's files must stay"
    finish(runner, kill=True)
    assert KEY not in store
    assert sorted(run.key for run in store.records()) == [OTHER, "ef56"]
    assert store.damaged() == []
    fresh = Store(store.path)
    fresh.save(KEY, RECORD, TENSORS)
    assert not list(store.runs.glob(".*"))
    assert fresh.load(KEY).record == RECORD


def test_files_of_others_that_look_temporary_are_kept(store: Store) -> None:
    theirs = store.runs / ".editor.tmp"
    theirs.write_text("not ours")
    os.utime(theirs, (0, 0))
    Store(store.path).save(KEY, {}, {})
    assert theirs.exists()


def dead_owner() -> str:
    """What a process of this host that has ended called itself."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host, _, _ = files.owner().split("-")
    return f"{host}-{process.pid}-1"


@pytest.mark.parametrize(
    ("text", "age", "taken"),
    [
        (lambda: dead_owner(), 0, True),
        (lambda: files.owner(), 10**6, False),
        (lambda: files.owner().rpartition("-")[0] + "-1", 0, True),
        (lambda: files.owner().rpartition("-")[0] + "-", 0, False),
        (lambda: f"{'0' * 12}-1-1", 0, False),
        (lambda: f"{'0' * 12}-1-1", 86_300, False),
        (lambda: f"{'0' * 12}-1-1", 86_500, True),
        (lambda: f"{'0' * 12}-1-1", -(10**6), False),
        (lambda: "", 0, False),
        (lambda: "", 86_500, True),
        (lambda: "x" * 200, 86_500, True),
        (lambda: "\xff garbled", 0, False),
    ],
    ids=[
        "dead", "ours", "number reused", "start unknown", "other host", "other host nearly a day",
        "other host after a day", "from the future", "empty", "old and empty", "old and long",
        "garbled",
    ],
)  # fmt: skip
def test_only_abandoned_locks_are_taken_over(
    store: Store, text: Any, age: float, taken: bool
) -> None:
    lock = store.runs / "ab12.lock"
    lock.write_text(text(), "latin-1")
    then = time.time() - age
    os.utime(lock, (then, then))
    with store.lock(KEY) as mine:
        assert mine is taken
        assert (lock.read_text("latin-1") == files.owner()) is (taken or text() == files.owner())
    assert lock.exists() is not taken


def test_a_lock_that_is_released_while_it_is_examined_is_made_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = store.runs / "ab12.lock"
    lock.write_text(dead_owner())

    def released(*_: Any) -> bool:
        lock.unlink()
        return True

    monkeypatch.setattr(files, "is_abandoned", released)
    with store.lock(KEY) as mine:
        assert mine
        assert lock.read_text() == files.owner()


def test_a_full_disk_leaves_no_empty_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: fail(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"ab12\.lock.*Free some space"), store.lock(KEY):
            pytest.fail("the lock cannot be had")
    assert not (store.runs / "ab12.lock").exists()


def test_the_lock_is_released_when_the_block_fails(store: Store) -> None:
    with pytest.raises(RuntimeError, match="in the block"), store.lock(KEY):
        raise RuntimeError("in the block")
    assert not (store.runs / "ab12.lock").exists()


def test_a_forked_child_does_not_release_its_parents_lock(store: Store) -> None:
    code = 'with store.lock("ab12"):\n if os.fork() == 0: pass\n else: os.wait(); print("held")\n'
    tail = 'print(os.path.exists(sys.argv[1] + "/runs/ab12.lock"), flush=True)\n'
    runner = child(code + tail, str(store.path))
    output, _ = runner.communicate(timeout=30)
    assert output.split() == ["True", "held", "False"]


def test_fault_49_a_clock_that_goes_backwards_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [2e9]

    def backwards() -> float:
        now[0] -= 1e6
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    for key in ("03", "02", "01"):
        with store.lock(key) as mine, store.lock(key) as second:
            assert (mine, second) == (True, False)
            store.save(key, {"key": key}, TENSORS)
    (store.runs / "ab12.lock").write_text(dead_owner())
    with store.lock(KEY) as mine:
        assert mine
    assert [run.key for run in store.records()] == ["01", "02", "03", OTHER]
    assert store.damaged() == []
