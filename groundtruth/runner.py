"""Runs a suite: one job after another or several at once, resumable, never losing a result."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from groundtruth import catalogue, hashing, lockfile
from groundtruth.errors import HashMismatch, InputError, StoreError, reject
from groundtruth.jobs import Done, Job, Settings, World, run_job
from groundtruth.store import Store
from groundtruth.suites import MethodSpec, Suite, WorldSpec
from groundtruth.trials import metrics_beside, trial_type

Watch = Callable[[str, int, int], None]
"""watch(label, finished, total): called as jobs start and finish."""


_FIXED = {"seed", "name", "source"}


@dataclass(frozen=True)
class Ran:
    """What `run_suite` did: records of all runs, and how they came about."""

    records: list[dict[str, Any]]
    n_reused: int
    failures: list[str]
    busy: list[str]


def run_suite(
    suite: Suite,
    out: str | Path,
    *,
    jobs: int = 1,
    watch: Watch | None = None,
    lock: bool = True,
) -> Ran:
    """Run every job of `suite` that is not stored in `out` yet.

    Runs are stored as they finish; after an interruption, the same call goes on. A method that
    fails is recorded as failed, at the floor, and the rest goes on.

    Args:
        out: folder for runs, lock and report; one suite per folder.
        jobs: processes at a time. Each gets its share of the cores.
        watch: told about progress.
        lock: fix the suite in `suite.lock.json` first, so that the folder holds it and nothing
            else. Without, runs of any kind may be collected in one folder.

    Raises:
        UnknownName, InputError: a name or parameter in the suite is wrong; before anything runs.
        StoreError: the folder holds another suite or cannot be written.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise reject("jobs", jobs, "a whole number >= 1")
    check_suite(suite)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise StoreError(
            f"{out.name}: A file stands where a folder is needed: choose another folder."
        )
    sha256 = lockfile.write_lock(out, suite.manifest()) if lock else _no_lock(out)
    settings = Settings(
        suite.name if lock else None, sha256, suite.scoring, suite.threshold, suite.share
    )
    _check_worlds(suite, Store(out))
    phases = _plan(suite, settings)
    total, finished = sum(map(len, phases)), 0
    done: list[Done] = []
    for phase in phases:
        tell = functools.partial(_tell, watch, total=total)
        for job in _run(phase, out, jobs, tell, finished):
            done.append(job)
            finished += 1
            tell(job.label, finished)
    if lock:
        lockfile.check_lock(out, suite.manifest())
    keys = {key for job in done for key in job.keys}
    records = [run.record for run in Store(out).records() if run.key in keys]
    return Ran(
        records,
        sum(job.n_reused for job in done),
        [failure for job in done for failure in job.failures],
        [job.label for job in done if job.busy],
    )


def single(
    testbed: str,
    method: str,
    *,
    seed: int,
    parameters: dict[str, Any],
    testbed_parameters: dict[str, Any],
    **changes: Any,
) -> Suite:
    """The suite of one method on one world, with the rows that its scores need."""
    entry = catalogue.method(method)
    if entry.make is None:
        catalogue.check_parameters(entry, parameters)
    specs = () if entry.make is None else (MethodSpec(method, parameters),)
    _check_world(testbed, testbed_parameters)
    trial = trial_type(catalogue.build(testbed, seed=seed, **testbed_parameters))
    rows = list(trial.rows)
    if entry.make is None and method not in rows:
        rows.append(method)
    changes = {"scoring": None, "primary": trial.primary} | changes
    return Suite(
        f"{testbed} {method}",
        1,
        "one method on one world",
        (WorldSpec(testbed, specs, (seed,), testbed_parameters),),
        rows=tuple(rows),
        **changes,
    )


def check_suite(suite: Suite) -> None:
    """Raise for anything in the suite that does not exist, before anything runs."""
    for primary in suite.primaries:
        metrics_beside(primary)
    for world in suite.worlds:
        _check_world(world.testbed, world.parameters)
        built = [catalogue.build(world.testbed, seed=s, **world.parameters) for s in world.seeds]
        explains = {trial_type(testbed).explains for testbed in built}
        for row in suite.rows if world.rows is None else world.rows:
            for kind in explains:
                catalogue.check_explains(catalogue.method(row), kind, world.testbed)
        for spec in world.methods:
            entry = catalogue.method(spec.name)
            if entry.make is None:
                raise InputError(
                    f"{spec.name} is a row of the ladder, made from the testbed and not by a "
                    "method; list it under rows."
                )
            for kind in explains:
                catalogue.check_explains(entry, kind, world.testbed)
            catalogue.check_parameters(entry, spec.parameters)


def _check_world(testbed: str, parameters: dict[str, Any]) -> None:
    for key in _FIXED & set(parameters):
        raise InputError(
            f"{testbed}: {key} is not a parameter of a world. Seeds are listed in "
            "WorldSpec(seeds=...), or given by --seed; name and source are the catalogue's."
        )


def _check_worlds(suite: Suite, store: Store) -> None:
    """Raise if a stored run has the recipe of one of the suite's worlds but another hash."""
    hashes = {
        hashing.digest(hashing.jsonable(built.recipe.description())): built
        for world in suite.worlds
        for seed in world.seeds
        for built in [catalogue.build(world.testbed, seed=seed, **world.parameters)]
    }
    for run in store.records():
        held = run.record["testbed"]
        built = hashes.get(hashing.digest(held["recipe"]))
        if built is not None and built.hash != held["hash"]:
            raise HashMismatch(
                f"{built.name} seed {built.recipe.seed}: expected the world {held['hash'][:12]} "
                f"that this folder's runs are on, got {built.hash[:12]} from the same recipe. The "
                "libraries' random streams or the generator changed. Use another --out, or the "
                "versions in the runs' provenance."
            )


def _no_lock(out: Path) -> None:
    if (out / lockfile.NAME).exists():
        held = lockfile.read_lock(out)["manifest"].get("suite")
        raise StoreError(
            f"{out.name}: holds the locked suite {held!r}; single runs would mix with it. "
            "Use another --out."
        )


def _plan(suite: Suite, settings: Settings) -> list[list[Job]]:
    """Jobs that may run at the same time, in order: ladders of one kind of world, then its methods.

    The methods then read their references from the cache; and what is cut short has finished some
    worlds rather than a part of each.
    """
    phases = []
    for spec in suite.worlds:
        worlds = [World(spec.testbed, spec.parameters, s, spec.n_train) for s in spec.seeds]
        rows = suite.rows if spec.rows is None else spec.rows
        phases.append([Job(world, settings, rows=rows) for world in worlds])
        phases.append([Job(world, settings, m) for world in worlds for m in spec.methods])
    return phases


def _run(
    phase: list[Job], out: Path, jobs: int, tell: Callable[[str, int], None], finished: int
) -> Iterator[Done]:
    if jobs == 1 or len(phase) <= 1:
        for n, job in enumerate(phase, finished):
            tell(job.label, n)
            yield run_job(job, out, lambda row, job=job, n=n: tell(f"{job.label} {row}", n))
        return
    from joblib import Parallel, delayed, parallel_config

    threads = max(1, (os.cpu_count() or 1) // jobs)
    with parallel_config("loky", inner_max_num_threads=threads):
        # One at a time: runs that are done already would be taken for a sign that all are short.
        pool = Parallel(jobs, batch_size=1, return_as="generator_unordered")  # type: ignore[arg-type]
        yield from cast(Iterator[Done], pool(delayed(run_job)(job, out) for job in phase))


def _tell(watch: Watch | None, label: str, finished: int, *, total: int) -> None:
    if watch is not None:
        watch(label, finished, total)
