"""Sums under a selector: an average, and how many it is of.

With begin-of-sequence among the chosen, its share of attention is 1 / (w + 1), and the average y is
the sum over w + 1. For each width w, neurons give (w + 1) y unless the width is another.
"""

from __future__ import annotations

from collections.abc import Sequence

from groundtruth.compiled_models.aggregating import (
    chosen_by,
    default_of,
    exact_enough,
    keeping_out,
    largest,
    without_none,
)
from groundtruth.compiled_models.choosing import Demand
from groundtruth.compiled_models.components import Head, Neurons, Unit
from groundtruth.compiled_models.counting import even_enough, share_errors
from groundtruth.compiled_models.expressions import Aggregate
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Bound, Plan, decision_margin
from groundtruth.compiled_models.rounding import gamma, softmax_rounding, storing
from groundtruth.compiled_models.steps import Reading, step_between


def add_sum(plan: Plan, e: Aggregate) -> None:
    """A head for share and average, steps that tell widths apart, and a neuron for each width."""
    given, (least, most) = plan.analysis.domains[e.values], plan.analysis.counts[e]
    margin = decision_margin(plan.analysis.domains[e]) / (most + 1)
    x = exact_enough(plan, e, margin, 1, largest(plan, e, plan.values[e.values]))
    chosen = chosen_by(plan, e, Demand(1, even_enough(most) / 2, without_none(plan, x, 1)))
    widths = list(range(most, least - 1, -1))
    errors = share_errors(plan, chosen, widths)
    relative = chosen.uneven + softmax_rounding(plan.n_keys) + 2 * chosen.leak
    off_by = x.error + largest(plan, e, x) * relative
    labels = ["1 / (width + 1)", "sum / (width + 1)"]
    bound = Bound(max(*errors, off_by))
    shares = plan.on_the_way(e, "shares", labels, bound, float("inf"), {0: 1.0})
    share, average = shares.directions
    head = Head(
        (*chosen.reads, x),
        shares,
        chosen.terms,
        chosen.scale,
        bos=chosen.met,
        preferences=keeping_out(x, chosen),
        moves=((x.start, average, 1.0),),
        from_bos={share: 1.0},
    )
    plan.components.append(head)
    others = _add_other_widths(plan, e, shares, widths, errors)
    low = float(int(min(0, given.least)) - 1) if given.least < 0 else 0.0
    span = max(0.0, float(given.greatest)) + off_by - low
    _add_scaled(plan, e, others, shares, (low, span, off_by + shares.blur))


def _add_other_widths(
    plan: Plan, e: Aggregate, shares: Variable, widths: Sequence[int], errors: Sequence[float]
) -> Variable:
    """For each width a direction that is exactly 0 if it is that, and about 1 or 2 if it is not."""
    points, start, units = [1 / (width + 1) for width in widths], plan.start, []
    errors = [error + shares.blur for error in errors]
    reading = Reading({shares.start: 1.0}, 1 + max(errors), 1, shares.blur)
    ends = (points[0] - errors[0], points[-1] + errors[-1])
    worst = 0.0
    for k in range(len(points) - 1):
        low, high = points[k] + errors[k], points[k + 1] - errors[k + 1]
        for up, direction in ((True, start + k), (False, start + k + 1)):
            step = step_between(reading, low, high, ends, up=up)
            units += step.units({direction: 1.0})
            worst = max(worst, step.error)
    made = plan.on_the_way(e, "other_widths", widths, Bound(worst), 0.25)
    plan.components.append(Neurons((shares,), made, tuple(units)))
    return made


def _add_scaled(
    plan: Plan,
    e: Aggregate,
    others: Variable,
    shares: Variable,
    average: tuple[float, float, float],
) -> None:
    """relu((w + 1) (y - low) - off) + (w + 1) low for each width w; the default for 0.

    Args:
        average: a bound below it, how far above that it can be, and how far off.
    """
    domain, start, (low, span, off_by) = plan.analysis.domains[e], plan.start, average
    units, error = [], storing(float(e.default or 0))
    for width, other in zip(others.labels, others.directions):
        if width == 0:
            units.append(Unit({other: -2.0}, 1.0, default_of(e, domain, start)))
            continue
        times = float(width + 1)
        reads = {shares.directions[1]: times, other: -2 * (times * span + 1)}
        units.append(Unit(reads, -times * low, {start: 1.0}))
        if low:
            units.append(Unit({other: -2.0}, 1.0, {start: times * low}))
        off = (2 * (times * span + 1) + 2 * times * abs(low)) * others.blur
        error = max(error, times * (off_by + gamma(8) * 2 * span) + off)
    plan.components.append(Neurons((shares, others), plan.value(e, Bound(error)), tuple(units)))
