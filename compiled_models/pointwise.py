"""Neurons for what is computed at one position: maps, sequence maps and linear sequence maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from groundtruth.compiled_models.components import Entries, Neurons, Unit
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import LinearSequenceMap, Map, SequenceMap, SOp, Vote
from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Bound, Plan, decision_margin
from groundtruth.compiled_models.rounding import gamma, storing
from groundtruth.compiled_models.steps import (
    MOST_ERROR,
    SATURATED,
    Reading,
    Stairs,
    gate,
    negated,
    stairs,
)
from groundtruth.compiled_models.values import Value

CLEAN = 2.0**-19
"""Error, summed over the directions of a variable, that a copy would not improve on."""

COARSE = 1 / 64
"""Of a margin: numbers that many steps would leave further off go through a one-hot, which gates
then turn into numbers. What averages them needs more than their own margin."""

MOST_NEURONS = 30_000
"""Neurons of one expression beyond which it is refused."""


def add_map(plan: Plan, e: Map) -> None:
    """One gate for each value of a categorical argument that is not told apart from others by the
    function; steps for a numerical one."""
    x = plan.values[e.argument]
    codes = plan.analysis.tables[e].tolist()
    if x.numerical:
        _add_map_of_number(plan, e, x, codes)
        return
    groups = _grouped(range(len(x.labels)), codes)
    _add_gates(plan, e, (x,), [(code, ((x, members),)) for code, members in groups])


def add_sequence_map(plan: Plan, e: SequenceMap) -> None:
    """Gates for pairs of values, or steps on x + y or x - y where that decides the result."""
    x, y = plan.values[e.first], plan.values[e.second]
    table = plan.analysis.tables[e][: len(x.labels), : len(y.labels)]
    if e.first is e.second:
        diagonal = np.diag(table).tolist()
        groups = _grouped(range(len(x.labels)), diagonal)
        _add_gates(plan, e, (x,), [(code, ((x, members),)) for code, members in groups])
        return
    cases = min(_pairs(x, y, table), _pairs(y, x, table.T), key=len)
    if not _by_sum(plan, e, (x, y), table, len(cases)):
        _add_gates(plan, e, (x, y), cases)


def add_vote(plan: Plan, e: Vote) -> None:
    """For each value what is on where two of the three say so, whatever the third does.

    It is flat about every number of votes, so what one of them is replaced by need be no value.
    """
    domain = plan.analysis.domains[e]
    voters = [plan.values[s] for s in e.parents if isinstance(s, SOp)]
    if sum(v.error for v in voters) > MOST_ERROR:
        voters = [cleaned(plan, v) for v in voters]
    error, blur = (sum(getattr(v, which) for v in voters) for which in ("error", "blur"))
    if error > MOST_ERROR:
        raise Problem(f"what it reads can be off by {error:.2f}, too much to count votes")
    units = [Unit({}, 1.0, {plan.start + domain.none_code: 1.0})] if domain.none else []
    for code, value in enumerate(domain.listed):
        reads = [v.directions[v.labels.index(value)] for v in voters if value in v.labels]
        writes = {plan.start + code: 1.0}
        if domain.none:
            writes[plan.start + domain.none_code] = -1.0
        units.append(Unit(dict.fromkeys(reads, 2.0), -2.5, writes))
        units.append(Unit(dict.fromkeys(reads, 2.0), -3.5, negated(writes)))
    # Both add up terms of at most 6 in all; what they leave is at most 3.5 + 2.5 and 1.
    rounding = 2 * gamma(4) * 12 + gamma(4) * 7 + 4 * blur
    made = plan.value(e, Bound(rounding, 2 * rounding, 2 if domain.none else 1))
    plan.components.append(Neurons(tuple(voters), made, tuple(units)))


def add_linear(plan: Plan, e: LinearSequenceMap) -> None:
    """relu(f x + g y - low) + low, and 0 where either is None; of cleaned copies where the result
    would be too far off otherwise."""
    given = [(plan.values[e.first], e.first_factor), (plan.values[e.second], e.second_factor)]
    size, error = _linear_bound(plan, given)
    blurred = any(x.blur for x, _ in given)
    if not blurred and error >= decision_margin(plan.analysis.domains[e]) > _linear_rounding(size):
        given = [(cleaned(plan, x), factor) for x, factor in given]
        size, error = _linear_bound(plan, given)
    weights: dict[int, float] = defaultdict(float)
    for x, factor in given:
        weights[x.start] += float(factor)
    reads = tuple(dict.fromkeys(x for x, _ in given))
    flags, low, start = [x.none for x in reads if x.none is not None], -size - 1, plan.start
    units = [
        Unit({**weights, **dict.fromkeys(flags, 4 * low)}, -low, {start: 1.0}),
        Unit(dict.fromkeys(flags, -2.0), 1.0, {start: low}),
    ]
    if flags:
        either = dict.fromkeys(flags, 2.0)
        units += [Unit(either, -0.5, {start + 1: 1.0}), Unit(either, -1.5, {start + 1: -1.0})]
    flags_blur = sum(x.blur for x in reads if x.none is not None)
    made = plan.value(e, Bound(error, gamma(8) * 4 + 4 * flags_blur if flags else 0.0))
    plan.components.append(Neurons(reads, made, tuple(units)))


def _linear_bound(
    plan: Plan, given: Sequence[tuple[Variable, int | Fraction]]
) -> tuple[float, float]:
    """The greatest absolute value of a combination of numbers, and how far it can be off."""
    size = error = 0.0
    for x, factor in given:
        domain = plan.analysis.domains[x.expression]
        largest = float(max(abs(domain.least), abs(domain.greatest)))
        size += abs(float(factor)) * largest
        error += abs(float(factor)) * x.error + storing(float(factor)) * largest
    flagged = {x for x, _ in given if x.none is not None and not plan.is_clean(x)}
    flags_error = sum(x.total for x in flagged)
    if flags_error > MOST_ERROR:
        raise Problem("whether its arguments are None cannot be told reliably")
    return size, error + _linear_rounding(size) + 8 * (2 * size + 1) * flags_error


def _linear_rounding(size: float) -> float:
    return gamma(8) * 2 * (2 * size + 1)


def cleaned(plan: Plan, x: Variable) -> Variable:
    """A copy of a variable in which all that should be 0 is exactly 0, and a number is hardly off;
    `x` itself if it is categorical and clean enough."""
    # A gate is off by four readings itself.
    if not x.numerical and x.total - len(x.labels) * x.blur <= max(CLEAN, 8 * x.blur):
        return x
    if x not in plan.clean:
        _add_clean_number(plan, x) if x.numerical else _add_clean(plan, x)
        plan.clean[x] = plan.variables[-1]
    return plan.seen(plan.clean[x])


def _add_clean(plan: Plan, x: Variable) -> None:
    start, error = plan.start, max(x.error, 2 * SATURATED)  # so that gates are flat at 1
    gates = [gate([d], 1, error, 1, {start + k: 1.0}, x.blur) for k, d in enumerate(x.directions)]
    units = [unit for made in gates for unit in made.units]
    bound = Bound(gates[0].error, gates[0].error, 1)
    made = plan.on_the_way(x.expression, "clean", x.labels, bound, 0.5, one_hot=True)
    plan.components.append(Neurons((x,), made, tuple(units)))


def _add_clean_number(plan: Plan, x: Variable) -> None:
    """By way of a one-hot of all its values."""
    domain = plan.analysis.domains[x.expression]
    if domain.values is None:
        raise Problem("the numbers that it reads are off by too much, and too many to be restored")
    points = [float(value) for value in domain.listed]
    labels = (*domain.listed, None) if domain.none else domain.listed
    errors, places = [x.error] * len(points), range(len(labels))
    one_hot = _add_one_hot(plan, x.expression, x, points, errors, places, labels)
    cases = [(code, ((one_hot, [code]),)) for code in places]
    units, worst = _gates(cases, target_of(domain, plan.start))
    bound, margin = _gates_bound(domain, worst), decision_margin(domain)
    made = plan.on_the_way(x.expression, "clean", x.labels, bound, margin)
    plan.components.append(Neurons((one_hot,), made, tuple(units)))


def add_product(plan: Plan, e: SOp, variables: Sequence[Variable], part: str) -> Variable:
    """One direction for each combination of values of categorical variables, the last running
    fastest."""
    shape = tuple(len(v.labels) for v in variables)
    if np.prod(shape) > MOST_NEURONS:
        raise Problem(f"its selector needs {np.prod(shape)} combinations of values")
    total = sum(v.error for v in variables)
    blur = sum(v.blur for v in variables)
    start, units, worst = plan.start, [], 0.0
    for k, codes in enumerate(np.ndindex(*shape)):
        reads = [v.direction(code) for v, code in zip(variables, codes)]
        made = gate(reads, len(reads), total, len(reads), {start + k: 1.0}, blur)
        units += made.units
        worst = max(worst, made.error)
    labels = [tuple(v.labels[c] for v, c in zip(variables, codes)) for codes in np.ndindex(*shape)]
    variable = plan.on_the_way(e, part, labels, Bound(worst, worst, 1), 0.5, one_hot=True)
    plan.components.append(Neurons(tuple(variables), variable, tuple(units)))
    return variable


def add_fixed(plan: Plan, e: SOp, code: int) -> None:
    """The same value at each position, by a neuron that is always on."""
    domain = plan.analysis.domains[e]
    writes = target_of(domain, plan.start)(code)
    error = sum(map(storing, writes.values()))
    made = plan.value(e, Bound(error))
    plan.components.append(Neurons((), made, (Unit({}, 1.0, writes),)))


def target_of(domain: Domain, start: int) -> Callable[[int], Entries]:
    """Code -> what is written for it, from direction `start` on; nothing for the number 0."""
    if domain.kind == "categorical":
        return lambda code: {start + code: 1.0}

    def numbers(code: int) -> Entries:
        if code == domain.none_code:
            return {start + 1: 1.0}
        value = float(domain.listed[code])
        return {start: value} if value else {}

    return numbers


def stairs_bound(made: Stairs, domain: Domain, start: int) -> Bound:
    """What neurons that are `stairs` write."""
    errors = made.errors
    if domain.kind == "numerical":
        return Bound(errors.get(start, 0.0) + _storing(domain), errors.get(start + 1, 0.0), 1)
    # A step moves weight from one direction to the next; only what turns steps off does not.
    return Bound(max(errors.values()), sum(errors.values()), len(errors), made.drift)


def _storing(domain: Domain) -> float:
    return max((storing(float(value)) for value in domain.listed), default=0.0)


# --- gates -----------------------------------------------------------------------------------

Part = tuple[Variable, Sequence[int]]
"""Some values, by their codes, of a categorical variable."""

Case = tuple[int, tuple[Part, ...]]
"""A code, and where it is the result: where each variable has one of these values."""


def _grouped(members: Iterable[int], codes: Sequence[int]) -> list[tuple[int, list[int]]]:
    """(code, members that have it); a code of -1 is of what cannot be."""
    groups: dict[int, list[int]] = defaultdict(list)
    for member in members:
        groups[codes[member]].append(member)
    return [(code, found) for code, found in groups.items() if code >= 0]


def _pairs(x: Variable, y: Variable, table: np.ndarray) -> list[Case]:
    """For each value of `y`, the values of `x` that give the same result together."""
    every = range(len(x.labels))
    return [
        (code, ((x, members), (y, [b])))
        for b in range(len(y.labels))
        for code, members in _grouped(every, table[:, b].tolist())
    ]


def _add_gates(plan: Plan, e: SOp, reads: tuple[Variable, ...], cases: Sequence[Case]) -> None:
    """`cases` as gates; of cleaned copies where the result would be too far off otherwise."""
    domain = plan.analysis.domains[e]
    bound = _gates_bound(domain, _gates(cases, target_of(domain, plan.start))[1])
    if bound.error > decision_margin(domain) / 2:
        copies = {x: cleaned(plan, x) for x in reads}
        reads = tuple(copies.values())
        cases = [
            (code, tuple((copies[x], members) for x, members in parts)) for code, parts in cases
        ]
    units, worst = _gates(cases, target_of(domain, plan.start))
    made = plan.value(e, _gates_bound(domain, worst))
    plan.components.append(Neurons(reads, made, tuple(units)))


def _gates(cases: Sequence[Case], target: Callable[[int], Entries]) -> tuple[list[Unit], float]:
    """Neurons, and the greatest error of a gate."""
    units, worst = [], 0.0
    for code, (first, *others) in cases:
        writes = target(code)
        for members in _cut(*first) if writes else ():
            parts = [(first[0], members), *others]
            directions = [v.direction(member) for v, codes in parts for member in codes]
            error = sum(_error(v, codes) for v, codes in parts)
            terms = sum(min(v.active, len(codes)) for v, codes in parts)
            blur = sum(v.blur * len(codes) for v, codes in parts)
            made = gate(directions, len(parts), error, terms, writes, blur)
            units += made.units
            worst = max(worst, made.error)
        if len(units) > MOST_NEURONS:
            raise Problem(f"needs more than {MOST_NEURONS} neurons")
    return units, worst


def _gates_bound(domain: Domain, error: float) -> Bound:
    """What gates write of which one is on at a time."""
    if domain.kind == "categorical":
        return Bound(error, error, 1)
    largest = float(max(abs(domain.least), abs(domain.greatest)))
    return Bound(largest * error + _storing(domain), error, 1)


def _error(x: Variable, members: Sequence[int]) -> float:
    """How far the sum of the directions of `members` can be off."""
    return min(x.total, len(members) * x.error)


def _cut(x: Variable, members: Sequence[int]) -> list[Sequence[int]]:
    """`members` in parts whose sums are hardly off."""
    room = MOST_ERROR / 4
    size = len(members) if x.total <= room else max(1, int(room / x.error))
    return [members[k : k + size] for k in range(0, len(members), size)]


# --- steps -----------------------------------------------------------------------------------


def add_stairs(
    plan: Plan,
    e: SOp,
    x: Variable,
    points: Sequence[float],
    errors: Sequence[float],
    codes: Sequence[int],
    *,
    stepwise: bool = False,
) -> None:
    """`e` as a function of the number on the first direction of `x`; see `stairs`.

    Args:
        codes: of the result at each of `points`; then where `x` is None, if it can be.
        stepwise: whether each step is between neighbouring codes.
    """
    domain = plan.analysis.domains[e]
    made = _stairs(x, points, errors, codes, target_of(domain, plan.start))
    bound = replace(stairs_bound(made, domain, plan.start), stepwise=stepwise)
    if is_coarse(domain, bound):
        used = sorted(set(codes))
        labels = [(*domain.listed, None)[code] for code in used]
        places = [used.index(code) for code in codes]
        one_hot = _add_one_hot(plan, e, x, points, errors, places, labels)
        cases = [(code, ((one_hot, [k]),)) for k, code in enumerate(used)]
        _add_gates(plan, e, (one_hot,), cases)
        return
    plan.components.append(Neurons((x,), plan.value(e, bound), made.units))


def _stairs(
    x: Variable,
    points: Sequence[float],
    errors: Sequence[float],
    codes: Sequence[int],
    target: Callable[[int], Entries],
) -> Stairs:
    """The neurons of `add_stairs`; the flag of None keeps the steps off, and has a gate."""
    reading = Reading({x.start: 1.0}, max(map(abs, points)) + max(errors), 1, x.blur)
    if x.none is None:
        return stairs(reading, points, errors, codes, target)
    *codes, none = codes
    made = stairs(reading, points, errors, codes, target, [x.none], x.total, x.blur)
    errors_of, writes = dict(made.errors), target(none)
    if not writes:
        return made
    kept = gate([x.none], 1, x.total, 1, writes, x.blur)
    for direction, weight in writes.items():
        errors_of[direction] = errors_of.get(direction, 0.0) + abs(weight) * kept.error
    return Stairs((*made.units, *kept.units), errors_of, sum(errors_of.values()))


def _add_one_hot(
    plan: Plan,
    e: SOp,
    x: Variable,
    points: Sequence[float],
    errors: Sequence[float],
    places: Sequence[int],
    labels: Sequence[Value],
) -> Variable:
    """One direction for each of `labels`: places[k] is the label of points[k]."""
    start = plan.start
    made = _stairs(x, points, errors, places, lambda place: {start + place: 1.0})
    bound = Bound(max(made.errors.values()), sum(made.errors.values()), len(labels))
    one_hot = plan.on_the_way(e, "one_hot", labels, bound, 0.5)
    plan.components.append(Neurons((x,), one_hot, made.units))
    return one_hot


def is_coarse(domain: Domain, bound: Bound) -> bool:
    """Whether numbers are off by so much that they should come from gates; see `COARSE`."""
    return domain.kind == "numerical" and bound.error > COARSE * decision_margin(domain)


def _add_map_of_number(plan: Plan, e: Map, x: Variable, codes: list[int]) -> None:
    """Steps where the function changes."""
    changes = sum(a != b for a, b in pairwise(codes))
    if 2 * changes > MOST_NEURONS:
        raise Problem(f"needs more than {MOST_NEURONS} neurons")
    given = plan.analysis.domains[e.argument]
    points = [float(value) for value in given.listed]
    codes = codes if given.none else codes[:-1]
    add_stairs(plan, e, x, points, [x.error] * len(points), codes)


def _by_sum(
    plan: Plan, e: SequenceMap, given: tuple[Variable, Variable], table: np.ndarray, gates: int
) -> bool:
    """Compute `e` by steps on x + y or x - y, if one of them decides it with fewer neurons."""
    domains = [plan.analysis.domains[part] for part in (e.first, e.second)]
    values = [domain.listed for domain in domains]
    if not plan.tolerance.steps and gates <= MOST_NEURONS:
        return False
    if any(domain.none for domain in domains) or not all(_number(v) for vs in values for v in vs):
        return False
    for sign in (1, -1):
        results: dict[int | Fraction, int] = {}
        for a, b in np.argwhere(table >= 0).tolist():
            if results.setdefault(values[0][a] + sign * values[1][b], table[a, b]) != table[a, b]:
                break
        else:
            points = sorted(results)
            codes = [int(results[point]) for point in points]
            changes = sum(a != b for a, b in pairwise(codes))
            if 2 * changes + 1 < gates:
                return _sum_stairs(plan, e, given, sign, points, codes)
    return False


def _sum_stairs(
    plan: Plan,
    e: SequenceMap,
    given: tuple[Variable, Variable],
    sign: int,
    points: Sequence[int | Fraction],
    codes: Sequence[int],
) -> bool:
    """Steps on x + sign y; False where it is off by too much for that."""
    weights: dict[int, float] = {}
    error = magnitude = shift = blur = 0.0
    for variable, factor in zip(given, (1, sign)):
        numbers = [factor * float(label) for label in variable.labels]
        middle = round((min(numbers) + max(numbers)) / 2)
        shift += middle
        weights |= {d: x - middle for d, x in zip(variable.directions, numbers) if x != middle}
        largest = max(abs(x - middle) for x in numbers)
        error += _weighted_error(variable, [x - middle for x in numbers])
        error += sum(map(storing, numbers))
        magnitude += largest * (1 + variable.total)
        blur += sum(abs(x - middle) for x in numbers) * variable.blur
    reading = Reading(weights, magnitude, sum(v.active for v in given), blur)
    domain = plan.analysis.domains[e]
    try:
        made = stairs(
            reading,
            [float(point) - shift for point in points],
            [error] * len(points),
            codes,
            target_of(domain, plan.start),
        )
    except Problem:
        return False
    bound = stairs_bound(made, domain, plan.start)
    if is_coarse(domain, bound):
        return False
    plan.components.append(Neurons(given, plan.value(e, bound), made.units))
    return True


def _weighted_error(x: Variable, weights: Sequence[float]) -> float:
    """How far off the sum of the directions of `x`, times `weights`, can be."""
    if not x.stepwise:
        return max(map(abs, weights)) * x.total
    # A step is off on both of its directions.
    jump = max((abs(a - b) for a, b in pairwise(weights)), default=0.0)
    own = x.total - len(x.labels) * x.blur
    return jump * own / 2 + sum(map(abs, weights)) * x.blur


def _number(value: object) -> bool:
    return isinstance(value, (int, Fraction)) and not isinstance(value, bool)
