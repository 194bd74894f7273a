"""Calls outside code and puts back whatever global state it changed, with a note of what it was."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


@contextmanager
def restored() -> Iterator[list[str]]:
    """Restore global state on exit; the list then names what had been changed.

    Watched: the random states of Python, numpy and torch; torch's default dtype and device,
    gradient mode and thread count; numpy's error settings; warning filters; the working folder;
    environment variables. What a module changes as it is first imported is put back at the end like
    the rest, but not named, since it is no doing of the caller's. Fault containment, not a security
    boundary.

    Example:
        >>> with restored() as changed:
        ...     _ = random.random()
        >>> changed
        ['python random state']
    """
    watched = _watched()
    before = {name: read() for name, read, _ in watched}
    own = dict(before)  # with what imports have changed
    changed: list[str] = []

    def imported(load: Callable[[], None]) -> None:
        untouched = [(name, read) for name, read, _ in watched if _same(own[name], read())]
        try:
            load()
        finally:
            own.update({name: read() for name, read in untouched})

    try:
        with _imports_through(imported):
            yield changed
    finally:
        for name, read, write in watched:
            now = read()
            if not _same(own[name], now):
                changed.append(name)
            if not _same(before[name], now):
                write(before[name])


@contextmanager
def _imports_through(imported: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Every module that is first imported meanwhile, with all that it imports, is loaded by
    `imported`."""
    own, importing = SourceFileLoader.exec_module, False

    def exec_module(self: SourceFileLoader, module: ModuleType) -> None:
        nonlocal importing
        if importing:
            own(self, module)
            return
        importing = True
        try:
            imported(lambda: own(self, module))
        finally:
            importing = False

    SourceFileLoader.exec_module = exec_module
    try:
        yield
    finally:
        SourceFileLoader.exec_module = own


def _watched() -> list[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    entries: list[tuple[str, Callable[[], Any], Callable[[Any], Any]]] = [
        ("python random state", random.getstate, random.setstate),
        ("numpy random state", np.random.get_state, np.random.set_state),
        ("numpy error settings", np.geterr, lambda v: np.seterr(**v)),
        ("warning filters", lambda: list(warnings.filters), _set_filters),
        ("working folder", _working_folder, os.chdir),
        ("environment variables", lambda: dict(os.environ), _set_environment),
    ]
    torch = sys.modules.get("torch")
    if torch is not None:
        entries += [
            ("torch random state", torch.get_rng_state, torch.set_rng_state),
            ("torch default dtype", torch.get_default_dtype, torch.set_default_dtype),
            ("torch default device", torch.get_default_device, _set_default_device),
            ("torch gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
            ("torch thread count", torch.get_num_threads, torch.set_num_threads),
        ]
    return entries


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    if hasattr(before, "shape"):
        return bool((before == after).all())
    return bool(before == after)


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""  # removed while inside it: differs from every folder, so it is put back


def _set_default_device(device: Any) -> None:
    # None undoes the setting; "cpu" would be a setting of its own, and slow every call a little.
    sys.modules["torch"].set_default_device(None if device.type == "cpu" else device)


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    # Forget which warnings were shown under the foreign filters.
    getattr(warnings, "_filters_mutated", lambda: None)()


def _set_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
