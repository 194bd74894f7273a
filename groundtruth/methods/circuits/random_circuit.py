"""The control: a ranking that has not looked at the model."""

from __future__ import annotations

from groundtruth import seeds
from groundtruth.circuit import Circuit
from groundtruth.methods.circuits.gradients import ranking
from groundtruth.model_subject import ModelSubject
from groundtruth.universe import Unit


def random_circuit(subject: ModelSubject, *, seed: int = 0, unit: Unit = "edge") -> Circuit:
    """Independent uniform strengths.

    Args:
        seed: of the strengths.
        unit: "edge" or "node".
    """
    draws = seeds.generator(seeds.root_of("random_circuit", seed))
    strengths = draws.random(len(subject.universe(unit)))
    return ranking(subject, unit, strengths, False, "random_circuit")
