"""ACDC: edges are cut one after the other, from the outputs back, while the metric hardly moves."""

from __future__ import annotations

import numpy as np

from groundtruth.circuit import Circuit
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
        A set, without a ranking. One pass for every edge, each after the one before.

    Raises:
        InputError: threshold not above 0.

    Source: Conmy et al., "Towards Automated Circuit Discovery for Mechanistic Interpretability",
    2023, https://arxiv.org/abs/2304.14997 (there the distance is a KL divergence, here that of the
    subject's metric, which has any unit)
    """
    if not threshold > 0:
        raise reject("threshold", threshold, "a number above 0")
    intact = subject.metric(subject.outputs())

    def distance(kept: np.ndarray) -> float:
        found = subject.metric(subject.ablated("edge", kept[None]))
        return float((intact - found).abs()[0] @ subject.weights)

    universe = subject.universe("edge")
    kept = np.ones(len(universe), dtype=bool)
    away = 0.0
    for edge in reversed(range(len(universe))):
        kept[edge] = False
        without = distance(kept)
        if without - away < threshold:
            away = without
        else:
            kept[edge] = True
    members = universe.members(kept)
    return Circuit(universe, members=members, condition=subject.condition, name="acdc")
