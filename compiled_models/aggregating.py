"""Aggregates: heads that copy, prefer or average what the chosen keys hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundtruth.compiled_models.choosing import (
    BLUNTED,
    Choosing,
    Demand,
    Preferring,
    choosing,
    jointly_choosing,
    selection,
)
from groundtruth.compiled_models.components import Entries, Head, Neurons, Unit
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import Aggregate
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Bound, Plan, decision_margin
from groundtruth.compiled_models.pointwise import cleaned
from groundtruth.compiled_models.rounding import gamma, softmax_rounding, unevenness
from groundtruth.compiled_models.steps import Reading, step_between
from groundtruth.compiled_models.values import READERS, number

Moves = tuple[tuple[int, int, float], ...]


def add_aggregate(plan: Plan, e: Aggregate) -> None:
    """A head that writes the value itself, except where values that differ can be chosen."""
    domain = plan.analysis.domains[e]
    if e.how in ("max", "min"):
        _add_extreme(plan, e)
    elif e.how == "mean":
        _add_mean(plan, e)
    elif plan.analysis.counts[e][1] <= 1 or not domain.none:
        _add_copy(plan, e)
    else:
        _add_agreed(plan, e)


def _add_copy(plan: Plan, e: Aggregate) -> None:
    """The value that all chosen keys have is moved as it is; begin-of-sequence, which is attended
    to where nothing is chosen, holds the default."""
    x = plan.values[e.values]
    chosen = chosen_by(plan, e, Demand(2, preferring=without_none(plan, x, 2)))
    _value_head(plan, e, x, chosen, _copied_bound(plan, e, x, chosen), chosen.met - chosen.sharp)


def _add_mean(plan: Plan, e: Aggregate) -> None:
    """Attention is spread evenly over the chosen keys, which averages the numbers there."""
    given = plan.analysis.domains[e.values]
    spread, gap = float(given.greatest - given.least), plan.analysis.domains[e].gap
    x = exact_enough(plan, e, decision_margin(plan.analysis.domains[e]), 2, spread / 2)
    evenly = 1.0 if gap is None or not spread else min(1.0, float(gap) / (16 * spread))
    chosen = chosen_by(plan, e, Demand(2, evenly, without_none(plan, x, 2)))
    bound = _copied_bound(plan, e, x, chosen)
    bound = Bound(bound.error + chosen.uneven * spread / 2, bound.total, 1)
    _value_head(plan, e, x, chosen, bound, chosen.met - chosen.sharp)


def _add_extreme(plan: Plan, e: Aggregate) -> None:
    """Keys prefer their place in the order of values, one unit of sharpness for each, so softmax
    attends to the greatest (or the least) alone."""
    x = plan.values[e.values]
    if not x.numerical and len(x.labels) * x.total > BLUNTED / 8:
        x = cleaned(plan, x)
    order = _Order(plan, e, x)
    chosen = chosen_by(plan, e, Demand(order.places, preferring=order.preferring))
    preferred = {d: chosen.sharp * place for d, place in order.preferred.items()}
    bos = chosen.met + chosen.sharp * (order.lowest - 1)
    _value_head(plan, e, x, chosen, _copied_bound(plan, e, x, chosen), bos, preferred)


class _Order:
    """The places of the values of `x`, from the worst on.

    Fields:
        preferred: what each direction adds to a score, in units of sharpness.
        lowest: what the worst value adds.
        places: how many there are, and one more.
    """

    def __init__(self, plan: Plan, e: Aggregate, x: Variable) -> None:
        given, sign = plan.analysis.domains[e.values], 1 if e.how == "max" else -1
        if x.numerical:
            step = float(given.gap or 1)
            ends = [sign * float(given.least) / step, sign * float(given.greatest) / step]
            self.preferred = {x.start: sign / step}
            error = x.error / step + gamma(4) * max(map(abs, ends))
        else:
            last = given.none_code - 1
            ends = [0.0, float(sign * last)]
            self.preferred = {x.direction(k): float(sign * k) for k in range(1, last + 1)}
            error = last * x.total
        self.lowest = min(ends)
        self.places = math.ceil(max(ends) - min(ends)) + 2
        size = max(map(abs, ends)) + self.places
        if x.none is not None:
            penalty = self.places + size
            self.preferred[x.none] = -penalty
            error, size = error + penalty * x.total, size + penalty
        self.preferring = Preferring(x, error, size)


def _value_head(
    plan: Plan,
    e: Aggregate,
    x: Variable,
    chosen: Choosing,
    bound: Bound,
    bos: float,
    preferred: dict[int, float] | None = None,
) -> None:
    """The head that writes the value of `e` by itself, from what `x` holds."""
    domain = plan.analysis.domains[e]
    start, empty = plan.start, plan.analysis.counts[e][0] == 0
    from_bos = default_of(e, domain, start) if empty else {}
    made = plan.value(e, bound, {d - start: weight for d, weight in from_bos.items()})
    preferences = keeping_out(x, chosen) if preferred is None else preferred
    reads, moves = (*chosen.reads, x), _moves(plan, e, x, made.start)
    head = Head(reads, made, chosen.terms, chosen.scale, bos, preferences, moves, from_bos)
    plan.components.append(head)


def default_of(e: Aggregate, domain: Domain, start: int) -> Entries:
    """What is written, from direction `start` on, where nothing is chosen."""
    default = READERS[e.kind](e.default)
    if domain.kind == "categorical":
        return {start + domain.code[default]: 1.0}
    if default is None:
        return {start + 1: 1.0}
    return {start: float(default)} if default else {}


def _moves(plan: Plan, e: Aggregate, x: Variable, start: int) -> Moves:
    """Values go where the same value is of `e`; a number to the number."""
    if x.numerical:
        return ((x.start, start, 1.0),)
    given, domain = plan.analysis.domains[e.values], plan.analysis.domains[e]
    return tuple(
        (x.direction(k), start + domain.code[value], 1.0)
        for k, value in enumerate(given.listed)
        if value in domain.code
    )


def _copied_bound(plan: Plan, e: Aggregate, x: Variable, chosen: Choosing) -> Bound:
    """What attention that is spread over keys with one value makes of it."""
    relative = softmax_rounding(plan.n_keys)
    if x.numerical:
        size = largest(plan, e, x)
        error = x.error + relative * size + 2 * chosen.leak * size
        return Bound(error, chosen.leak + relative, 1)
    error = x.error + relative + chosen.leak
    total = x.total + relative + 2 * chosen.leak
    given, domain = plan.analysis.domains[e.values], plan.analysis.domains[e]
    whole = all(value in domain.code for value in (*given.listed, *x.labels[len(given.listed) :]))
    drift = x.drift + relative if whole else total
    return Bound(error, total, len(x.labels), drift)


def largest(plan: Plan, e: Aggregate, x: Variable) -> float:
    """The greatest absolute value of a numerical variable, and of the default of `e`."""
    given, default = plan.analysis.domains[e.values], number(e.default)
    ends = [abs(given.least), abs(given.greatest), abs(default or 0), 1]
    return float(max(ends)) + x.error


def chosen_by(plan: Plan, e: Aggregate, demand: Demand) -> Choosing:
    """The terms of the head of `e`."""
    chosen = selection(plan, e.selector)
    conjunctions = chosen.conjunctions()
    if len(conjunctions) == 1:
        return choosing(plan, conjunctions[0], demand)
    return jointly_choosing(plan, e, chosen, demand)


def keeping_out(x: Variable, chosen: Choosing) -> Entries:
    """What `without_none` adds to the scores of keys."""
    return {} if x.none is None else {x.none: -float(chosen.scale)}


def without_none(plan: Plan, x: Variable, places: int) -> Preferring | None:
    """Keys whose value is None are kept from being chosen."""
    if x.none is None:
        return None
    return Preferring(x, places * x.total, places, plan.is_clean(x))


def exact_enough(plan: Plan, e: Aggregate, margin: float, places: int, weight: float) -> Variable:
    """The numbers that `e` averages; a cleaned copy where they, or the flags that keep None from
    being chosen, use up half of `margin`, unless attention alone exceeds it.

    Args:
        places: of the head's scores.
        weight: how far off it is for each part by which the shares of keys differ.
    """
    x = plan.values[e.values]
    flags = 0.0 if x.none is None else unevenness(plan.sharp * places * x.total)
    anyway = softmax_rounding(plan.n_keys) * largest(plan, e, x)
    noise = anyway + x.error + flags * weight
    # A copy would be read with the same blur.
    return cleaned(plan, x) if not x.blur and anyway < margin <= 2 * noise else x


# --- shares that neurons read ------------------------------------------------------------------


def _add_agreed(plan: Plan, e: Aggregate) -> None:
    """The share of each value among the chosen is 1, or else at most (most - 1) / most."""
    x, given = plan.values[e.values], plan.analysis.domains[e.values]
    domain = plan.analysis.domains[e]
    least, most = plan.analysis.counts[e]
    chosen = chosen_by(plan, e, Demand(2, 1 / (16 * most), without_none(plan, x, 2)))
    values = [value for value in given.listed if value in domain.code]
    default = READERS[e.kind](e.default)
    empty = default is not None and least == 0
    relative = softmax_rounding(plan.n_keys)
    error = x.error + relative + chosen.uneven / 2 + 2 * chosen.leak
    start = plan.start
    labels = [*values, "nothing chosen"] if empty else values
    held = {len(values): 1.0} if empty else {}
    shares = plan.on_the_way(e, "shares", labels, Bound(error), 1 / (2 * most), held)
    from_bos = {start + k: weight for k, weight in held.items()}
    moves = tuple(
        (x.direction(given.code[value]), start + k, 1.0) for k, value in enumerate(values)
    )
    preferences, bos = keeping_out(x, chosen), chosen.met - chosen.sharp
    reads = (*chosen.reads, x)
    head = Head(reads, shares, chosen.terms, chosen.scale, bos, preferences, moves, from_bos)
    plan.components.append(head)
    _read_shares(plan, e, shares, [*values, default] if empty else values, most)


def _read_shares(
    plan: Plan, e: Aggregate, shares: Variable, values: Sequence[object], most: int
) -> None:
    """Each of `values` where its share is 1, and None where none is."""
    domain, start, error = plan.analysis.domains[e], plan.start, shares.error
    none = start + domain.none_code
    low, high = (most - 1) / most + error, 1 - error
    units, worst = [Unit({}, 1.0, {none: 1.0})], 0.0
    for direction, value in zip(shares.directions, values):
        reading = Reading({direction: 1.0}, 1 + error, 1, shares.blur)
        step = step_between(reading, low, high, (0.0, 1 + error), up=True)
        units += step.units({start + domain.code[value]: 1.0, none: -1.0})
        worst = max(worst, step.error)
    made = plan.value(e, Bound(2 * worst, 4 * worst, 2))
    plan.components.append(Neurons((shares,), made, tuple(units)))
