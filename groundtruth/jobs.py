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

import numpy as np

from groundtruth import catalogue, evaluation, files, hashing, ladder, outputs, provenance
from groundtruth.cards import describe_testbed
from groundtruth.errors import Diverged, GroundtruthError
from groundtruth.evaluators import METRICS
from groundtruth.evaluators.registry import names
from groundtruth.methods.checkpoint import is_damaged
from groundtruth.methods.fit import source_digest
from groundtruth.monitor import Monitor
from groundtruth.report import Report
from groundtruth.result import Result
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec
from groundtruth.testbed import Testbed

WATCHED_ON_THE_WAY = ("recover.above_08", "recover.precision")
"""Besides what a `Monitor` always follows."""

SCORING_ON_THE_WAY = Scoring(n_select=4096, n_score=2048, n_positives=5)
"""Less than a `Monitor`'s: directions are compared exactly anyway."""


@dataclass(frozen=True)
class Settings:
    """What all jobs of a suite share."""

    suite: str | None
    lock: str | None
    scoring: Scoring
    threshold: float
    share: float


@dataclass(frozen=True)
class World:
    """A testbed by recipe."""

    testbed: str
    parameters: dict[str, Any]
    seed: int
    n_train: int

    def build(self) -> Testbed:
        return catalogue.build(self.testbed, seed=self.seed, **self.parameters)


@dataclass(frozen=True)
class Job:
    """A method on a world; or, with `rows`, those ladder rows."""

    world: World
    settings: Settings
    method: MethodSpec | None = None
    rows: tuple[str, ...] = ()

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
    store = Store(out)
    testbed = job.world.build()
    if job.method is not None:
        return _run_method(job, job.method, testbed, store, tell)
    return _run_rows(job, testbed, store, tell)


def method_key(
    job: Job,
    testbed: Testbed,
    name: str,
    parameters: dict[str, Any],
    watch_at: tuple[int, ...] = (),
) -> str:
    """The hash under which a run is stored."""
    return hashing.digest(
        {
            "testbed": testbed.hash,
            "recipe": hashing.jsonable(testbed.recipe.description()),
            "method": name,
            "parameters": hashing.jsonable(parameters),
            "watch_at": list(watch_at),
            "source": _source_hash(name),
            "scoring": job.settings.scoring.description(),
            "threshold": job.settings.threshold,
            "share": job.settings.share,
            "n_train": job.world.n_train,
            "metrics": sorted(metric.key for metric in METRICS.values()),
        }
    )


def _run_method(
    job: Job,
    spec: MethodSpec,
    testbed: Testbed,
    store: Store,
    tell: Callable[[str], None] | None,
) -> Done:
    entry = catalogue.method(spec.name)
    assert entry.make is not None
    key = method_key(job, testbed, spec.name, spec.parameters, spec.watch_at)
    with store.lock(key) as held:
        if not held:
            return Done(job.label, (key,), 0, (), busy=True)
        if store.is_complete(key):
            return Done(job.label, (key,), 1, _failure(job, store.load(key).record))
        data = ScoreData(testbed, job.settings.scoring)
        ladder.references(data, n_train=job.world.n_train)
        error, report = None, None
        if is_damaged(store.checkpoint(key)):
            _forget(store.checkpoint(key))
        history = History(testbed, store.checkpoint(key)) if spec.watch_at else None
        with provenance.Stopwatch() as watch:
            try:
                report = _score(
                    job,
                    spec,
                    entry,
                    data,
                    _hooks(entry, spec, store.checkpoint(key), history, tell),
                )
            except (Exception, SystemExit) as raised:
                error = _described(raised)
        record = {
            **_context(job, testbed, spec.name, entry.kind, entry.summary, spec.parameters),
            "status": "ok" if report is not None else "failed",
            "error": error,
            "flags": list(report.flags) if report is not None else [],
            "verdict": report.verdict if report is not None else "",
            "history": [] if history is None else history.points(),
            "provenance": {**provenance.collect(), **watch.usage.to_json()},
        }
        if report is None:
            record["results"] = _floor_results(data, job.world.n_train, error or {})
            store.save(key, record, {})
        else:
            record["results"] = {k: r.to_json() for k, r in report.results.items()}
            store.save(key, record, explanation_tensors(report))
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
    data: ScoreData,
    hooks: dict[str, Any],
) -> Report:
    explanation, flags = evaluation.explain(
        data.testbed, entry.make, seed=job.world.seed, **spec.parameters, **hooks
    )
    return evaluation.score_outputs(
        data,
        outputs.take_outputs(explanation, data),
        name=spec.name,
        seed=job.world.seed,
        n_train=job.world.n_train,
        threshold=job.settings.threshold,
        share=job.settings.share,
        flags=flags,
    )


def explanation_tensors(report: Report) -> dict[str, np.ndarray]:
    """The explanation as scored: decoder, bias, and sparse codes on every part of the data.

    With the testbed's recipe, all scores can be computed again from these.
    """
    out = report.comparison.outputs
    tensors = {
        "decoder": _compact(out.decoder),
        "bias": out.bias,
        "signed": np.array(out.signed),
    }
    for part in ("select", "score", "positives"):
        codes = getattr(out, part)
        if codes is not None:
            tensors[f"{part}.values"] = _compact(codes.data)
            tensors[f"{part}.latents"] = codes.indices.astype(np.int32)
            tensors[f"{part}.starts"] = codes.indptr.astype(np.int64)
    if out.reconstruction is not None and not _is_linear(out):
        tensors["reconstruction"] = _compact(out.reconstruction)
    for metric in ("recover.joint", "recover.recall"):
        for name, array in report.results[metric].evidence.items():
            tensors[f"{metric}.{name}"] = np.ascontiguousarray(array)
    return tensors


def _is_linear(out: outputs.Outputs) -> bool:
    """Whether the reconstruction is codes @ decoder + bias, and so need not be stored."""
    assert out.score is not None and out.reconstruction is not None
    linear = out.score.astype(np.float64) @ out.decoder + out.bias
    scale = np.abs(linear).max(initial=0.0)
    return bool(np.abs(linear - out.reconstruction).max(initial=0.0) <= 1e-6 * scale)


def _compact(array: np.ndarray) -> np.ndarray:
    """`array` in float32 where that changes no number by more than rounding, else in float64."""
    with np.errstate(over="ignore", under="ignore"):
        short = array.astype(np.float32)
        near = np.abs(short - array) <= 1e-6 * np.abs(array)
    return short if near.all() else array.astype(np.float64)


def _run_rows(job: Job, testbed: Testbed, store: Store, tell: Callable[[str], None] | None) -> Done:
    keys = {row: method_key(job, testbed, row, {}) for row in job.rows}
    missing = [row for row in job.rows if not store.is_complete(keys[row])]
    data = ScoreData(testbed, job.settings.scoring)
    for row in missing:
        with provenance.Stopwatch() as watch:
            scored = ladder.ladder(data, [row], n_train=job.world.n_train, tell=tell)[row]
        record = {
            **_context(job, testbed, row, scored.kind, scored.summary, {}),
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
    job: Job, testbed: Testbed, name: str, kind: str, summary: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    return {
        "suite": job.settings.suite,
        "lock": job.settings.lock,
        "testbed": describe_testbed(testbed),
        "method": {
            "name": name,
            "kind": kind,
            "summary": summary,
            "parameters": hashing.jsonable(parameters),
            "source": _source_hash(name),
        },
        "seed": job.world.seed,
        "scoring": job.settings.scoring.description(),
        "n_train": job.world.n_train,
    }


def _floor_results(
    data: ScoreData, n_train: int, error: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Every metric of a failed run at its floor: the floor of the identity row's width."""
    known = ladder.ladder(data, ["O0-identity"], n_train=n_train)["O0-identity"].results
    reason = f"the run failed: {error.get('type')}"
    out = {}
    for name in names():
        base = known[name]
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
    if catalogue.method(name).make is None:
        return ""
    if ":" not in name:
        return source_digest()
    make = catalogue.method(name).make
    try:
        module = inspect.getmodule(make)
        return hashing.digest(inspect.getsource(module if module is not None else make))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return "unknown"
