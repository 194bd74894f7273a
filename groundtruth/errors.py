"""The errors a user can meet, and the nearest-name help that goes with them.

Every message says what is wrong, where, what was expected and what was found, and how to fix it.
`assert` is for our own mistakes; these types are for everybody else's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GroundtruthError(Exception):
    """Base of every error that `groundtruth` raises on purpose."""


class InputError(GroundtruthError, ValueError):
    """An argument has the wrong value, shape or type."""


class UnknownName(GroundtruthError, LookupError):
    """A name that no catalogue entry has."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        same = [entry for entry in self.known if entry.rpartition("/")[2] == name]
        close = difflib.get_close_matches(name, self.known, n=3, cutoff=0.5)
        near = list(dict.fromkeys(same + close))[:3]
        known = f"Known: {', '.join(self.known)}." if self.known else "There are none."
        hint = f"Nearest: {', '.join(near)}." if near else known
        super().__init__(f"No {kind} is called {name!r}. {hint}")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


class ProgramError(GroundtruthError, ValueError):
    """A program that is not well formed or cannot be used so; `reasons` lists all that is wrong."""

    def __init__(self, what: str, reasons: Iterable[str]) -> None:
        self.what, self.reasons = what, tuple(reasons)
        super().__init__(
            f"{what}: " + "; ".join(f"({i}) {r}" for i, r in enumerate(self.reasons, 1))
        )

    def __reduce__(self) -> tuple[type[ProgramError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.what, self.reasons)


class ExplanationError(GroundtruthError, ValueError):
    """What a method returned cannot be read as an explanation."""


class MethodError(GroundtruthError, RuntimeError):
    """A method broke while it ran or while its codes were taken."""


class Diverged(MethodError):
    """Training ran off to infinity; `step` is where it was seen, counted from 0."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[type[Diverged], tuple[str, int]]:
        return type(self), (str(self), self.step)


class MemoryRefused(GroundtruthError, MemoryError):
    """A computation was refused before its memory was taken."""


class StoreError(GroundtruthError, OSError):
    """A result file is missing, damaged, foreign or cannot be written."""


class HashMismatch(StoreError):
    """Content does not have the hash that its file or its key promises."""


class Undefined(GroundtruthError):
    """A number that is not defined for this input, with the reason."""


def reject(name: str, value: object, expected: str, fix: str = "") -> InputError:
    """An `InputError` in the house form: name, expected, got, how to fix."""
    shown = repr(value)
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    return InputError(f"{name}: expected {expected}, got {shown}.{' ' + fix if fix else ''}")


def check_no_word(name: str, value: object, default: object) -> None:
    """Raise for a word where the default is a number or a flag: any word would pass for true.

    Example:
        >>> check_no_word("benign", "no", False)
        Traceback (most recent call last):
        groundtruth.errors.InputError: benign: expected true or false, got 'no'.
    """
    if isinstance(value, str) and isinstance(default, (bool, int, float)):
        raise reject(name, value, "true or false" if isinstance(default, bool) else "a number")
