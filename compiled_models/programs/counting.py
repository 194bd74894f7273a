"""Programs that count, add up and decide by counts: parity, modular counts, majority."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from groundtruth.compiled_models.expressions import (
    Aggregate,
    LinearSequenceMap,
    Map,
    SelectorWidth,
    SequenceMap,
    SOp,
    everything,
    length,
    numerical,
    tokens,
)
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import is_token, up_to_here, where
from groundtruth.compiled_models.programs.tracr import detect_pattern
from groundtruth.compiled_models.values import Value
from groundtruth.errors import reject

COUNTING = Family("counting")


def _modulo(modulus: int):
    if isinstance(modulus, bool) or not isinstance(modulus, int) or modulus < 2:
        raise reject("modulus", modulus, "a whole number >= 2")
    return named(f"x % {modulus}", lambda x: int(x % modulus))


@COUNTING.add(
    "parity",
    lambda s, token: [s.count(token) % 2] * len(s),
    vocab="01",
    arguments=("1",),
    example=("101", (0, 0, 0)),
)
def parity(token: Value) -> SOp:
    """Whether `token` occurs an odd number of times, as 0 or 1."""
    found = SelectorWidth(where(is_token(token)), name="count")
    return Map(_modulo(2), found, name="parity")


@COUNTING.add(
    "running_parity",
    lambda s, token: [s[: i + 1].count(token) % 2 for i in range(len(s))],
    vocab="01",
    arguments=("1",),
    example=("1011", (1, 1, 0, 1)),
)
def running_parity(token: Value) -> SOp:
    """Whether `token` has occurred an odd number of times so far, as 0 or 1."""
    found = SelectorWidth(where(is_token(token)) & up_to_here, name="count")
    return Map(_modulo(2), found, name="running_parity")


@COUNTING.add(
    "count_mod",
    lambda s, token, modulus=3: [s.count(token) % modulus] * len(s),
    vocab="ab",
    arguments=("a",),
    example=("aaaba", (1,) * 5),
)
def count_mod(token: Value, modulus: int = 3) -> SOp:
    """How often `token` occurs, modulo `modulus`."""
    found = SelectorWidth(where(is_token(token)), name="count")
    return Map(_modulo(modulus), found, name="count_mod")


@COUNTING.add(
    "length_mod",
    lambda s, modulus=3: [len(s) % modulus] * len(s),
    vocab="ab",
    example=("abab", (1,) * 4),
)
def length_mod(modulus: int = 3) -> SOp:
    """The length of the input, modulo `modulus`."""
    return Map(_modulo(modulus), length, name="length_mod")


@COUNTING.add(
    "total", lambda s: [sum(s)] * len(s), vocab=(-1, 0, 2), example=((2, -1, 2), (3, 3, 3))
)
def total() -> SOp:
    """The sum of the tokens, which are numbers."""
    return Aggregate(everything, numerical(tokens, name="values"), "sum", name="total")


@COUNTING.add(
    "running_sum",
    lambda s: [sum(s[: i + 1]) for i in range(len(s))],
    vocab=(-1, 0, 2),
    example=((2, -1, 2), (2, 1, 3)),
)
def running_sum() -> SOp:
    """The sum of the tokens so far."""
    return Aggregate(up_to_here, numerical(tokens, name="values"), "sum", name="running_sum")


@COUNTING.add(
    "sum_mod",
    lambda s, modulus=3: [sum(s) % modulus] * len(s),
    vocab=(0, 1, 2),
    example=((2, 2, 1), (2, 2, 2)),
)
def sum_mod(modulus: int = 3) -> SOp:
    """The sum of the tokens, modulo `modulus`."""
    added = Aggregate(everything, numerical(tokens, name="values"), "sum", name="total")
    return Map(_modulo(modulus), added, name="sum_mod")


@COUNTING.add(
    "average",
    lambda s: [Fraction(sum(s), len(s))] * len(s),
    vocab=(-1, 0, 2),
    example=((2, -1), (Fraction(1, 2),) * 2),
)
def average() -> SOp:
    """The mean of the tokens."""
    return Aggregate(everything, numerical(tokens, name="values"), "mean", name="average")


@COUNTING.add(
    "above_average",
    lambda s: [len(s) * x > sum(s) for x in s],
    vocab=(0, 1, 3),
    example=((0, 3, 1), (False, True, False)),
)
def above_average() -> SOp:
    """Whether the token is greater than the mean of all."""
    values = numerical(tokens, name="values")
    mean = Aggregate(everything, values, "mean", name="average")
    excess = LinearSequenceMap(values, mean, 1, -1, name="excess")
    return Map(named("x > 0", lambda x: x > 0), excess, name="above_average")


@COUNTING.add(
    "majority",
    lambda s, token: [2 * s.count(token) > len(s)] * len(s),
    vocab="ab",
    arguments=("a",),
    example=("aab", (True,) * 3),
)
def majority(token: Value) -> SOp:
    """Whether more than half of the positions have `token`."""
    found = SelectorWidth(where(is_token(token)), name="count")
    return SequenceMap(named("2 x > n", lambda x, n: 2 * x > n), found, length, name="majority")


def _compare_specification(sequence: list[Value], first: Value, second: Value) -> list[Value]:
    a, b = sequence.count(first), sequence.count(second)
    return [first if a > b else second if b > a else None] * len(sequence)


@COUNTING.add(
    "compare_counts",
    _compare_specification,
    vocab="abc",
    arguments=("a", "b"),
    example=("abac", "aaaa"),
)
def compare_counts(first: Value, second: Value) -> SOp:
    """Which of two tokens occurs more often; None if neither does."""
    a = SelectorWidth(where(is_token(first)), name=f"count_{first}")
    b = SelectorWidth(where(is_token(second)), name=f"count_{second}")
    more = named(
        f"{first!r}, {second!r} or None",
        lambda a, b: first if a > b else second if b > a else None,
    )
    return SequenceMap(more, a, b, name="compare_counts")


def _count_pattern_specification(sequence: list[Value], pattern: Sequence[Value]) -> list[Value]:
    m = len(pattern)
    starts = range(len(sequence) - m + 1)
    return [sum(sequence[i : i + m] == list(pattern) for i in starts)] * len(sequence)


@COUNTING.add(
    "count_pattern",
    _count_pattern_specification,
    vocab="ab",
    arguments=("ab",),
    example=("abab", (2,) * 4),
)
def count_pattern(pattern: Sequence[Value]) -> SOp:
    """How often `pattern` occurs."""
    return SelectorWidth(where(detect_pattern(pattern)), name="count_pattern")


@COUNTING.add(
    "count_above",
    lambda s, threshold: [sum(x > threshold for x in s)] * len(s),
    vocab=(0, 1, 2),
    arguments=(1,),
    example=((2, 0, 2), (2, 2, 2)),
)
def count_above(threshold: Value) -> SOp:
    """How many tokens are greater than `threshold`."""
    above = named(f"x > {threshold!r}", lambda x: x > threshold)
    return SelectorWidth(where(Map(above, tokens, name="above")), name="count_above")
