"""One score with everything that makes it mean something."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from groundtruth import hashing

Direction = Literal["max", "min", "target"]
Status = Literal["ok", "undefined", "degenerate", "failed"]


@dataclass(frozen=True)
class Metric:
    """What is known about a metric before anything is scored.

    Fields:
        id: such as "recover.joint".
        version: raised whenever the same input would give another number.
        summary: one line, with the formula.
        direction: "max", "min", or "target" (neither more nor less is better).
        range: bounds; infinite where there is none.
        unit: what the average runs over: "feature", "latent", "edge" (of a planted tree), "sample".
        success: whether it may be read as success. Reconstruction and sparsity never are.
    """

    id: str
    version: int
    summary: str
    direction: Direction
    range: tuple[float, float]
    unit: str
    success: bool = True

    @property
    def key(self) -> str:
        """Id with version, as stored: "recover.joint/1"."""
        return f"{self.id}/{self.version}"


@dataclass(frozen=True)
class Result:
    """A metric's value on one explanation, between its floor and its ceiling.

    Fields:
        metric: which metric, with version, direction and range.
        value: None unless `status` is "ok" or "degenerate".
        status: "ok"; "undefined" (not a number for this input); "degenerate" (more than 5 % of
            the units were undefined); "failed" (the run failed; value is the floor).
        reason: why it is not "ok".
        n_units: units averaged over.
        low, high: 95 % interval, with `interval_method`; None where there is none.
        floor, ceiling: what knowing nothing and knowing the truth score, with their kinds.
        parameters: thresholds and other settings that enter the formula.
        evidence: per-unit arrays by name.
    """

    metric: Metric
    value: float | None
    status: Status = "ok"
    reason: str = ""
    n_units: int = 0
    low: float | None = None
    high: float | None = None
    interval_method: str = ""
    floor: float | None = None
    floor_kind: str = ""
    ceiling: float | None = None
    ceiling_kind: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise AssertionError(f"{self.metric.id}: a value must be finite or None")

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def normalised(self) -> float | None:
        """(value - floor) / (ceiling - floor), never clipped.

        None where a part is missing or where ceiling and floor are too close to tell apart (less
        than three standard errors, or 1e-9).
        """
        if self.value is None or self.floor is None or self.ceiling is None:
            return None
        gap = self.ceiling - self.floor
        error = 0.0
        if self.interval is not None:
            error = (self.interval[1] - self.interval[0]) / (2 * 1.96)
        if abs(gap) < max(3 * error, 1e-9):
            return None
        return (self.value - self.floor) / gap

    def between(
        self, floor: float | None, floor_kind: str, ceiling: float | None, ceiling_kind: str
    ) -> Result:
        """The same result with its floor and ceiling."""
        return replace(
            self, floor=floor, floor_kind=floor_kind, ceiling=ceiling, ceiling_kind=ceiling_kind
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON without the evidence; undefined numbers are null beside their reason."""
        return {
            "metric": self.metric.id,
            "version": self.metric.version,
            "direction": self.metric.direction,
            "range": [None if math.isinf(b) else b for b in self.metric.range],
            "unit": self.metric.unit,
            "value": self.value,
            "status": self.status,
            "reason": self.reason,
            "n_units": self.n_units,
            "low": self.low,
            "high": self.high,
            "interval_method": self.interval_method,
            "floor": self.floor,
            "floor_kind": self.floor_kind,
            "ceiling": self.ceiling,
            "ceiling_kind": self.ceiling_kind,
            "normalised": self.normalised,
            "parameters": hashing.jsonable(self.parameters),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], metric: Metric) -> Result:
        """The result that `to_json` wrote, for the metric of that id and version."""
        stored = {f.name for f in fields(cls)} - {"metric", "evidence"}
        return cls(metric, **{name: data[name] for name in stored})


def undefined(metric: Metric, reason: str, **parameters: Any) -> Result:
    """A result without a value, and why."""
    return Result(metric, None, "undefined", reason, parameters=parameters)
