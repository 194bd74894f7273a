"""Probes: whether they read the concept, or what goes along with it until it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from groundtruth.errors import ExplanationError
from groundtruth.evaluators.floors import expected_max_cosine
from groundtruth.evaluators.registry import UNIT
from groundtruth.evaluators.statistics import wilson
from groundtruth.probe import Probe, linear_probe
from groundtruth.probe_truth import Cases, ProbeTruth
from groundtruth.result import Metric, Result, undefined
from groundtruth.site_testbed import ProbeTestbed
from groundtruth.vectors import check_length

FAMILIAR = Metric(
    "probe.familiar", 1, "share of familiar cases that are decided rightly", "max", UNIT, "sample"
)
SHIFTED = Metric(
    "probe.shifted", 1, "share of shifted cases that are decided rightly", "max", UNIT, "sample"
)
DROP = Metric(
    "probe.drop", 1, "probe.familiar - probe.shifted", "min", (-1.0, 1.0), "claim", success=False
)
COSINE = Metric(
    "probe.cosine", 1, "|cosine| of the probe and the concept's readout", "max", UNIT, "claim"
)
RIVAL = Metric(
    "probe.rival_cosine", 1, "|cosine| of the probe and the rival's readout", "min", UNIT, "claim"
)
METRICS: dict[str, Metric] = {e.id: e for e in (FAMILIAR, SHIFTED, DROP, COSINE, RIVAL)}


def score_probe(testbed: ProbeTestbed, claim: Probe) -> dict[str, Result]:
    """Every score of a probe.

    Args:
        testbed: of probes.
        claim: what the concept is read by.

    Returns:
        Results by id. The floor of an accuracy is that of always answering what is more frequent in
        these cases; of a cosine, a uniform direction's; ceilings are as the truth's cases say. An
        accuracy over samples has a Wilson interval.

    Raises:
        ExplanationError: another kind of claim, or another width.

    Not a measure of what the model uses: a probe may read what no output depends on.

    Example, a probe of what is said, on cases where that is not what is believed:
        >>> from groundtruth.generators.beliefs import belief
        >>> testbed = belief()
        >>> scores = score_probe(testbed, planted_probe(testbed.truth, rival=True))
        >>> round(scores["probe.familiar"].value, 9), scores["probe.shifted"].value
        (1.0, 0.0)
    """
    if not isinstance(claim, Probe):
        raise ExplanationError(f"claim: expected a Probe, got {type(claim).__name__}.")
    truth = testbed.truth
    if claim.direction is not None:
        check_length("direction", claim.direction, truth.d)
    familiar = _accuracy(FAMILIAR, truth.familiar, claim)
    shifted = _accuracy(SHIFTED, truth.shifted, claim)
    assert familiar.value is not None and shifted.value is not None
    best = _decided(truth.familiar, planted_probe(truth)) - _decided(
        truth.shifted, planted_probe(truth)
    )
    drop = Result(DROP, familiar.value - shifted.value, n_units=1)
    results = [
        familiar,
        shifted,
        # No floor: one answer to all does not drop, and is worth nothing.
        drop.between(None, "", best, "planted direction"),
        _cosine(COSINE, claim, truth.readout, truth),
        _cosine(RIVAL, claim, truth.rival_readout, truth),
    ]
    return {result.metric.id: result for result in results}


def planted_probe(truth: ProbeTruth, *, rival: bool = False) -> Probe:
    """The oracle; or, to see what telling them apart is worth, the rival's."""
    if rival:
        return linear_probe(truth.rival_readout.copy(), truth.rival_threshold, name=truth.rival)
    return linear_probe(truth.readout.copy(), truth.threshold, name=truth.concept)


def _decided(cases: Cases, claim: Probe) -> float:
    return float(cases.weights[claim.decide(cases.x) == cases.labels].sum())


def _accuracy(entry: Metric, cases: Cases, claim: Probe) -> Result:
    value, n = min(1.0, _decided(cases, claim)), len(cases.x)
    share = float(cases.weights[cases.labels].sum())
    parameters = {"cases": n, "exhaustive": cases.exhaustive}
    result = Result(entry, value, n_units=n, parameters=parameters)
    if not cases.exhaustive:
        _, low, high = wilson(round(value * n), n)
        result = replace(result, low=low, high=high, interval_method="Wilson")
    return result.between(
        max(share, 1 - share), "the more frequent answer", cases.ceiling, cases.ceiling_kind
    )


def _cosine(entry: Metric, claim: Probe, readout: np.ndarray, truth: ProbeTruth) -> Result:
    if claim.direction is None:
        return undefined(entry, "the probe reads no one direction")
    chance = expected_max_cosine(truth.d, 1, signed=False)
    value, best = (
        min(1.0, abs(float(vector @ readout)) / np.linalg.norm(readout) / np.linalg.norm(vector))
        for vector in (claim.direction, truth.readout)
    )
    return Result(entry, float(value), n_units=1).between(
        chance, "uniform direction", float(best), "planted readout"
    )
