"""Faithfulness as a circuit grows along a ranking, and the areas under it."""

from __future__ import annotations

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators.circuit_runs import CircuitRuns, strongest
from groundtruth.evaluators.registry import REAL
from groundtruth.result import Metric, Result, undefined

MIB_GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the candidates at which curves are taken. Source: Mueller et al., "MIB: A Mechanistic
Interpretability Benchmark", 2025, https://arxiv.org/abs/2504.13151"""

_FLOOR_DRAWS = 16
_POSITIVE = (0.0, float("inf"))

CPR = Metric(
    "circuit.cpr", 1, "integral of faith over the share of candidates kept", "max", REAL, "input"
)
CMD = Metric(
    "circuit.cmd",
    1,
    "integral of |1 - faith| over the share of candidates kept",
    "min",
    _POSITIVE,
    "input",
)
CPR_LOG = Metric(
    "circuit.cpr_log", 1, "mean of faith over the log of the share kept", "max", REAL, "input"
)
CMD_LOG = Metric(
    "circuit.cmd_log",
    1,
    "mean of |1 - faith| over the log of the share kept",
    "min",
    _POSITIVE,
    "input",
)
OF_CURVES = (CPR, CMD, CPR_LOG, CMD_LOG)


def score_curves(runs: CircuitRuns) -> list[Result]:
    """Results of `OF_CURVES`; floors are means over random orders."""
    try:
        if not runs.circuit.ranked:
            raise Undefined("the circuit is a set: a curve needs a ranking")
        curve = _curve(runs, runs.order)
    except Undefined as reason:
        return [undefined(entry, str(reason), **runs.parameters) for entry in OF_CURVES]
    draws = runs.draws("floors")
    orders = [draws.permutation(len(runs.order)) for _ in range(_FLOOR_DRAWS)]
    floors = np.mean([_areas(_curve(runs, order)) for order in orders], 0)
    ceilings = _areas(np.ones(len(MIB_GRID)))
    return [
        Result(
            entry,
            float(value),
            n_units=len(runs.weights),
            floor=float(floor),
            floor_kind=f"mean of {_FLOOR_DRAWS} random rankings",
            ceiling=float(ceiling),
            ceiling_kind="whole model at every size",
            parameters=runs.parameters,
            evidence={"share": np.array(MIB_GRID), "faith": curve},
        )
        for entry, value, floor, ceiling in zip(OF_CURVES, _areas(curve), floors, ceilings)
    ]


def _curve(runs: CircuitRuns, order: np.ndarray) -> np.ndarray:
    """Faithfulness at each share of `MIB_GRID`."""
    sizes = [round(share * len(order)) for share in MIB_GRID]
    found = runs.metrics(np.array([strongest(order, size) for size in sizes]))
    return np.array([runs.ratio(metric)[0] for metric in found])


def _areas(curve: np.ndarray) -> tuple[float, float, float, float]:
    """Of `OF_CURVES`, in that order."""
    share, away = np.array(MIB_GRID), np.abs(1 - curve)
    log = np.log(share) / np.log(share[-1] / share[0])
    return (
        float(np.trapezoid(curve, share)),
        float(np.trapezoid(away, share)),
        float(np.trapezoid(curve, log)),
        float(np.trapezoid(away, log)),
    )
