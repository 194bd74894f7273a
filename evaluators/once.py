"""What is made once for a record and kept with it, for values that several metrics share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

Record = TypeVar("Record")
Value = TypeVar("Value")


def once(make: Callable[[Record], Value]) -> Callable[[Record], Value]:
    """The function of one record, called at most once for each; what it raises is not kept.

    Records are frozen, so that what was made from one stays right as long as it lives.

    Example:
        >>> from types import SimpleNamespace
        >>> double = once(lambda record: 2 * record.x)
        >>> record = SimpleNamespace(x=4)
        >>> double(record), double(record)
        (8, 8)
    """
    name = f"{make.__module__}.{make.__qualname__}"

    @functools.wraps(make)
    def kept(record: Record) -> Value:
        held = vars(record).setdefault("_once", {})
        if name not in held:
            held[name] = make(record)
        return held[name]

    return kept
