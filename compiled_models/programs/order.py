"""Programs that compare tokens by their order: maxima, ranks, trends."""

from __future__ import annotations

from itertools import pairwise

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
    length,
    numerical,
    tokens,
)
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import (
    both,
    earlier,
    fetched,
    is_none_chosen,
    later,
    same_token,
    shifted,
    up_to_here,
    where,
)
from groundtruth.compiled_models.values import Value

ORDER = Family("order")

greater = named("x > y", lambda x, y: x > y)
smaller = Select(tokens, tokens, "<", name="smaller")


@ORDER.add("maximum", lambda s: [max(s)] * len(s), vocab=(1, 2, 3), example=((1, 3, 2), (3, 3, 3)))
def maximum() -> SOp:
    """The greatest token."""
    return Aggregate(everything, tokens, "max", name="maximum")


@ORDER.add("minimum", lambda s: [min(s)] * len(s), vocab=(1, 2, 3), example=((3, 2, 3), (2, 2, 2)))
def minimum() -> SOp:
    """The least token."""
    return Aggregate(everything, tokens, "min", name="minimum")


@ORDER.add(
    "running_maximum",
    lambda s: [max(s[: i + 1]) for i in range(len(s))],
    vocab=(1, 2, 3),
    example=((1, 3, 2), (1, 3, 3)),
)
def running_maximum() -> SOp:
    """The greatest token so far."""
    return Aggregate(up_to_here, tokens, "max", name="running_maximum")


@ORDER.add(
    "second_largest",
    lambda s: [max((x for x in s if x != max(s)), default=None)] * len(s),
    vocab=(1, 2, 3),
    example=((3, 1, 2, 3), (2, 2, 2, 2)),
)
def second_largest() -> SOp:
    """The greatest token below the maximum; None if all are equal."""
    top = Aggregate(everything, tokens, "max", name="maximum")
    below = Select(tokens, top, "<", name="below_maximum")
    return Aggregate(below, tokens, "max", name="second_largest")


@ORDER.add(
    "argmax",
    lambda s: [s.index(max(s))] * len(s),
    vocab=(1, 2, 3),
    example=((1, 3, 3), (1, 1, 1)),
)
def argmax() -> SOp:
    """The index of the first greatest token."""
    top = Aggregate(everything, tokens, "max", name="maximum")
    return Aggregate(Select(tokens, top, "==", name="greatest"), indices, "min", name="argmax")


@ORDER.add(
    "value_range",
    lambda s: [max(s) - min(s)] * len(s),
    vocab=(1, 2, 4),
    example=((4, 2, 2), (2, 2, 2)),
)
def value_range() -> SOp:
    """The greatest token minus the least, of numbers."""
    values = numerical(tokens, name="values")
    top = Aggregate(everything, values, "max", name="maximum")
    bottom = Aggregate(everything, values, "min", name="minimum")
    return LinearSequenceMap(top, bottom, 1, -1, name="value_range")


@ORDER.add(
    "count_smaller",
    lambda s: [sum(y < x for y in s) for x in s],
    vocab=(1, 2, 3),
    example=((3, 1, 1), (2, 0, 0)),
)
def count_smaller() -> SOp:
    """How many tokens are smaller than this one."""
    return SelectorWidth(smaller, name="count_smaller")


@ORDER.add(
    "dense_rank",
    lambda s: [len({y for y in s if y < x}) for x in s],
    vocab=(1, 2, 3),
    example=((3, 1, 1), (1, 0, 0)),
)
def dense_rank() -> SOp:
    """How many different tokens are smaller than this one."""
    first = is_none_chosen(same_token & earlier, name="is_first")
    return SelectorWidth(smaller & where(first), name="dense_rank")


@ORDER.add(
    "median",
    lambda s: [sorted(s)[(len(s) - 1) // 2]] * len(s),
    vocab=(1, 2, 3),
    example=((3, 1, 2, 3), (2, 2, 2, 2)),
)
def median() -> SOp:
    """The middle token in order; of two, the smaller."""
    rank = SelectorWidth(smaller | (same_token & earlier), name="rank")
    middle = Map(named("(n - 1) // 2", lambda n: (n - 1) // 2), length, name="middle")
    return Aggregate(Select(rank, middle, "=="), tokens, "only", name="median")


@ORDER.add(
    "is_sorted",
    lambda s: [s == sorted(s)] * len(s),
    vocab=(1, 2, 3),
    example=((1, 1, 3), (True, True, True)),
)
def is_sorted() -> SOp:
    """Whether no token is smaller than the one before it."""
    falls = SequenceMap(greater, shifted(tokens, 1, name="previous"), tokens, name="falls")
    return is_none_chosen(where(falls), name="is_sorted")


def _trend_specification(sequence: list[Value]) -> list[Value]:
    words = {True: "up", False: "down"}
    pairs = pairwise(sequence)
    return [*("flat" if a == b else words[b > a] for a, b in pairs), None]


@ORDER.add(
    "trend",
    _trend_specification,
    vocab=(1, 2, 3),
    example=((1, 3, 3, 2), ("up", "flat", "down", None)),
)
def trend() -> SOp:
    """Whether the next token is greater ("up"), smaller ("down") or equal ("flat")."""
    word = named("up, down or flat", lambda x, y: "up" if y > x else "down" if y < x else "flat")
    return SequenceMap(word, tokens, shifted(tokens, -1, name="next"), name="trend")


def _peak_specification(sequence: list[Value]) -> list[Value]:
    inner = range(1, len(sequence) - 1)
    found = [sequence[i - 1] < sequence[i] > sequence[i + 1] for i in inner]
    return [None, *found, None][: len(sequence)] if len(sequence) > 1 else [None]


@ORDER.add(
    "peaks", _peak_specification, vocab=(1, 2, 3), example=((1, 3, 2, 2), (None, True, False, None))
)
def peaks() -> SOp:
    """Whether the token is greater than both its neighbours; None at the ends."""
    left = SequenceMap(greater, tokens, shifted(tokens, 1, name="previous"), name="above_previous")
    right = SequenceMap(greater, tokens, shifted(tokens, -1, name="next"), name="above_next")
    return both(left, right, name="peaks")


@ORDER.add(
    "pairwise_maximum",
    lambda s: [max(s[max(i - 1, 0) : i + 1]) for i in range(len(s))],
    vocab=(1, 2, 3),
    example=((2, 1, 3), (2, 2, 3)),
)
def pairwise_maximum() -> SOp:
    """The greater of the token and the one before it."""
    near = Select(indices, indices, named("q - 1 <= k <= q", lambda k, q: q - 1 <= k <= q))
    return Aggregate(near, tokens, "max", name="pairwise_maximum")


@ORDER.add(
    "inversions",
    lambda s: [sum(y > x for y in s[:i]) for i, x in enumerate(s)],
    vocab=(1, 2, 3),
    example=((3, 1, 2), (0, 1, 1)),
)
def inversions() -> SOp:
    """How many earlier tokens are greater."""
    above = Select(tokens, tokens, ">", name="greater")
    return SelectorWidth(above & earlier, name="inversions")


@ORDER.add(
    "next_greater",
    lambda s: [next((y for y in s[i:] if y > x), None) for i, x in enumerate(s)],
    vocab=(1, 2, 3),
    example=((1, 3, 2), (3, None, None)),
)
def next_greater() -> SOp:
    """The first later token that is greater; None if there is none."""
    above = Select(tokens, tokens, ">", name="greater")
    position = Aggregate(above & later, indices, "min", name="position")
    return fetched(tokens, position, name="next_greater")


@ORDER.add(
    "records",
    lambda s: [all(y < x for y in s[:i]) for i, x in enumerate(s)],
    vocab=(1, 2, 3),
    example=((1, 3, 3), (True, True, False)),
)
def records() -> SOp:
    """Whether the token is greater than all before it."""
    not_below = Select(tokens, tokens, ">=", name="at_least")
    return is_none_chosen(not_below & earlier, name="records")
