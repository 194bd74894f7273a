"""Programs about where and how often tokens occur."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from groundtruth.compiled_models.expressions import (
    Aggregate,
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
from groundtruth.compiled_models.functions import equals, named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import (
    earlier,
    is_none_chosen,
    is_token,
    kept,
    later,
    same_token,
    up_to_here,
    where,
)
from groundtruth.compiled_models.values import Value

OCCURRENCE = Family("occurrence")


def _places(sequence: list[Value], token: Value) -> list[int]:
    return [i for i, x in enumerate(sequence) if x == token]


def _is_first() -> SOp:
    return is_none_chosen(same_token & earlier, name="is_first")


@OCCURRENCE.add(
    "first_occurrence",
    lambda s: [s.index(x) for x in s],
    vocab="abc",
    example=("abab", (0, 1, 0, 1)),
)
def first_occurrence() -> SOp:
    """The index at which the token occurs first."""
    return Aggregate(same_token, indices, "min", name="first_occurrence")


@OCCURRENCE.add(
    "last_occurrence",
    lambda s: [_places(s, x)[-1] for x in s],
    vocab="abc",
    example=("abab", (2, 3, 2, 3)),
)
def last_occurrence() -> SOp:
    """The index at which the token occurs last."""
    return Aggregate(same_token, indices, "max", name="last_occurrence")


@OCCURRENCE.add(
    "is_first",
    lambda s: [x not in s[:i] for i, x in enumerate(s)],
    vocab="abc",
    example=("aba", (True, True, False)),
)
def is_first() -> SOp:
    """Whether the token has not occurred before."""
    return _is_first()


@OCCURRENCE.add(
    "is_last",
    lambda s: [x not in s[i + 1 :] for i, x in enumerate(s)],
    vocab="abc",
    example=("aba", (False, True, True)),
)
def is_last() -> SOp:
    """Whether the token does not occur again."""
    return is_none_chosen(same_token & later, name="is_last")


@OCCURRENCE.add(
    "occurrence_number",
    lambda s: [s[: i + 1].count(x) for i, x in enumerate(s)],
    vocab="abc",
    example=("abaa", (1, 1, 2, 3)),
)
def occurrence_number() -> SOp:
    """How often the token has occurred so far, this time included."""
    return SelectorWidth(same_token & up_to_here, name="occurrence_number")


@OCCURRENCE.add(
    "distance_to_previous",
    lambda s: [i - max(_places(s[:i], x), default=i) or None for i, x in enumerate(s)],
    vocab="abc",
    example=("abba", (None, None, 1, 3)),
)
def distance_to_previous() -> SOp:
    """How many positions ago the token occurred last; None if it did not."""
    previous = Aggregate(same_token & earlier, indices, "max", name="previous")
    minus = named("i - j", lambda i, j: i - j)
    return SequenceMap(minus, indices, previous, name="distance_to_previous")


@OCCURRENCE.add(
    "keep_first",
    lambda s: [x if x not in s[:i] else None for i, x in enumerate(s)],
    vocab="abc",
    example=("abab", ("a", "b", None, None)),
)
def keep_first() -> SOp:
    """The token where it occurs first, None where it repeats."""
    return kept(tokens, _is_first(), name="keep_first")


def _compact_specification(sequence: list[Value]) -> list[Value]:
    found = list(dict.fromkeys(sequence))
    return found + [None] * (len(sequence) - len(found))


@OCCURRENCE.add(
    "deduplicate", _compact_specification, vocab="abc", example=("abac", ("a", "b", "c", None))
)
def deduplicate() -> SOp:
    """The different tokens in the order of their first occurrence, then None."""
    firsts = where(_is_first(), name="firsts")
    target = SelectorWidth(earlier & firsts, name="target")
    moved = Select(target, indices, "==", name="moved")
    return Aggregate(moved & firsts, tokens, "only", name="deduplicate")


@OCCURRENCE.add(
    "count_distinct", lambda s: [len(set(s))] * len(s), vocab="abc", example=("abab", (2, 2, 2, 2))
)
def count_distinct() -> SOp:
    """How many different tokens there are."""
    return SelectorWidth(where(_is_first()), name="count_distinct")


@OCCURRENCE.add(
    "find",
    lambda s, token: [min(_places(s, token), default=None)] * len(s),
    vocab="abc",
    arguments=("a",),
    example=("bab", (1, 1, 1)),
)
def find(token: Value) -> SOp:
    """The index of the first `token`; None if there is none."""
    return Aggregate(where(is_token(token)), indices, "min", name="find")


@OCCURRENCE.add(
    "find_last",
    lambda s, token: [max(_places(s, token), default=None)] * len(s),
    vocab="abc",
    arguments=("a",),
    example=("aab", (1, 1, 1)),
)
def find_last(token: Value) -> SOp:
    """The index of the last `token`; None if there is none."""
    return Aggregate(where(is_token(token)), indices, "max", name="find_last")


def _by_count(sequence: list[Value], sign: int) -> list[Value]:
    best = min(sequence, key=lambda x: (sign * sequence.count(x), x))
    return [best] * len(sequence)


def _with_count(how: str, name: str) -> SOp:
    counts = SelectorWidth(same_token, name="hist")
    extreme = Aggregate(everything, counts, how, name=f"{how}_count")  # type: ignore[arg-type]
    chosen = Select(counts, extreme, "==", name="with_that_count")
    return Aggregate(chosen, tokens, "min", name=name)


@OCCURRENCE.add("most_frequent", lambda s: _by_count(s, -1), vocab="abc", example=("bab", "bbb"))
def most_frequent() -> SOp:
    """The token that occurs most often; of several, the least."""
    return _with_count("max", "most_frequent")


@OCCURRENCE.add("rarest", lambda s: _by_count(s, 1), vocab="abc", example=("bab", "aaa"))
def rarest() -> SOp:
    """The token that occurs least often; of several, the least."""
    return _with_count("min", "rarest")


@OCCURRENCE.add(
    "singletons",
    lambda s: [x if Counter(s)[x] == 1 else None for x in s],
    vocab="abc",
    example=("abac", (None, "b", None, "c")),
)
def singletons() -> SOp:
    """The token where it occurs once only, None elsewhere."""
    alone = Map(equals(1), SelectorWidth(same_token, name="hist"), name="alone")
    return kept(tokens, alone, name="singletons")


def _majority_specification(sequence: list[Value]) -> list[Value]:
    token, count = Counter(sequence).most_common(1)[0]
    return [token if 2 * count > len(sequence) else None] * len(sequence)


@OCCURRENCE.add("majority_token", _majority_specification, vocab="abc", example=("aba", "aaa"))
def majority_token() -> SOp:
    """The token at more than half of the positions; None if there is none."""
    counts = SelectorWidth(same_token, name="hist")
    over = named("2 x > n", lambda x, n: 2 * x > n)
    frequent = SequenceMap(over, counts, length, name="over_half")
    return Aggregate(where(frequent), tokens, "only", name="majority_token")


@OCCURRENCE.add(
    "frequency",
    lambda s: [Fraction(s.count(x), len(s)) for x in s],
    vocab="abc",
    example=("aab", (Fraction(2, 3), Fraction(2, 3), Fraction(1, 3))),
)
def frequency() -> SOp:
    """The fraction of positions with this token."""
    share = named("x / n", lambda x, n: Fraction(x, n))
    counts = SelectorWidth(same_token, name="hist")
    return SequenceMap(share, counts, length, "numerical", name="frequency")
