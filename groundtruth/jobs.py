"""One job: a method, or the whole ladder, on one world, from recipe to stored run.

A job's key is the hash of all that its result depends on, so a finished one is never redone and
two runners never disagree about which it was.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtruth import catalogue, evaluation, files, hashing, provenance
from groundtruth.errors import Diverged, GroundtruthError
from groundtruth.methods.checkpoint import is_damaged
from groundtruth.methods.fit import source_digest
from groundtruth.monitor import Monitor
from groundtruth.result import Result
from groundtruth.score_data import Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec
from groundtruth.testbed import Testbed
from groundtruth.trials import Report, Terms, Trial, trial_of

WATCHED_ON_THE_WAY = ("recover.above_08", "recover.precision")
"""Besides what a `Monitor` always follows."""

SCORING_ON_THE_WAY = Scoring(n_select=4096, n_score=2048, n_positives=5)
"""Less than a `Monitor`'s: directions are compared exactly anyway."""


@dataclass(frozen=True)
class Settings:
    """What all jobs of a suite share."""

    suite: str | None
    lock: str | None
    scoring: Any
    threshold: float
    share: float


@dataclass(frozen=True)
class World:
    """A testbed by recipe."""

    testbed: str
    parameters: dict[str, Any]
    seed: int
    n_train: int

    def build(self) -> Any:
        return catalogue.build(self.testbed, seed=self.seed, **self.parameters)


@dataclass(frozen=True)
class Job:
    """A method on a world; or, with `rows`, those reference rows."""

    world: World
    settings: Settings
    method: MethodSpec | None = None
    rows: tuple[str, ...] = ()

    def trial(self) -> Trial:
        settings, n_train = self.settings, self.world.n_train
        terms = Terms(settings.scoring, n_train, settings.threshold, settings.share)
        return trial_of(self.world.build(), terms)

    @property
    def label(self) -> str:
        what = "ladder" if self.method is None else self.method.name
        changed = "".join(
            f" {key}={value}"
            for key, value in self.world.parameters.items()
            if isinstance(value, (str, int, float))
        )
        return f"{self.world.testbed}{changed} seed {self.world.seed}: {what}"


@dataclass(frozen=True)
class Done:
    """What a job came to: keys of its runs, how many were there already, and failures."""

    label: str
    keys: tuple[str, ...]
    n_reused: int
    failures: tuple[str, ...]
    busy: bool = False


def run_job(job: Job, out: Path, tell: Callable[[str], None] | None = None) -> Done:
    """Run `job` unless its result is stored already; store every result, failures included."""
    store, trial = Store(out), job.trial()
    if job.method is not None:
        return _run_method(job, job.method, trial, store, tell)
    return _run_rows(job, trial, store, tell)


def method_key(
    trial: Trial, name: str, parameters: dict[str, Any], watch_at: tuple[int, ...] = ()
) -> str:
    """The hash under which a run is stored."""
    return hashing.digest(
        {
            "testbed": trial.testbed.hash,
            "recipe": hashing.jsonable(trial.testbed.recipe.description()),
            "method": name,
            "parameters": hashing.jsonable(parameters),
            "watch_at": list(watch_at),
            "source": _source_hash(name),
            **trial.description(),
            "metrics": sorted(metric.key for metric in trial.metrics.values()),
        }
    )


def _run_method(
    job: Job,
    spec: MethodSpec,
    trial: Trial,
    store: Store,
    tell: Callable[[str], None] | None,
) -> Done:
    entry = catalogue.method(spec.name)
    assert entry.make is not None
    key = method_key(trial, spec.name, spec.parameters, spec.watch_at)
    with store.lock(key) as held:
        if not held:
            return Done(job.label, (key,), 0, (), busy=True)
        if store.is_complete(key):
            return Done(job.label, (key,), 1, _failure(job, store.load(key).record))
        trial.prepare()
        error, report, twins = None, None, None
        if is_damaged(store.checkpoint(key)):
            _forget(store.checkpoint(key))
        history = History(trial.testbed, store.checkpoint(key)) if spec.watch_at else None
        with provenance.Stopwatch() as watch:
            try:
                report, twins = _score(
                    job,
                    spec,
                    entry,
                    trial,
                    _hooks(entry, spec, store.checkpoint(key), history, tell),
                )
            except (Exception, SystemExit) as raised:
                error = _described(raised)
        usage = watch.usage if twins is None else watch.usage.without(twins)
        cost = {**usage.to_json(), "twins": None if twins is None else twins.to_json()}
        record = {
            **_context(job, trial, spec.name, entry.kind, entry.summary, spec.parameters),
            "status": "ok" if report is not None else "failed",
            "error": error,
            "flags": list(report.flags) if report is not None else [],
            "verdict": report.verdict if report is not None else "",
            "history": [] if history is None else history.points(),
            "provenance": {**provenance.collect(), **cost},
        }
        if report is None:
            record["results"] = _floor_results(trial, error or {})
            store.save(key, record, {})
        else:
            record["results"] = {k: r.to_json() for k, r in report.results.items()}
            store.save(key, record, trial.tensors(report))
        # A run that failed is not tried again, so nothing would ever go on from what it left.
        _forget(store.checkpoint(key))
        return Done(job.label, (key,), 0, _failure(job, record))


def _forget(checkpoint: Path) -> None:
    """Remove a checkpoint and the history beside it."""
    for path in (checkpoint, checkpoint.with_suffix(".json")):
        path.unlink(missing_ok=True)


def _failure(job: Job, record: dict[str, Any]) -> tuple[str, ...]:
    """What went wrong, if the run failed; one that is stored says it again."""
    if record["status"] != "failed":
        return ()
    return (f"{job.label}: {(record['error'] or {}).get('message')}",)


class History:
    """Scores of a training on the way, kept beside its checkpoint until the run is stored."""

    def __init__(self, testbed: Testbed, checkpoint: Path) -> None:
        self.path = checkpoint.with_suffix(".json")
        self.monitor = Monitor(testbed, metrics=WATCHED_ON_THE_WAY, scoring=SCORING_ON_THE_WAY)
        if checkpoint.exists() and self.path.exists():
            with contextlib.suppress(GroundtruthError):  # a damaged history is begun again
                self.monitor = Monitor.from_json(self.path.read_text(), testbed)

    def see(self, n_samples: int, explanation: Any) -> None:
        # After an interruption, training comes again past points that were scored already.
        held = self.monitor.history
        held[:] = [point for point in held if (point.n_samples or 0) < n_samples]
        self.monitor.see(n_samples, explanation)
        files.write_atomic(self.path, json.dumps(self.monitor.to_json()).encode())

    def points(self) -> list[dict[str, Any]]:
        """Values by metric at each sample count, plain JSON; what took part in time is left out."""
        return [
            {
                "n_samples": point.n_samples,
                "values": {name: result.value for name, result in point.results.items()},
                "reason": point.reason,
            }
            for point in self.monitor.history
        ]


def _hooks(
    entry: catalogue.MethodEntry,
    spec: MethodSpec,
    checkpoint: Path,
    history: History | None,
    tell: Callable[[str], None] | None,
) -> dict[str, Any]:
    """What the method can be given besides its parameters: where to save, whom to tell."""
    hooks: dict[str, Any] = {}
    if entry.takes("checkpoint"):
        hooks["checkpoint"] = checkpoint
    if history is not None and entry.takes("watch"):
        hooks["watch"], hooks["watch_at"] = history.see, spec.watch_at
    if tell is not None and entry.takes("progress"):
        hooks["progress"] = _tell_tenths(tell)
    return hooks


def _tell_tenths(tell: Callable[[str], None]) -> Callable[[int, int, float], None]:
    """Progress that is told ten times a run, so that a log of many runs can still be read."""
    told = -1

    def progress(step: int, n_steps: int, _loss: float) -> None:
        nonlocal told
        tenth = 10 * (step + 1) // n_steps
        if tenth > told:
            told = tenth
            tell(f"{10 * tenth}%")

    return progress


def _score(
    job: Job,
    spec: MethodSpec,
    entry: catalogue.MethodEntry,
    trial: Trial,
    hooks: dict[str, Any],
) -> tuple[Report, provenance.Usage | None]:
    """The report, and what running the method on twins cost."""
    seed = job.world.seed
    found = evaluation.explain(trial, entry.make, seed=seed, **spec.parameters, **hooks)
    report = trial.report(found.explanation, name=spec.name, seed=seed, flags=found.flags)
    return report, found.twins


def _run_rows(job: Job, trial: Trial, store: Store, tell: Callable[[str], None] | None) -> Done:
    keys = {row: method_key(trial, row, {}) for row in job.rows}
    missing = [row for row in job.rows if not store.is_complete(keys[row])]
    for row in missing:
        with provenance.Stopwatch() as watch:
            scored = trial.row(row, tell)
        record = {
            **_context(job, trial, row, scored.kind, scored.summary, {}),
            "status": "ok",
            "error": None,
            "flags": [],
            "verdict": scored.note,
            "results": {k: r.to_json() for k, r in scored.results.items()},
            "provenance": {**provenance.collect(), **watch.usage.to_json()},
        }
        store.save(keys[row], record, {})
    return Done(job.label, tuple(keys.values()), len(job.rows) - len(missing), ())


def _context(
    job: Job, trial: Trial, name: str, kind: str, summary: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    return {
        "suite": job.settings.suite,
        "lock": job.settings.lock,
        "testbed": trial.card(),
        "method": {
            "name": name,
            "kind": kind,
            "summary": summary,
            "parameters": hashing.jsonable(parameters),
            "source": _source_hash(name),
        },
        "seed": job.world.seed,
        **trial.description(),
    }


def _floor_results(trial: Trial, error: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every metric of a failed run at its floor."""
    reason = f"the run failed: {error.get('type')}"
    out = {}
    for name, base in trial.bounds().items():
        failed = Result(base.metric, base.floor, "failed", reason)
        out[name] = failed.between(
            base.floor, base.floor_kind, base.ceiling, base.ceiling_kind
        ).to_json()
    return out


def _described(raised: BaseException) -> dict[str, Any]:
    cause = raised.__cause__ if isinstance(raised, GroundtruthError) else None
    kind = type(raised if cause is None else cause).__name__
    text = "".join(traceback.format_exception(raised))
    described = {"type": kind, "message": str(raised), "traceback": text[-20_000:]}
    return {**described, "step": raised.step} if isinstance(raised, Diverged) else described


def _source_hash(name: str) -> str:
    """Hash of the source of a method; empty for ladder rows, which the cache versions.

    An edited method is another method: its runs are not reused.
    """
    make = catalogue.method(name).make
    if make is None:
        return ""
    if ":" not in name:
        own = source_digest(Path(inspect.getfile(make)).parent)
        if own == source_digest():
            return own
        # Methods in folders of their own may train dictionaries with ours, or predict by circuits.
        circuits = source_digest(Path(catalogue.circuits.__file__).parent)
        return hashing.digest([own, source_digest(), circuits])
    try:
        module = inspect.getmodule(make)
        return hashing.digest(inspect.getsource(module if module is not None else make))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return "unknown"
