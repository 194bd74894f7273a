"""The truth about circuits by enumeration: every set of edges or nodes that could matter is tried.

Validity need not be monotone: a circuit may break by gaining an edge whose counterpart is missing.
So nothing is concluded from a valid set about larger ones, except that they are not minimal, nor
from an invalid set about smaller ones. Sets are left out only where that is proved: a minimal
circuit holds no edge into a node none of whose edges it holds, and, where ablated edges carry
another run, no edge from a node all of whose own inputs come from that run. That needs both inputs
padded alike: a head sees the tokens that its own input has, whatever its edges carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from groundtruth.circuit_truth import Bounds, CircuitTruth, Members, from_circuits
from groundtruth.errors import reject
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.graph import Edge
from groundtruth.structural_edges import live_edges, structural_edges
from groundtruth.universe import Candidate, Unit

_SETS = 1 << 16  # at a time: bounds the flags held


def enumerate_circuits(
    subject: ModelSubject, unit: Unit = "edge", *, tolerance: float = 1e-6, limit: int = 20
) -> CircuitTruth:
    """All minimal valid circuits, with the sets that follow; bounds where there are too many.

    Args:
        subject: model, inputs and ablation; every output at a counted position is compared, so the
            metric does not matter.
        unit: "edge" or "node".
        tolerance: the largest change of an output that counts as none. In double precision 1e-6 is
            far above rounding; a float32 model needs more.
        limit: candidates that can have an effect, up to which all their 2^n sets are tried.

    Returns:
        The truth. Above the limit core and relevant are bounds: what a minimal circuit found by
        leaving out one candidate after the other says, if that ends within the limit.

    Raises:
        InputError: tolerance not positive or within rounding, or a limit outside 0 to 24.

    Example, OR of 1 and 1, whose partner is 0 and 0: either input will do:
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.models.transformer import Transformer
        >>> import torch
        >>> model = Transformer(gate("or").weights, torch.float64)
        >>> subject = ModelSubject(
        ...     model, [[0, 3, 3]], lambda out: out[..., -1, 0], "resample", [[0, 2, 2]], "both 0"
        ... )
        >>> truth = enumerate_circuits(subject, "node")
        >>> [sorted(circuit) for circuit in truth.circuits]
        [['a0.h0', 'embed', 'm0'], ['a0.h1', 'embed', 'm0']]
        >>> sorted(truth.core.lower), sorted(truth.singly_active)
        (['embed', 'm0'], ['embed', 'm0'])
    """
    if not tolerance > 0:
        raise reject("tolerance", tolerance, "a positive number")
    if not 0 <= limit <= 24:
        raise reject("limit", limit, "0 to 24", "2^24 sets take minutes already.")
    search = _Search(subject, unit, tolerance)
    live = search.live
    everything = frozenset(live)
    if not search.valid([everything])[0]:
        fix = "Run the model in double precision, or raise it. Are all outputs finite?"
        raise reject("tolerance", tolerance, "more than the rounding of the outputs", fix)
    singly = search.valid([everything - {candidate} for candidate in live])
    if search.valid([frozenset()])[0]:
        circuits, complete = (frozenset(),), True
    elif len(live) <= limit:
        circuits, complete = search.minimal(live), True
    else:
        circuits, complete = search.some_minimal(limit), False
    core, relevant = from_circuits(circuits) if complete else search.bounds(circuits)
    return CircuitTruth(
        universe=search.universe,
        condition=subject.condition,
        tolerance=tolerance,
        structural=search.structural,
        singly_active=frozenset(c for c, inert in zip(live, singly) if not inert),
        core=core,
        relevant=relevant,
        circuits=circuits,
        complete=complete,
    )


class _Search:
    """Sets of the candidates that can have an effect, `live`, tried out on one subject."""

    def __init__(self, subject: ModelSubject, unit: Unit, tolerance: float) -> None:
        self.subject, self.tolerance = subject, tolerance
        self.unit: Unit = unit
        self.universe = subject.universe(unit)
        weights = subject.model.to_weights()
        self.structural = self._standing_for(
            structural_edges(weights, subject.universe("edge").edges)
        )
        edges = live_edges(subject)
        live = self._standing_for(edges)
        self.live = tuple(c for c in self.universe.candidates if c in live)
        self.reference = subject.outputs()
        owner = graph.owners(weights)
        joins = [(edge, owner[edge.reader]) for edge in edges]
        self.after = {c: self._after(c, joins) for c in self.live}
        self.before: dict[Candidate, Members] = dict.fromkeys(self.live, frozenset())
        if _runs_another_input(subject):
            self.before = {c: self._before(c, joins) for c in self.live}

    def _standing_for(self, edges: Iterable[Edge]) -> Members:
        return frozenset(edges if self.unit == "edge" else (edge.writer for edge in edges))

    def _after(self, candidate: Candidate, joins: list[tuple[Edge, str]]) -> Members | None:
        """Of which a minimal circuit with `candidate` holds one; None if it ends at the outputs."""
        ends = {to for edge, to in joins if candidate in (edge, edge.writer)}
        if graph.LOGITS in ends:
            return None
        if self.unit == "node":
            return frozenset(ends)
        return frozenset(edge for edge, _ in joins if edge.writer in ends)

    def _before(self, candidate: Candidate, joins: list[tuple[Edge, str]]) -> Members:
        """Of which a minimal circuit with `candidate` holds one, if there are any."""
        writer = candidate if isinstance(candidate, str) else candidate.writer
        return self._standing_for(edge for edge, to in joins if to == writer)

    def valid(self, sets: Sequence[Members]) -> np.ndarray:
        """(set,) whether each is a valid circuit."""
        return self._valid(np.array([[c in s for c in self.universe.candidates] for s in sets]))

    def _valid(self, kept: np.ndarray) -> np.ndarray:
        if not len(kept):
            return np.zeros(0, dtype=bool)
        counted = self.subject.counted
        found = [
            ((outputs - self.reference)[:, counted].abs().amax((1, 2)) <= self.tolerance).cpu()
            for outputs in self.subject.ablated_pieces(self.unit, kept)
        ]
        return np.concatenate(found)

    def minimal(self, among: Sequence[Candidate]) -> tuple[Members, ...]:
        """Every minimal valid circuit within `among`, smallest first."""
        sets = self._connected_sets(among)
        size = np.bitwise_count(sets)
        columns = [self.universe.place[c] for c in among]
        found: list[int] = []
        for n in range(len(among) + 1):
            tried = sets[size == n]
            for smaller in found:
                tried = tried[(tried & smaller) != smaller]
            for start in range(0, len(tried), _SETS):
                piece = tried[start : start + _SETS]
                kept = np.zeros((len(piece), len(self.universe)), dtype=bool)
                kept[:, columns] = (piece[:, None] >> np.arange(len(among))) & 1
                found += piece[self._valid(kept)].tolist()
        return tuple(frozenset(c for i, c in enumerate(among) if s >> i & 1) for s in found)

    def _connected_sets(self, among: Sequence[Candidate]) -> np.ndarray:
        """All subsets that may be minimal, as numbers whose bit i says whether among[i] is in."""
        sets = np.arange(1 << len(among))
        for i, candidate in enumerate(among):
            for wanted in (self.after[candidate], self.before[candidate] or None):
                if wanted is not None:
                    bits = sum(1 << j for j, other in enumerate(among) if other in wanted)
                    sets = sets[((sets >> i & 1) == 0) | ((sets & bits) != 0)]
        return sets

    def some_minimal(self, limit: int) -> tuple[Members, ...]:
        """Minimal valid circuits, from leaving out one candidate after the other, both ways."""
        found: dict[Members, None] = {}
        for order in (self.live, self.live[::-1]):
            kept = frozenset(self.live)
            for candidate in order:
                if self.valid([kept - {candidate}])[0]:
                    kept -= {candidate}
            if len(kept) <= limit:
                found |= dict.fromkeys(self.minimal([c for c in self.live if c in kept]))
        return tuple(sorted(found, key=len))

    def bounds(self, circuits: tuple[Members, ...]) -> tuple[Bounds, Bounds]:
        """Core and relevant, where nothing is valid without any candidate.

        Without a candidate of the lower core, no other has a way to the outputs.
        """
        everything = frozenset(self.live)
        needed = frozenset(c for c in self.live if not self._connected(everything - {c}))
        upper = frozenset.intersection(everything, *circuits)
        return Bounds(needed, upper), Bounds(needed.union(*circuits), everything)

    def _connected(self, members: Members) -> Members:
        """What is left when all that cannot be in a minimal circuit within `members` goes."""
        while True:
            left = frozenset(
                c
                for c in members
                if all(
                    wanted is None or members & wanted
                    for wanted in (self.after[c], self.before[c] or None)
                )
            )
            if left == members:
                return members
            members = left


def _runs_another_input(subject: ModelSubject) -> bool:
    """Whether a node whose inputs are all ablated writes what it writes in the other run."""
    if subject.paired is None:
        return False
    pad = subject.model.pad
    return bool(((subject.tokens == pad) == (subject.paired == pad)).all())
