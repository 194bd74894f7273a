"""A JSON file and a tensor file that belong together, so that either alone is refused.

    <stem>.safetensors   arrays, written first
    <stem>.json          {"schema", the body, "tensors_sha256", "self_hash"}

The JSON is sealed and holds the hash of the tensors: what is cut short or altered does not load.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from groundtruth import files
from groundtruth.errors import GroundtruthError, HashMismatch, StoreError
from groundtruth.store import NewerSchemaError

_OWN = {"schema", "tensors_sha256"}
_LIMIT = 2**34
Body = Mapping[str, Any]
Tensors = Mapping[str, np.ndarray]


Made = TypeVar("Made")


@dataclass(frozen=True)
class Bundle:
    """A kind of pair.

    Fields:
        stem: of both files' names.
        what: it holds, for messages; an object with a content `hash`, which the body keeps.
        schema: version of the body; a larger one is refused.
        fields: keys of the body.
        tensors: names that the tensor file must hold; it may hold others.
    """

    stem: str
    what: str
    schema: int
    fields: frozenset[str]
    tensors: frozenset[str]

    def write(
        self,
        folder: Path,
        body: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        others: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write both, and `others` by file name, replacing what is there.

        Raises:
            StoreError: the files cannot be written.
        """
        assert set(body) == self.fields and self.tensors <= set(tensors)
        packed = save_safetensors({k: np.asarray(v, order="C") for k, v in tensors.items()})
        sha256 = hashlib.sha256(packed).hexdigest()
        sealed = files.seal({"schema": self.schema, **body, "tensors_sha256": sha256})
        pairs = [(folder / name, data) for name, data in (others or {}).items()]
        pairs += [(folder / f"{self.stem}.safetensors", packed)]
        files.write_in_order([*pairs, (folder / f"{self.stem}.json", sealed)])

    def load(self, folder: str | Path, make: Callable[[Body, Tensors], Made]) -> Made:
        """What `make` makes of the body and the tensors, if its hash is the one that was kept.

        Raises:
            HashMismatch: a file was altered after it was written, or other versions of the
                libraries make something else of it.
            NewerSchemaError: a later version wrote it.
            StoreError: a file is missing, damaged or foreign.
        """
        body, tensors = self.read(Path(folder))
        path = Path(folder) / f"{self.stem}.json"
        try:
            made = make(body, tensors)
        except (TypeError, ValueError, KeyError, AttributeError, GroundtruthError) as error:
            raise StoreError(f"{files.shown(path)}: not a {self.what} ({error}).") from error
        found: str = made.hash  # pyright: ignore[reportAttributeAccessIssue]
        if found != body["hash"]:
            raise HashMismatch(
                f"{files.shown(path)}: hash: expected {body['hash'][:12]}, got {found[:12]}. "
                f"The {self.what} is not the one that was saved: the file was altered, or the "
                "libraries draw other samples in these versions. Use those that wrote it."
            )
        return made

    def read(self, folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The body and the tensors.

        Raises:
            HashMismatch: a file was altered after it was written.
            NewerSchemaError: a later version wrote it.
            StoreError: a file is missing, damaged or foreign.
        """
        path = folder / f"{self.stem}.json"
        body = files.read_sealed(path)
        self._check_schema(path, body.get("schema"))
        if set(body) != self.fields | _OWN:
            wrong = ", ".join(sorted(set(body) ^ (self.fields | _OWN)))
            raise StoreError(
                f"{files.shown(path)}: fields: expected {', '.join(sorted(self.fields | _OWN))}, "
                f"missing or unknown: {wrong}."
            )
        tensors = self._read_tensors(folder / f"{self.stem}.safetensors", body["tensors_sha256"])
        return {key: body[key] for key in self.fields}, tensors

    def _check_schema(self, path: Path, schema: object) -> None:
        if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
            raise StoreError(
                f"{files.shown(path)}: schema: expected a whole number from 1 to {self.schema}, "
                f"got {schema!r}."
            )
        if schema > self.schema:
            raise NewerSchemaError(
                f"{files.shown(path)}: schema: expected at most {self.schema}, got {schema}. A "
                "newer version wrote it: upgrade groundtruth."
            )

    def _read_tensors(self, path: Path, sha256: str) -> dict[str, np.ndarray]:
        data = files.read_bytes(path, _LIMIT)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise HashMismatch(
                f"{files.shown(path)}: tensors_sha256: expected {sha256[:12]}, got {found[:12]}. "
                "The file was altered or cut short after it was written."
            )
        named = " and ".join(sorted(self.tensors))
        try:
            held = load_safetensors(data)
        except SafetensorError as error:
            raise StoreError(f"{files.shown(path)}: expected tensors {named} ({error}).") from error
        missing = sorted(self.tensors - set(held))
        if missing:
            raise StoreError(
                f"{files.shown(path)}: expected tensors {named} ({missing[0]!r} is missing)."
            )
        return held
