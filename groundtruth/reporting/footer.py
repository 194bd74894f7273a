"""What a reader needs to judge the numbers and to redo them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from groundtruth import hashing
from groundtruth.reporting import naming
from groundtruth.reporting.runs import Run
from groundtruth.reporting.views import VIEWS

Fact = tuple[str, str]
_UNKNOWN = "not stored"


def footer(runs: Sequence[Run]) -> list[Fact]:
    """(name, value) pairs, in the order in which they are shown."""
    failed = sum(run.failed for run in runs)
    facts = [
        ("suite", _several(run.suite for run in runs)),
        ("lock (SHA-256)", _several(run.lock for run in runs)),
        ("groundtruth", _several(_package(run) for run in runs)),
        ("metric versions", _metrics(runs)),
        *_parameters(runs),
        ("scoring", _several(_scoring(run) for run in runs)),
        *_budget(runs),
        ("worlds", _worlds(runs)),
        (
            "intervals",
            "95 %, Student over worlds or testbeds, none where all agree; n=1: the run's own",
        ),
        ("runs", f"{len(runs)}, of which {failed} failed"),
        ("failed runs", "counted at the metric's floor, never dropped"),
        ("hardware", _several(_hardware(run) for run in runs)),
        ("software", _several(_software(run) for run in runs)),
        ("time", _cost(runs)),
        ("redo", _command(runs)),
    ]
    return [(name, naming.one_line(value)) for name, value in facts]


def failures(runs: Sequence[Run]) -> list[str]:
    """One line per failed run: which, and why."""
    return [
        f"{run.place}: {naming.shorten(run.error or 'no error was stored', 300)}"
        for run in runs
        if run.failed
    ]


def _several(values: Iterable[object]) -> str:
    """The one value, or each with the number of runs that have it."""
    found = Counter(_UNKNOWN if v is None or v == "" else naming.one_line(v) for v in values)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{value} ({count} runs)" for value, count in found.most_common())


def _package(run: Run) -> str:
    version, git = run.provenance.get("groundtruth"), run.provenance.get("git")
    if isinstance(git, dict) and git.get("commit"):
        dirty = ", changed" if git.get("dirty") else ""
        return f"{version} (commit {str(git['commit'])[:12]}{dirty})"
    return f"{version} (commit {git[:12]})" if isinstance(git, str) and git else str(version or "")


def _metrics(runs: Sequence[Run]) -> str:
    return ", ".join(sorted({r.metric.key for run in runs for r in run.results.values()}))


def _parameters(runs: Sequence[Run]) -> list[Fact]:
    """Settings that enter the primary metrics of the kinds of claim that there are."""
    views = [VIEWS[name] for name in dict.fromkeys(run.world.view for run in runs)]
    found: dict[str, set[str]] = {}
    for view in views:
        # Of the primary metric: metrics kept for comparison with other tools differ by design.
        results = [run.results[view.primary] for run in runs if view.primary in run.results]
        for label, name in view.facts:
            given = {r.parameters.get(name) for r in results} - {None}
            found.setdefault(label, set()).update(map(naming.one_line, map(str, given)))
    return [(label, ", ".join(sorted(values)) or _UNKNOWN) for label, values in found.items()]


def _budget(runs: Sequence[Run]) -> list[Fact]:
    """What dictionaries are trained on; other claims have no such number."""
    trained = [run.n_train for run in runs if run.world.view == "dictionary"]
    return [("training budget n_train", _several(map(_short, trained)))] if trained else []


def _scoring(run: Run) -> str:
    return ", ".join(f"{name} {_short(size)}" for name, size in sorted(run.scoring.items()))


def _worlds(runs: Sequence[Run]) -> str:
    found: dict[str, dict[int, str]] = {}
    for run in runs:
        found.setdefault(run.testbed, {})[run.seed] = run.world.hash[:12]
    return "; ".join(
        f"{testbed}: " + ", ".join(f"seed {seed} {text}" for seed, text in sorted(seeds.items()))
        for testbed, seeds in found.items()
    )


def _hardware(run: Run) -> str:
    known = run.provenance
    cpu, device = known.get("cpu"), known.get("device")
    parts = [known.get("platform"), _named(cpu), _named(device)]
    return ", ".join(str(part) for part in parts if part)


def _named(part: Any) -> str:
    if not isinstance(part, dict):
        return "" if part is None else str(part)
    return " ".join(_short(v) for v in part.values() if v not in (None, ""))


def _software(run: Run) -> str:
    libraries = run.provenance.get("versions", run.provenance.get("libraries"))
    python = run.provenance.get("python")
    names = libraries if isinstance(libraries, dict) else {}
    parts = [f"{name} {version}" for name, version in names.items() if version is not None]
    return ", ".join([str(python)] * bool(python) + parts)


def _cost(runs: Sequence[Run]) -> str:
    # A method that is run on twins of its testbed as well has a cost of its own there.
    costs = [cost for run in runs for cost in (run.provenance, run.provenance.get("twins") or {})]
    wall, cpu, peak = (
        [found for cost in costs if (found := cost.get(name)) is not None]
        for name in ("wall_seconds", "cpu_seconds", "peak_rss_bytes")
    )
    if not wall:
        return _UNKNOWN
    text = f"{_duration(sum(wall))} of runs, added up"
    text += f"; {_duration(sum(cpu))} of processor" if cpu else ""
    return text + (f"; at most {max(peak) / 2**20:,.0f} MiB of memory" if peak else "")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _command(runs: Sequence[Run]) -> str:
    suites = sorted({run.suite for run in runs if run.suite})
    if not suites:
        return "these runs belong to no suite; each record holds its recipe, parameters and seed"
    return "; ".join(f"groundtruth run {shlex.quote(suite)} --out DIR" for suite in suites)


def _short(value: object) -> str:
    if value is None:
        return "by default"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else hashing.canonical_json(value)
