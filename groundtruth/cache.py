"""A cache of computed arrays that can be lost, damaged or forbidden without harm.

Entries are addressed by the content of their description and verified whenever they are read.
Whatever is wrong with the cache, the arrays are computed instead.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from groundtruth import files, hashing
from groundtruth.errors import InputError, StoreError
from groundtruth.store import SCHEMA, Store, frozen, storable


class CacheWarning(UserWarning):
    """The cache could not be used; results are right but computed anew each time."""


def cache_dir() -> Path:
    """The folder of the cache; it need not exist.

    GROUNDTRUTH_CACHE, else groundtruth under XDG_CACHE_HOME, else ~/.cache/groundtruth. An empty
    variable counts as unset, and so does an XDG_CACHE_HOME that is not an absolute path.

    Raises:
        StoreError: no variable is set and this user has no home folder.

    Source: "XDG Base Directory Specification", 2021,
    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    try:
        if chosen := os.environ.get("GROUNDTRUTH_CACHE"):
            return Path(chosen).expanduser()
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (base if base.is_absolute() else Path.home() / ".cache") / "groundtruth"
    except RuntimeError as error:
        raise StoreError(f"The cache has no folder ({error}).") from error


def cached(
    key: str, compute: Callable[[], dict[str, np.ndarray]], *, description: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The arrays that `compute` returns, from the cache where it holds them undamaged.

    An unusable cache never fails the run: it is said once, as a `CacheWarning`. What `compute`
    itself raises is passed on.

    Args:
        key: what kind of thing it is, such as "oracle_codes"; any text.
        compute: called without arguments when the cache has no valid entry.
        description: plain JSON with everything the arrays depend on, including the hash of the
            testbed and the version of the code. What is left out here is never recomputed.

    Returns:
        Read-only arrays by name, the same whether computed or read.

    Raises:
        InputError: `key` or `description` is not plain JSON.

    Example:
        >>> import tempfile, unittest.mock
        >>> with unittest.mock.patch.dict(os.environ, GROUNDTRUTH_CACHE=tempfile.mkdtemp()):
        ...     first = cached("squares", lambda: {"x": np.arange(3) ** 2}, description={"n": 3})
        ...     again = cached("squares", lambda: {}, description={"n": 3})
        >>> again["x"]
        array([0, 1, 4])
    """
    files.check_plain("key", key)
    files.check_plain("description", description)
    address = hashing.digest([SCHEMA, key, description])
    try:
        return Store(cache_dir()).load(address).tensors()
    except StoreError:
        computed = compute()
    try:
        computed = storable(computed)
        Store(cache_dir()).save(address, {"key": key, "description": description}, computed)
    except (StoreError, InputError) as error:
        warnings.warn(_advice(key, error), CacheWarning, stacklevel=2)
    return frozen(computed)


def _advice(key: str, error: Exception) -> str:
    return (
        f"{key!r} was computed without the cache. {error} Set the environment variable "
        "GROUNDTRUTH_CACHE to a folder you can write to."
    )
