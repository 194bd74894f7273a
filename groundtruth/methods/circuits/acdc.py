"""ACDC: edges are cut one after the other, from the outputs back, while the metric hardly moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.errors import reject
from groundtruth.model_subject import ModelSubject


def acdc(subject: ModelSubject, *, seed: int = 0, threshold: float = 0.01) -> Circuit:
    """Cut an edge for good if that moves the metric away by less than `threshold`.

    How far a circuit is away is the mean over inputs of |metric - metric of the circuit|. Of two
    edges that do the same, the one that is visited first goes.

    Args:
        seed: not used; every method has one.
        threshold: in units of the metric, above 0.

    Returns:
        A set, without a ranking (`acdc_sweep` has one). One pass for every edge, each after the one
        before.

    Raises:
        InputError: threshold not above 0.

    Source: Conmy et al., "Towards Automated Circuit Discovery for Mechanistic Interpretability",
    2023, https://arxiv.org/abs/2304.14997 (there the distance is a KL divergence, here that of the
    subject's metric, which has any unit)
    """
    if not threshold > 0:
        raise reject("threshold", threshold, "a number above 0")
    universe = subject.universe("edge")
    members = universe.members(_kept(subject, threshold))
    return Circuit(universe, members=members, condition=subject.condition, name="acdc")


def acdc_sweep(
    subject: ModelSubject, *, seed: int = 0, thresholds: Sequence[float] | None = None
) -> Circuit:
    """`acdc` at many thresholds: an edge is as strong as the largest at which it is kept.

    Args:
        seed: not used; every method has one.
        thresholds: in units of the metric; if None, ten from 1/1000 of what ablating everything
            moves it by to all of that, in equal ratios.

    Returns:
        A ranking, 0 for what is kept at none: what the curves of the source are drawn from.

    Raises:
        InputError: no thresholds, or one that is not above 0.

    Source: Conmy et al., 2023, as for `acdc`, section 4
    """
    universe = subject.universe("edge")
    tried = _ten(subject) if thresholds is None else [float(t) for t in thresholds]
    if not tried or not all(t > 0 for t in tried):
        raise reject("thresholds", tried, "numbers above 0")
    strengths = np.zeros(len(universe))
    for threshold in sorted(tried):
        strengths[_kept(subject, threshold)] = threshold
    return circuit_of(universe, strengths, condition=subject.condition, name="acdc_sweep")


def _ten(subject: ModelSubject) -> list[float]:
    """The thresholds of a sweep that names none."""
    whole = _distance(subject, np.zeros(len(subject.universe("edge")), dtype=bool))
    # Where ablating everything moves nothing there is no scale.
    largest = whole if whole > 0 else 1.0
    return np.geomspace(1e-3 * largest, largest, 10).tolist()


def _kept(subject: ModelSubject, threshold: float) -> np.ndarray:
    """(edge,) flags of what ACDC keeps."""
    kept = np.ones(len(subject.universe("edge")), dtype=bool)
    away = 0.0
    for edge in reversed(range(len(kept))):
        kept[edge] = False
        without = _distance(subject, kept)
        if without - away < threshold:
            away = without
        else:
            kept[edge] = True
    return kept


def _distance(subject: ModelSubject, kept: np.ndarray) -> float:
    """Mean over inputs of |metric - metric with `kept` alone|."""
    intact = subject.metric(subject.outputs())
    found = subject.metric(subject.ablated("edge", kept[None]))
    return float((intact - found).abs()[0] @ subject.weights)
