"""What the numbers say, in sentences: one per method, and what a testbed shows as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from groundtruth.outputs import FLAGS
from groundtruth.report import first_change
from groundtruth.reporting import naming
from groundtruth.reporting.aggregate import Mean, Row, Section
from groundtruth.reporting.views import VIEWS, View

_TIE = 1e-9  # means of the same values in another order differ by rounding


def method_verdict(row: Row) -> str:
    """Where one method stands between chance and ceiling, how many runs failed, and what to change
    first."""
    view = _view(row)
    primary, n = row[view.primary], len(row.runs)
    over = "1 run" if n == 1 else f"{n} runs"
    if primary is None or primary.value is None:
        why = f"{view.primary} was not computed" if primary is None else primary.reason
        return (
            f"{_name(row)}: no {view.measure} over {over} ({why or 'undefined'}){_failures(row)}."
        )
    text = f"{_name(row)}: {view.measure} {primary.value:.3f}{_interval(primary, view)} over {over}"
    beside, ev = row.value(view.beside), row.value(view.explained)
    if beside is not None:
        text += f", {view.beside_measure} {beside:.3f}"
    if primary.normalised is not None:
        share = f"{round(primary.normalised, 2) + 0.0:.0%}"
        ceiling = view.ceiling if view.ceiling.startswith("the ") else f"the {view.ceiling}"
        text += f"; {share} of the way from chance to {ceiling}"
    if ev is not None:
        text += f"; it explains {percent(ev)} of the variance"
    return f"{text}{_failures(row)}.{_change(row)}"


def _change(row: Row) -> str:
    """What to change first, as the reports on most of the runs would say."""
    found = [first_change(run.results) for run in row.runs if not run.failed]
    changes = [change for change in found if change is not None]
    if not changes:
        return ""
    rule, count = Counter(change.rule for change in changes).most_common(1)[0]
    said = next(change.said for change in changes if change.rule == rule)
    runs = f" ({count} of {len(found)} runs)" if len(found) > 1 else ""
    return f" {said.removesuffix('.')}{runs}."


def section_verdict(section: Section) -> str:
    """Which method is best, where it stands, and whether explained variance would have misled."""
    methods = section.of("method")
    if not methods:
        n = len(section.rows)
        return f"No method was run on {_world(section)}: {n} reference row{'s' * (n != 1)} only."
    if all(run.failed for row in methods for run in row.runs):
        n = sum(len(row.runs) for row in methods)
        return f"Every method run on {_world(section)} failed ({n} of {n}); all count at the floor."
    view = section.view
    scored = [row for row in methods if row.value(view.primary) is not None]
    if not scored:
        article = "an" if view.measure[0] in "aeiou" else "a"
        return f"No method on {_world(section)} has {article} {view.measure}."
    return " ".join(t for t in (_best(section, scored), _misled(scored)) if t)


def flag_notes(section: Section) -> list[str]:
    """What was odd about methods' codes: one sentence per method and flag."""
    notes = []
    for row in section.of("method"):
        for flag in dict.fromkeys(flag for run in row.runs for flag in run.flags):
            count = sum(flag in run.flags for run in row.runs)
            share = f"{count} of {len(row.runs)} runs"
            notes.append(f"{_name(row)} ({share}): {FLAGS.get(flag, flag).rstrip('.')}.")
    return notes


def percent(value: float) -> str:
    """A share as a percentage; far below zero, where a percentage says little, as a number."""
    return f"{value:.0%}" if value > -10 else f"{value:.3g} times"


def _best(section: Section, scored: Sequence[Row]) -> str:
    view = section.view
    top = [row for row in scored if abs(_primary(scored[0]) - _primary(row)) <= _TIE]
    best, value = top[0], _primary(top[0])
    chance, ceiling = section.chance(view.primary), section.ceiling(view.primary)
    between = ""
    if chance is not None and ceiling is not None:
        between = f", between chance {chance:.3f} and {view.ceiling} {ceiling:.3f}"
    mean = best[view.primary]
    assert mean is not None
    if mean.normalised is not None:
        between += f" ({round(mean.normalised, 2) + 0.0:.0%} of the way)"
    least = mean.metric.direction == "min"
    if chance is not None and (value >= chance - _TIE if least else value <= chance + _TIE):
        of = f", of {len(scored)} tried" if len(scored) > 1 else ""
        found = "errs less" if least else "recovers more"
        return f"On {_world(section)} no method {found} than chance ({chance:.3f}){of}."
    if len(top) > 1:
        names = ", ".join(_name(row) for row in top)
        return f"On {_world(section)} {names} tie at {view.measure} {value:.3f}{between}."
    lead = "the only method," if len(scored) == 1 else f"best of {len(scored)} methods,"
    return (
        f"On {_world(section)} {_name(best)}, {lead} has {view.measure} {value:.3f}"
        f"{_interval(mean, view)}{between}."
    )


def _misled(scored: Sequence[Row]) -> str:
    """Compare the order by explained variance with that by joint recall."""
    both = [row for row in scored if row.value(_view(row).explained) is not None]
    if len(both) < 2:
        return ""
    pairs = [(a, b) for i, a in enumerate(both) for b in both[i + 1 :]]
    ordered = [(a, b) for a, b in pairs if abs(_primary(a) - _primary(b)) > _TIE]
    swapped = sum((_ev(a) - _ev(b)) * (_primary(a) - _primary(b)) < 0 for a, b in ordered)
    by_ev = max(both, key=_ev)
    count = f"{swapped} of {len(ordered)} pair{'s' * (len(ordered) != 1)}"
    if not ordered:
        return ""
    if _primary(both[0]) - _primary(by_ev) > _TIE:
        return _other_winner(both, by_ev, count)
    if swapped:
        return f"Explained variance picks the same winner, but orders {count} the other way."
    return "Explained variance orders these methods as joint recall does."


def _other_winner(both: Sequence[Row], by_ev: Row, count: str) -> str:
    """What to say where the method that explains most is not the one that recovers most."""
    rank = 1 + sum(_primary(row) - _primary(by_ev) > _TIE for row in both)
    place = f"number {rank} of {len(both)} by joint recall ({_primary(by_ev):.3f})"
    if _overlap(both[0], by_ev):
        return (
            f"Explained variance prefers {_name(by_ev)} ({percent(_ev(by_ev))}), {place}; the "
            "intervals of the two overlap, so these runs do not tell them apart."
        )
    return (
        f"Explained variance would have misled: {_name(by_ev)} explains the most "
        f"({percent(_ev(by_ev))}) and is {place}; it orders {count} of methods the other way."
    )


def _overlap(a: Row, b: Row) -> bool:
    """Whether the intervals of two methods' joint recall leave their order open."""
    means = [a[_view(a).primary], b[_view(b).primary]]
    bounds = [m.interval for m in means if m is not None and m.interval is not None]
    return len(bounds) == 2 and bounds[0][0] <= bounds[1][1] and bounds[1][0] <= bounds[0][1]


def _name(row: Row) -> str:
    return naming.shorten(row.label, 60)


def _world(section: Section) -> str:
    return naming.shorten(section.testbed, 60)


def _view(row: Row) -> View:
    return VIEWS[row.runs[0].world.view]


def _primary(row: Row) -> float:
    value = row.value(_view(row).primary)
    assert value is not None
    return value


def _ev(row: Row) -> float:
    value = row.value(_view(row).explained)
    assert value is not None
    return value


def _interval(mean: Mean, view: View) -> str:
    if mean.interval is None:
        return ""
    note = f", over {view.units}" if mean.over == "one run" else ""
    return f" [{mean.low:.3f}, {mean.high:.3f}{note}]"


def _failures(row: Row) -> str:
    if not row.n_failed:
        return ""
    verb = "counts" if row.n_failed == 1 else "count"
    return f"; {row.n_failed} of {len(row.runs)} failed and {verb} at the floor"
