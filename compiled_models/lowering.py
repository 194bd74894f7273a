"""From the values of expressions to the parts that compute them: the plan of a model."""

from __future__ import annotations

from groundtruth.compiled_models.aggregating import add_aggregate
from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.counting import add_width
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
)
from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.plan import Bound, Plan
from groundtruth.compiled_models.pointwise import add_linear, add_map, add_sequence_map
from groundtruth.compiled_models.rounding import storing
from groundtruth.errors import ProgramError


def planned(analysis: Analysis) -> Plan:
    """The parts of a model that computes the program, with bounds of what float32 makes of it.

    Raises:
        ProgramError: all reasons why it cannot be compiled.
    """
    plan = Plan(analysis)
    broken: set[Expression] = set()
    reasons: list[str] = []
    for e in analysis.program.expressions:
        if not broken.isdisjoint(e.parents):
            broken.add(e)
            continue
        try:
            _add(plan, e)
        except Problem as problem:
            broken.add(e)
            reasons.append(f"{analysis.program.names[e]}: {problem}")
    if reasons:
        raise ProgramError(f"program {analysis.program.name!r} cannot be compiled", reasons)
    return plan


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
        case Aggregate():
            add_aggregate(plan, e)
        case SOp():
            raise AssertionError(f"no rule for {e!r}")
        case _:
            pass  # a selector is looked at where it is used
