"""Attribution patching: effects of ablation to first order, for all edges or nodes at once."""

from __future__ import annotations

import numpy as np

from groundtruth.circuit import Circuit
from groundtruth.methods.circuits.gradients import first_order, ranking
from groundtruth.model_subject import ModelSubject


def eap(subject: ModelSubject, *, seed: int = 0, absolute: bool = True) -> Circuit:
    """Edge attribution patching: s(u > v) = (z_u - z_u ablated) . d metric / d input of v.

    The gradient is taken on the inputs, averaged over them.

    Args:
        seed: not used; every method has one.
        absolute: strengths are |s|; else s, which is positive where ablation lowers the metric.

    Returns:
        A ranking of edges, from one forward and one backward pass.

    Source: Syed, Rager and Conmy, "Attribution Patching Outperforms Automated Circuit Discovery",
    2023, https://arxiv.org/abs/2310.10348
    """
    return ranking(subject, "edge", first_order(subject), absolute, "eap")


def attribution_patching(subject: ModelSubject, *, seed: int = 0, absolute: bool = True) -> Circuit:
    """s(u) = (z_u - z_u ablated) . d metric / d z_u, the sum over the edges that begin at u.

    Arguments are those of `eap`.

    Source: Nanda, "Attribution Patching: Activation Patching At Industrial Scale", 2023,
    https://www.neelnanda.io/mechanistic-interpretability/attribution-patching
    """
    edges, nodes = subject.universe("edge"), subject.universe("node")
    scores = np.zeros(len(nodes))
    np.add.at(scores, [nodes.place[e.writer] for e in edges.edges], first_order(subject))
    return ranking(subject, "node", scores, absolute, "attribution_patching")
