"""Aggregates: heads that copy, prefer or average what the chosen keys hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundtruth.compiled_models.choosing import (
    Choosing,
    Demand,
    Preferring,
    choosing,
    jointly_choosing,
    selection,
)
from groundtruth.compiled_models.components import Head, Neurons, Unit
from groundtruth.compiled_models.counting import even_enough, share_errors
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import Aggregate
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Bound, Plan
from groundtruth.compiled_models.pointwise import add_fixed, cleaned, target_of
from groundtruth.compiled_models.rounding import gamma, softmax_rounding, storing
from groundtruth.compiled_models.steps import Reading, Step, step_between
from groundtruth.compiled_models.values import READERS

Moves = tuple[tuple[int, int, float], ...]


def add_aggregate(plan: Plan, e: Aggregate) -> None:
    """A head, and neurons after it where shares have to be read."""
    domain = plan.analysis.domains[e]
    if not selection(plan, e.selector).conjunctions():
        add_fixed(plan, e, domain.code[READERS[e.kind](e.default)])
        return
    match e.how:
        case "max" | "min":
            _add_extreme(plan, e)
        case "mean":
            _add_mean(plan, e)
        case "sum":
            _add_sum(plan, e)
        case "only" if plan.analysis.counts[e][1] <= 1 or not domain.none:
            _add_copy(plan, e)
        case _:
            _add_agreed(plan, e)


# --- heads -----------------------------------------------------------------------------------


def _add_copy(plan: Plan, e: Aggregate) -> None:
    """The value that all chosen keys have is moved as it is; begin-of-sequence, which is attended
    to where nothing is chosen, holds the default."""
    x = plan.values[e.values]
    chosen = _chosen(plan, e, Demand(2, preferring=_without_none(x, 2)))
    _value_head(plan, e, x, chosen, _copied_bound(plan, x, chosen), chosen.met - chosen.sharp)


def _add_mean(plan: Plan, e: Aggregate) -> None:
    """Attention is spread evenly over the chosen keys, which averages the numbers there."""
    x, given = plan.values[e.values], plan.analysis.domains[e.values]
    spread, gap = float(given.greatest - given.least), plan.analysis.domains[e].gap
    evenly = 1.0 if gap is None or not spread else min(1.0, float(gap) / (16 * spread))
    chosen = _chosen(plan, e, Demand(2, evenly, _without_none(x, 2)))
    bound = _copied_bound(plan, x, chosen)
    bound = Bound(bound.error + chosen.uneven * spread / 2, bound.total, 1)
    _value_head(plan, e, x, chosen, bound, chosen.met - chosen.sharp)


def _add_extreme(plan: Plan, e: Aggregate) -> None:
    """Keys prefer their place in the order of values, one unit of sharpness for each, so softmax
    attends to the greatest (or the least) alone."""
    x = plan.values[e.values]
    if not x.numerical and len(x.labels) * x.total > 1 / 16:
        x = cleaned(plan, x)
    order = _Order(plan, e, x)
    chosen = _chosen(plan, e, Demand(order.places, preferring=order.preferring))
    preferred = {d: chosen.sharp * place for d, place in order.preferred.items()}
    bos = chosen.met + chosen.sharp * (order.lowest - 1)
    _value_head(plan, e, x, chosen, _copied_bound(plan, x, chosen), bos, preferred)


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
    start, from_bos = plan.start, {}
    if plan.analysis.counts[e][0] == 0:
        from_bos = (
            target_of(domain, start)(domain.code[READERS[e.kind](e.default)])
            if (domain.values is not None)
            else _bounded_default(e, domain, start)
        )
    made = plan.value(e, bound, {d - start: weight for d, weight in from_bos.items()})
    preferences = dict(preferred or {})
    if x.none is not None:
        preferences.setdefault(x.none, -chosen.scale)
    head = Head(
        (*chosen.reads, x),
        made,
        chosen.terms,
        chosen.scale,
        bos,
        preferences,
        _moves(plan, e, x, made.start),
        from_bos,
    )
    plan.components.append(head)


def _bounded_default(e: Aggregate, domain: Domain, start: int) -> dict[int, float]:
    default = READERS[e.kind](e.default)
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


def _copied_bound(plan: Plan, x: Variable, chosen: Choosing) -> Bound:
    """What attention that is spread over keys with one value makes of it."""
    relative = softmax_rounding(plan.n_keys)
    if x.numerical:
        size = _size(plan, x)
        error = x.error + relative * size + 2 * chosen.leak * size
        return Bound(error, chosen.leak + relative, 1)
    error = x.error + relative + chosen.leak
    return Bound(error, x.total + relative + 2 * chosen.leak, len(x.labels))


def _size(plan: Plan, x: Variable) -> float:
    """The greatest absolute value of a numerical variable, and of what stands in for it."""
    domain = plan.analysis.domains[x.expression]
    return float(max(abs(domain.least), abs(domain.greatest), 1)) + x.error


def _chosen(plan: Plan, e: Aggregate, demand: Demand) -> Choosing:
    chosen = selection(plan, e.selector)
    conjunctions = chosen.conjunctions()
    if len(conjunctions) == 1:
        return choosing(plan, conjunctions[0], demand)
    return jointly_choosing(plan, e, chosen, demand)


def _without_none(x: Variable, places: int) -> Preferring | None:
    """Keys whose value is None are kept from being chosen."""
    return None if x.none is None else Preferring(x, places * x.total, places)


# --- shares that neurons read ------------------------------------------------------------------


def _add_agreed(plan: Plan, e: Aggregate) -> None:
    """The share of each value among the chosen is 1, or else at most (most - 1) / most."""
    x, given, domain = (
        plan.values[e.values],
        plan.analysis.domains[e.values],
        plan.analysis.domains[e],
    )
    least, most = plan.analysis.counts[e]
    chosen = _chosen(plan, e, Demand(2, 1 / (16 * most), _without_none(x, 2)))
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
    preferences = {} if x.none is None else {x.none: -chosen.scale}
    bos = chosen.met - chosen.sharp
    plan.components.append(
        Head(
            (*chosen.reads, x),
            shares,
            chosen.terms,
            chosen.scale,
            bos,
            preferences,
            moves,
            from_bos,
        )
    )
    _read_shares(plan, e, shares, [*values, default] if empty else values, error, most)


def _read_shares(
    plan: Plan, e: Aggregate, shares: Variable, values: Sequence[object], error: float, most: int
) -> None:
    """Each of `values` where its share is 1, and None where none is."""
    domain, start = plan.analysis.domains[e], plan.start
    none = start + domain.none_code
    low, high = (most - 1) / most + error, 1 - error
    units, worst = [Unit({}, 1.0, {none: 1.0})], 0.0
    for direction, value in zip(shares.directions, values):
        reading = Reading({direction: 1.0}, 1 + error, 1)
        step = step_between(reading, low, high, (0.0, 1 + error), up=True)
        units += step.units({start + domain.code[value]: 1.0, none: -1.0})
        worst = max(worst, _flat(step))
    made = plan.value(e, Bound(2 * worst, 4 * worst, 2))
    plan.components.append(Neurons((shares,), made, tuple(units)))


def _flat(step: Step) -> float:
    """How far from 1 a step can be where it is 1, with what is added to it."""
    return 2 * step.rounding + gamma(4) * 2 * step.reach


def _add_sum(plan: Plan, e: Aggregate) -> None:
    """With begin-of-sequence among the chosen, the share is 1 / (w + 1) and the average y is the
    sum over w + 1: for each w, neurons give (w + 1) y unless the width is another."""
    x, given = plan.values[e.values], plan.analysis.domains[e.values]
    least, most = plan.analysis.counts[e]
    size = _size(plan, x)
    chosen = _chosen(plan, e, Demand(1, even_enough(most) / 2, _without_none(x, 1)))
    widths = list(range(most, least - 1, -1))
    errors = share_errors(plan, chosen, widths)
    off_by = x.error + size * (chosen.uneven + softmax_rounding(plan.n_keys) + 2 * chosen.leak)
    labels = ["1 / (width + 1)", "sum / (width + 1)"]
    shares = plan.on_the_way(
        e, "shares", labels, Bound(max(*errors, off_by)), float("inf"), {0: 1.0}
    )
    preferences = {} if x.none is None else {x.none: -chosen.scale}
    plan.components.append(
        Head(
            (*chosen.reads, x),
            shares,
            chosen.terms,
            chosen.scale,
            chosen.met,
            preferences,
            ((x.start, shares.start + 1, 1.0),),
            {shares.start: 1.0},
        )
    )
    others = _add_other_widths(plan, e, shares, widths, errors)
    ends = (min(0.0, float(given.least)) - off_by, max(0.0, float(given.greatest)) + off_by)
    _add_scaled(plan, e, shares, others, widths, ends, off_by)


def _add_other_widths(
    plan: Plan, e: Aggregate, shares: Variable, widths: Sequence[int], errors: Sequence[float]
) -> Variable:
    """For each width a direction that is exactly 0 if it is that, and about 1 or 2 if it is not."""
    points, start, units = [1 / (width + 1) for width in widths], plan.start, []
    reading = Reading({shares.start: 1.0}, 1 + max(errors), 1)
    ends = (points[0] - errors[0], points[-1] + errors[-1])
    worst = 0.0
    for k in range(len(points) - 1):
        low, high = points[k] + errors[k], points[k + 1] - errors[k + 1]
        for up, direction in ((True, start + k), (False, start + k + 1)):
            step = step_between(reading, low, high, ends, up=up)
            units += step.units({direction: 1.0})
            worst = max(worst, _flat(step))
    made = plan.on_the_way(e, "other_widths", widths, Bound(worst), 0.25)
    plan.components.append(Neurons((shares,), made, tuple(units)))
    return made


def _add_scaled(
    plan: Plan,
    e: Aggregate,
    shares: Variable,
    others: Variable,
    widths: Sequence[int],
    ends: tuple[float, float],
    off_by: float,
) -> None:
    """relu((w + 1) (y - low) - off) + (w + 1) low for each width w; the default for 0."""
    domain, start, (low, high) = plan.analysis.domains[e], plan.start, ends
    low = float(int(low) - 1) if low < 0 else 0.0
    default = READERS[e.kind](e.default)
    units, error = [], 0.0
    for width, other in zip(widths, others.directions):
        if width == 0:
            empty = _bounded_default(e, domain, start)
            units.append(Unit({other: -2.0}, 1.0, empty))
            continue
        off = -2 * ((width + 1) * (high - low) + 1)
        reads = {shares.start + 1: float(width + 1), other: off}
        units.append(Unit(reads, -(width + 1) * low, {start: 1.0}))
        if low:
            units.append(Unit({other: -2.0}, 1.0, {start: (width + 1) * low}))
        error = max(error, (width + 1) * (off_by + gamma(8) * 2 * (high - low)))
    error += 0.0 if default is None else storing(float(default))
    made = plan.value(e, Bound(error))
    plan.components.append(Neurons((shares, others), made, tuple(units)))
