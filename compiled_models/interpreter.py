"""The plain interpreter: one sequence, one expression after the other, as the definitions say.

It is what the other interpreters and the compiled models are held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    Select,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SequenceMap,
    Tokens,
    Vote,
)
from groundtruth.compiled_models.values import READERS, Value, category, number
from groundtruth.errors import reject

Rows = list[Any]
"""Of an s-op, its value at each position; of a selector, at each query position i the list whose
entry j says whether key position j is chosen."""


def evaluate(
    expressions: Iterable[Expression],
    sequence: Sequence[Value],
    *,
    causal: bool,
    interventions: Mapping[Expression, Mapping[int, Any]] | None = None,
) -> dict[Expression, Rows]:
    """The value of each of `expressions` on `sequence`.

    Args:
        expressions: each after its parents.
        sequence: the tokens; none of them None. The empty sequence has no positions.
        causal: whether a query sees only keys up to its own position.
        interventions: for an expression the values at some positions that replace what it would
            compute there. What depends on it then sees the replacement.
    """
    if not isinstance(sequence, (str, list, tuple, range)):
        raise reject("sequence", sequence, "a string, list or tuple of tokens")
    if any(category(token) is None for token in sequence):
        raise reject("sequence", sequence, "tokens other than None")
    found: dict[Expression, Rows] = {}
    for expression in expressions:
        rows = _rows(expression, found, list(sequence), causal)
        for position, value in (interventions or {}).get(expression, {}).items():
            rows[position] = value
        found[expression] = rows
    return found


def _rows(e: Expression, found: dict[Expression, Rows], sequence: Rows, causal: bool) -> Rows:
    """The value of one expression, given those of its parents."""
    n = len(sequence)
    match e:
        case Tokens():
            return list(sequence)
        case Indices():
            return list(range(n))
        case Constant():
            return [READERS[e.kind](e.value)] * n
        case Map():
            read = READERS[e.kind]
            return [read(e.default if x is None else e.function(x)) for x in found[e.argument]]
        case SequenceMap():
            read = READERS[e.kind]
            pairs = zip(found[e.first], found[e.second])
            return [None if None in (x, y) else read(e.function(x, y)) for x, y in pairs]
        case LinearSequenceMap():
            return [
                None if None in (x, y) else number(e.first_factor * x + e.second_factor * y)
                for x, y in zip(found[e.first], found[e.second])
            ]
        case Vote():
            three = zip(found[e.first], found[e.second], found[e.third])
            return [a if a in (b, c) else b if b == c else None for a, b, c in three]
        case Select():
            return [
                [None not in (key, query) and bool(e.function(key, query)) for key in found[e.keys]]
                for query in found[e.queries]
            ]
        case SelectorAnd():
            return _pairwise(lambda a, b: a and b, found[e.first], found[e.second])
        case SelectorOr():
            return _pairwise(lambda a, b: a or b, found[e.first], found[e.second])
        case SelectorNot():
            return [[not chosen for chosen in row] for row in found[e.selector]]
        case SelectorWidth():
            return [len(_chosen(i, row, causal)) for i, row in enumerate(found[e.selector])]
        case Aggregate():
            default, values = READERS[e.kind](e.default), found[e.values]
            out = []
            for i, row in enumerate(found[e.selector]):
                there = [values[j] for j in _chosen(i, row, causal) if values[j] is not None]
                out.append(_HOW[e.how](there) if there else default)
            return out
    raise AssertionError(f"no rule for {e!r}")


def _pairwise(combine: Callable[[bool, bool], bool], first: Rows, second: Rows) -> Rows:
    return [[combine(a, b) for a, b in zip(*rows)] for rows in zip(first, second)]


def _chosen(query: int, row: Sequence[bool], causal: bool) -> list[int]:
    """The key positions of a row, without those that a causal program does not see."""
    return [key for key, chosen in enumerate(row) if chosen and (key <= query or not causal)]


_HOW: dict[str, Callable[[Rows], Value]] = {
    "mean": lambda values: number(Fraction(sum(values)) / len(values)),
    "sum": lambda values: number(sum(values)),
    "max": max,
    "min": min,
    "only": lambda values: values[0] if all(v == values[0] for v in values) else None,
}
