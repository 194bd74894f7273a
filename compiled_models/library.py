"""The program library, by name.

Families: all of Tracr's; copies and induction; order; occurrence; counts; strings and brackets;
tags; templates after circuits found in language models; arithmetic. The kinds of tasks are those of
InterpBench (Gupta et al., 2024, https://arxiv.org/abs/2407.14494). Three programs are trivial, and
their cards say so.

Example:
    >>> from groundtruth.compiled_models import library
    >>> library.program("count", "a")("banana")
    [3, 3, 3, 3, 3, 3]
"""

from __future__ import annotations

import inspect
from typing import Any

from groundtruth.compiled_models.cards import Card, difficulty
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.programs.arithmetic import ARITHMETIC
from groundtruth.compiled_models.programs.copying import COPYING
from groundtruth.compiled_models.programs.counting import COUNTING
from groundtruth.compiled_models.programs.entries import Entry, by_name
from groundtruth.compiled_models.programs.occurrence import OCCURRENCE
from groundtruth.compiled_models.programs.order import ORDER
from groundtruth.compiled_models.programs.strings import STRINGS
from groundtruth.compiled_models.programs.tagging import TAGGING
from groundtruth.compiled_models.programs.templates import TEMPLATES
from groundtruth.compiled_models.programs.tracr import TRACR
from groundtruth.errors import InputError, UnknownName

ENTRIES: dict[str, Entry] = by_name(
    (TRACR, COPYING, ORDER, OCCURRENCE, COUNTING, STRINGS, TAGGING, TEMPLATES, ARITHMETIC)
)


def names() -> list[str]:
    """All programs, by family."""
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """What the library knows of the program `name`.

    Raises:
        UnknownName: there is none, with the nearest names.
    """
    if name not in ENTRIES:
        raise UnknownName("program", str(name), ENTRIES)
    return ENTRIES[name]


def program(name: str, /, *arguments: Any, **parameters: Any) -> Program:
    """The program `name` with its parameters.

    Raises:
        UnknownName: no program or parameter has the name, with the nearest names.
        InputError: a parameter is missing or of no use.

    Example:
        >>> program("detect_pattern", pattern="ab")("aab")
        [None, False, True]
    """
    found = entry(name)
    for parameter in parameters:
        if parameter not in found.parameters:
            raise UnknownName(f"parameter of {name}", parameter, found.parameters)
    try:
        inspect.signature(found.build).bind(*arguments, **parameters)
        output = found.build(*arguments, **parameters)
    except TypeError as error:
        takes = ", ".join(found.parameters) or "nothing"
        raise InputError(f"program {name!r} takes {takes}: {error}.") from error
    return Program(output, name=name, causal=found.causal)


def example_program(name: str) -> Program:
    """The program `name` with the parameters of its example."""
    return program(name, *entry(name).arguments)


def card(name: str) -> Card:
    """How hard the program is, with the parameters and the vocabulary of its example."""
    return difficulty(example_program(name), entry(name).vocab)
