"""From the values of expressions to the parts that compute them: the plan of a model."""

from __future__ import annotations

from groundtruth.compiled_models.aggregating import add_aggregate
from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.choosing import selection
from groundtruth.compiled_models.counting import add_width
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
)
from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.plan import Bound, Plan, Tolerance
from groundtruth.compiled_models.pointwise import (
    add_fixed,
    add_linear,
    add_map,
    add_sequence_map,
)
from groundtruth.compiled_models.rounding import storing
from groundtruth.compiled_models.sums import add_sum
from groundtruth.compiled_models.values import READERS
from groundtruth.errors import ProgramError

MOST_NUMBERS = 50_000_000
"""Numbers in the weights beyond which a program is refused: 400 megabytes."""


def planned(analysis: Analysis, tolerance: Tolerance | None = None) -> Plan:
    """The parts of a model that computes the program, with bounds of what float32 makes of it.

    Raises:
        ProgramError: all reasons why it cannot be compiled.
    """
    plan = Plan(analysis) if tolerance is None else Plan(analysis, tolerance)
    broken = {e for e in analysis.program.expressions if not _analysed(analysis, e)}
    reasons = list(analysis.problems)
    for e in analysis.program.expressions:
        if e in broken or not broken.isdisjoint(e.parents):
            broken.add(e)
            continue
        plan.read_by(e)
        try:
            _add(plan, e)
        except Problem as problem:
            broken.add(e)
            reasons.append(f"{analysis.program.names[e]}: {problem}")
    numbers = plan.numbers
    if numbers > MOST_NUMBERS:
        reasons.append(f"its weights are about {numbers:,} numbers, more than {MOST_NUMBERS:,}")
    if reasons:
        raise ProgramError(f"program {analysis.program.name!r} cannot be compiled", reasons)
    return plan


def _analysed(analysis: Analysis, e: Expression) -> bool:
    """Whether the analysis found what `e` can be."""
    if isinstance(e, SOp):
        return e in analysis.domains
    return not isinstance(e, Select) or e in analysis.tables


def _add(plan: Plan, e: Expression) -> None:
    match e:
        case Tokens() | Indices():
            plan.value(e, Bound())
        case Constant():
            value = plan.analysis.domains[e].listed[0]
            plan.value(e, Bound(storing(float(value)) if e.kind == "numerical" else 0.0))
        case Map():
            add_map(plan, e)
        case SequenceMap():
            add_sequence_map(plan, e)
        case LinearSequenceMap():
            add_linear(plan, e)
        case SelectorWidth():
            add_width(plan, e)
        case Aggregate() if not selection(plan, e.selector).conjunctions():
            add_fixed(plan, e, plan.analysis.domains[e].code[READERS[e.kind](e.default)])
        case Aggregate(how="sum"):
            add_sum(plan, e)
        case Aggregate():
            add_aggregate(plan, e)
        case SOp():
            raise AssertionError(f"no rule for {e!r}")
        case _:
            pass  # a selector is looked at where it is used
