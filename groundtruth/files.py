"""Files that are whole or absent: atomic writes, capped reads, sealed JSON, and held paths.

A write goes to a temporary file in the same folder, is flushed to the disk and renamed into place,
so a reader meets the old content or the new one and nothing between. The temporary file's name
says which process owns it, and so does the content of a held path; what a dead process left
behind is therefore recognised without asking the clock. POSIX only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from groundtruth import hashing
from groundtruth.errors import HashMismatch, InputError, StoreError

JSON_LIMIT = 64 * 2**20
_DAY = 86_400.0
_OWNER = re.compile(r"([0-9a-f]{12})-([1-9]\d{0,9})-(\d{0,20})")
_TEMPORARY = re.compile(rf"\.({_OWNER.pattern.replace('(', '(?:')})-[0-9a-f]{{12}}\.tmp")
_FIXES = {
    errno.ENOSPC: "Free some space there or choose another folder.",
    errno.EDQUOT: "Free some of your quota there or choose another folder.",
    errno.EROFS: "The disk is read-only: choose another folder.",
    errno.EACCES: "Make the folder writable for you (chmod u+w) or choose another folder.",
    errno.EPERM: "Make the folder writable for you (chmod u+w) or choose another folder.",
    errno.ENOTDIR: "A file stands where a folder is needed: choose another folder.",
    errno.EEXIST: "A file stands where a folder is needed: choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter path.",
}


def shown(path: Path) -> str:
    """`path` as text that any UTF-8 stream can print, whatever bytes the name holds.

    Example:
        >>> shown(Path("r\\udcff.json"))
        'r\\\\udcff.json'
    """
    return str(path).encode("utf-8", "backslashreplace").decode()


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error for a `path` that could not be written, with the usual fix."""
    fix = _FIXES.get(error.errno or 0, "Check the disk or choose another folder.")
    why = error.strerror or type(error).__name__
    return StoreError(
        f"{shown(path)}: expected to write here, got {why!r}. {fix} "
        "Nothing that was stored before is changed."
    )


# --- who owns a file ------------------------------------------------------------------------


def owner() -> str:
    """This process as "host-pid-start"; the host is a hash, so no machine name is stored."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_started(pid) or ''}"


def is_abandoned(owner_text: str, changed: float) -> bool:
    """Whether the process that wrote `owner_text` is gone.

    On this host the process table answers; the start time tells a process from a later one with
    the same number. For another host, or text that names nobody, only age is left: a day.

    Args:
        owner_text: what `owner` returned to the writer.
        changed: modification time of the file in seconds since the epoch. A clock that went
            backwards makes the file look younger and so, at worst, keeps it.
    """
    found = _OWNER.fullmatch(owner_text)
    if found is None or found[1] != _host():
        return time.time() - changed > _DAY
    started = _started(int(found[2]))
    if started is None:
        return True
    return bool(started and found[3]) and started != found[3]


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def _started(pid: int) -> str | None:
    """Start of the process `pid` in clock ticks since boot, "" if unknown, None if it is gone."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        # The command name stands in brackets and may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    # A zombie has stopped working although its number is still taken.
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


# --- writing --------------------------------------------------------------------------------


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that it is there whole or not at all, even after a power cut.

    Args:
        path: where to write; its folder is created if missing.
        data: the whole content.

    Raises:
        StoreError: the disk is full or read-only, or the folder cannot be made.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_atomic(folder / "a.txt", b"whole")
        >>> [p.name for p in folder.iterdir()]
        ['a.txt']
    """
    write_in_order([(path, data)])


def write_in_order(pairs: Sequence[tuple[Path, bytes]]) -> None:
    """Write several files of one folder; each appears whole and only after those before it.

    All of them are staged before the first is renamed, so a full disk changes none.

    Raises:
        StoreError: as `write_atomic`.
    """
    path = pairs[0][0]
    staged: list[Path] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for path, data in pairs:
            staged.append(_temporary(path))
            _write_through(staged[-1], data)
        for temporary, (path, _) in zip(staged, pairs):
            temporary.replace(path)
            _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        for temporary in staged:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers are dead; others are left alone."""
    for path in folder.glob(".*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        with suppress(OSError):
            if found is not None and is_abandoned(found[1], path.stat().st_mtime):
                path.unlink()


def _temporary(path: Path) -> Path:
    # The target's own name is left out: together they could be longer than a name may be.
    return path.with_name(f".{owner()}-{secrets.token_hex(6)}.tmp")


def _write_through(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; the rename stands all the same.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


# --- reading --------------------------------------------------------------------------------


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of the plain file `path`, refused beyond `limit` bytes.

    Raises:
        StoreError: missing, unreadable, not a plain file, or larger than `limit`.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StoreError(f"{shown(path)}: expected a plain file, got something else.")
            data = file.read(limit + 1)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{shown(path)}: cannot be read ({error.strerror}).") from error
    if len(data) > limit:
        raise StoreError(f"{shown(path)}: expected at most {limit} bytes, got more; not read.")
    return data


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:
    """The JSON value in `path`; NaN, Infinity and text that is not UTF-8 are refused.

    Raises:
        StoreError: as `read_bytes`, or the text is not JSON.
    """
    return _parse(path, read_bytes(path, limit))


def _parse(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise StoreError(f"{shown(path)}: not UTF-8 at byte {error.start}.") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{shown(path)}: not JSON, or cut short ({error}).") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


# --- sealed JSON ----------------------------------------------------------------------------


def seal(body: dict[str, Any]) -> bytes:
    """Canonical JSON of `body` with its SHA-256 added as `self_hash`, and a final newline.

    self_hash = SHA-256(canonical JSON without self_hash); the rule is the same in every schema.

    Example:
        >>> seal({"schema": 1})[:28]
        b'{"schema":1,"self_hash":"67d'
    """
    return (hashing.canonical_json({**body, "self_hash": hashing.digest(body)}) + "\n").encode()


def read_sealed(path: Path) -> dict[str, Any]:
    """The body that `seal` wrote to `path`, without its hash.

    The bytes must be exactly those that `seal` makes of the body: any other spelling of the same
    JSON was not written by us.

    Raises:
        HashMismatch: the content is not what its hash promises.
        StoreError: as `read_json`, or the file carries no hash.
    """
    data = read_bytes(path, JSON_LIMIT)
    body = _parse(path, data)
    if not isinstance(body, dict) or not isinstance(body.get("self_hash"), str):
        raise StoreError(f"{shown(path)}: expected a JSON object with self_hash, got none.")
    promised = body.pop("self_hash")
    try:
        same = seal(body) == data
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{shown(path)}: not plain JSON ({error}).") from error
    if not same:
        raise HashMismatch(
            f"{shown(path)}: its self_hash promises {promised[:12]}, its content has "
            f"{hashing.digest(body)[:12]}. It was altered or damaged after it was written."
        )
    return body


def check_plain(name: str, value: object) -> None:
    """Refuse a `value` that would not come back from JSON as it went in.

    Raises:
        InputError: lists every place (at most eight) with its reason.

    Example:
        >>> check_plain("record", {"score": None, "counts": [1, 2]})
        >>> check_plain("record", {"score": float("nan")})
        Traceback (most recent call last):
        groundtruth.errors.InputError: record.score: nan is no JSON number. Pass plain JSON \
values; groundtruth.hashing.jsonable(record) makes them.
    """
    try:
        faults = list(_faults(name, value))
    except RecursionError as error:
        raise InputError(f"{name}: expected nesting of a few levels, got too many.") from error
    if faults:
        raise InputError(
            f"{'; '.join(faults[:8])}. Pass plain JSON values; "
            f"groundtruth.hashing.jsonable({name}) makes them."
        )


def _faults(place: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _faults("a key", key)
                yield from _faults(f"{place}.{key}", inner)
            else:
                yield f"{place}: expected text as keys, got {key!r}"
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _faults(f"{place}[{i}]", inner)
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            yield f"{place}: {value[:40]!r} is not valid Unicode"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{place}: {value} is no JSON number"
    elif isinstance(value, int) and abs(value) >= 2**4096:
        yield f"{place}: expected a whole number below 2**4096, got a larger one"
    elif value is not None and not isinstance(value, int):
        yield f"{place}: expected a JSON value, got {type(value).__name__}"


# --- held paths -----------------------------------------------------------------------------


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold `path` as a lock file for this process while the block runs.

    Yields:
        True when acquired; False, at once, while another live process (or another thread of this
        one) holds it. A file left by a dead process is taken over.

    Raises:
        StoreError: the lock file cannot be written.
    """
    try:
        acquired = _acquire(path)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield acquired
    finally:
        if acquired:
            _release(path)


def _acquire(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lock that is released between the two steps leaves neither of them anything to do.
    return any(_create(path) or _take_over(path) for _ in range(3))


def _create(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(handle, owner().encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return True


def _take_over(path: Path) -> bool:
    """Write our name into an abandoned lock file.

    The file is rewritten in place under flock and never removed here: removing it could remove
    the lock of whoever took it over a moment earlier.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        text, now = os.pread(handle, 256, 0).decode("utf-8", "replace"), os.fstat(handle)
        if not is_abandoned(text, now.st_mtime) or not _is_at(path, now):
            return False
        name = owner().encode()
        os.pwrite(handle, name, 0)
        os.ftruncate(handle, len(name))
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def _is_at(path: Path, status: os.stat_result) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), status)
    return False


def _release(path: Path) -> None:
    # After a fork the child leaves the block too, but the lock is its parent's. A lock that cannot
    # be removed is taken over once this process has ended.
    with suppress(OSError):
        if read_bytes(path, 256) == owner().encode():
            path.unlink()


def names(folder: Path, ending: str) -> Iterable[Path]:
    """The files of `folder` with this `ending`, sorted by name; none where there is no folder.

    Names that begin with a dot are left out: temporary files, and what desktops leave behind.

    Raises:
        StoreError: the folder cannot be listed.
    """
    try:
        found = [p for p in folder.iterdir() if p.suffix == ending and not p.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{shown(folder)}: cannot be listed ({error.strerror}).") from error
    return sorted(found, key=lambda path: os.fsencode(path.name))
