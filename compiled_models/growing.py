"""Growing a program from its output down, by choices that somebody else makes.

Each expression spends one of the budget and shares out the rest among its parents; what is left
without budget takes tokens, indices or an expression that is there already. Functions are chosen to
fit the values of their arguments, so they never fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from groundtruth.compiled_models.analysis import analyse
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    LinearSequenceMap,
    Map,
    Select,
    Selector,
    SelectorWidth,
    SequenceMap,
    SOp,
    everything,
    indices,
    tokens,
)
from groundtruth.compiled_models.functions import equals, lookup, named
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Kind, Value, ordered

Choose = Callable[[int], int]
"""n -> one of 0 to n - 1."""

MOST_VALUES = 60
"""Of an expression that a function is chosen for, so that what is compiled from it stays small."""


class DeadEnd(Exception):
    """A program was grown into something that is of no use; grow another."""


@dataclass
class Grower:
    """Expressions by choices: `choose` decides, whoever is behind it.

    The first choice is the simplest everywhere, so choices that shrink give simpler programs.
    """

    choose: Choose
    vocab: Sequence[Value]
    max_length: int
    made: list[SOp] = field(default_factory=lambda: [tokens, indices])
    known_values: dict[SOp, tuple[Value, ...]] = field(default_factory=dict)

    def sop(self, budget: int, kind: Kind | None = None) -> SOp:
        """An s-op of `kind`, or of either, that costs `budget` expressions."""
        if budget == 0:
            known = [e for e in self.made if kind is None or e.kind == kind]
            return self._one_of(known)
        kind = self._one_of(("categorical", "numerical")) if kind is None else kind
        rules = _CATEGORICAL if kind == "categorical" else _NUMERICAL
        rule = self._one_of([rule for least, most, rule in rules if least <= budget <= most])
        grown = rule(self, budget - 1)
        self.made.append(grown)
        return grown

    def selector(self, budget: int) -> Selector:
        """A selector that costs `budget` expressions, at least one."""
        kinds = ["select", "not", "and", "or"][: 1 + (budget >= 2) + 2 * (budget >= 3)]
        kind = self._one_of([*kinds, "everything"] if budget == 1 else kinds)
        if kind == "everything":
            return everything
        if kind == "not":
            return ~self.selector(budget - 1)
        if kind in ("and", "or"):
            first = 1 + self.choose(budget - 2)
            a, b = self.selector(first), self.selector(budget - 1 - first)
            return a & b if kind == "and" else a | b
        keys, queries = self._two("categorical", budget - 1)
        return Select(keys, queries, self._predicate(keys, queries))

    def _two(self, kind: Kind, budget: int, least: int = 0) -> tuple[SOp, SOp]:
        """Two s-ops of `kind` that cost `budget` together and at least `least` each."""
        first = least + self.choose(budget - 2 * least + 1)
        return self.sop(first, kind), self.sop(budget - first, kind)

    def _one_of(self, options: Sequence):
        if not options:
            raise DeadEnd
        return options[self.choose(len(options))]

    def _values(self, e: SOp) -> tuple[Value, ...]:
        """What `e` can be, under interchange too."""
        if e not in self.known_values:
            analysis = analyse(Program(e), self.vocab, self.max_length, closed=True)
            if analysis.problems or analysis.domains[e].values is None:
                raise DeadEnd
            self.known_values[e] = analysis.domains[e].listed
        if len(self.known_values[e]) > MOST_VALUES:
            raise DeadEnd
        return self.known_values[e]

    # --- rules: what an expression is made of, by what is left of the budget ---

    def _map(self, budget: int, kind: Kind) -> Map:
        argument = self.sop(budget, None if budget else "categorical")
        values = self._values(argument)
        options = [self._equals, self._table]
        if kind == "categorical":
            options.append(self._without)
        if _all_numbers(values):
            options += [self._affine, self._modulo]
        function = self._one_of(options)(values)
        default = self._one_of((None, None, 0)) if kind == "categorical" else None
        return Map(function, argument, kind, default)

    def _equals(self, values: Sequence[Value]) -> Callable:
        return equals(self._one_of(values))

    def _table(self, values: Sequence[Value]) -> Callable:
        return lookup({value: self.choose(3) for value in values}, 0)

    def _without(self, values: Sequence[Value]) -> Callable:
        left_out = self._one_of(values)
        return named(f"x unless {left_out!r}", lambda x: None if x == left_out else x)

    def _affine(self, values: Sequence[Value]) -> Callable:
        sign, shift = self._one_of(((1, 1), (1, 2), (-1, 0), (-1, 1)))
        return named(f"{sign} * x + {shift}", lambda x: sign * x + shift)

    def _modulo(self, values: Sequence[Value]) -> Callable:
        modulus = 2 + self.choose(2)
        return named(f"x % {modulus}", lambda x: x % modulus)

    def _sequence_map(self, budget: int, kind: Kind) -> SequenceMap:
        first, second = self._two("categorical", budget)
        x, y = self._values(first), self._values(second)
        options = [named("x == y", lambda x, y: x == y)]
        if _all_numbers(x) and _all_numbers(y):
            options += [
                named("x + y", lambda x, y: x + y),
                named("x - y", lambda x, y: x - y),
                named("x > y", lambda x, y: x > y),
            ]
        if kind == "categorical":
            options.append(named("x if y else None", lambda x, y: x if y else None))
        return SequenceMap(self._one_of(options), first, second, kind)

    def _width(self, budget: int, kind: Kind) -> SelectorWidth:
        return SelectorWidth(self.selector(budget), kind)

    def _aggregate(self, budget: int, kind: Kind) -> Aggregate:
        least = 1 if kind == "numerical" else 0
        cost = 1 + self.choose(budget - least)
        selector, values = self.selector(cost), self.sop(budget - cost, kind)
        hows = ["only"] if kind == "categorical" else ["mean", "sum"]
        if ordered(self._values(values)):
            hows += ["max", "min"]
        default = 0 if kind == "numerical" and self.choose(2) else None
        return Aggregate(selector, values, self._one_of(hows), default)

    def _linear(self, budget: int) -> LinearSequenceMap:
        first, second = self._two("numerical", budget, 1)
        return LinearSequenceMap(first, second, self._one_of((1, 2, -1)), self._one_of((1, -1)))

    def _predicate(self, keys: SOp, queries: SOp):
        x, y = self._values(keys), self._values(queries)
        options: list = ["==", "!="]
        if ordered([*x, *y]):
            options += ["<", "<=", ">", ">="]
        if _all_numbers(x) and _all_numbers(y):
            step = 1 + self.choose(2)
            options.append(named(f"key + {step} == query", lambda k, q: k + step == q))
        return self._one_of(options)


_ANY = 1 << 30
_CATEGORICAL = (
    (1, _ANY, lambda grower, left: grower._map(left, "categorical")),
    (1, _ANY, lambda grower, left: grower._sequence_map(left, "categorical")),
    (2, _ANY, lambda grower, left: grower._width(left, "categorical")),
    (2, _ANY, lambda grower, left: grower._aggregate(left, "categorical")),
    (1, 1, lambda grower, left: Constant(grower.choose(3))),
)
"""(least budget, greatest budget, rule)."""

_NUMERICAL = (
    (1, _ANY, lambda grower, left: grower._map(left, "numerical")),
    (1, _ANY, lambda grower, left: grower._sequence_map(left, "numerical")),
    (2, _ANY, lambda grower, left: grower._width(left, "numerical")),
    (3, _ANY, lambda grower, left: grower._aggregate(left, "numerical")),
    (3, _ANY, lambda grower, left: grower._linear(left)),
    (1, 1, lambda grower, left: Constant(grower.choose(3) - 1, "numerical")),
)


def _all_numbers(values: Sequence[Value]) -> bool:
    return all(not isinstance(value, (str, tuple, float)) for value in values)
