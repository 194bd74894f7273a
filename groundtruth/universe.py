"""The nodes or edges that circuits of one model are chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from groundtruth import hashing
from groundtruth.errors import reject
from groundtruth.models import graph
from groundtruth.models.graph import Edge, Granularity
from groundtruth.models.weights import Weights

Unit = Literal["node", "edge"]
Candidate = Edge | str

EMBEDDINGS = ("embed", "pos_embed")


@dataclass(frozen=True)
class Universe:
    """Every candidate of one model, in the order of the computation.

    Fields:
        model: hash of the weights, in single precision, so that a model and its float32 copy agree.
        unit: "edge"; or "node", a writer with all the edges that begin there.
        granularity: of the edges, "head" or "qkv"; of nodes, that of the edges they stand for.
        edges: all of them, as `groundtruth.models.graph` names them.
        candidates: the edges; or the names of the nodes, without `logits`, which is always kept.
    """

    model: str
    unit: Unit
    granularity: Granularity
    edges: tuple[Edge, ...]
    candidates: tuple[Candidate, ...]

    def __len__(self) -> int:
        return len(self.candidates)

    @cached_property
    def place(self) -> Mapping[Candidate, int]:
        """Candidate -> its number."""
        return {candidate: i for i, candidate in enumerate(self.candidates)}

    @cached_property
    def trivial(self) -> np.ndarray:
        """(candidate,) whether it begins at an embedding or ends at the outputs: such edges are in
        nearly every circuit, and finding them says little."""
        return np.array(
            [
                c in EMBEDDINGS
                if isinstance(c, str)
                else c.writer in EMBEDDINGS or c.reader == graph.LOGITS
                for c in self.candidates
            ]
        )

    def members(self, flags: np.ndarray) -> frozenset[Candidate]:
        """The candidates that `flags` (candidate,) marks."""
        return frozenset(c for c, on in zip(self.candidates, flags) if on)


def check_unit(unit: object) -> None:
    """Raise if `unit` is none."""
    if unit not in ("edge", "node"):
        raise reject("unit", unit, '"edge" or "node"')


def shown(candidate: Candidate) -> str:
    """As people read it.

    Example:
        >>> shown(Edge("embed", "a0.h0.v"))
        'embed > a0.h0.v'
    """
    return candidate if isinstance(candidate, str) else " > ".join(map(str, candidate))


def universe_of(
    weights: Weights, unit: Unit = "edge", granularity: Granularity = "qkv"
) -> Universe:
    """All candidates of a model.

    Args:
        weights: of the model; of a `Transformer`, `model.to_weights()`.

    Example:
        >>> from groundtruth.generators.gates import gate
        >>> weights = gate("or").weights
        >>> universe_of(weights, "node").candidates
        ('embed', 'pos_embed', 'a0.h0', 'a0.h1', 'm0')
        >>> len(universe_of(weights)), len(universe_of(weights, "edge", "head"))
        (21, 13)
    """
    check_unit(unit)
    graph.check_granularity(granularity)
    arrays = {name: array.astype(np.float32) for name, array in weights.arrays().items()}
    model = hashing.content_hash(weights.settings(), arrays)
    edges = graph.edges(weights, granularity)
    candidates = edges if unit == "edge" else tuple(graph.writers(weights))
    return Universe(model, unit, granularity, edges, candidates)
