"""Exhaustive patching: every node, or every edge, ablated alone in the full model."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.methods.circuits.gradients import ranking
from groundtruth.model_subject import ModelSubject
from groundtruth.universe import Unit

_SETS = 512  # candidates that are ablated at a time: a set has a number for every edge


def activation_patching(subject: ModelSubject, *, seed: int = 0, absolute: bool = True) -> Circuit:
    """Strength of a node: how far the metric moves when its output alone is ablated.

    Args:
        seed: not used; every method has one.
        absolute: mean over inputs of |metric - metric ablated|; else of the difference itself.

    Returns:
        A ranking of nodes. What another node makes up for has strength 0.

    Source: Meng et al., "Locating and Editing Factual Associations in GPT", 2022,
    https://arxiv.org/abs/2202.05262
    """
    return _each_alone(subject, "node", absolute, "activation_patching")


def edge_patching(subject: ModelSubject, *, seed: int = 0, absolute: bool = True) -> Circuit:
    """Strength of an edge: how far the metric moves when it alone is ablated.

    It is the exact form of what attribution methods estimate; arguments are those of
    `activation_patching`.

    Source: Goldowsky-Dill et al., "Localizing Model Behavior with Path Patching", 2023,
    https://arxiv.org/abs/2304.05969
    """
    return _each_alone(subject, "edge", absolute, "edge_patching")


def _each_alone(subject: ModelSubject, unit: Unit, absolute: bool, name: str) -> Circuit:
    n = len(subject.universe(unit))
    intact = subject.metric(subject.outputs())
    effects = []
    for start in range(0, n, _SETS):
        alone = np.arange(start, min(start + _SETS, n))[:, None] == np.arange(n)
        for outputs in subject.ablated_pieces(unit, ~alone):
            effect = intact - subject.metric(outputs)
            effects.append((effect.abs() if absolute else effect) @ subject.weights)
    return ranking(subject, unit, torch.cat(effects).cpu().numpy(), absolute, name)
