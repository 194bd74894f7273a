"""EAP with integrated gradients: slopes averaged on the way from the ablation to the inputs."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.errors import reject
from groundtruth.methods.circuits.gradients import first_order, ranking
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.interventions import only, set_to
from groundtruth.universe import EMBEDDINGS

_SITES = {"embed": "hook_embed", "pos_embed": "hook_pos_embed"}


def eap_ig_inputs(
    subject: ModelSubject, *, seed: int = 0, steps: int = 10, absolute: bool = True
) -> Circuit:
    """(z_u - z_u ablated) . mean of d metric / d input of v, over runs on mixed embeddings.

    Embeddings go from what the ablation puts there to those of the inputs, in the middles of
    `steps` equal steps; all else follows from them. The difference is that of the two ends.

    Args:
        seed: not used; every method has one.
        steps: forward and backward passes.
        absolute: strengths are |s|, else s.

    Returns:
        A ranking of edges.

    Raises:
        InputError: no steps.

    Source: Hanna, Pezzelle and Belinkov, "Have Faith in Faithfulness: Going Beyond Circuit Overlap
    When Finding Model Mechanisms", 2024, https://arxiv.org/abs/2403.17806 (there the left ends of
    the steps, which is less exact)
    """
    total = np.zeros(len(subject.universe("edge")))
    for share in _middles(steps):
        hooks = [(_SITES[w], set_to(_mixed(subject, w, share))) for w in EMBEDDINGS]
        total += first_order(subject, hooks)
    return ranking(subject, "edge", total / steps, absolute, "eap_ig_inputs")


def eap_ig_activations(
    subject: ModelSubject, *, seed: int = 0, steps: int = 10, absolute: bool = True
) -> Circuit:
    """(z_u - z_u ablated) . mean of d metric / d input of v, over runs on mixed outputs of u alone.

    Arguments are those of `eap_ig_inputs`; it takes as many passes for every writer.

    Source: Hanna et al., 2024, as for `eap_ig_inputs`; named so in Mueller et al., "MIB: A
    Mechanistic Interpretability Benchmark", 2025, https://arxiv.org/abs/2504.13151
    """
    edges = subject.universe("edge").edges
    total = np.zeros(len(edges))
    for node in graph.nodes(subject.model):
        if node.site is None:
            continue
        own = np.array([edge.writer == node.name for edge in edges])
        for share in _middles(steps):
            mixed = _mixed(subject, node.name, share)
            # A site with heads has one axis more.
            hook = (
                set_to(mixed)
                if node.head is None
                else only(set_to(mixed[:, :, None]), heads=node.head)
            )
            total += own * first_order(subject, [(node.site, hook)])
    return ranking(subject, "edge", total / steps, absolute, "eap_ig_activations")


def _mixed(subject: ModelSubject, writer: str, share: float) -> torch.Tensor:
    """What it writes on the inputs, and a share of what the ablation puts there."""
    return torch.lerp(subject.written[writer], subject.source[writer], share)


def _middles(steps: int) -> np.ndarray:
    if steps < 1 or steps != int(steps):
        raise reject("steps", steps, "a whole number, at least 1")
    return (np.arange(steps) + 0.5) / steps
