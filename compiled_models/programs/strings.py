"""Programs about the whole string: symmetry, runs, patterns, brackets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    everything,
    indices,
    length,
    tokens,
)
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import (
    both,
    earlier,
    fetched,
    is_none_chosen,
    is_token,
    shifted,
    up_to_here,
    where,
)
from groundtruth.compiled_models.programs.tracr import detect_pattern
from groundtruth.compiled_models.values import Value

STRINGS = Family("strings")

same = named("x == y", lambda x, y: x == y)
different = named("x != y", lambda x, y: x != y)
minus = named("x - y", lambda x, y: x - y)


def _mirror_match() -> SOp:
    opposite = SequenceMap(
        named("n - 1 - i", lambda n, i: n - 1 - i), length, indices, name="opposite"
    )
    return SequenceMap(same, tokens, fetched(tokens, opposite, name="reverse"), name="mirror_match")


@STRINGS.add(
    "mirror_match",
    lambda s: [a == b for a, b in zip(s, s[::-1])],
    vocab="abc",
    example=("abca", (True, False, False, True)),
)
def mirror_match() -> SOp:
    """Whether the token equals the one opposite to it."""
    return _mirror_match()


@STRINGS.add(
    "palindrome", lambda s: [s == s[::-1]] * len(s), vocab="abc", example=("aba", (True,) * 3)
)
def palindrome() -> SOp:
    """Whether the input reads the same from back to front."""
    wrong = Select(_mirror_match(), Constant(False), "==", name="mismatches")
    return is_none_chosen(wrong, name="palindrome")


def _rotation_match_specification(sequence: list[Value], offset: int = 2) -> list[Value]:
    sources = [i - offset for i in range(len(sequence))]
    return [sequence[j] == x if 0 <= j < len(sequence) else None for j, x in zip(sources, sequence)]


@STRINGS.add(
    "rotation_match",
    _rotation_match_specification,
    vocab="abc",
    example=("abab", (None, None, True, True)),
)
def rotation_match(offset: int = 2) -> SOp:
    """Whether the token equals the one `offset` before; None where there is none."""
    before = shifted(tokens, offset, name="before")
    return SequenceMap(same, tokens, before, name="rotation_match")


@STRINGS.add(
    "no_repeats",
    lambda s: [all(a != b for a, b in pairwise(s))] * len(s),
    vocab="abc",
    example=("abab", (True,) * 4),
)
def no_repeats() -> SOp:
    """Whether no token equals the one before it."""
    repeats = SequenceMap(same, tokens, shifted(tokens, 1, name="previous"), name="repeats")
    return is_none_chosen(where(repeats), name="no_repeats")


@STRINGS.add(
    "all_same", lambda s: [len(set(s)) == 1] * len(s), vocab="abc", example=("aaa", (True,) * 3)
)
def all_same() -> SOp:
    """Whether all tokens are equal."""
    shared = Aggregate(everything, tokens, "only", name="shared")
    return Map(named("True", lambda x: True), shared, default=False, name="all_same")


@STRINGS.add(
    "same_ends", lambda s: [s[0] == s[-1]] * len(s), vocab="abc", example=("abca", (True,) * 4)
)
def same_ends() -> SOp:
    """Whether the first token equals the last."""
    last = Map(named("n - 1", lambda n: n - 1), length, name="last_index")
    ends = fetched(tokens, Constant(0), name="first"), fetched(tokens, last, name="last")
    return SequenceMap(same, *ends, name="same_ends")


def _run_starts(sequence: list[Value]) -> list[int]:
    sizes = [len(list(run)) for _, run in groupby(sequence)]
    return [sum(sizes[:k]) for k, size in enumerate(sizes) for _ in range(size)]


@STRINGS.add(
    "run_position",
    lambda s: [i - start for i, start in enumerate(_run_starts(s))],
    vocab="ab",
    example=("aabbb", (0, 1, 0, 1, 2)),
)
def run_position() -> SOp:
    """How many equal tokens stand directly before this one."""
    others = Select(tokens, tokens, "!=", name="different") & earlier
    other = Aggregate(others, indices, "max", default=-1, name="last_other")
    apart = named("i - j - 1", lambda i, j: i - j - 1)
    return SequenceMap(apart, indices, other, name="run_position")


@STRINGS.add(
    "run_number",
    lambda s: [len(set(_run_starts(s)[: i + 1])) for i in range(len(s))],
    vocab="ab",
    example=("aabba", (1, 1, 2, 2, 3)),
)
def run_number() -> SOp:
    """In which run of equal tokens this one stands, counted from 1."""
    previous = shifted(tokens, 1, name="previous")
    changes = SequenceMap(different, tokens, previous, name="changes")
    so_far = SelectorWidth(where(changes) & up_to_here, name="changes_so_far")
    return Map(named("x + 1", lambda x: x + 1), so_far, name="run_number")


def _contains_specification(sequence: list[Value], pattern: Sequence[Value]) -> list[Value]:
    m, n = len(pattern), len(sequence)
    return [any(sequence[i : i + m] == list(pattern) for i in range(n - m + 1))] * n


@STRINGS.add(
    "contains", _contains_specification, vocab="ab", arguments=("ab",), example=("bab", (True,) * 3)
)
def contains(pattern: Sequence[Value]) -> SOp:
    """Whether `pattern` occurs."""
    found = SelectorWidth(where(detect_pattern(pattern)), name="count")
    return Map(named("x > 0", lambda x: x > 0), found, name="contains")


def _equal_halves_specification(sequence: list[Value], first: Value, second: Value) -> list[Value]:
    half, odd = divmod(len(sequence), 2)
    return [not odd and sequence == [first] * half + [second] * half] * len(sequence)


@STRINGS.add(
    "equal_halves",
    _equal_halves_specification,
    vocab="ab",
    arguments=("a", "b"),
    example=("aabb", (True,) * 4),
)
def equal_halves(first: Value, second: Value) -> SOp:
    """Whether the input is n times `first`, then n times `second`."""
    starts = named("2 i < n", lambda i, n: 2 * i < n)
    in_first = SequenceMap(starts, indices, length, name="in_first_half")
    fits = named(
        f"x == ({first!r} if y else {second!r})", lambda x, y: x == (first if y else second)
    )
    wrong = Select(
        SequenceMap(fits, tokens, in_first, name="fits"), Constant(False), "==", name="misfits"
    )
    even = Map(named("x % 2 == 0", lambda x: x % 2 == 0), length, name="even")
    return both(even, is_none_chosen(wrong, name="all_fit"), name="equal_halves")


# --- brackets --------------------------------------------------------------------------------


def _depths(sequence: list[Value], open: Value, close: Value) -> list[int]:
    return [
        sequence[: i + 1].count(open) - sequence[: i + 1].count(close) for i in range(len(sequence))
    ]


def _depth(open: Value, close: Value) -> SOp:
    opens = SelectorWidth(where(is_token(open)) & up_to_here, name=f"count_{open}")
    closes = SelectorWidth(where(is_token(close)) & up_to_here, name=f"count_{close}")
    return SequenceMap(minus, opens, closes, name="depth")


@STRINGS.add(
    "depth",
    lambda s, open="(", close=")": _depths(s, open, close),
    vocab="()a",
    example=("(()a", (1, 2, 1, 1)),
)
def depth(open: Value = "(", close: Value = ")") -> SOp:
    """How many more `open` than `close` there are so far."""
    return _depth(open, close)


@STRINGS.add(
    "greatest_depth",
    lambda s, open="(", close=")": [max(_depths(s, open, close))] * len(s),
    vocab="()a",
    example=("(())", (2,) * 4),
)
def greatest_depth(open: Value = "(", close: Value = ")") -> SOp:
    """The greatest depth of brackets."""
    return Aggregate(everything, _depth(open, close), "max", name="greatest_depth")


def _first_violation(sequence: list[Value], open: Value = "(", close: Value = ")") -> list[Value]:
    below = [i for i, depth in enumerate(_depths(sequence, open, close)) if depth < 0]
    return [min(below, default=None)] * len(sequence)


@STRINGS.add("first_violation", _first_violation, vocab="()a", example=("())(", (2,) * 4))
def first_violation(open: Value = "(", close: Value = ")") -> SOp:
    """The index of the first `close` without an `open`; None if there is none."""
    below = Map(named("x < 0", lambda x: x < 0), _depth(open, close), name="below")
    return Aggregate(where(below), indices, "min", name="first_violation")


def _matching_specification(sequence: list[Value], open: Value, close: Value) -> list[Value]:
    stack, out = [], []
    for i, token in enumerate(sequence):
        if token == open:
            stack.append(i)
        out.append(stack.pop() if token == close and stack else None)
    return out


@STRINGS.add(
    "matching_bracket",
    lambda s, open="(", close=")": _matching_specification(s, open, close),
    vocab="()a",
    example=("(())", (None, None, 1, 0)),
)
def matching_bracket(open: Value = "(", close: Value = ")") -> SOp:
    """At a `close`, the index of the `open` that it closes; None elsewhere."""
    height = _depth(open, close)
    opened = named(f"y if x == {open!r}", lambda x, y: y if x == open else None)
    closed = named(f"y + 1 if x == {close!r}", lambda x, y: y + 1 if x == close else None)
    opens = SequenceMap(opened, tokens, height, name="opens")
    closes = SequenceMap(closed, tokens, height, name="closes")
    level = Select(opens, closes, "==", name="same_level")
    return Aggregate(level & earlier, indices, "max", name="matching_bracket")
