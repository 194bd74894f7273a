"""Slopes of the metric along edges, and how they become a ranking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.model_subject import ModelSubject
from groundtruth.models.edge_patching import run_with_edges
from groundtruth.universe import Unit


def slopes(
    subject: ModelSubject, shares: torch.Tensor, source: Mapping[str, torch.Tensor] | None = None
) -> np.ndarray:
    """How fast the mean metric falls as edges come to carry more of the source.

    -d metric / d share = (z_u - source_u) . d metric / d input of v, for the edge u > v, where z_u
    is what u writes in that run.

    Args:
        subject: model, inputs, metric.
        shares: (set, edge) at which the slopes are taken.
        source: what edges carry; the subject's ablation if None.

    Returns:
        (set, edge); parameters get no gradient.
    """
    shares = shares.to(subject.model.W_E).requires_grad_()
    source = subject.source if source is None else source
    edges = subject.universe("edge").edges
    outputs = run_with_edges(subject.model, subject.tokens, source, edges, shares)
    (gradient,) = torch.autograd.grad(subject.value(outputs).sum(), shares)
    return -gradient.double().cpu().numpy()


def at_clean(subject: ModelSubject) -> np.ndarray:
    """(edge,) slopes of the run in which nothing is ablated."""
    return slopes(subject, torch.zeros(1, len(subject.universe("edge"))))[0]


def ranking(
    subject: ModelSubject, unit: Unit, scores: np.ndarray, absolute: bool, name: str
) -> Circuit:
    """A circuit that ranks by |score|, or by score."""
    strengths = np.abs(scores) if absolute else scores
    return circuit_of(subject.universe(unit), strengths, condition=subject.condition, name=name)
