"""The values that an expression can take: what encodings and margins are derived from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import cast

import numpy as np

from groundtruth.compiled_models.values import Kind, Number, Value, arranged, number, ordered

MOST_VALUES = 100_000
"""How many values a set may list. Beyond it a categorical expression is refused, and a numerical
one keeps its bounds and its grid."""


@dataclass(frozen=True)
class Domain:
    """The values that an s-op takes on the sequences of a vocabulary up to a length.

    Fields:
        kind: of the s-op.
        values: all of them but None, in order (by type and text where Python has none); None if
            there are more than `MOST_VALUES`.
        none: whether it may be None.
        exact: whether each of `values`, and None if `none`, is attained; else they are a superset.
        low, high: least and greatest value of a numerical s-op, or bounds of them.
        denominator: every value of a numerical s-op is a multiple of 1 / denominator.

    Codes: value k of `values` has code k, None has code `none_code`.
    """

    kind: Kind
    values: tuple[Value, ...] | None
    none: bool
    exact: bool
    low: Number | None = None
    high: Number | None = None
    denominator: int = 1

    @cached_property
    def code(self) -> dict[Value, int]:
        """The code of each value and of None."""
        return {value: k for k, value in enumerate((*self.listed, None))}

    @property
    def none_code(self) -> int:
        return len(self.listed)

    @property
    def listed(self) -> tuple[Value, ...]:
        """`values`, which must be listed."""
        assert self.values is not None
        return self.values

    @property
    def least(self) -> Number:
        """`low` of a numerical s-op, which has one unless it is None everywhere."""
        assert self.low is not None
        return self.low

    @property
    def greatest(self) -> Number:
        """`high`, likewise."""
        assert self.high is not None
        return self.high

    @property
    def largest(self) -> int:
        """A bound of the values of a numerical s-op times `denominator`, at least 1."""
        return max(1, int(max(abs(self.least), abs(self.greatest)) * self.denominator))

    @cached_property
    def gap(self) -> Number | None:
        """The least distance between two values of a numerical s-op, or a lower bound of it where
        they are not listed; None with fewer than two values."""
        if self.kind == "categorical" or (self.values is not None and len(self.values) < 2):
            return None
        if self.values is None:
            return Fraction(1, self.denominator)
        return min(b - a for a, b in zip(self.values, self.values[1:]))

    @cached_property
    def ordered(self) -> bool:
        """Whether the order of the codes is that of the values."""
        return ordered(self.listed)

    @cached_property
    def scaled(self) -> np.ndarray:
        """(n_values,) values of a numerical s-op times `denominator`: whole numbers."""
        return whole([int(value * self.denominator) for value in self.listed])

    def __str__(self) -> str:
        if self.values is None:
            text = f"between {self.low} and {self.high} in steps of 1/{self.denominator}"
        elif len(self.values) <= 12:
            text = "{" + ", ".join(map(repr_of, self.values)) + "}"
        else:
            shown = [repr_of(v) for v in (*self.values[:3], self.values[-1])]
            text = "{" + ", ".join([*shown[:3], "...", shown[3]]) + f"}} ({len(self.values)})"
        text += " or None" if self.none else ""
        return f"{self.kind} {text}" + ("" if self.exact else ", or fewer")


def repr_of(value: Value) -> str:
    """1/2 rather than Fraction(1, 2)."""
    return str(value) if isinstance(value, Fraction) else repr(value)


def listed(kind: Kind, values: Iterable[Value], *, exact: bool) -> Domain:
    """The domain with just `values`, among which None means that it may be None."""
    found = set(values)
    none = None in found
    found.discard(None)
    arranged_values = arranged(found)
    if kind == "categorical" or not found:
        return Domain(kind, arranged_values, none, exact)
    denominator = math.lcm(*(Fraction(value).denominator for value in found))
    low, high = arranged_values[0], arranged_values[-1]
    return Domain(kind, arranged_values, none, exact, low, high, denominator)


def multiples(scaled: list[int], denominator: int, *, none: bool, exact: bool) -> Domain:
    """The numerical domain of k / denominator for each k in `scaled`, which is sorted."""
    shared = math.gcd(denominator, *scaled)
    values = tuple(cast(Number, number(Fraction(k, denominator))) for k in scaled)
    low, high = (values[0], values[-1]) if values else (None, None)
    return Domain("numerical", values, none, exact, low, high, denominator // shared)


def interval(low: Number, high: Number, denominator: int, *, none: bool) -> Domain:
    """A numerical domain by its bounds: multiples of 1 / denominator, not all attained."""
    return Domain("numerical", None, none, False, low, high, denominator)


def linear_factors(
    factors: tuple[Number, Number], domains: tuple[Domain, Domain]
) -> tuple[int, int, int]:
    """(a, b, c) with f x + g y = (a X + b Y) / c, where X and Y are x and y times the denominators
    of their domains; all whole."""
    steps = [d.denominator * factor.denominator for factor, d in zip(factors, domains)]
    common = math.lcm(*steps)
    a, b = (factor.numerator * (common // step) for factor, step in zip(factors, steps))
    return a, b, common


def whole(numbers: list[int]) -> np.ndarray:
    """Whole numbers as int64 where they fit, else as Python's own."""
    return np.array(numbers, dtype=whole_dtype(max(map(abs, numbers), default=0)))


def whole_dtype(bound: int) -> type:
    """What holds whole numbers up to `bound`, and sums of a few, without overflow."""
    return np.int64 if bound < 1 << 62 else object
