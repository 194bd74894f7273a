"""Random circuits, and random detours around one."""

from __future__ import annotations

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.models import graph
from groundtruth.universe import EMBEDDINGS, Universe

_MOST_WALKS = 1000


def of_size(among: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draw, candidate) flags of `size` candidates each, uniform over those in `among`."""
    flags = np.zeros((draws, len(among)), dtype=bool)
    for row in flags:
        row[rng.choice(np.flatnonzero(among), size, replace=False)] = True
    return flags


def detour(
    universe: Universe, kept: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """A random path from an embedding to the outputs that leaves the circuit `kept`.

    It is walked from the outputs back, each edge uniform among those into a node.

    Returns:
        (candidate,) flags of the path, and one of its candidates outside the circuit, at random.

    Raises:
        Undefined: a thousand paths lie within the circuit.
    """
    into: dict[str, list[int]] = {}
    for i, edge in enumerate(universe.edges):
        # A head is reached by any of its reads.
        into.setdefault(graph.node_of(edge.reader), []).append(i)
    for _ in range(_MOST_WALKS):
        at, path = graph.LOGITS, []
        while at not in EMBEDDINGS:
            edge = universe.edges[int(rng.choice(into[at]))]
            path.append(universe.place[edge if universe.unit == "edge" else edge.writer])
            at = edge.writer
        flags = np.zeros(len(universe), dtype=bool)
        flags[path] = True
        outside = np.flatnonzero(flags & ~kept)
        if len(outside):
            return flags, int(rng.choice(outside))
    raise Undefined("no path leaves the circuit, so that there are no detours")
