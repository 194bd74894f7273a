"""The programs of Tracr's library, with the meaning that they have there.

Source: Lindner et al., "Tracr: Compiled Transformers as a Laboratory for Interpretability", 2023,
https://arxiv.org/abs/2301.05062, `tracr/compiler/lib.py`. Where ours differ in the making: ties of
`sort` are broken by a composite selector instead of a shift of the keys, so it takes any keys that
have an order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce

from groundtruth.compiled_models.expressions import (
    Aggregate,
    LinearSequenceMap,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    everything,
    indices,
    tokens,
)
from groundtruth.compiled_models.expressions import length as length_
from groundtruth.compiled_models.functions import equals, function_text, named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import (
    both,
    earlier,
    either,
    fetched,
    flagged,
    is_token,
    same_token,
    shifted,
    up_to_here,
    where,
)
from groundtruth.compiled_models.values import Value
from groundtruth.errors import reject

TRACR = Family("tracr")


@TRACR.add("length", lambda s: [len(s)] * len(s), vocab="abc", example=("abcb", (4, 4, 4, 4)))
def length() -> SOp:
    """The length of the input, at each position."""
    return length_


@TRACR.add("reverse", lambda s: s[::-1], vocab="abcd", example=("abcd", "dcba"))
def reverse() -> SOp:
    """The input from back to front."""
    mirror = named("n - 1 - i", lambda n, i: n - 1 - i)
    opposite = SequenceMap(mirror, length_, indices, name="opposite")
    return fetched(tokens, opposite, name="reverse")


def fractions_before(sequence: list[Value], token: Value) -> list[Fraction]:
    """Of the positions up to each, the fraction with `token`."""
    return [Fraction(sequence[: i + 1].count(token), i + 1) for i in range(len(sequence))]


@TRACR.add(
    "frac_prevs",
    fractions_before,
    vocab="abc",
    arguments=("a",),
    example=("bac", (0, Fraction(1, 2), Fraction(1, 3))),
)
def frac_prevs(token: Value) -> SOp:
    """Of the positions up to each, the fraction whose token is `token`."""
    return _frac_prevs(token, name="frac_prevs")


def _frac_prevs(token: Value, *, name: str) -> SOp:
    return Aggregate(up_to_here, flagged(is_token(token)), "mean", name=name)


def _pair_balance_specification(sequence: list[Value], open: Value, close: Value) -> list[Value]:
    opens, closes = fractions_before(sequence, open), fractions_before(sequence, close)
    return [a - b for a, b in zip(opens, closes)]


@TRACR.add(
    "pair_balance",
    _pair_balance_specification,
    vocab="()a",
    arguments=("(", ")"),
    example=("a())", (0, Fraction(1, 2), 0, Fraction(-1, 4))),
)
def pair_balance(open: Value, close: Value) -> SOp:
    """The fraction of `open` up to each position minus that of `close`."""
    return _pair_balance(open, close, name="pair_balance")


def _pair_balance(open: Value, close: Value, *, name: str) -> SOp:
    opens = _frac_prevs(open, name=f"opens_{open}{close}")
    closes = _frac_prevs(close, name=f"closes_{open}{close}")
    return LinearSequenceMap(opens, closes, 1, -1, name=name)


def _shuffle_dyck_specification(sequence: list[Value], pairs: Sequence[Sequence[Value]]) -> list:
    for open, close in pairs:
        depth = 0
        for token in sequence:
            depth += (token == open) - (token == close)
            if depth < 0:
                return [False] * len(sequence)
        if depth:
            return [False] * len(sequence)
    return [True] * len(sequence)


@TRACR.add(
    "shuffle_dyck",
    _shuffle_dyck_specification,
    vocab="()a",
    arguments=(("()",),),
    example=("(())", (True,) * 4),
)
def shuffle_dyck(pairs: Sequence[Sequence[Value]]) -> SOp:
    """Whether each of `pairs`, such as "()", is balanced; pairs may interleave."""
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise reject("pairs", pairs, 'pairs of an open and a close token, such as ["()", "{}"]')
    if len({tuple(pair) for pair in pairs}) < len(pairs):
        raise reject("pairs", pairs, "each pair once")
    return _shuffle_dyck(pairs, name="shuffle_dyck")


def _shuffle_dyck(pairs: Sequence[Sequence[Value]], *, name: str) -> SOp:
    balances = [_pair_balance(a, b, name=f"balance_{a}{b}") for a, b in pairs]
    below = named("x < 0", lambda x: x < 0)
    negative = reduce(either, [Map(below, balance) for balance in balances])
    share = Aggregate(everything, flagged(negative), "mean", name="share_negative")
    never_negative = Map(equals(0), share, name="never_negative")
    closed = reduce(both, [Map(equals(0), balance) for balance in balances])
    last = Map(named("n - 1", lambda n: n - 1), length_, name="last_index")
    closed_at_end = fetched(closed, last, name="closed_at_end")
    return both(closed_at_end, never_negative, name=name)


@TRACR.add(
    "shuffle_dyck2",
    lambda s: _shuffle_dyck_specification(s, ["()", "{}"]),
    vocab="(){}",
    example=("({)}", (True,) * 4),
)
def shuffle_dyck2() -> SOp:
    """Whether () and {} are balanced; they may interleave."""
    return _shuffle_dyck(["()", "{}"], name="shuffle_dyck2")


@TRACR.add("hist", lambda s: [s.count(x) for x in s], vocab="abc", example=("abac", (2, 1, 2, 1)))
def hist() -> SOp:
    """How often the token occurs in the input."""
    return SelectorWidth(same_token, name="hist")


def _sort_unique_specification(sequence: list[Value]) -> list[Value]:
    below = {sum(other < x for other in sequence): x for x in sequence}
    return [below.get(i) for i in range(len(sequence))]


@TRACR.add(
    "sort_unique",
    _sort_unique_specification,
    vocab=(1, 2, 3, 4),
    example=((2, 4, 3, 1), (1, 2, 3, 4)),
)
def sort_unique() -> SOp:
    """The tokens in order, if none repeats; where one does, None stands in for its copies."""
    smaller = Select(tokens, tokens, "<", name="smaller")
    target = SelectorWidth(smaller, name="target")
    return Aggregate(Select(target, indices, "=="), tokens, "only", name="sort_unique")


@TRACR.add("sort", sorted, vocab=(1, 2, 3), example=((3, 1, 2, 1), (1, 1, 2, 3)))
def sort() -> SOp:
    """The tokens in order; of equal ones the first comes first."""
    before = Select(tokens, tokens, "<", name="smaller") | (same_token & earlier)
    target = SelectorWidth(before, name="target")
    return Aggregate(Select(target, indices, "=="), tokens, "only", name="sort")


@TRACR.add(
    "sort_freq",
    lambda s: [s[i] for i in sorted(range(len(s)), key=lambda i: (-s.count(s[i]), i))],
    vocab=(1, 2, 4),
    example=((2, 4, 2, 1), (2, 2, 4, 1)),
)
def sort_freq() -> SOp:
    """The tokens by how often they occur, the most frequent first; ties as in the input."""
    counts = SelectorWidth(same_token, name="hist")
    as_frequent = Select(counts, counts, "==", name="as_frequent")
    before = Select(counts, counts, ">", name="more_frequent") | (as_frequent & earlier)
    target = SelectorWidth(before, name="target")
    return Aggregate(Select(target, indices, "=="), tokens, "only", name="sort_freq")


def _shift_by_specification(sequence: list[Value], offset: int) -> list[Value]:
    source = [i - offset for i in range(len(sequence))]
    return [sequence[i] if 0 <= i < len(sequence) else None for i in source]


@TRACR.add(
    "shift_by",
    _shift_by_specification,
    vocab="abc",
    arguments=(1,),
    example=("abc", (None, "a", "b")),
)
def shift_by(offset: int) -> SOp:
    """The token `offset` positions before; None where there is none."""
    return shifted(tokens, offset, name="shift_by")


def _detect_pattern_specification(sequence: list[Value], pattern: Sequence[Value]) -> list[Value]:
    m = len(pattern)
    ends = range(1, len(sequence) + 1)
    return [None if end < m else sequence[end - m : end] == list(pattern) for end in ends]


@TRACR.add(
    "detect_pattern",
    _detect_pattern_specification,
    vocab="abc",
    arguments=("ab",),
    example=("abab", (None, True, False, True)),
)
def detect_pattern(pattern: Sequence[Value]) -> SOp:
    """Whether `pattern` ends at the position; None where it cannot have begun."""
    if len(pattern) == 0:
        raise reject("pattern", pattern, "at least one token")
    found: SOp = Map(equals(pattern[-1]), tokens, name="last_1_match")
    for back, token in enumerate(reversed(pattern[:-1]), start=1):
        step = shifted(Map(equals(token), tokens), back)
        found = both(step, found, name=f"last_{back + 1}_match")
    return found


@TRACR.add(
    "count_less_freq",
    lambda s, n: [sum(s.count(x) <= n for x in s)] * len(s),
    vocab="abc",
    arguments=(2,),
    example=("aaabbc", (3,) * 6),
)
def count_less_freq(n: int) -> SOp:
    """How many positions have a token that occurs at most `n` times."""
    counts = SelectorWidth(same_token, name="hist")
    rare = Map(named(f"x <= {n}", lambda x: x <= n), counts, name="rare")
    return SelectorWidth(where(rare), name="count_less_freq")


@TRACR.add(
    "count",
    lambda s, token: [s.count(token)] * len(s),
    vocab="abc",
    arguments=("a",),
    example=("aab", (2, 2, 2)),
)
def count(token: Value) -> SOp:
    """How often `token` occurs in the input."""
    return SelectorWidth(where(is_token(token)), name="count")


def _nary_map_specification(sequence: list[Value], f: Callable, *arguments: SOp) -> list[Value]:
    columns = {tokens: sequence, indices: range(len(sequence))}
    return [f(*values) for values in zip(*(columns[argument] for argument in arguments))]


@TRACR.add(
    "nary_map",
    _nary_map_specification,
    vocab=(1, 2, 3),
    arguments=(named("x + y - z", lambda x, y, z: x + y - z), tokens, tokens, indices),
    example=((1, 2, 3), (2, 3, 4)),
)
def nary_map(f: Callable[..., Value], *arguments: SOp) -> SOp:
    """f(x, y, ...) of any number of s-ops: by tuples of them that grow up to the last."""
    if not arguments:
        raise reject("arguments", arguments, "at least one s-op")
    distinct = tuple(dict.fromkeys(arguments))
    places = [distinct.index(argument) for argument in arguments]
    text = function_text(f)
    if len(distinct) < len(arguments):
        text += f" of {places}"
    if len(distinct) == 1:
        return Map(named(text, lambda x: f(*(x for _ in places))), *distinct, name="nary_map")
    first, *between, last = distinct
    if between:
        start = SequenceMap(named("(x, y)", lambda x, y: (x, y)), first, between[0])
        grow = named("(*x, y)", lambda x, y: (*x, y))
        first = reduce(lambda x, y: SequenceMap(grow, x, y), between[1:], start)

    def applied(x: Value, y: Value) -> Value:
        values = (*x, y) if between else (x, y)
        return f(*(values[place] for place in places))

    return SequenceMap(named(text, applied), first, last, name="nary_map")
