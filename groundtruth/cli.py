"""The command line: list, describe, run, report. A user's mistake is one message, no traceback."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from groundtruth import __version__
from groundtruth.errors import GroundtruthError, InputError, UnknownName

app = typer.Typer(
    help="Score interpretability methods against planted truth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

KINDS = ("testbeds", "methods", "metrics", "suites")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def main() -> None:
    """Entry point; exits 2 on a user's mistake and 130 when interrupted."""
    # Progress and warnings go to standard error, so that --json output stays clean.
    warnings.showwarning = _show_warning
    # A scheduler's SIGTERM is an interruption like Ctrl-C: a checkpoint is written, workers end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except GroundtruthError as error:
        _say(f"error: {error}")
        sys.exit(2)
    except BrokenPipeError:
        # The reader (head, less) has gone: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="testbeds, methods, metrics or suites")],
    as_json: Json = False,
) -> None:
    """List what there is."""
    entries = _entries(kind)
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    width = max(len(e["name"]) for e in entries)
    for entry in entries:
        print(f"{entry['name']:<{width}}  {entry['summary']}")


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="a testbed, method, metric or suite")],
    as_json: Json = False,
    oracle: Annotated[
        bool, typer.Option(help="score the oracles of a testbed; minutes if large, then cached")
    ] = True,
    svg: Annotated[
        Path | None, typer.Option(help="write a drawing of a compiled testbed's circuit here")
    ] = None,
) -> None:
    """Describe one testbed, method, metric or suite in full."""
    from groundtruth.descriptions import description, draw_circuit

    if svg is not None:
        draw_circuit(name, svg)
    with _progress() as watch:
        found = description(name, oracle=oracle, watch=watch)
        if as_json:
            print(json.dumps(dict(found), indent=2))
            return
        for key, value in found:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"{key:<12} {text.replace(chr(10), chr(10) + ' ' * 13)}", flush=True)


@app.command()
def run(
    suite: Annotated[str | None, typer.Argument(help="a suite, such as demo")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder for results")] = None,
    testbed: Annotated[str | None, typer.Option(help="run on this testbed")] = None,
    method: Annotated[str | None, typer.Option(help="a method, or package.module:function")] = None,
    seed: Annotated[int, typer.Option(help="of the world and the method")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value for the method; testbed.key=value for the testbed"),
    ] = None,
    jobs: Annotated[int, typer.Option(help="processes at a time")] = 1,
    as_json: Json = False,
) -> None:
    """Run a suite, or one method on one testbed; goes on where it was interrupted."""
    from groundtruth import runner, suites

    if out is None:
        raise InputError("run: expected --out DIR, the folder for results. Add it.")
    if (suite is None) == (testbed is None and method is None):
        raise InputError(
            "run: expected a suite (groundtruth run demo --out DIR) or --testbed and --method "
            "(groundtruth run --testbed sparse/small --method sae/topk --out DIR)."
        )
    if suite is not None:
        if set_ or seed:
            raise InputError("run: --set and --seed go with --testbed and --method, not a suite.")
        chosen = suites.suite(suite)
    else:
        if testbed is None or method is None:
            missing = "--testbed" if testbed is None else "--method"
            raise InputError(f"run: expected {missing} as well. See groundtruth run --help.")
        own, of_testbed = _settings(set_ or [])
        chosen = runner.single(
            testbed, method, seed=seed, parameters=own, testbed_parameters=of_testbed
        )
    try:
        with _progress() as watch:
            ran = runner.run_suite(chosen, out, jobs=jobs, watch=watch, lock=suite is not None)
    except KeyboardInterrupt:
        # Caught here, because typer would end the program without a word.
        _say("interrupted; finished runs are stored. The same command goes on from there.")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(ran.records, indent=2))
    else:
        _show(out, ran.records)
    for failure in ran.failures:
        _say(f"failed: {failure}")
    if ran.n_reused:
        _say(f"{ran.n_reused} of {len(ran.records)} runs were stored already.")
    if ran.busy:
        _say(f"left to another process: {', '.join(ran.busy)}")
    if ran.failures:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="folder that `run` wrote")],
) -> None:
    """Write report.html, report.md, results.csv and figures for the runs in a folder."""
    from groundtruth.store import Store

    if not folder.is_dir():
        raise InputError(f"report: there is no folder {folder}. Run a suite with --out first.")
    store = Store(folder)
    records = [stored.record for stored in store.records()]
    for path, reason in store.damaged():
        _say(f"left out {path.name}: {reason}")
    _show(folder, records)


def _show(out: Path, records: list[dict[str, Any]]) -> None:
    from groundtruth import reporting

    paths = reporting.write_report(records, out)
    print(reporting.render_text(records))
    page = next((p for p in paths if p.name == "report.html"), out)
    print(f"\nreport: {page}")


def _settings(pairs: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters of the method and of the testbed from key=value texts."""
    own: dict[str, Any] = {}
    of_testbed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set: expected key=value, got {pair!r}. For example l0=20.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"--set: expected a finite number or text, got {pair!r}.")
        if key.startswith("testbed."):
            of_testbed[key.removeprefix("testbed.")] = value
        else:
            own[key] = value
    return own, of_testbed


def _entries(kind: str) -> list[dict[str, str]]:
    if kind not in KINDS:
        raise UnknownName("list", kind, KINDS)
    if kind == "testbeds":
        from groundtruth.catalogue import TESTBEDS

        return [{"name": p.name, "summary": p.summary} for p in TESTBEDS.values()]
    if kind == "metrics":
        from groundtruth.evaluators import names
        from groundtruth.trials import all_metrics

        known = all_metrics()
        return [{"name": m, "summary": known[m].summary} for m in names(None, known)]
    if kind == "suites":
        from groundtruth.suites import SUITES

        return [{"name": s.name, "summary": s.summary} for s in SUITES.values()]
    from groundtruth.catalogue import METHODS

    return [{"name": m.name, "kind": m.kind, "summary": f"{m.summary}"} for m in METHODS.values()]


@contextmanager
def _progress() -> Iterator[Any]:
    """A progress bar on standard error; plain lines where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        seen: set[tuple[str, int]] = set()

        def line(label: str, finished: int, total: int) -> None:
            # A job of the same name can come again, with other parameters; what one job says as it
            # starts and ends is said once.
            if not {(label, finished), (label, finished - 1)} & seen:
                _say(f"[{finished}/{total}] {label}")
            seen.add((label, finished))

        yield line
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def watch(label: str, finished: int, total: int) -> None:
            bar.update(task, completed=finished, total=total, description=label)

        yield watch


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show_warning(message: Any, category: Any, *rest: Any, **more: Any) -> None:
    _say(f"warning: {message}")
