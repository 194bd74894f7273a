"""Which edges can have an effect: read off the weights, and off what an ablation changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.graph import Edge
from groundtruth.models.weights import Head, Weights

ROUNDING = 1e-12
"""Of a product of weights, as a fraction of the sum of its terms; of a model in double precision,
what its writers can be off by, as a fraction of what they write."""


class Reading(NamedTuple):
    """What a reader makes of the residual stream at once.

    Fields:
        matrix: (d_model, width); what it maps to zero is not read.
        normed: whether a norm comes before, which sees the length of all that is written.
    """

    matrix: np.ndarray
    normed: bool

    def sees(self, written: np.ndarray) -> bool:
        """Whether any row of `written` (n, d_model) makes a difference."""
        if self.normed:
            return bool(written.any() and self.matrix.any())
        terms = np.abs(written) @ np.abs(self.matrix)
        return bool((np.abs(written @ self.matrix) > ROUNDING * terms).any())


def structural_edges(weights: Weights, edges: tuple[Edge, ...]) -> frozenset[Edge]:
    """Those on a path of non-zero weights to the outputs, whatever the inputs and the ablation.

    An edge has weight if what its writer can write is not all mapped to zero by its reader, but for
    rounding: on turned directions zeros are not exact. No other edge has an effect beyond rounding
    under any ablation, beside any others that are ablated.

    Args:
        weights: the model.
        edges: from `graph.edges`, in that order.

    Example:
        >>> from groundtruth.generators.gates import gate
        >>> saturated = gate("saturated").weights
        >>> for edge in sorted(structural_edges(saturated, graph.edges(saturated, "qkv"))):
        ...     print(*edge)
        a0.h0 m0
        embed a0.h0.v
        m0 logits
        pos_embed a0.h0.k
    """
    written, readings, owner = _written(weights), _readings(weights), graph.owners(weights)
    found, heard = set(), {graph.LOGITS}
    for edge in reversed(edges):
        if owner[edge.reader] in heard and _sees(readings[edge.reader], written[edge.writer]):
            found.add(edge)
            heard.add(edge.writer)
    return frozenset(found)


def live_edges(subject: ModelSubject) -> frozenset[Edge]:
    """Structural edges that the subject's ablation can change, on its inputs.

    A writer that reads no live edge writes the same whatever is ablated; its edge is live if its
    reader sees the difference to what the ablation puts there. Other structural edges are taken to
    be live. What is not live has no effect, beside any others that are ablated.
    """
    weights, edges = subject.model.to_weights(), subject.universe("edge").edges
    readings, owner = _readings(weights), graph.owners(weights)
    structural = structural_edges(weights, edges)
    difference = {
        name: _difference(subject.source[name], value) for name, value in subject.written.items()
    }
    found, moved = set(), set()
    for edge in edges:
        differs = edge.writer in moved or _sees(readings[edge.reader], difference[edge.writer])
        if edge in structural and differs:
            found.add(edge)
            moved.add(owner[edge.reader])
    return frozenset(found)


def _difference(source: torch.Tensor, written: torch.Tensor) -> np.ndarray:
    """(row, d_model) what ablation changes of what a writer writes, without rounding."""
    difference = source - written
    if difference.dtype == torch.float64:
        size = torch.maximum(source.abs().amax(), written.abs().amax())
        difference = torch.where(difference.abs() <= ROUNDING * size, 0, difference)
    return difference.flatten(0, 1).double().cpu().numpy()


def _sees(readings: tuple[Reading, ...], written: np.ndarray) -> bool:
    return any(reading.sees(written) for reading in readings)


def _written(weights: Weights) -> dict[str, np.ndarray]:
    """Rows that span what each writer can write."""
    rows = {"embed": weights.W_E, "pos_embed": weights.W_pos}
    for i, block in enumerate(weights.blocks):
        for h, head in enumerate(block.heads):
            rows[graph.head_name(i, h)] = np.vstack([head.W_V, head.b_V]) @ head.W_O
        if block.mlp is not None:
            rows[graph.mlp_name(i)] = np.vstack([block.mlp.W_out, block.mlp.b_out])
    return rows


def _readings(weights: Weights) -> dict[str, tuple[Reading, ...]]:
    """How each reader reads, at both granularities."""
    last = Reading(weights.W_U, weights.final_norm is not None)
    found: dict[str, tuple[Reading, ...]] = {graph.LOGITS: (last,)}
    for i, block in enumerate(weights.blocks):
        for h, head in enumerate(block.heads):
            name, normed = graph.head_name(i, h), block.norm_attention is not None
            apart = tuple(Reading(matrix, normed) for matrix in _query_key_value(head))
            found[name] = apart
            found |= {read: (one,) for read, one in zip(graph.reads_of(name), apart)}
        if (mlp := block.mlp) is not None:
            heard = mlp.W_out.any(axis=1)
            normed = block.norm_mlp is not None
            found[graph.mlp_name(i)] = (Reading(mlp.W_in[:, heard], normed),)
    return found


def _query_key_value(head: Head) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What reaches the scores, and the output; a score that all keys share is nothing.

    A query reads by W_Q where keys differ, so b_K does not matter to it; a key by W_K.
    """
    keys = np.vstack([head.W_Q, head.b_Q])
    return head.W_Q @ head.W_K.T, head.W_K @ keys.T, head.W_V @ head.W_O
