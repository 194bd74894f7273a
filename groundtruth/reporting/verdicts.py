"""What the numbers say, in sentences: one per method, and what a testbed shows as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from groundtruth.outputs import FLAGS
from groundtruth.report import first_change
from groundtruth.reporting import naming
from groundtruth.reporting.aggregate import EV, JOINT, PRECISION, Mean, Row, Section

_TIE = 1e-9  # means of the same values in another order differ by rounding


def method_verdict(row: Row) -> str:
    """Where one method stands between chance and ceiling, how many runs failed, and what to change
    first."""
    joint, n = row[JOINT], len(row.runs)
    over = "1 run" if n == 1 else f"{n} runs"
    if joint is None or joint.value is None:
        why = "recover.joint was not computed" if joint is None else joint.reason or "undefined"
        return f"{_name(row)}: no joint recall over {over} ({why}){_failures(row)}."
    text = f"{_name(row)}: joint recall {joint.value:.3f}{_interval(joint)} over {over}"
    precision, ev = row.value(PRECISION), row.value(EV)
    if precision is not None:
        text += f", joint precision {precision:.3f}"
    if joint.normalised is not None:
        text += (
            f"; {round(joint.normalised, 2) + 0.0:.0%} of the way from chance to the linear ceiling"
        )
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
    scored = [row for row in methods if row.value(JOINT) is not None]
    if not scored:
        return f"No method on {_world(section)} has a joint recall."
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
    top = [row for row in scored if _joint(scored[0]) - _joint(row) <= _TIE]
    best, value = top[0], _joint(top[0])
    chance, ceiling = section.chance(JOINT), section.ceiling(JOINT)
    between = ""
    if chance is not None and ceiling is not None:
        between = f", between chance {chance:.3f} and linear ceiling {ceiling:.3f}"
    mean = best[JOINT]
    assert mean is not None
    if mean.normalised is not None:
        between += f" ({round(mean.normalised, 2) + 0.0:.0%} of the way)"
    if chance is not None and value <= chance + _TIE:
        of = f", of {len(scored)} tried" if len(scored) > 1 else ""
        return f"On {_world(section)} no method recovers more than chance ({chance:.3f}){of}."
    if len(top) > 1:
        names = ", ".join(_name(row) for row in top)
        return f"On {_world(section)} {names} tie at joint recall {value:.3f}{between}."
    lead = "the only method," if len(scored) == 1 else f"best of {len(scored)} methods,"
    return (
        f"On {_world(section)} {_name(best)}, {lead} has joint recall {value:.3f}"
        f"{_interval(mean)}{between}."
    )


def _misled(scored: Sequence[Row]) -> str:
    """Compare the order by explained variance with that by joint recall."""
    both = [row for row in scored if row.value(EV) is not None]
    if len(both) < 2:
        return ""
    pairs = [(a, b) for i, a in enumerate(both) for b in both[i + 1 :]]
    ordered = [(a, b) for a, b in pairs if abs(_joint(a) - _joint(b)) > _TIE]
    swapped = sum((_ev(a) - _ev(b)) * (_joint(a) - _joint(b)) < 0 for a, b in ordered)
    by_ev = max(both, key=_ev)
    count = f"{swapped} of {len(ordered)} pair{'s' * (len(ordered) != 1)}"
    if not ordered:
        return ""
    if _joint(both[0]) - _joint(by_ev) > _TIE:
        return _other_winner(both, by_ev, count)
    if swapped:
        return f"Explained variance picks the same winner, but orders {count} the other way."
    return "Explained variance orders these methods as joint recall does."


def _other_winner(both: Sequence[Row], by_ev: Row, count: str) -> str:
    """What to say where the method that explains most is not the one that recovers most."""
    rank = 1 + sum(_joint(row) - _joint(by_ev) > _TIE for row in both)
    place = f"number {rank} of {len(both)} by joint recall ({_joint(by_ev):.3f})"
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
    bounds = [m.interval for m in (a[JOINT], b[JOINT]) if m is not None and m.interval is not None]
    return len(bounds) == 2 and bounds[0][0] <= bounds[1][1] and bounds[1][0] <= bounds[0][1]


def _name(row: Row) -> str:
    return naming.shorten(row.label, 60)


def _world(section: Section) -> str:
    return naming.shorten(section.testbed, 60)


def _joint(row: Row) -> float:
    value = row.value(JOINT)
    assert value is not None
    return value


def _ev(row: Row) -> float:
    value = row.value(EV)
    assert value is not None
    return value


def _interval(mean: Mean) -> str:
    if mean.interval is None:
        return ""
    note = ", over features" if mean.over == "one run" else ""
    return f" [{mean.low:.3f}, {mean.high:.3f}{note}]"


def _failures(row: Row) -> str:
    if not row.n_failed:
        return ""
    verb = "counts" if row.n_failed == 1 else "count"
    return f"; {row.n_failed} of {len(row.runs)} failed and {verb} at the floor"
