"""Selector width: begin-of-sequence is chosen too, and its share of attention is 1 / (w + 1)."""

from __future__ import annotations

from collections.abc import Sequence

from groundtruth.compiled_models.choosing import Choosing, Demand, choosing, selection
from groundtruth.compiled_models.components import Head, Neurons
from groundtruth.compiled_models.expressions import SelectorWidth
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Bound, Plan
from groundtruth.compiled_models.pointwise import add_fixed, add_stairs, is_coarse
from groundtruth.compiled_models.rounding import softmax_rounding
from groundtruth.compiled_models.selections import Conjunction
from groundtruth.compiled_models.steps import Reading, stairs


def add_width(plan: Plan, e: SelectorWidth) -> None:
    """One head for each conjunction, and steps from shares to numbers of keys.

    Several are added up before the sum is told apart.
    """
    conjunctions = selection(plan, e.selector).conjunctions()
    domain = plan.analysis.domains[e]
    if not conjunctions:
        add_fixed(plan, e, domain.code[0])
        return
    if len(conjunctions) == 1:
        read = _Shares(plan, e, conjunctions[0], domain.listed)
        codes = [domain.code[width] for width in read.widths]
        # Widths fall as shares rise, so that each step is between neighbours.
        add_stairs(plan, e, read.share, read.points, read.errors, codes, stepwise=True)
        return
    count = _add_count(plan, e, conjunctions)
    if count.domain is None:
        points = [float(width) for width in domain.listed]
        add_stairs(plan, e, count, points, [count.error] * len(points), range(len(points)))


def share_errors(plan: Plan, chosen: Choosing, widths: Sequence[int]) -> list[float]:
    """How far the share 1 / (w + 1) of begin-of-sequence can be off."""
    relative = chosen.uneven + softmax_rounding(plan.n_keys)
    return [relative / (width + 1) + chosen.leak for width in widths]


def even_enough(most: int) -> float:
    """How far a score can be off for `most` keys still to be counted: shares of w and w + 1 keys
    differ by 1 / (w + 2) of themselves, and a score error e moves them by 2 e."""
    return 1 / (16 * (most + 1))


class _Shares:
    """The head of a conjunction, and its shares in rising order."""

    def __init__(
        self, plan: Plan, e: SelectorWidth, conjunction: Conjunction, widths: Sequence[int]
    ) -> None:
        self.widths = sorted(widths, reverse=True)
        self.points = [1 / (width + 1) for width in self.widths]
        chosen = choosing(plan, conjunction, Demand(1, even_enough(self.widths[0])))
        self.errors = share_errors(plan, chosen, self.widths)
        self.share = _add_share(plan, e, chosen, max(self.errors))
        self.errors = [error + self.share.blur for error in self.errors]
        magnitude = 1.0 + max(self.errors)
        self.reading = Reading({self.share.start: 1.0}, magnitude, 1, self.share.blur)


def _add_share(plan: Plan, e: SelectorWidth, chosen: Choosing, error: float) -> Variable:
    share = plan.on_the_way(e, "share", ["1 / (width + 1)"], Bound(error), 1.0, {0: 1.0})
    head = Head(
        chosen.reads,
        share,
        chosen.terms,
        chosen.scale,
        bos=chosen.met,
        from_bos={share.start: 1.0},
    )
    plan.components.append(head)
    return share


def _add_count(plan: Plan, e: SelectorWidth, conjunctions: Sequence[Conjunction]) -> Variable:
    """The sum of the numbers that each conjunction chooses; the value of `e` if that is a number
    and this exact enough."""
    every = range(plan.n_keys + 1)
    reads = [_Shares(plan, e, conjunction, every) for conjunction in conjunctions]
    start, error, units = plan.start, 0.0, []
    for read in reads:
        made = stairs(
            read.reading,
            read.points,
            read.errors,
            read.widths,
            lambda width: {start: float(width)} if width else {},
        )
        units += made.units
        error += made.errors.get(start, 0.0)
    domain = plan.analysis.domains[e]
    if domain.kind == "numerical" and not is_coarse(domain, Bound(error)):
        count = plan.value(e, Bound(error))
    else:
        count = plan.on_the_way(e, "count", ["number"], Bound(error), 0.5)
    plan.components.append(Neurons(tuple(read.share for read in reads), count, tuple(units)))
    return count
