"""Values of what is computed by attention: widths and aggregates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from groundtruth.compiled_models.choices import (
    Choice,
    Choices,
    Local,
    Pattern,
    free_choices,
    local_choices,
)
from groundtruth.compiled_models.domains import MOST_VALUES, interval, listed
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Expression,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SOp,
)
from groundtruth.compiled_models.findings import Findings, Problem, distinct
from groundtruth.compiled_models.outcomes import Sums, TooMany, extremes, shared, widths
from groundtruth.compiled_models.values import READERS, Value, number


def width_values(e: SelectorWidth, found: Findings) -> None:
    """The numbers of positions that can be chosen."""
    choices = _choices(e.selector, None, found)
    found.counts[e] = _counted(choices)
    _keep(e, choices, [set(widths(pattern)) for pattern in choices.patterns], found)


def aggregate_values(e: Aggregate, found: Findings) -> None:
    """What can come of the values that can be chosen; bounds where that is too much."""
    values = found.domains[e.values]
    if e.how in ("max", "min") and values.values is None:
        raise Problem(f"{e.how} needs at most {MOST_VALUES} values")
    if e.how in ("max", "min") and not values.ordered:
        raise Problem(f"{e.how} needs values that Python can sort")
    if e.how in ("mean", "sum"):
        found.joint[e] = e
    elif e.default is not None and values.values is not None:
        distinct(e, [*values.values, READERS[e.kind](e.default)])
    choices = _choices(e.selector, e.values, found)
    found.counts[e] = _counted(choices)
    if e.how not in ("mean", "sum"):
        _keep(e, choices, [_outcomes(e, pattern, found) for pattern in choices.patterns], found)
        return
    try:
        _keep(e, choices, _sums_or_means(e, choices, found), found)
    except TooMany:
        _bound(e, found)


def _keep(e: SOp, choices: Choices, outcomes: Sequence[set[Value]], found: Findings) -> None:
    """`e` can be any of `outcomes`, one set for each pattern; local if each has one member."""
    if choices.where is not None and all(len(each) == 1 for each in outcomes):
        found.tabulate(e, [next(iter(each)) for each in outcomes], choices.where)
        return
    every = distinct(e, set().union(*outcomes))
    found.domains[e] = listed(e.kind, every, exact=choices.where is not None)


def _outcomes(e: Aggregate, pattern: Pattern, found: Findings) -> set[Value]:
    """What an extreme or a shared value can be at a query that meets `pattern`."""
    values = found.domains[e.values].listed
    empty = {READERS[e.kind](e.default)} if widths(pattern)[0] == 0 else set()
    if e.how == "only":
        common, differ = shared(pattern)
        return {values[k] for k in common} | empty | ({None} if differ else set())
    return {values[k] for k in extremes(pattern, greatest=e.how == "max")} | empty


def _sums_or_means(e: Aggregate, choices: Choices, found: Findings) -> list[set[Value]]:
    """What a sum or mean can be: for each pattern if that is one value, else at any query."""
    domain, default = found.domains[e.values], READERS[e.kind](e.default)
    if domain.values is None:
        raise TooMany
    if e.values not in found.sums:
        found.sums[e.values] = Sums([int(value) for value in domain.scaled.tolist()])
    sums = found.sums[e.values]
    by = domain.denominator

    def listed_values(reached: Mapping[int, int]) -> set[Value]:
        out = {default} if 0 in reached else set()
        for count, members in reached.items():
            if count:
                each = by * (count if e.how == "mean" else 1)
                out |= {number(Fraction(total, each)) for total in sums.listed(count, members)}
            if len(out) > MOST_VALUES:
                raise TooMany
        return out

    reached = [sums.reached(pattern) for pattern in choices.patterns]
    if all(len(each) == 1 and next(iter(each.values())).bit_count() == 1 for each in reached):
        return [listed_values(each) for each in reached]
    union: dict[int, int] = {}
    for each in reached:
        for count, members in each.items():
            union[count] = union.get(count, 0) | members
    return [listed_values(union)] * len(reached)


def _bound(e: Aggregate, found: Findings) -> None:
    values, (least, most) = found.domains[e.values], found.counts[e]
    ends, denominator = [values.least, values.greatest], values.denominator
    if e.how == "sum":
        ends = [count * end for count in (max(least, 1), most) for end in ends]
    else:
        denominator *= math.lcm(*range(1, most + 1))
    default = number(e.default) if least == 0 else None
    if default is not None:
        ends.append(default)
        denominator = math.lcm(denominator, default.denominator)
    none = least == 0 and default is None
    found.domains[e] = interval(min(ends), max(ends), denominator, none=none)


# --- choices ---------------------------------------------------------------------------------


def _counted(choices: Choices) -> tuple[int, int]:
    met = [widths(pattern) for pattern in choices.patterns]
    return min(m[0] for m in met), max(m[-1] for m in met)


def _choices(selector: Selector, values: SOp | None, found: Findings) -> Choices:
    """What queries meet; a position whose value is None cannot be chosen."""
    if values is None:  # a width: each position contributes the same
        n_values, none, local = 1, False, np.zeros_like(found.places[0])
    else:
        domain = found.domains[values]
        n_values = 1 if domain.values is None else domain.none_code
        none, local = domain.none, found.local.get(values)
    sides = list(dict.fromkeys(_sides(selector)))
    if all(side in found.local for side in sides):
        chosen = _on_local_tables(selector, sides, found)
        given = [found.local[side] for side in sides]
        met = local_choices(chosen, given, local, n_values, causal=found.program.causal)
        if met is not None:
            return met if local is not None else _any_values(met, none)
    may, may_not = _possible(selector, found)
    taken = tuple(range(n_values)) if may else ()
    return free_choices(Choice(may_not or none, taken), found.max_length)


def _any_values(met: Choices, none: bool) -> Choices:
    """A superset: the values are not local, so that one may be None where another is."""
    patterns = (
        tuple((replace(choice, skipped=choice.skipped or none), many) for choice, many in pattern)
        for pattern in met.patterns
    )
    return Choices(tuple(patterns), None)


def _sides(selector: Expression) -> list[SOp]:
    """The s-ops that `selector` compares."""
    return [
        side
        for parent in selector.parents
        for side in ([parent] if isinstance(parent, SOp) else _sides(parent))
    ]


def _on_local_tables(
    selector: Selector, sides: list[SOp], found: Findings
) -> Callable[[list[Local]], np.ndarray]:
    """The selector as a function of the local tables of `sides`, as `local_choices` calls it."""

    def chosen(codes: list[Local], part: Selector = selector) -> np.ndarray:
        match part:
            case Select():
                keys, queries = (codes[sides.index(side)] for side in (part.keys, part.queries))
                return found.tables[part][keys[:, None, None], queries[:, :, :, None, None]]
            case SelectorAnd():
                return chosen(codes, part.first) & chosen(codes, part.second)
            case SelectorOr():
                return chosen(codes, part.first) | chosen(codes, part.second)
            case SelectorNot():
                return ~chosen(codes, part.selector)
        raise AssertionError(part)

    return chosen


def _possible(selector: Selector, found: Findings) -> tuple[bool, bool]:
    """Whether a pair may be chosen, and whether it may be left out."""
    match selector:
        case Select():
            keys, queries = found.domains[selector.keys], found.domains[selector.queries]
            table = found.tables[selector][: keys.none_code, : queries.none_code]
            return bool(table.any()), bool(keys.none or queries.none or not table.all())
        case SelectorAnd():
            a, b = _possible(selector.first, found), _possible(selector.second, found)
            return a[0] and b[0], a[1] or b[1]
        case SelectorOr():
            a, b = _possible(selector.first, found), _possible(selector.second, found)
            return a[0] or b[0], a[1] and b[1]
        case SelectorNot():
            may, may_not = _possible(selector.selector, found)
            return may_not, may
    raise AssertionError(selector)
