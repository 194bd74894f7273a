"""The cache saves time when it can and never changes or fails a result."""

from __future__ import annotations

import errno
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from groundtruth.cache import CacheWarning, cache_dir, cached
from groundtruth.errors import InputError

Arrays = dict[str, np.ndarray]


class Counter:
    """A computation that counts its calls."""

    def __init__(self, arrays: Arrays | None = None) -> None:
        self.calls = 0
        self.arrays = {"x": np.arange(6.0).reshape(2, 3).T} if arrays is None else arrays

    def __call__(self) -> Arrays:
        self.calls += 1
        return self.arrays


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, which does not exist yet."""
    monkeypatch.setenv("GROUNDTRUTH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fetch(compute: Callable[[], Arrays], **description: Any) -> list[Any]:
    return cached("codes", compute, description=description)["x"].tolist()


EXPECTED = [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_a_second_call_reads_what_the_first_computed(folder: Path) -> None:
    compute = Counter()
    assert fetch(compute, world="ab") == EXPECTED
    assert fetch(compute, world="ab") == EXPECTED
    assert compute.calls == 1
    assert len(list(folder.rglob("*.safetensors"))) == 1


def test_another_key_or_description_is_computed_anew(folder: Path) -> None:
    compute = Counter()
    fetch(compute, world="ab")
    fetch(compute, world="cd")
    fetch(compute, world="ab", seed=0)
    cached("other", compute, description={"world": "ab"})
    assert compute.calls == 4


def test_computed_and_read_arrays_are_alike(folder: Path) -> None:
    compute = Counter({"b": np.arange(3, dtype=">i4"), "a": np.array(1.5)})
    computed = cached("codes", compute, description={})
    read = cached("codes", compute, description={})
    assert compute.calls == 1
    assert list(computed) == list(read) == ["a", "b"]
    for name in read:
        assert computed[name].dtype == read[name].dtype
        assert computed[name].shape == read[name].shape
        assert not computed[name].flags.writeable
        assert not read[name].flags.writeable
    assert compute.arrays["a"].flags.writeable


@pytest.mark.parametrize("ending", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "not UTF-8"])
def test_fault_44_a_damaged_entry_is_recomputed_and_rewritten(
    folder: Path, ending: str, damage: str
) -> None:
    compute = Counter()
    fetch(compute)
    (path,) = folder.rglob(f"*.{ending}")
    whole = path.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    if damage == "missing":
        path.unlink()
    else:
        content = {"truncated": whole[:-1], "flipped": flipped, "not UTF-8": b"\xff" + whole}
        path.write_bytes(content[damage])
    assert fetch(compute) == EXPECTED
    assert compute.calls == 2
    assert path.read_bytes() == whole
    assert fetch(compute) == EXPECTED
    assert compute.calls == 2


def assert_works_uncached(match: str) -> None:
    """Two calls give the right answer, each with exactly one warning."""
    compute = Counter()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert fetch(compute) == EXPECTED
        (warning,) = caught
        assert warning.category is CacheWarning
        assert warning.filename == __file__
        text = str(warning.message)
        assert text.startswith("'codes' was computed without the cache. ")
        assert match in text
        assert text.endswith(
            "Set the environment variable GROUNDTRUTH_CACHE to a folder you can write to."
        )
    assert compute.calls == 2


def test_fault_54_a_file_in_place_of_the_folder_means_no_cache(folder: Path) -> None:
    folder.write_text("a file")
    assert_works_uncached("A file stands where a folder is needed")
    assert folder.read_text() == "a file"


@pytest.mark.parametrize("call", ["mkdir", "open", "write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_fault_54_a_folder_that_cannot_be_written_means_no_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    assert_works_uncached(os.strerror(number))
    assert not list(folder.rglob("*.tmp"))


def test_fault_54_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GROUNDTRUTH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert_works_uncached("The cache has no folder (Could not determine home directory.)")


def test_arrays_that_cannot_be_stored_are_returned_with_a_warning(folder: Path) -> None:
    compute = Counter({"x": np.array([1 + 2j])})
    with pytest.warns(CacheWarning, match="got complex128"):
        assert fetch(compute) == [1 + 2j]


def test_what_the_computation_raises_is_passed_on(folder: Path) -> None:
    def broken() -> NoReturn:
        raise ZeroDivisionError("in the computation")

    with pytest.raises(ZeroDivisionError, match="in the computation"):
        cached("codes", broken, description={})


def test_a_description_that_is_not_json_is_refused_before_anything_is_computed(
    folder: Path,
) -> None:
    compute = Counter()
    with pytest.raises(InputError, match=r"description\.scale: nan is no JSON number"):
        fetch(compute, scale=math.nan)
    with pytest.raises(InputError, match="key: expected a JSON value, got bytes"):
        cached(b"codes", compute, description={})  # pyright: ignore[reportArgumentType]
    assert compute.calls == 0


@pytest.mark.parametrize("key", ["", "../../escape", "é/日本", "k" * 10_000, "a\0b"])
def test_fault_53_any_text_is_a_key_and_stays_inside_the_folder(folder: Path, key: str) -> None:
    compute = Counter()
    for _ in range(2):
        cached(key, compute, description={})
    assert compute.calls == 1
    assert len(list(folder.rglob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [
        ("/a/b", "/x", "/a/b"),
        ("~/b", "/x", "/home/me/b"),
        ("", "/x", "/x/groundtruth"),
        (None, "/x", "/x/groundtruth"),
        (None, "relative", "/home/me/.cache/groundtruth"),
        (None, "", "/home/me/.cache/groundtruth"),
        (None, None, "/home/me/.cache/groundtruth"),
    ],
)
def test_the_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, own: str | None, xdg: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in (("GROUNDTRUTH_CACHE", own), ("XDG_CACHE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)
