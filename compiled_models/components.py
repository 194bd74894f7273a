"""What a compiled model is made of: attention heads and groups of neurons.

Each writes one variable. Weights are given by direction, so that they can be read next to the
layout; `assembly.py` makes matrices of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from groundtruth.compiled_models.layout import Variable

Entries = Mapping[int, float]
"""Direction -> weight."""


@dataclass(frozen=True)
class Unit:
    """A hidden neuron: relu(reads . x + bias), times `writes`."""

    reads: Entries
    bias: float
    writes: Entries


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons that compute `writes` from `reads` at each position."""

    reads: tuple[Variable, ...]
    writes: Variable
    units: tuple[Unit, ...]

    def __str__(self) -> str:
        return f"{self.writes.name}: {len(self.units)} neurons of {_names(self.reads)}"


@dataclass(frozen=True, eq=False)
class Term:
    """A part of the attention score: 1 where the pair of key and query is wanted.

    Fields:
        wanted: (directions of keys, directions of queries).
        factors: (directions of keys, width) and (directions of queries, width) with the score as
            their product; None for `wanted` itself. See `codes.py`.
    """

    keys: Variable
    queries: Variable
    wanted: np.ndarray
    factors: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Head:
    """The attention head that computes `writes`.

    The score of a key is `scale` for each term that it meets with the query, plus `preferences`. A
    head without terms meets one: that neither side is begin-of-sequence. Begin-of-sequence as a key
    has score `bos`, whatever it holds; as a query it attends to itself.

    Fields:
        preferences: what a direction adds to the score of a key, whatever the query.
        moves: (direction read at the key, direction written at the query, factor).
        from_bos: what attention to begin-of-sequence writes.
    """

    reads: tuple[Variable, ...]
    writes: Variable
    terms: tuple[Term, ...]
    scale: float
    bos: float
    preferences: Entries = field(default_factory=dict)
    moves: tuple[tuple[int, int, float], ...] = ()
    from_bos: Entries = field(default_factory=dict)

    @property
    def targets(self) -> list[int]:
        """The directions that it writes, in order."""
        return sorted({to for _, to, _ in self.moves} | set(self.from_bos))

    def __str__(self) -> str:
        return f"{self.writes.name}: head of {_names(self.reads)}"


Component = Neurons | Head


def _names(variables: tuple[Variable, ...]) -> str:
    return ", ".join(dict.fromkeys(variable.name for variable in variables)) or "nothing"
