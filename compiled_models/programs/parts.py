"""Expressions that many programs of the library are made of."""

from __future__ import annotations

from functools import lru_cache

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Map,
    Select,
    Selector,
    SelectorWidth,
    SequenceMap,
    SOp,
    indices,
    tokens,
)
from groundtruth.compiled_models.functions import equals, named
from groundtruth.compiled_models.values import Value

earlier = Select(indices, indices, "<", name="earlier")
up_to_here = Select(indices, indices, "<=", name="up_to_here")
later = Select(indices, indices, ">", name="later")
same_token = Select(tokens, tokens, "==", name="same_token")


@lru_cache(maxsize=1024, typed=True)
def is_token(token: Value) -> Map:
    """Whether the token is `token`; one expression however often it is asked for, so that the
    brackets of two pairs can share a token."""
    return Map(equals(token), tokens, name=f"is_{token}")


def where(flags: SOp, *, name: str | None = None) -> Select:
    """Chooses the positions at which `flags` is true."""
    return Select(flags, Constant(True), "==", name=name)


def flagged(flags: SOp) -> Map:
    """Truth values as the numbers 0 and 1, to average or add up; None counts as 0."""
    return Map(named("int(x)", lambda x: int(x)), flags, "numerical", default=0)


def shifted(values: SOp, offset: int, *, name: str | None = None) -> Aggregate:
    """`values` as they are `offset` positions before, None where there is no such position."""
    by = named(f"key + {offset} == query", lambda key, query: key + offset == query)
    return Aggregate(Select(indices, indices, by), values, "only", name=name)


def fetched(values: SOp, position: SOp, *, name: str | None = None) -> Aggregate:
    """`values` at index `position`, None where there is no such position."""
    return Aggregate(Select(indices, position, "=="), values, "only", name=name)


def is_none_chosen(selector: Selector, *, name: str | None = None) -> Map:
    """Whether `selector` chooses no position."""
    return Map(equals(0), SelectorWidth(selector), name=name)


def both(first: SOp, second: SOp, *, name: str | None = None) -> SequenceMap:
    """first and second, of truth values."""
    return SequenceMap(named("x and y", lambda x, y: x and y), first, second, name=name)


def either(first: SOp, second: SOp, *, name: str | None = None) -> SequenceMap:
    """first or second, of truth values."""
    return SequenceMap(named("x or y", lambda x, y: x or y), first, second, name=name)


def kept(values: SOp, flags: SOp, *, name: str | None = None) -> SequenceMap:
    """`values` where `flags` is true, None elsewhere."""
    keep = named("x if y else None", lambda x, y: x if y else None)
    return SequenceMap(keep, values, flags, name=name)
