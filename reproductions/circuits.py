"""The tables of docs/reproductions/circuits.md: circuits of Tracr's models, and a ranking.

    python -m reproductions.circuits --out docs/reproductions [--jobs 2]

Half an hour of one core; finished rows are kept in the folder's circuits.csv and not run again.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from joblib import Parallel, delayed
from scipy import stats

from groundtruth import files
from groundtruth.circuit import Circuit
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.circuit_truth import TRUTH_SETS, CircuitTruth
from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.circuit_subjects import circuit_subject
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.errors import ProgramError
from groundtruth.evaluators.circuits import score_circuit
from groundtruth.methods import circuits as methods
from groundtruth.model_subject import ModelSubject
from groundtruth.universe import shown
from reproductions.tracr_models import ABLATIONS, MODELS, tracr_subject

MAX_LENGTH = 5
TOLERANCE = 1e-3
"""Of outputs in units of a logit: the smallest change that decides anything is 1/2."""

MOST = 16
"""Edges that can matter, of models that are ranked on: all their sets are tried in seconds."""

SHARES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Shares of its coordinates that a twin may be left with; the least that is certified is taken."""

Method = Callable[..., Circuit]
METHODS: dict[str, Method] = {
    "edge patching": methods.edge_patching,
    "ACDC": methods.acdc_sweep,
    "EAP": methods.eap,
    "EAP-IG inputs": methods.eap_ig_inputs,
    "EAP-IG activations": methods.eap_ig_activations,
    "edge pruning": methods.edge_pruning,
    "information flow": methods.information_flow,
    "random": methods.random_circuit,
}
SEEDS = {"edge pruning": (0, 1), "random": (0, 1, 2)}
"""Of methods that draw."""

PROGRAMS = (
    "hist",
    "reverse",
    "sort_unique",
    "frac_prevs",
    "detect_pattern",
    "induction",
    "shift_by",
    "count",
    "count_less_freq",
    "pair_balance",
    "length",
)


@dataclass(frozen=True)
class Row:
    """What one method scored on one model under one ablation, on all edges and on the inner ones.

    `inner` leaves out edges from embeddings and to the outputs. An empty score is undefined.
    """

    model: str
    kind: str
    ablation: str
    n_edges: int
    n_relevant: int
    n_circuits: int
    method: str
    seed: int
    auprc: float | None
    auprc_floor: float | None
    auroc: float | None
    f1: float | None
    f1_floor: float | None
    inner_auprc: float | None
    seconds: float


def kinds(compiled: Compiled) -> Iterator[tuple[str, Compiled]]:
    """The compiled model, and its superposed twin with decoys where one can be certified."""
    yield "compiled", compiled
    for share in SHARES:
        try:
            twin = compiled.twin(superpose=share, decoys=4, n_sequences=500)
        except ProgramError:
            continue
        yield f"twin on {share:.0%}", twin
        return


def program_rows(program: str) -> list[Row]:
    """All methods on a program's models."""
    entry = library.entry(program)
    compiled = compile_program(
        library.example_program(program), vocab=entry.vocab, max_length=MAX_LENGTH
    )
    rows = []
    for kind, model in kinds(compiled):
        for ablation in ("resample", "zero"):
            subject = circuit_subject(model, ablation=ablation)
            rows += scored(program, kind, ablation, subject)
    return rows


def tracr_rows(name: str) -> list[Row]:
    """All methods on a model that Tracr compiled."""
    return [
        row
        for ablation in ABLATIONS
        for row in scored(name, "Tracr", ablation, tracr_subject(name, ablation))
    ]


def scored(model: str, kind: str, ablation: str, subject: ModelSubject) -> list[Row]:
    """Every method, against the relevant edges; nothing where these are known in bounds only."""
    truth = enumerate_circuits(subject, tolerance=TOLERANCE, limit=MOST)
    if not truth.complete or not truth.members("relevant"):
        return []
    rows = []
    for name, method in METHODS.items():
        for seed in SEEDS.get(name, (0,)):
            start = time.process_time()
            circuit = method(subject, seed=seed)
            seconds = time.process_time() - start
            rows.append(_row(model, kind, ablation, truth, name, seed, circuit, seconds))
    return rows


def _row(
    model: str,
    kind: str,
    ablation: str,
    truth: CircuitTruth,
    method: str,
    seed: int,
    circuit: Circuit,
    seconds: float,
) -> Row:
    every = score_circuit(truth, circuit)
    inner = score_circuit(truth, circuit, trivial=False)
    auprc, f1 = every["circuit.edge_auprc"], every["circuit.edge_f1"]
    return Row(
        model,
        kind,
        ablation,
        len(truth.universe),
        len(truth.members("relevant")),
        len(truth.circuits),
        method,
        seed,
        auprc.value,
        auprc.floor,
        every["circuit.edge_auroc"].value,
        f1.value,
        f1.floor,
        inner["circuit.edge_auprc"].value,
        round(seconds, 2),
    )


# --- tables --------------------------------------------------------------------------------------


def truths() -> str:
    """How many edges of Tracr's models are in each set, under each ablation."""
    lines = [
        "| model | edges | ablation | structural | singly active | core | relevant | circuits |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in MODELS:
        for ablation in ABLATIONS:
            truth = enumerate_circuits(tracr_subject(name, ablation), tolerance=TOLERANCE)
            sizes = (len(truth.members(which)) for which in TRUTH_SETS)
            counts = " | ".join(map(str, (*sizes, len(truth.circuits))))
            lines.append(f"| {name} | {len(truth.universe)} | {ablation} | {counts} |")
    return "\n".join(lines)


def edges(name: str) -> str:
    """Each structural edge of one of Tracr's models, and where it is relevant."""
    found = {
        ablation: enumerate_circuits(tracr_subject(name, ablation), tolerance=TOLERANCE)
        for ablation in ABLATIONS
    }
    lines = [f"| {name} | " + " | ".join(ABLATIONS) + " |", "|---|" + "---|" * len(ABLATIONS)]
    structural = next(iter(found.values()))
    for edge in structural.universe.edges:
        if edge in structural.structural:
            marks = ["x" if edge in t.members("relevant") else "" for t in found.values()]
            lines.append(f"| {shown(edge)} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def recoveries(rows: Sequence[Row]) -> str:
    """AUPRC of each method on Tracr's models."""
    chosen = [row for row in rows if row.kind == "Tracr"]
    columns = list(dict.fromkeys((row.model, row.ablation) for row in chosen))
    lines = [
        "| method | " + " | ".join(f"{m}, {a}" for m, a in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in METHODS:
        values = [_mean(r.auprc for r in chosen if _at(r, method) == (method, *c)) for c in columns]
        lines.append(f"| {method} | " + " | ".join(map(_number, values)) + " |")
    floors = [
        _mean(r.auprc_floor for r in chosen if (r.model, r.ablation) == column)
        for column in columns
    ]
    return "\n".join([*lines, "| floor | " + " | ".join(map(_number, floors)) + " |"])


def ranking(rows: Sequence[Row], kind: str, ablation: str) -> str:
    """Means over models with 95 % bootstrap intervals, and each method beside ACDC."""
    chosen = [row for row in rows if row.kind.startswith(kind) and row.ablation == ablation]
    names = list(dict.fromkeys(row.model for row in chosen))
    lines = [
        f"| {len(names)} models | AUPRC | inner edges | AUROC | F1 | above ACDC in | p |",
        "|---|---|---|---|---|---|---|",
    ]
    acdc = _by_model(chosen, "ACDC", names, "f1")
    for method in METHODS:
        cells = [
            _interval(_by_model(chosen, method, names, which))
            for which in ("auprc", "inner_auprc", "auroc", "f1")
        ]
        mine = _by_model(chosen, method, names, "f1")
        cells += ["", ""] if method == "ACDC" else _beside(mine, acdc)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    floors = [
        _number(_mean(row.auprc_floor for row in chosen)),
        "",
        ".500",
        _number(_mean(row.f1_floor for row in chosen)),
    ]
    return "\n".join([*lines, "| floor | " + " | ".join(floors) + " | | |"])


def _at(row: Row, method: str) -> tuple[str, str, str]:
    return (row.method, row.model, row.ablation)


def _by_model(rows: Sequence[Row], method: str, names: Sequence[str], which: str) -> np.ndarray:
    """(model,) means over seeds; NaN where undefined."""
    return np.array(
        [
            _mean(getattr(r, which) for r in rows if (r.method, r.model) == (method, name))
            for name in names
        ]
    )


def _beside(mine: np.ndarray, other: np.ndarray) -> list[str]:
    """On how many models F1 is higher and lower, and the p of Wilcoxon's signed ranks."""
    both = ~(np.isnan(mine) | np.isnan(other))
    difference = mine[both] - other[both]
    above, below = int((difference > 1e-9).sum()), int((difference < -1e-9).sum())
    tested: Any = stats.wilcoxon(difference) if above + below else None
    return [f"{above}, below in {below}", "" if tested is None else f"{tested.pvalue:.2g}"]


def _interval(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return ""
    drawn = np.random.default_rng(0).choice(known, (2000, len(known))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{_number(known.mean())} ({_number(low)} to {_number(high)})"


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}".replace("0.", ".", 1)


# --- runs ----------------------------------------------------------------------------------------


def run(out: Path, jobs: int) -> list[Row]:
    """All rows, those of earlier runs from the file."""
    path = out / "circuits.csv"
    rows = read(path)
    done = {(row.model, row.kind == "Tracr") for row in rows}
    tasks = [(tracr_rows, name) for name in MODELS if (name, True) not in done]
    tasks += [(program_rows, name) for name in PROGRAMS if (name, False) not in done]
    runs = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(task)(name) for task, name in tasks
    )
    for number, more in enumerate(cast(Iterable[list[Row]], runs), 1):
        rows += more
        write(path, rows)
        name = more[0].model if more else "a model without rows"
        print(f"{number} of {len(tasks)}: {name}", file=sys.stderr, flush=True)
    return rows


def read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [_read(record) for record in csv.DictReader(file)]


def write(path: Path, rows: Sequence[Row]) -> None:
    order = {name: k for k, name in enumerate((*MODELS, *PROGRAMS))}
    arranged = sorted(rows, key=lambda row: (row.kind != "Tracr", order[row.model]))
    lines = io.StringIO()
    writer = csv.DictWriter(lines, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _cell(v) for k, v in asdict(row).items()} for row in arranged)
    files.write_atomic(path, lines.getvalue().encode())


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _read(record: dict[str, str]) -> Row:
    whole = {"n_edges", "n_relevant", "n_circuits", "seed"}
    text = {"model", "kind", "ablation", "method"}
    values: dict[str, Any] = {
        name: value if name in text else int(value) if name in whole else _float(value)
        for name, value in record.items()
    }
    return Row(**values)


def _float(value: str) -> float | None:
    return float(value) if value else None


def tables(rows: Sequence[Row]) -> str:
    """All tables, in Markdown."""
    parts = ["## Tracr's models: how many edges matter", truths()]
    parts += [f"## Which edges of {name}\n\n{edges(name)}" for name in ("reverse", "frac_prevs")]
    parts += ["## What methods recover of them: AUPRC against the relevant edges", recoveries(rows)]
    for kind in ("compiled", "twin"):
        for ablation in ("resample", "zero"):
            parts += [f"## Ranking: {kind}, {ablation}", ranking(rows, kind, ablation)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of tables and rows")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = run(given.out, given.jobs)
    files.write_atomic(given.out / "circuits_tables.md", tables(rows).encode())


if __name__ == "__main__":
    main()
