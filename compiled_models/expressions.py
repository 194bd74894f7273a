"""The primitives: s-ops, which have one value per position, and selectors, which choose positions.

An expression is an immutable object. Two are the same only if they are the same object: `==`
compares identity, and comparisons of values are written with `Select`, `Map` and `SequenceMap`.
A name is given when an expression is made; a `Program` numbers those without.

Source: Weiss et al., "Thinking Like Transformers", 2021, https://arxiv.org/abs/2106.06981
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal, get_args

from groundtruth.compiled_models.values import KINDS, Kind, Number, Value, category, number
from groundtruth.errors import InputError, UnknownName, reject

How = Literal["mean", "sum", "max", "min", "only"]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "true": lambda key, query: True,
    "false": lambda key, query: False,
}
"""What `Select` takes by name; the key stands on the left."""


@dataclass(frozen=True, eq=False, repr=False)
class Expression:
    """An s-op or a selector. `word` is what it is called where it has no name."""

    word: ClassVar[str] = "expression"

    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.name is not None and not (isinstance(self.name, str) and self.name.isprintable()):
            raise reject("name", self.name, "a printable string, or None")
        if self.name == "":
            raise reject("name", self.name, "a string that is not empty, or None")
        self._check()

    def _check(self) -> None:
        """Raise if an argument is not what the primitive is made of."""

    @property
    def parents(self) -> tuple[Expression, ...]:
        """What it is computed from, in order."""
        return ()

    def __repr__(self) -> str:
        return f"<{self.word} {self.name}>" if self.name else f"<{self.word}>"


class SOp(Expression):
    """A sequence operator: one value, or None, at each position."""

    kind: Kind = "categorical"


class Selector(Expression):
    """For each position (query) the set of positions (keys) that it chooses.

    `a & b`, `a | b` and `~a` are `SelectorAnd`, `SelectorOr` and `SelectorNot`.
    """

    def __and__(self, other: Selector) -> SelectorAnd:
        return SelectorAnd(self, other)

    def __or__(self, other: Selector) -> SelectorOr:
        return SelectorOr(self, other)

    def __invert__(self) -> SelectorNot:
        return SelectorNot(self)


def _check_sop(which: str, given: object) -> None:
    if isinstance(given, Selector):
        raise InputError(
            f"{which}: expected an s-op, got the selector {given!r}. Turn it into values with "
            "SelectorWidth or Aggregate."
        )
    if not isinstance(given, SOp):
        raise reject(which, given, "an s-op", "A fixed value is Constant(value).")


def _check_selector(which: str, given: object) -> None:
    if not isinstance(given, Selector):
        raise reject(which, given, "a selector", "Make one with Select(keys, queries, predicate).")


def _check_function(given: object) -> None:
    if isinstance(given, Expression) or not callable(given):
        raise reject("function", given, "a function of values")


def _check_kind(kind: object) -> None:
    if kind not in KINDS:
        raise UnknownName("kind", str(kind), KINDS)


# --- s-ops -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Tokens(SOp):
    """The input. Use `tokens`."""

    word: ClassVar[str] = "tokens"


@dataclass(frozen=True, eq=False, repr=False)
class Indices(SOp):
    """The position, counted from 0 at the first token. Use `indices`."""

    word: ClassVar[str] = "indices"


@dataclass(frozen=True, eq=False, repr=False)
class Constant(SOp):
    """The same value at each position; not None."""

    word: ClassVar[str] = "constant"

    value: Value
    kind: Kind = "categorical"

    def _check(self) -> None:
        _check_kind(self.kind)
        read = category if self.kind == "categorical" else number
        if read(self.value) is None:
            raise reject("constant", self.value, "a value; None is the absence of one")


@dataclass(frozen=True, eq=False, repr=False)
class Map(SOp):
    """function(x) at each position; `default` where x is None.

    The function never sees None, may return it, and must give the same answer each time.

    Example:
        >>> from groundtruth.compiled_models import Program
        >>> Program(Map(lambda x: x + 1, indices))("abc")
        [1, 2, 3]
    """

    word: ClassVar[str] = "map"

    function: Callable[[Any], Value]
    argument: SOp
    kind: Kind = "categorical"
    default: Value = None

    def _check(self) -> None:
        _check_function(self.function)
        _check_sop("argument", self.argument)
        _check_kind(self.kind)

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.argument,)


@dataclass(frozen=True, eq=False, repr=False)
class SequenceMap(SOp):
    """function(x, y) at each position, of categorical s-ops; None where x or y is None."""

    word: ClassVar[str] = "sequence_map"

    function: Callable[[Any, Any], Value]
    first: SOp
    second: SOp
    kind: Kind = "categorical"

    def _check(self) -> None:
        _check_function(self.function)
        _check_sop("first", self.first)
        _check_sop("second", self.second)
        _check_kind(self.kind)

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.first, self.second)


@dataclass(frozen=True, eq=False, repr=False)
class LinearSequenceMap(SOp):
    """first_factor x + second_factor y at each position, of numerical s-ops; None if either is."""

    word: ClassVar[str] = "linear_sequence_map"

    first: SOp
    second: SOp
    first_factor: Number
    second_factor: Number

    def _check(self) -> None:
        _check_sop("first", self.first)
        _check_sop("second", self.second)
        for which in ("first_factor", "second_factor"):
            factor = getattr(self, which)
            if isinstance(factor, bool) or not isinstance(factor, (int, Fraction)):
                raise reject(which, factor, "a whole number or a Fraction")
            number(factor)

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "numerical"

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.first, self.second)


@dataclass(frozen=True, eq=False, repr=False)
class Vote(SOp):
    """The value that two of three categorical s-ops share at least; None where no two do.

    Example:
        >>> from groundtruth.compiled_models import Program
        >>> Program(Vote(tokens, Map(str.upper, tokens), tokens))("ab")
        ['a', 'b']
    """

    word: ClassVar[str] = "vote"

    first: SOp
    second: SOp
    third: SOp

    def _check(self) -> None:
        for which in ("first", "second", "third"):
            _check_sop(which, getattr(self, which))

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.first, self.second, self.third)


@dataclass(frozen=True, eq=False, repr=False)
class SelectorWidth(SOp):
    """How many positions the selector chooses; never None."""

    word: ClassVar[str] = "selector_width"

    selector: Selector
    kind: Kind = "categorical"

    def _check(self) -> None:
        _check_selector("selector", self.selector)
        _check_kind(self.kind)

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.selector,)


@dataclass(frozen=True, eq=False, repr=False)
class Aggregate(SOp):
    """One value out of those at the chosen positions; `default` where there are none.

    Positions whose value is None are not counted among the chosen. `how` is

    - "mean", "sum": of numerical values;
    - "max", "min": of values of either kind that have an order;
    - "only": the one value that all chosen positions share, None if they differ; of categorical
      values. This is what copies a token.

    Example:
        >>> from groundtruth.compiled_models import Program
        >>> previous = Select(indices, indices, lambda key, query: key == query - 1)
        >>> Program(Aggregate(previous, tokens, "only"))("abc")
        [None, 'a', 'b']
    """

    word: ClassVar[str] = "aggregate"

    selector: Selector
    values: SOp
    how: How
    default: Value = None

    def _check(self) -> None:
        _check_selector("selector", self.selector)
        _check_sop("values", self.values)
        if self.how not in get_args(How):
            raise UnknownName("way to aggregate", str(self.how), get_args(How))

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "numerical" if self.how in ("mean", "sum") else self.values.kind

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.selector, self.values)


# --- selectors -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Select(Selector):
    """Query position i chooses key position j if predicate(keys[j], queries[i]).

    The predicate is one of `COMPARISONS` or a function (key, query) -> bool. It never sees None: a
    pair of which either is None is not chosen, whatever the predicate. Both s-ops are categorical.
    """

    word: ClassVar[str] = "select"

    keys: SOp
    queries: SOp
    predicate: str | Callable[[Any, Any], bool]

    def _check(self) -> None:
        _check_sop("keys", self.keys)
        _check_sop("queries", self.queries)
        if isinstance(self.predicate, str):
            if self.predicate not in COMPARISONS:
                raise UnknownName("comparison", self.predicate, COMPARISONS)
        else:
            _check_function(self.predicate)

    @property
    def function(self) -> Callable[[Any, Any], bool]:
        """The predicate as a function."""
        return COMPARISONS[self.predicate] if isinstance(self.predicate, str) else self.predicate

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.keys, self.queries)


@dataclass(frozen=True, eq=False, repr=False)
class _TwoSelectors(Selector):
    first: Selector
    second: Selector

    def _check(self) -> None:
        _check_selector("first", self.first)
        _check_selector("second", self.second)

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.first, self.second)


class SelectorAnd(_TwoSelectors):
    """Chooses what both choose."""

    word: ClassVar[str] = "selector_and"


class SelectorOr(_TwoSelectors):
    """Chooses what either chooses."""

    word: ClassVar[str] = "selector_or"


@dataclass(frozen=True, eq=False, repr=False)
class SelectorNot(Selector):
    """Chooses what `selector` does not: also pairs that it left out because of a None."""

    word: ClassVar[str] = "selector_not"

    selector: Selector

    def _check(self) -> None:
        _check_selector("selector", self.selector)

    @property
    def parents(self) -> tuple[Expression, ...]:
        return (self.selector,)


# --- what is always there --------------------------------------------------------------------

tokens = Tokens(name="tokens")
indices = Indices(name="indices")

everything = Select(indices, indices, "true", name="everything")
"""Chooses all positions; in a causal program, those up to the query."""

length = SelectorWidth(everything, name="length")
"""The length of the input, derived from selector width; in a causal program, index + 1."""


def numerical(argument: SOp, *, name: str | None = None) -> Map:
    """The numbers of a categorical s-op on one axis, so that they can be averaged."""
    return Map(unchanged, argument, "numerical", name=name)


def categorical(argument: SOp, *, name: str | None = None) -> Map:
    """A numerical s-op with one direction for each of its values, so that it can be selected by."""
    return Map(unchanged, argument, name=name)


def unchanged(x: Value) -> Value:
    return x
