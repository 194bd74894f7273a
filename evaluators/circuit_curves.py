"""Faithfulness as a circuit grows along a ranking, and the areas under it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators.circuit_runs import CircuitRuns, strongest
from groundtruth.evaluators.registry import REAL
from groundtruth.models import graph
from groundtruth.result import Metric, Result, undefined
from groundtruth.universe import EMBEDDINGS, Universe

MIB_GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the candidates at which curves are taken. Source: Mueller et al., "MIB: A Mechanistic
Interpretability Benchmark", 2025, https://arxiv.org/abs/2504.13151"""

LOG_POINTS = 16
"""Sizes of the log grid, in equal ratios from one candidate to all; those that round to one size
are one."""

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
    "circuit.cpr_log", 2, "mean of faith over the log of the size kept", "max", REAL, "input"
)
CMD_LOG = Metric(
    "circuit.cmd_log",
    2,
    "mean of |1 - faith| over the log of the size kept",
    "min",
    _POSITIVE,
    "input",
)
CPR_CONNECTED = Metric(
    "circuit.cpr_connected",
    1,
    "cpr, of what is kept only edges from an embedding to the outputs",
    "max",
    REAL,
    "input",
)
CMD_CONNECTED = Metric(
    "circuit.cmd_connected",
    1,
    "cmd, of what is kept only edges from an embedding to the outputs",
    "min",
    _POSITIVE,
    "input",
)
OF_CURVES = (CPR, CMD, CPR_LOG, CMD_LOG, CPR_CONNECTED, CMD_CONNECTED)


class _Curve(NamedTuple):
    """Faithfulness along a grid; `at` is what is integrated over, from 0 or so to 1."""

    at: np.ndarray
    sizes: np.ndarray
    connected: bool

    def areas(self, faith: np.ndarray) -> tuple[float, float]:
        """The integrals of it and of its distance to 1."""
        return float(np.trapezoid(faith, self.at)), float(np.trapezoid(np.abs(1 - faith), self.at))


def score_curves(runs: CircuitRuns) -> list[Result]:
    """Results of `OF_CURVES`; floors are means over random orders."""
    try:
        if not runs.circuit.ranked:
            raise Undefined("the circuit is a set: a curve needs a ranking")
        curves = _curves(len(runs.order))
        found = [_faith(runs, curve, runs.order) for curve in curves]
        draws = runs.draws("floors")
        orders = [draws.permutation(len(runs.order)) for _ in range(_FLOOR_DRAWS)]
        floors = [
            np.mean([curve.areas(_faith(runs, curve, order)) for order in orders], 0)
            for curve in curves
        ]
    except Undefined as reason:
        return [undefined(entry, str(reason), **runs.parameters) for entry in OF_CURVES]
    results = []
    pairs = (OF_CURVES[:2], OF_CURVES[2:4], OF_CURVES[4:])
    for curve, faith, lows, entries in zip(curves, found, floors, pairs):
        ceilings = curve.areas(np.ones(len(curve.at)))
        results += [
            Result(
                entry,
                value,
                n_units=len(runs.weights),
                floor=float(floor),
                floor_kind=f"mean of {_FLOOR_DRAWS} random rankings",
                ceiling=ceiling,
                ceiling_kind="whole model at every size",
                parameters=runs.parameters,
                evidence={"size": curve.sizes, "faith": faith},
            )
            for entry, value, floor, ceiling in zip(entries, curve.areas(faith), lows, ceilings)
        ]
    return results


def _curves(n: int) -> tuple[_Curve, _Curve, _Curve]:
    """MIB's, the log grid's, and MIB's with what is kept connected."""
    share = np.array(MIB_GRID)
    sizes = np.array([round(q * n) for q in MIB_GRID])
    log_sizes = np.unique(np.rint(np.geomspace(1, n, LOG_POINTS)).astype(int))
    # Of a single candidate the one size there is counts in full.
    log_sizes = log_sizes if n > 1 else np.array([1, 1])
    log = np.log(log_sizes) / np.log(n) if n > 1 else np.array([0.0, 1.0])
    return (
        _Curve(share, sizes, False),
        _Curve(log, log_sizes, False),
        _Curve(share, sizes, True),
    )


def _faith(runs: CircuitRuns, curve: _Curve, order: np.ndarray) -> np.ndarray:
    """Faithfulness at each size of a curve."""
    kept = np.array([strongest(order, size) for size in curve.sizes.tolist()])
    if curve.connected:
        kept = np.array([connected(runs.circuit.universe, row) for row in kept])
    return np.array([runs.ratio(metric)[0] for metric in runs.metrics(kept)])


def connected(universe: Universe, kept: np.ndarray) -> np.ndarray:
    """(candidate,) flags of those of `kept` on a path of kept ones, from an embedding to the
    outputs; of nodes all, since every node reads an embedding and is read by the outputs.

    Example:
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.universe import universe_of
        >>> edges = universe_of(gate("decoy").weights)
        >>> kept = np.array([e.reader in ("a0.h0.v", "logits") for e in edges.edges])
        >>> [*edges.members(kept & ~connected(edges, kept))]
        [Edge(writer='a0.h1', reader='logits')]
    """
    if universe.unit == "node":
        return kept
    edges, kept = universe.edges, kept.copy()
    reached: set[str] = {*EMBEDDINGS}
    for i in np.flatnonzero(kept).tolist():
        kept[i] = edges[i].writer in reached
        if kept[i]:
            reached.add(graph.node_of(edges[i].reader))
    heard = {graph.LOGITS}
    for i in np.flatnonzero(kept)[::-1].tolist():
        kept[i] = graph.node_of(edges[i].reader) in heard
        if kept[i]:
            heard.add(edges[i].writer)
    return kept
