"""Functions of values with a readable name, so that a printed program says what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from groundtruth.compiled_models.values import Value


def named(text: str, function: Callable[..., Value]) -> Callable[..., Value]:
    """`function`, fresh from a lambda or def, called `text` where a program is printed.

    Example:
        >>> named("x + 1", lambda x: x + 1).__name__
        'x + 1'
    """
    function.__name__ = text
    return function


def equals(value: Value) -> Callable[[Value], bool]:
    """x == value."""
    return named(f"x == {value!r}", lambda x: x == value)


def among(values: Iterable[Value]) -> Callable[[Value], bool]:
    """x is one of `values`."""
    members = tuple(values)
    return named(f"x in {members!r}", lambda x: x in members)


def lookup(table: Mapping[Value, Value], otherwise: Value = None) -> Callable[[Value], Value]:
    """table[x], or `otherwise`."""
    return named(f"{dict(table)!r}[x] or {otherwise!r}", lambda x: table.get(x, otherwise))


def function_text(function: Callable[..., Value]) -> str:
    """What a program prints for `function`."""
    name = getattr(function, "__name__", type(function).__name__)
    return "lambda" if name == "<lambda>" else name
