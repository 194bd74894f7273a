"""The ladder of one testbed: its rows scored like any method, computed once and cached by hash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from groundtruth import cache, evaluators, hashing
from groundtruth.errors import Undefined, UnknownName
from groundtruth.evaluators.comparison import THRESHOLD
from groundtruth.evaluators.registry import METRICS
from groundtruth.ladder.rows import ROWS, Made, Row, Tick
from groundtruth.outputs import Outputs
from groundtruth.references import References
from groundtruth.result import Result, undefined
from groundtruth.score_data import ScoreData

VERSION = 5
"""Raised whenever a row is made in another way, so that cached rows are made again."""

N_TRAIN = 500_000
"""Training samples of O2 and O3, and the budget of identifiability, unless stated."""

CORE = ("O0-identity", "O2*-linear", "O1-prior")
"""Rows that every score needs: its ceilings and the references of recover.joint."""

_BY_ID = {row.id: row for row in ROWS}
Tell = Callable[[str], None] | None


@dataclass(frozen=True)
class LadderRow:
    """A scored row."""

    id: str
    kind: Literal["oracle", "control"]
    summary: str
    note: str
    results: dict[str, Result]


@dataclass(frozen=True)
class Ladder:
    """Scored rows in their order, and the references made from them."""

    rows: dict[str, LadderRow]
    references: References

    def __getitem__(self, row: str) -> LadderRow:
        if row not in self.rows:
            raise UnknownName("ladder row", row, self.rows)
        return self.rows[row]


def row_ids() -> list[str]:
    """All rows, oracles first."""
    return [row.id for row in ROWS]


def references(
    data: ScoreData, *, n_train: int = N_TRAIN, tell: Tell = None, tick: Tick = None
) -> References:
    """Reference F1 of every feature, and the ceilings of every metric."""
    return ladder(data, CORE, n_train=n_train, tell=tell, tick=tick).references


def decoder_references(
    data: ScoreData,
    metrics: Iterable[str] | str | None,
    *,
    n_train: int = N_TRAIN,
    threshold: float = THRESHOLD,
) -> References:
    """References for a claim without codes: no row of the ladder is made.

    Reference F1s are of activity, which is not claimed: NaN. The ceiling is the planted decoder,
    without codes as well. It recovers everything at any threshold, so that 1 is known for
    "recover"; of other metrics those in `metrics` are scored.
    """
    truth = data.truth
    base = References(np.full(truth.n_features, np.nan), n_train=n_train)
    planted = evaluators.Comparison(
        truth, Outputs(truth.decoder, truth.bias, truth.signed), data, base, threshold
    )
    others = [m for m in evaluators.names(metrics) if not m.startswith("recover.")]
    found = {
        m: r.value for m, r in evaluators.score(planted, others).items() if r.value is not None
    }
    perfect = {m: 1.0 for m in METRICS if m.startswith("recover.")}
    return replace(base, ceilings={"O0-identity": {**perfect, **found}})


def ladder(
    data: ScoreData,
    wanted: Iterable[str] | None = None,
    *,
    n_train: int = N_TRAIN,
    tell: Tell = None,
    tick: Tick = None,
) -> Ladder:
    """Score the wanted rows (all if None); each is cached under the testbed's hash.

    Args:
        n_train: training samples for O2 and O3, and the budget of identifiability.
        tell: called with the id of each row that has to be made.
        tick: called after each block of samples.
    """
    wanted = row_ids() if wanted is None else list(wanted)
    for row in wanted:
        if row not in _BY_ID:
            raise UnknownName("ladder row", row, _BY_ID)
    made: dict[str, Made] = {}

    def make(row_id: str) -> Made:
        if row_id not in made:
            if tell is not None:
                tell(row_id)
            made[row_id] = _BY_ID[row_id].make(data, n_train, tick)
        return made[row_id]

    linear = _reference_f1("O2*-linear", data, n_train, make)
    try:
        prior = _reference_f1("O1-prior", data, n_train, make)
    except Undefined:
        prior = None
    base = References(linear, prior, {}, n_train)
    scored: dict[str, LadderRow] = {}
    for row_id in dict.fromkeys([*CORE, *wanted]):
        scored[row_id] = _scored(_BY_ID[row_id], data, n_train, base, make)
        made.pop(row_id, None)
    ceilings = {
        row_id: {m: r.value for m, r in scored[row_id].results.items() if r.value is not None}
        for row_id in CORE
    }
    full = replace(base, ceilings=ceilings)
    rows = {row.id: _bounded(scored[row.id], ceilings) for row in ROWS if row.id in scored}
    return Ladder({i: rows[i] for i in rows if i in wanted}, full)


def _reference_f1(
    row_id: str, data: ScoreData, n_train: int, make: Callable[[str], Made]
) -> np.ndarray:
    """(n_features,) F1 of the row's own detector of each feature; 0 where undefined."""

    def compute() -> dict[str, np.ndarray]:
        m = make(row_id)
        empty = References(np.zeros(m.data.truth.n_features))
        comparison = evaluators.Comparison(m.data.truth, m.outputs, m.data, empty)
        f1 = np.zeros(m.data.truth.n_features)
        rates = comparison.firing.rates(comparison.live, np.arange(len(comparison.live)))
        f1[comparison.live] = np.nan_to_num(rates.f1)
        return {"f1": f1}

    description = _description(data, n_train, row_id)
    return cache.cached("reference f1", compute, description=description)["f1"]


def _scored(
    row: Row, data: ScoreData, n_train: int, base: References, make: Callable[[str], Made]
) -> LadderRow:
    def compute() -> dict[str, np.ndarray]:
        try:
            m = make(row.id)
        except Undefined as reason:
            note = str(reason)
            results = {name: undefined(metric, note) for name, metric in METRICS.items()}
        else:
            note = m.note
            comparison = evaluators.Comparison(m.data.truth, m.outputs, m.data, base)
            results = evaluators.score(comparison)
        text = hashing.canonical_json(
            {"note": note, "results": {k: r.to_json() for k, r in results.items()}}
        )
        return {"json": np.frombuffer(text.encode(), dtype=np.uint8).copy()}

    description = _description(data, n_train, row.id)
    held = cache.cached("ladder row", compute, description=description)
    stored = json.loads(held["json"].tobytes())
    results = {k: Result.from_json(v, METRICS[k]) for k, v in stored["results"].items()}
    return LadderRow(row.id, row.kind, row.summary, stored["note"], results)


def _description(data: ScoreData, n_train: int, row_id: str) -> dict[str, Any]:
    return {
        "testbed": data.testbed.hash,
        "scoring": data.scoring.description(),
        "row": row_id,
        "n_train": n_train,
        "ladder": VERSION,
        "metrics": sorted(m.key for m in METRICS.values()),
    }


def _bounded(row: LadderRow, ceilings: dict[str, dict[str, float]]) -> LadderRow:
    """The row with the ceilings that a method's results get."""
    results = {k: evaluators.with_ceiling(r, ceilings) for k, r in row.results.items()}
    return LadderRow(row.id, row.kind, row.summary, row.note, results)
