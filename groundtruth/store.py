"""The store: one JSON file and one tensor file per run, under a key that names the run.

    runs/<key>.safetensors   written first
    runs/<key>.json          {"schema", "key", "record", "tensors_sha256", "self_hash"}
    checkpoints/<key>.pt     a training that is under way; gone when it has finished

The JSON is written last and holds the tensors' hash, so a valid JSON file implies complete
tensors. Whatever is cut short or altered counts as absent, and a resumed suite does it again.
Merging two stores is copying their files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from groundtruth import files
from groundtruth.errors import HashMismatch, InputError, StoreError, reject

SCHEMA = 1
TENSOR_LIMIT = 16 * 2**30
_KEY = re.compile(r"[0-9a-f]{1,128}")
_DTYPES = frozenset(
    ["b1", "c8", "f2", "f4", "f8", *(f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8))]
)


class NewerSchemaError(StoreError):
    """A valid file of a later version, which this one can neither read nor may overwrite."""


@dataclass(frozen=True)
class StoredRun:
    """One run as it was stored.

    Fields:
        key: its name in the store.
        record: the plain JSON that was saved.
        tensors_path: the file beside it.
        tensors_sha256: what that file must hash to.
    """

    key: str
    record: dict[str, Any]
    tensors_path: Path
    tensors_sha256: str

    def tensors(self) -> dict[str, np.ndarray]:
        """The saved arrays, read-only, after their hash is checked.

        Raises:
            HashMismatch: the file was altered or cut short.
            StoreError: the file is missing or cannot be read.
        """
        data = files.read_bytes(self.tensors_path, TENSOR_LIMIT)
        self._compare(hashlib.sha256(data).hexdigest())
        try:
            return frozen(load_safetensors(data))
        except SafetensorError as error:
            where = files.shown(self.tensors_path)
            raise StoreError(f"{where}: expected safetensors, got {error}.") from error

    def verify(self) -> None:
        """Check the tensors' hash without loading them.

        Raises:
            StoreError: as `tensors`.
        """
        try:
            with self.tensors_path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            where = files.shown(self.tensors_path)
            raise StoreError(f"{where}: cannot be read ({error.strerror}).") from error
        self._compare(found)

    def _compare(self, found: str) -> None:
        if found != self.tensors_sha256:
            raise HashMismatch(
                f"{files.shown(self.tensors_path)}: expected SHA-256 {self.tensors_sha256[:12]}, "
                f"got {found[:12]}. The file was altered or cut short; run the suite again with "
                "the same --out to redo this run."
            )


class Store:
    """The runs of one folder.

    Example:
        >>> import tempfile
        >>> store = Store(tempfile.mkdtemp())
        >>> store.save("ab12", {"score": 0.5}, {"per_feature": np.ones(3)})
        >>> run = store.load("ab12")
        >>> run.record, run.tensors()["per_feature"].shape
        ({'score': 0.5}, (3,))
        >>> [run.key for run in store.records()], "cd34" in store
        (['ab12'], False)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.runs = self.path / "runs"
        self._swept = False

    def checkpoint(self, key: str) -> Path:
        """Where the training of run `key` is saved while it is under way."""
        return self.path / "checkpoints" / self._path(key, ".pt").name

    def save(self, key: str, record: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        """Store a run; one that is already there under `key` is replaced.

        Args:
            key: lowercase hexadecimal.
            record: plain JSON; a number that is not defined is None.
            tensors: arrays of any shape by name, in a dtype that safetensors knows.

        Raises:
            InputError: the key, a value in the record or a tensor cannot be stored.
            NewerSchemaError: a later version's run is stored under `key`.
            StoreError: the files cannot be written; what was there is unchanged, unless the disk
                failed between the two renames of a replacement, which then counts as absent.
        """
        files.check_plain("record", record)
        path, tensors_path = self._path(key, ".json"), self._path(key, ".safetensors")
        self._refuse_newer(key)
        packed = save_safetensors(storable(tensors))
        sealed = files.seal(
            {
                "schema": SCHEMA,
                "key": key,
                "record": record,
                "tensors_sha256": hashlib.sha256(packed).hexdigest(),
            }
        )
        _check_size("record", len(sealed), files.JSON_LIMIT)
        _check_size("tensors", len(packed), TENSOR_LIMIT)
        self._sweep()
        files.write_in_order([(tensors_path, packed), (path, sealed)])

    def load(self, key: str) -> StoredRun:
        """The run stored under `key`; its tensors are checked when they are asked for.

        Raises:
            InputError: not a key.
            HashMismatch: the record was altered.
            NewerSchemaError: a later version wrote it.
            StoreError: it is missing or damaged.
        """
        path = self._path(key, ".json")
        body = files.read_sealed(path)
        _check_schema(path, body.get("schema"))
        record, sha256 = body.get("record"), body.get("tensors_sha256")
        if not isinstance(record, dict) or not isinstance(sha256, str):
            raise StoreError(f"{files.shown(path)}: expected record and tensors_sha256.")
        if body.get("key") != key:
            raise HashMismatch(f"{files.shown(path)}: holds the run {body.get('key')!r}.")
        return StoredRun(key, record, self._path(key, ".safetensors"), sha256)

    def is_complete(self, key: str) -> bool:
        """Whether `key` is stored whole; False for what is absent, cut short or altered.

        Raises:
            InputError: not a key.
            NewerSchemaError: a later version wrote it; redoing it would destroy that run.
        """
        try:
            self.load(key).verify()
        except NewerSchemaError:
            raise
        except StoreError:
            return False
        return True

    def __contains__(self, key: str) -> bool:
        return self.is_complete(key)

    def records(self) -> Iterator[StoredRun]:
        """Every complete run, sorted by key; see `damaged` for the others."""
        for path in files.names(self.runs, ".json"):
            if isinstance(run := self._read(path), StoredRun):
                yield run

    def damaged(self) -> list[tuple[Path, str]]:
        """Every record file that cannot be used, with the reason."""
        read = [(path, self._read(path)) for path in files.names(self.runs, ".json")]
        return [(path, fault) for path, fault in read if isinstance(fault, str)]

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold `key` against other runners while the block runs.

        True when acquired: ask `is_complete` again then, for the run may have been finished a
        moment ago. False, at once, while another live process holds it: skip it or come back.
        A lock whose process is dead is taken over; one from another host after a day, so a run
        that takes longer may be done twice, and is still stored whole.

        Raises:
            InputError: not a key.
            StoreError: the lock file cannot be written.
        """
        return files.held(self._path(key, ".lock"))

    def _path(self, key: str, ending: str) -> Path:
        # Keys become file names: nothing but hexadecimal, so none can leave the folder.
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            expected = "1 to 128 lowercase hexadecimal digits"
            raise reject("key", key, expected, "Use groundtruth.hashing.digest(description).")
        return self.runs / f"{key}{ending}"

    def _read(self, path: Path) -> StoredRun | str:
        """The run in the file `path`, or what is wrong with it."""
        if not _KEY.fullmatch(path.stem):
            return f"{files.shown(path)}: the name is no key (lowercase hexadecimal)."
        try:
            run = self.load(path.stem)
            run.verify()
        except StoreError as error:
            return str(error)
        return run

    def _refuse_newer(self, key: str) -> None:
        try:
            self.load(key)
        except NewerSchemaError:
            raise
        except StoreError:
            return

    def _sweep(self) -> None:
        if not self._swept:
            files.remove_abandoned(self.runs)
            self._swept = True


def storable(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`tensors` as little-endian arrays in C order.

    safetensors writes the memory of an array as it lies, so a transposed or strided view would
    come back with other numbers.

    Raises:
        InputError: lists every tensor whose name or type cannot be stored.
    """
    faults = [fault for name, array in tensors.items() if (fault := _tensor_fault(name, array))]
    if faults:
        raise InputError(f"tensors: {'; '.join(faults[:8])}.")
    return {
        name: np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        for name, array in tensors.items()
    }


def frozen(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Read-only views of `tensors`, in the order of their names."""
    views = {name: tensors[name].view() for name in sorted(tensors)}
    for view in views.values():
        view.flags.writeable = False
    return views


def _tensor_fault(name: object, array: object) -> str | None:
    if not isinstance(name, str) or name == "__metadata__":
        return f"{name!r} cannot be a name; use other text"
    if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name):
        return f"{name!r} is not valid Unicode; use other text"
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        return f"{name!r}: expected a plain numpy array, got {type(array).__name__}"
    if array.dtype.str.lstrip("<>|=") not in _DTYPES:
        return f"{name!r}: expected bool, integer, float16/32/64 or complex64, got {array.dtype}"
    return None


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise InputError(f"{name}: expected at most {limit} bytes, got {size}.")


def _check_schema(path: Path, schema: object) -> None:
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise StoreError(f"{files.shown(path)}: expected a schema number, got {schema!r}.")
    if schema > SCHEMA:
        raise NewerSchemaError(
            f"{files.shown(path)}: written by a newer version (schema {schema}, this version "
            f"reads up to {SCHEMA}); upgrade groundtruth."
        )
