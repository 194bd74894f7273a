"""What the library knows of a program: how it is built, what it should do, and an example."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from groundtruth.compiled_models.expressions import SOp
from groundtruth.compiled_models.values import Value
from groundtruth.errors import InputError

Specification = Callable[..., list[Value]]
"""(sequence, parameters...) -> the output at each position, in plain Python."""


@dataclass(frozen=True)
class Entry:
    """A program of the library.

    Fields:
        name: as typed.
        family: which kind of program it is.
        build: parameters -> the output s-op.
        specification: what the program should compute, not written in the language.
        vocab: tokens that the example and the card use; the program takes others too.
        example: a sequence and the output on it.
        arguments: parameters of the example where there are no defaults.
        causal: whether it is read from left to right.
    """

    name: str
    family: str
    build: Callable[..., SOp]
    specification: Specification
    vocab: tuple[Value, ...]
    example: tuple[tuple[Value, ...], tuple[Value, ...]]
    arguments: tuple[Any, ...] = ()
    causal: bool = False

    @property
    def summary(self) -> str:
        """One line."""
        return (inspect.getdoc(self.build) or "").split("\n")[0]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters with their defaults; `inspect.Parameter.empty` where there is none."""
        named = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in named}


@dataclass(frozen=True)
class Family:
    """The programs of one kind, in the order in which they are defined."""

    name: str
    entries: list[Entry] = field(default_factory=list)

    def add(
        self,
        name: str,
        specification: Specification,
        *,
        vocab: Iterable[Value],
        example: tuple[Iterable[Value], Iterable[Value]],
        arguments: tuple[Any, ...] = (),
        causal: bool = False,
    ) -> Callable[[Callable[..., SOp]], Callable[..., SOp]]:
        """A decorator of the function that builds the program."""

        def added(build: Callable[..., SOp]) -> Callable[..., SOp]:
            shown = (tuple(example[0]), tuple(example[1]))
            self.entries.append(
                Entry(name, self.name, build, specification, tuple(vocab), shown, arguments, causal)
            )
            return build

        return added


def by_name(families: Iterable[Family]) -> dict[str, Entry]:
    """All entries, of which no two may have one name."""
    found: dict[str, Entry] = {}
    for family in families:
        for entry in family.entries:
            if entry.name in found:
                raise InputError(f"Two programs of the library are called {entry.name!r}.")
            found[entry.name] = entry
    return found
