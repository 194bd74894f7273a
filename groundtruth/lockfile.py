"""The suite's lock file: what was fixed before the first result, and proof that it still holds.

`suite.lock.json` holds the suite's manifest and the SHA-256 of itself, which every table prints.
It is written once; a folder that has results but no lock never gets one afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundtruth import files, hashing
from groundtruth.errors import HashMismatch, StoreError, reject

NAME = "suite.lock.json"
SCHEMA = 1
_PATIENCE = 5.0  # seconds; writing the lock takes milliseconds


def write_lock(directory: str | Path, manifest: dict[str, Any]) -> str:
    """Fix `manifest` for the results of `directory`, before the first of them.

    Calling it again with the same manifest changes nothing, so a resumed suite may do so.

    Args:
        directory: the folder of the results; created if missing.
        manifest: plain JSON with the suite's name under "suite".

    Returns:
        The lock's SHA-256, in hexadecimal.

    Raises:
        InputError: the manifest is not plain JSON or names no suite.
        HashMismatch: a lock is there and was altered.
        StoreError: the folder holds another suite, or results without a lock, or is unwritable.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> sha256 = write_lock(folder, {"suite": "tiny", "seeds": [0, 1]})
        >>> check_lock(folder, {"suite": "tiny", "seeds": [0, 1]}) == sha256
        True
    """
    path = Path(directory) / NAME
    body = _body(manifest)
    with _alone(path):
        files.remove_abandoned(path.parent)
        if path.exists():
            return check_lock(directory, manifest)
        if any(files.names(path.parent / "runs", ".json")):
            raise StoreError(
                f"{files.shown(path)}: missing, although the folder already holds results. A lock "
                "must come before them; use another --out."
            )
        files.write_atomic(path, files.seal(body))
    return hashing.digest(body)


def check_lock(directory: str | Path, manifest: dict[str, Any]) -> str:
    """Confirm that the results of `directory` belong to `manifest`.

    Returns:
        The lock's SHA-256, in hexadecimal.

    Raises:
        InputError: the manifest is not plain JSON or names no suite.
        HashMismatch: the lock was altered after it was written.
        StoreError: there is no lock, it cannot be read, or it is that of another suite.
    """
    path, wanted = Path(directory) / NAME, _body(manifest)
    found = read_lock(directory)
    # Digests, not ==, because Python takes 1, 1.0 and True for the same.
    if hashing.digest(found) == hashing.digest(wanted):
        return hashing.digest(found)
    held, ours = found["manifest"], wanted["manifest"]
    fields = sorted(k for k in {*held, *ours} if _text(held, k) != _text(ours, k))
    raise StoreError(
        f"{files.shown(path.parent)}: this folder holds results of suite {held['suite']!r} with "
        f"lock {hashing.digest(found)[:12]}, got suite {ours['suite']!r} with lock "
        f"{hashing.digest(wanted)[:12]} (they differ in: {', '.join(fields)}); use another --out."
    )


def read_lock(directory: str | Path) -> dict[str, Any]:
    """The verified content of the lock: {"schema", "manifest"}.

    Raises:
        HashMismatch: the content does not have the hash it promises.
        StoreError: missing, unreadable, or written by a newer version.
    """
    path = Path(directory) / NAME
    try:
        body = files.read_sealed(path)
    except StoreError as error:
        kind = HashMismatch if isinstance(error, HashMismatch) else StoreError
        raise kind(f"{error} Restore the original lock, or use another --out.") from error
    schema, manifest = body.get("schema"), body.get("manifest")
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(
            f"{files.shown(path)}: written by a newer version (schema {schema}, this version "
            f"reads up to {SCHEMA}); upgrade groundtruth."
        )
    if not isinstance(manifest, dict) or not isinstance(manifest.get("suite"), str):
        raise StoreError(f"{files.shown(path)}: expected a manifest that names its suite.")
    return body


def _text(manifest: dict[str, Any], field: str) -> str | None:
    return hashing.canonical_json(manifest[field]) if field in manifest else None


def _body(manifest: dict[str, Any]) -> dict[str, Any]:
    files.check_plain("manifest", manifest)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("suite"), str):
        raise reject("manifest", manifest, "the suite's name under 'suite'")
    return {"schema": SCHEMA, "manifest": manifest}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep two runners that start together from each writing its own lock."""
    guard = path.with_name(f".{NAME}.guard")
    deadline = time.monotonic() + _PATIENCE
    while True:
        with files.held(guard) as mine:
            if mine:
                yield
                return
        if time.monotonic() > deadline:
            raise StoreError(f"{files.shown(guard)}: another runner holds it; try again later.")
        time.sleep(0.02)
