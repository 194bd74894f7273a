"""Information flow routes: who contributes to what each reader sees, followed from the outputs."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.methods.circuits.gradients import ranking
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph


def information_flow(subject: ModelSubject, *, seed: int = 0) -> Circuit:
    """Strength of an edge: the highest threshold at which a route through it reaches the outputs.

    The share of u in what v sees is max(0, |y| - |y - z_u|) in the 1-norm, y the sum of all that
    is written before v, divided by the sum over writers, averaged over inputs and the positions
    that count. A route holds an edge if its share and those of the edges after it are above the
    threshold.

    The source draws another graph, and two things cannot be as they are there. Its nodes are the
    residual stream at a layer and position, and what a head writes is taken apart by the position
    that it attends to, so that each pair of positions has an edge of its own. Edges here go from
    component to component at all positions, and what one carries, and an ablation replaces, is all
    that a head writes: nearness is not additive, and shares of parts summed up would be those of no
    edge. And its patterns of attention are given: nothing flows by queries and keys. Here these are
    candidates as well, and a head's query, key and value, which see the same, get the same.

    Args:
        seed: not used; every method has one.

    Returns:
        A ranking of edges, from one forward pass. Nothing is ablated: what a reader makes of what
        it sees, by its weights, plays no part.

    Source: Ferrando and Voita, "Information Flow Routes: Automatically Interpreting Language Models
    at Scale", 2024, https://arxiv.org/abs/2403.00824, and its code, in
    https://github.com/facebookresearch/llm-transparency-tool
    """
    edges = subject.universe("edge").edges
    owner = graph.owners(subject.model)
    shares = _shares(subject)
    strengths = np.zeros(len(edges))
    reached = {graph.LOGITS: 1.0}
    for i in reversed(range(len(edges))):
        writer, reader = edges[i]
        strengths[i] = min(shares[i], reached.get(owner[reader], 0.0))
        reached[writer] = max(reached.get(writer, 0.0), strengths[i])
    return ranking(subject, "edge", strengths, False, "information_flow")


def _shares(subject: ModelSubject) -> np.ndarray:
    """(edge,) shares of writers in what readers see."""
    edges, written = subject.universe("edge").edges, subject.written
    counted = subject.counted * subject.weights[:, None]
    shares = np.zeros(len(edges))
    for reader in dict.fromkeys(edge.reader for edge in edges):
        into = [i for i, edge in enumerate(edges) if edge.reader == reader]
        parts = torch.stack([written[edges[i].writer] for i in into])
        seen = parts.sum(0)
        near = (seen.abs().sum(-1) - (seen - parts).abs().sum(-1)).clamp_min(0)
        share = near / near.sum(0).clamp_min(torch.finfo(near.dtype).tiny)
        shares[into] = ((share * counted).sum((1, 2)) / counted.sum()).cpu().numpy()
    return shares
