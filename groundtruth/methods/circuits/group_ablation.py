"""The oracle where it can be run: all sets of candidates ablated together."""

from __future__ import annotations

import numpy as np

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.model_subject import ModelSubject
from groundtruth.universe import Unit


def group_ablation(
    subject: ModelSubject,
    *,
    seed: int = 0,
    unit: Unit = "edge",
    tolerance: float = 1e-6,
    limit: int = 20,
) -> Circuit:
    """Strength of a candidate: the share of the minimal valid circuits it is in.

    It runs what truth by enumeration runs, so its score says something only beside a truth from
    elsewhere: a closed form, or the program that the model was compiled from.

    Args:
        seed: not used; every method has one.
        unit, tolerance, limit: as for `enumerate_circuits`.

    Returns:
        A claim of what is in some minimal valid circuit, and a ranking.

    Source: Méloux et al., "Everything, Everywhere, All at Once: Is Mechanistic Interpretability
    Identifiable?", 2025, https://arxiv.org/abs/2502.20914
    """
    truth = enumerate_circuits(subject, unit, tolerance=tolerance, limit=limit)
    universe, circuits = truth.universe, truth.circuits
    held = np.array([sum(c in circuit for circuit in circuits) for c in universe.candidates])
    return circuit_of(
        universe,
        held / max(1, len(circuits)),
        claimed=held > 0,
        condition=subject.condition,
        name="group_ablation",
    )
