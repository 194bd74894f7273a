"""Stored records as checked objects: what a report is made from.

A report refuses what would make its numbers mean nothing: two versions of one metric, or one run
counted twice. A failed run keeps its place, with the floor as its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from groundtruth import hashing
from groundtruth.errors import StoreError
from groundtruth.reporting import naming
from groundtruth.reporting.views import VIEWS
from groundtruth.result import Metric, Result
from groundtruth.trials import all_metrics

Kind = Literal["oracle", "method", "control"]
KINDS: tuple[Kind, ...] = ("oracle", "method", "control")

_FAILED = "the run failed; counted at the floor"


@dataclass(frozen=True)
class World:
    """The testbed of one run.

    Fields:
        view: how claims on it are shown; see `views.VIEWS`.
        group: testbeds whose scores may be averaged share it; "" where none may.
        facts: about it, a few words each.
        frontier: (recall, explained) of a claim that learned exactly the R features of most
            variance, for growing R; None where it was not stored.
    """

    name: str
    hash: str
    recipe: dict[str, Any]
    n_features: int | None = None
    d: int | None = None
    expected_l0: float | None = None
    summary: str = ""
    source: str = ""
    frontier: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    view: str = "dictionary"
    group: str = ""
    facts: tuple[str, ...] = ()

    @property
    def family(self) -> dict[str, Any]:
        """The recipe's parameters without the seed: worlds that share it are drawn alike."""
        return dict(self.recipe.get("parameters") or {})


@dataclass(frozen=True)
class Run:
    """One run of one method on one world.

    Fields:
        testbed, label: names of world and method, with the parameters that tell them apart.
        failed, error: whether the run failed, and why.
        results: by metric id; those of a failed run stand at the floor.
    """

    world: World
    method: str
    kind: Kind
    seed: int
    results: dict[str, Result]
    testbed: str = ""
    label: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    failed: bool = False
    error: str = ""
    flags: tuple[str, ...] = ()
    suite: str | None = None
    lock: str | None = None
    scoring: dict[str, Any] = field(default_factory=dict)
    n_train: int | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Which run this is, in a message."""
        return f"{self.testbed} / {self.label} / seed {self.seed}"


def read_runs(records: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs of `records`, in their order.

    Raises:
        StoreError: no records, a record that is none, mixed metric versions, or a run twice.
    """
    runs = _labelled([_read(index, record) for index, record in enumerate(records)])
    if not runs:
        raise StoreError(
            "report: expected at least one run, got none. Make some with "
            "`groundtruth run SUITE --out DIR`, then report on that folder."
        )
    _refuse_twice(runs)
    _refuse_mixed_versions(runs)
    known = {view: _known(view, runs) for view in {run.world.view for run in runs}}
    return [_counted(run, known[run.world.view]) if run.failed else run for run in runs]


def _read(index: int, record: Mapping[str, Any]) -> Run:
    try:
        method, error = record["method"], record.get("error") or {}
        return Run(
            world=_world(record["testbed"]),
            method=naming.one_line(method["name"]) or "unnamed",
            kind=KINDS[KINDS.index(method.get("kind", "method"))],
            seed=int(record["seed"]),
            results={k: _result(k, v) for k, v in (record.get("results") or {}).items()},
            parameters=dict(method.get("parameters") or {}),
            summary=naming.one_line(method.get("summary") or ""),
            failed=record["status"] == "failed",
            error=naming.one_line(f"{error['type']}: {error.get('message')}") if error else "",
            flags=tuple(naming.one_line(flag) for flag in record.get("flags") or ()),
            suite=record.get("suite"),
            lock=record.get("lock"),
            scoring=dict(record.get("scoring") or {}),
            n_train=record.get("n_train"),
            provenance=dict(record.get("provenance") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise StoreError(
            f"record {index}: expected a run with testbed, method, seed, status and results, got "
            f"{type(fault).__name__}: {fault}. Pass the records of `Store.records()`."
        ) from fault


def _world(card: Mapping[str, Any]) -> World:
    frontier = card.get("frontier") or {}
    recall, explained = frontier.get("recall") or (), frontier.get("explained") or ()
    paired = len(recall) == len(explained) > 0
    return World(
        name=naming.one_line(card["name"]) or "unnamed",
        hash=str(card["hash"]),
        recipe=dict(card.get("recipe") or {}),
        n_features=card.get("n_features"),
        d=card.get("d"),
        expected_l0=card.get("expected_l0"),
        summary=naming.one_line(card.get("summary") or ""),
        source=naming.one_line(card.get("source") or ""),
        frontier=(tuple(recall), tuple(explained)) if paired else None,
        view=card.get("view") or "dictionary",
        group=naming.one_line(card.get("group") or ""),
        facts=tuple(naming.one_line(fact) for fact in card.get("facts") or ()),
    )


def _result(name: str, data: Mapping[str, Any]) -> Result:
    # Built from the record, not from the catalogue: an older version must still be shown as itself.
    low, high = data["range"]
    bounds = (float("-inf") if low is None else low, float("inf") if high is None else high)
    known = all_metrics().get(name)
    metric = Metric(
        name,
        data["version"],
        known.summary if known else "",
        data["direction"],
        bounds,
        data["unit"],
        known.success if known else True,
    )
    return Result.from_json(dict(data), metric)


def _labelled(runs: list[Run]) -> list[Run]:
    worlds = naming.distinct([(run.world.name, run.world.family) for run in runs])
    runs = [replace(run, testbed=label) for run, label in zip(runs, worlds)]
    out = list(runs)
    for testbed in dict.fromkeys(worlds):
        here = [i for i, label in enumerate(worlds) if label == testbed]
        labels = naming.distinct([(runs[i].method, runs[i].parameters) for i in here])
        for i, label in zip(here, labels):
            out[i] = replace(runs[i], label=label)
    return out


def _refuse_twice(runs: Sequence[Run]) -> None:
    seen: set[str] = set()
    for run in runs:
        settings = [run.scoring, run.n_train]
        key = hashing.canonical_json([run.testbed, run.label, run.seed])
        if key in seen:
            raise StoreError(
                f"report: expected each run once, got {run.place} twice (settings "
                f"{hashing.canonical_json(settings)}). Counted twice it would narrow the "
                "interval; report on one folder of results, or give each its own report."
            )
        seen.add(key)


def _refuse_mixed_versions(runs: Sequence[Run]) -> None:
    found: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        for name, result in run.results.items():
            found.setdefault(name, {}).setdefault(result.metric.key, []).append(run)
    faults = [
        "; ".join(f"{key} in {_places(where)}" for key, where in sorted(versions.items()))
        for _, versions in sorted(found.items())
        if len(versions) > 1
    ]
    if faults:
        raise StoreError(
            f"mixed metric versions: {'. '.join(faults)}. Numbers of two versions do not compare: "
            "run the older ones again, or report on them apart."
        )


def _places(runs: Sequence[Run]) -> str:
    more = f" and {len(runs) - 2} more" if len(runs) > 2 else ""
    return ", ".join(run.place for run in runs[:2]) + more


def _known(view: str, runs: Sequence[Run]) -> dict[str, Metric]:
    """The metrics that a failed run fails: those of the other runs shown so, or the main two."""
    results = [r for run in runs if run.world.view == view for r in run.results.values()]
    least = (VIEWS[view].primary, VIEWS[view].beside)
    return {r.metric.id: r.metric for r in results} or {m: all_metrics()[m] for m in least}


def _counted(run: Run, known: Mapping[str, Metric]) -> Run:
    results = {
        name: _at_floor(run.results.get(name, Result(metric, None, "failed")), run.error)
        for name, metric in known.items()
    }
    return replace(run, results=results)


def _at_floor(result: Result, error: str) -> Result:
    """The floor as value; where none is known, the worse end of the range; else undefined."""
    value, metric = result.value, result.metric
    if value is None:
        value = result.floor
    if value is None and metric.direction != "target":
        worst = metric.range[0 if metric.direction == "max" else 1]
        value = worst if abs(worst) != float("inf") else None
    reason = result.reason if result.reason else f"{_FAILED}{f' ({error})' if error else ''}"
    return replace(result, value=value, status="failed", reason=reason, low=None, high=None)
