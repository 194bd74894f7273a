"""What an expression can say at a position: a value, or None.

A value is a truth value, a number, a string or a tuple of values. Numbers of numerical expressions
are exact: whole numbers and fractions. Values are told apart by Python's equality, so one
expression may not use both 1 and True.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal

from groundtruth.errors import InputError, reject

Value = Any
"""None | bool | int | float | Fraction | str | tuple of these."""

Number = int | Fraction
"""An exact number; whole ones are `int`."""

Kind = Literal["categorical", "numerical"]

KINDS: tuple[Kind, ...] = ("categorical", "numerical")

_LONGEST_BINARY = 1 << 10  # 0.5 and 0.125 are meant; the denominator of 1 / 3 is 2**54
_BEYOND = 1 << 1000  # some room below where float64 ends


def category(value: Value) -> Value:
    """`value` if a categorical expression can have it.

    Raises:
        InputError: neither None, truth value, number, string nor tuple of these; NaN.
    """
    plain = isinstance(value, (bool, int, float, Fraction, str, type(None)))
    if isinstance(value, float) and math.isnan(value):
        plain = False
    if isinstance(value, tuple):
        for part in value:
            category(part)
        plain = True
    if not plain:
        raise reject("value", value, "None, a truth value, number, string or tuple of these")
    return value


def number(value: Value) -> Number | None:
    """`value` as an exact number, None for None.

    A float is accepted if it is a short binary fraction, such as 0.5.

    Raises:
        InputError: no number, a float such as 1 / 3 that is rounded, or one beyond float64.

    Example:
        >>> number(True), number(0.5), number(Fraction(4, 2))
        (1, Fraction(1, 2), 2)
    """
    if value is None:
        return None
    if not isinstance(value, (int, float, Fraction)):
        raise reject("value", value, "a number", 'Use kind="categorical" for anything else.')
    if isinstance(value, float) and not math.isfinite(value):
        raise reject("value", value, "a finite number")
    exact = Fraction(value)
    if isinstance(value, float) and exact.denominator > _LONGEST_BINARY:
        raise reject("value", value, "an exact number", "Return a Fraction: Fraction(1, 3).")
    if max(abs(exact.numerator), exact.denominator) >= _BEYOND:
        raise reject("value", value, "a number that float64 holds")
    return exact.numerator if exact.denominator == 1 else exact


READERS: dict[Kind, Callable[[Value], Value]] = {"categorical": category, "numerical": number}
"""What each kind makes of the result of a function."""


def ordered(values: Sequence[Value]) -> bool:
    """Whether Python can sort `values`."""
    try:
        sorted(values)
    except TypeError:
        return False
    return True


def arranged(values: set[Value]) -> tuple[Value, ...]:
    """`values` sorted; by type and text where Python has no order for them."""
    if ordered(list(values)):
        return tuple(sorted(values))
    return tuple(sorted(values, key=lambda value: (type(value).__name__, repr(value))))


def check_vocab(vocab: object) -> tuple[Value, ...]:
    """The tokens of `vocab`, a string or a sequence, in the order given.

    Raises:
        InputError: empty, repeated tokens (1 and True are the same), None or no value.
    """
    if isinstance(vocab, (set, frozenset)):
        vocab = arranged(set(vocab))
    if not isinstance(vocab, (str, list, tuple, range)) or len(vocab) == 0:
        raise reject("vocab", vocab, "at least one token", 'Pass for example vocab="abc".')
    for token in vocab:
        if category(token) is None:
            raise reject("vocab", vocab, "tokens other than None")
    if len(set(vocab)) < len(vocab):
        raise reject("vocab", vocab, "each token once; 1 and True count as the same")
    return tuple(vocab)


LONGEST = 1024
"""Greatest max_length; what can be at each pair of positions is listed."""


def check_max_length(max_length: object) -> int:
    """`max_length` as a plain int, or an error."""
    if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
        raise reject("max_length", max_length, "a whole number >= 1", "Pass for example 10.")
    if max_length > LONGEST:
        raise reject("max_length", max_length, f"at most {LONGEST:,}")
    return max_length


def explain(error: Exception) -> str:
    """What a function's failure was, in a line."""
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {error}"
