"""results.csv: one line per testbed, method, seed and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from groundtruth.reporting.runs import Run
from groundtruth.result import Result

COLUMNS = (
    "testbed",
    "method",
    "kind",
    "seed",
    "metric",
    "value",
    "low",
    "high",
    "floor",
    "ceiling",
    "normalised",
    "version",
    "status",
    "reason",
    "n_units",
    "testbed_hash",
    "direction",
    "sign_mode",
)


def csv_text(runs: Sequence[Run]) -> str:
    """The runs as CSV; numbers in full precision, empty where undefined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in runs:
        writer.writerows(_lines(run))
    return out.getvalue()


def _lines(run: Run) -> Iterator[list[object]]:
    for name, result in run.results.items():
        yield [
            run.testbed,
            run.label,
            run.kind,
            run.seed,
            name,
            result.value,
            result.low,
            result.high,
            result.floor,
            result.ceiling,
            _normalised(result),
            result.metric.version,
            result.status,
            result.reason,
            result.n_units,
            run.world.hash,
            result.metric.direction,
            result.parameters.get("sign_mode"),
        ]


def _normalised(result: Result) -> float | None:
    return 0.0 if result.status == "failed" and result.value is not None else result.normalised
