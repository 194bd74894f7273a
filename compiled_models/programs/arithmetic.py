"""Programs that calculate with tokens that are numbers."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    LinearSequenceMap,
    Map,
    Select,
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
from groundtruth.compiled_models.programs.parts import fetched, shifted, up_to_here
from groundtruth.compiled_models.values import Value
from groundtruth.errors import reject

ARITHMETIC = Family("arithmetic")

times = named("x * y", lambda x, y: x * y)
minus = named("x - y", lambda x, y: x - y)


@ARITHMETIC.add("square", lambda s: [x * x for x in s], vocab=(-2, 0, 3), example=((3, -2), (9, 4)))
def square() -> SOp:
    """The square of the token. A function of the token alone: trivial."""
    return Map(named("x * x", lambda x: x * x), tokens, name="square")


@ARITHMETIC.add(
    "product_with_next",
    lambda s: [*(x * y for x, y in pairwise(s)), None],
    vocab=(-1, 2, 3),
    example=((2, 3, -1), (6, -3, None)),
)
def product_with_next() -> SOp:
    """The token times the next; None at the end."""
    return SequenceMap(times, tokens, shifted(tokens, -1, name="next"), name="product_with_next")


@ARITHMETIC.add(
    "differences",
    lambda s: [None, *(y - x for x, y in pairwise(s))],
    vocab=(0, 1, 3),
    example=((3, 1, 1), (None, -2, 0)),
)
def differences() -> SOp:
    """The token minus the one before; None at the start."""
    return SequenceMap(minus, tokens, shifted(tokens, 1, name="previous"), name="differences")


@ARITHMETIC.add(
    "ratio_to_first",
    lambda s: [None if s[0] == 0 else Fraction(x, s[0]) for x in s],
    vocab=(0, 2, 3),
    example=((2, 3), (1, Fraction(3, 2))),
)
def ratio_to_first() -> SOp:
    """The token over the first one; None if that is 0."""
    over = named("x / y if y else None", lambda x, y: Fraction(x, y) if y else None)
    first = fetched(tokens, Constant(0), name="first")
    return SequenceMap(over, tokens, first, "numerical", name="ratio_to_first")


@ARITHMETIC.add(
    "halve_second_half",
    lambda s: [x if 2 * i < len(s) else Fraction(x, 2) for i, x in enumerate(s)],
    vocab=(0, 1, 2),
    example=((2, 2, 1, 2), (2, 2, Fraction(1, 2), 1)),
)
def halve_second_half() -> SOp:
    """The tokens, those of the second half divided by 2."""
    in_first = named("2 i < n", lambda i, n: 2 * i < n)
    first = SequenceMap(in_first, indices, length, name="in_first_half")
    halve = named("x if y else x / 2", lambda x, y: x if y else Fraction(x, 2))
    return SequenceMap(halve, tokens, first, "numerical", name="halve_second_half")


def _polynomial_specification(sequence: list[Value], degree: int = 1) -> list[Value]:
    x, *weights = sequence[: degree + 2]
    if len(weights) < degree + 1:
        return [None] * len(sequence)
    value = sum(weight * x ** (degree - k) for k, weight in enumerate(weights))
    return [value] * len(sequence)


@ARITHMETIC.add(
    "polynomial", _polynomial_specification, vocab=(0, 1, 3), example=((3, 1, 1, 0), (4,) * 4)
)
def polynomial(degree: int = 1) -> SOp:
    """The polynomial with the 2nd to (`degree` + 2)-th token as weights, at the first token."""
    if isinstance(degree, bool) or not isinstance(degree, int) or degree < 0:
        raise reject("degree", degree, "a whole number >= 0")
    x = fetched(tokens, Constant(0), name="x")
    value: SOp = fetched(tokens, Constant(1), name="weight_0")
    plus = named("x + y", lambda x, y: x + y)
    for k in range(1, degree + 1):
        weight = fetched(tokens, Constant(k + 1), name=f"weight_{k}")
        value = SequenceMap(plus, SequenceMap(times, value, x), weight, name=f"value_{k}")
    return value


@ARITHMETIC.add(
    "alternating_sum",
    lambda s: [sum(x * (-1) ** i for i, x in enumerate(s))] * len(s),
    vocab=(0, 1, 3),
    example=((3, 1, 1), (3, 3, 3)),
)
def alternating_sum() -> SOp:
    """The first token minus the second plus the third and so on."""
    signed = named("x * (-1) ** i", lambda x, i: x * (-1) ** i)
    terms = SequenceMap(signed, tokens, indices, "numerical", name="terms")
    return Aggregate(everything, terms, "sum", name="alternating_sum")


@ARITHMETIC.add(
    "weighted_sum",
    lambda s: [sum(x * i for i, x in enumerate(s))] * len(s),
    vocab=(-1, 0, 1),
    example=((1, 1, -1), (-1, -1, -1)),
)
def weighted_sum() -> SOp:
    """The sum of the tokens, each times its index."""
    terms = SequenceMap(times, tokens, indices, "numerical", name="terms")
    return Aggregate(everything, terms, "sum", name="weighted_sum")


@ARITHMETIC.add(
    "running_mean",
    lambda s: [Fraction(sum(s[: i + 1]), i + 1) for i in range(len(s))],
    vocab=(-1, 0, 2),
    example=((2, -1, 2), (2, Fraction(1, 2), 1)),
)
def running_mean() -> SOp:
    """The mean of the tokens so far."""
    return Aggregate(up_to_here, numerical(tokens, name="values"), "mean", name="running_mean")


@ARITHMETIC.add(
    "deviations",
    lambda s: [x - Fraction(sum(s), len(s)) for x in s],
    vocab=(-1, 0, 2),
    example=((2, -1), (Fraction(3, 2), Fraction(-3, 2))),
)
def deviations() -> SOp:
    """The token minus the mean of all."""
    values = numerical(tokens, name="values")
    mean = Aggregate(everything, values, "mean", name="average")
    return LinearSequenceMap(values, mean, 1, -1, name="deviations")


def _smooth_specification(sequence: list[Value]) -> list[Value]:
    near = [sequence[max(i - 1, 0) : i + 2] for i in range(len(sequence))]
    return [Fraction(sum(window), len(window)) for window in near]


@ARITHMETIC.add(
    "moving_average",
    _smooth_specification,
    vocab=(0, 1, 3),
    example=((3, 0, 3), (Fraction(3, 2), 2, Fraction(3, 2))),
)
def moving_average() -> SOp:
    """The mean of the token and its neighbours."""
    near = Select(indices, indices, named("|k - q| <= 1", lambda k, q: abs(k - q) <= 1))
    return Aggregate(near, numerical(tokens, name="values"), "mean", name="moving_average")


@ARITHMETIC.add(
    "neighbour_sum",
    lambda s: [sum(s[j] for j in (i - 1, i + 1) if 0 <= j < len(s)) for i in range(len(s))],
    vocab=(-1, 0, 2),
    example=((2, 0, -1), (0, 1, 0)),
)
def neighbour_sum() -> SOp:
    """The sum of the tokens beside this one."""
    beside = Select(indices, indices, named("|k - q| == 1", lambda k, q: abs(k - q) == 1))
    values = numerical(tokens, name="values")
    return Aggregate(beside, values, "sum", default=0, name="neighbour_sum")
