"""Values of what is computed at one position from its own values: maps, and predicates' tables."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction
from typing import cast

import numpy as np

from groundtruth.compiled_models.attention_domains import aggregate_values
from groundtruth.compiled_models.domains import (
    MOST_VALUES,
    Domain,
    interval,
    linear_factors,
    listed,
    multiples,
    whole_dtype,
)
from groundtruth.compiled_models.expressions import (
    Aggregate,
    LinearSequenceMap,
    Map,
    Select,
    SequenceMap,
    SOp,
    Vote,
)
from groundtruth.compiled_models.findings import (
    MOST_ENTRIES,
    Findings,
    Problem,
    distinct,
    failure,
)
from groundtruth.compiled_models.values import READERS, Number, Value, number


def map_values(e: Map, found: Findings) -> None:
    """One call of the function for each value of the argument."""
    argument = found.domains[e.argument]
    if argument.values is None:
        raise Problem(f"its argument {found.name(e.argument)} has more than {MOST_VALUES} values")
    results = _results(e, [(value,) for value in argument.values])
    results.append(READERS[e.kind](e.default) if argument.none else None)
    if e.argument in found.local:
        found.tabulate(e, results, found.local[e.argument])
    else:
        attained = results if argument.none else results[:-1]
        found.domains[e] = listed(e.kind, distinct(e, attained), exact=argument.exact)
    found.tables[e] = _codes(found.domains[e], results)


def sequence_map_values(e: SequenceMap, found: Findings) -> None:
    """One call of the function for each pair of values that can meet."""
    first, second = found.domains[e.first], found.domains[e.second]
    shape = _table_shape(first, second)
    x, y, where = _pairs(e.first, e.second, found)
    there = (x < first.none_code) & (y < second.none_code)
    codes = zip(x[there].tolist(), y[there].tolist())
    computed = iter(_results(e, [(first.listed[a], second.listed[b]) for a, b in codes]))
    results = [next(computed) if given else None for given in there.tolist()]
    if where is not None:
        found.tabulate(e, results, where)
    else:
        exact = _one_varies(first, second)
        found.domains[e] = listed(e.kind, distinct(e, results), exact=exact)
    table = np.full(shape, -1, dtype=np.int64)
    table[x, y] = _codes(found.domains[e], results)
    found.tables[e] = table


def vote_values(e: Vote, found: Findings) -> None:
    """Those of any of the three, and None; of three copies of one thing, its own."""
    if not found.closed and _copies(e):
        found.domains[e] = found.domains[e.first]
        if e.first in found.local:
            found.local[e] = found.local[e.first]
        return
    values = {value for s in (e.first, e.second, e.third) for value in found.domains[s].listed}
    found.domains[e] = listed(e.kind, distinct(e, {*values, None}), exact=False)


def _copies(e: Vote) -> bool:
    """Whether all three compute one thing of one thing, but for their names."""
    held = [
        [type(s), *(getattr(s, f.name) for f in fields(s) if f.name != "name")]
        for s in (e.first, e.second, e.third)
    ]
    return held[0] == held[1] == held[2]


def select_table(e: Select, found: Findings) -> None:
    """One call of the predicate for each key and query; None is never chosen."""
    keys, queries = found.domains[e.keys], found.domains[e.queries]
    table = np.zeros(_table_shape(keys, queries), dtype=bool)
    for k, key in enumerate(keys.listed):
        for q, query in enumerate(queries.listed):
            try:
                table[k, q] = bool(e.function(key, query))
            except Exception as error:
                raise failure(e.function, (key, query), error) from None
    found.tables[e] = table


def linear_values(e: LinearSequenceMap, found: Findings) -> None:
    """The combinations of pairs that can meet; bounds where they are too many.

    Averages (or sums) under one selector are combined before they are averaged, which keeps them
    together: the difference of two fractions of n is a fraction of n.
    """
    joint = None if found.closed else _joint(e, found)
    if joint is not None:
        found.joint[e] = joint
        aggregate_values(joint, found)
        found.domains[e] = found.domains[joint]
        if joint in found.local:
            found.local[e] = found.local[joint]
        return
    first, second = found.domains[e.first], found.domains[e.second]
    if first.values is None or second.values is None or _size(first, second) > MOST_ENTRIES:
        _bound(e, found)
        return
    x, y, where = _pairs(e.first, e.second, found)
    there = (x < first.none_code) & (y < second.none_code)
    a, b, common = linear_factors((e.first_factor, e.second_factor), (first, second))
    dtype = whole_dtype(abs(a) * first.largest + abs(b) * second.largest)
    scaled = a * first.scaled[x[there]].astype(dtype) + b * second.scaled[y[there]].astype(dtype)
    sums, which = np.unique(scaled, return_inverse=True)
    if len(sums) > MOST_VALUES:
        _bound(e, found)
        return
    if where is None:
        exact, none = _one_varies(first, second), not bool(there.all())
        found.domains[e] = multiples(sums.tolist(), common, none=none, exact=exact)
        return
    results = [*(number(Fraction(total, common)) for total in sums.tolist()), None]
    code = np.full(len(x), len(sums))
    code[there] = which.reshape(-1)
    found.tabulate(e, results, code[where])


def _joint(e: LinearSequenceMap, found: Findings) -> Aggregate | None:
    """`e` as one Aggregate, if both its parts are averages (or sums) under the same selector."""
    a, b = found.joint.get(e.first), found.joint.get(e.second)
    if a is None or b is None or a.selector is not b.selector or a.how != b.how:
        return None
    if found.domains[a.values].none or found.domains[b.values].none:
        return None
    values = LinearSequenceMap(a.values, b.values, e.first_factor, e.second_factor)
    linear_values(values, found)
    if a.default is None or b.default is None:
        default = None
    else:
        default = number(e.first_factor * a.default + e.second_factor * b.default)
    return Aggregate(a.selector, values, a.how, default)


def _bound(e: LinearSequenceMap, found: Findings) -> None:
    ends, denominator = [0, 0], 1
    for argument, factor in ((e.first, e.first_factor), (e.second, e.second_factor)):
        domain = found.domains[argument]
        low, high = sorted((factor * domain.least, factor * domain.greatest))
        ends = [ends[0] + low, ends[1] + high]
        denominator = math.lcm(denominator, domain.denominator * factor.denominator)
    none = found.domains[e.first].none or found.domains[e.second].none
    low, high = (cast(Number, number(end)) for end in ends)
    found.domains[e] = interval(low, high, denominator, none=none)


def _pairs(
    first: SOp, second: SOp, found: Findings
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The codes of the pairs that can meet, and which pair stands where if both s-ops are local."""
    a, b = found.domains[first], found.domains[second]
    if first in found.local and second in found.local:
        x, y = found.local[first], found.local[second]
        base = b.none_code + 1
        keys, which = np.unique((x * base + y)[found.inside], return_inverse=True)
        where = np.zeros_like(x)
        where[found.inside] = which.reshape(-1)
        return keys // base, keys % base, where
    grid = np.indices([domain.none_code + domain.none for domain in (a, b)])
    return grid[0].ravel(), grid[1].ravel(), None


def _results(e: Map | SequenceMap, arguments: list[tuple[Value, ...]]) -> list[Value]:
    """function(*given) for each of `arguments`."""
    read, out = READERS[e.kind], []
    for given in arguments:
        try:
            out.append(read(e.function(*given)))
        except Exception as error:
            raise failure(e.function, given, error) from None
    return out


def _codes(domain: Domain, results: list[Value]) -> np.ndarray:
    """Codes of `results`; None's also where the domain does not have it."""
    return np.array([domain.code.get(value, domain.none_code) for value in results])


def _table_shape(first: Domain, second: Domain) -> tuple[int, int]:
    shape = (first.none_code + 1, second.none_code + 1)
    if math.prod(shape) > MOST_ENTRIES:
        raise Problem(f"needs a table of {shape[0]} x {shape[1]} entries, over {MOST_ENTRIES}")
    return shape


def _size(first: Domain, second: Domain) -> int:
    return (first.none_code + 1) * (second.none_code + 1)


def _one_varies(first: Domain, second: Domain) -> bool:
    """Whether one is constant and the other exact: then all pairs occur."""
    fixed = [domain.none_code + domain.none == 1 for domain in (first, second)]
    return (fixed[0] and second.exact) or (fixed[1] and first.exact)
