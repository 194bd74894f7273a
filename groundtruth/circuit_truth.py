"""Which nodes or edges a model uses, under one condition: four answers that differ.

    structural      reachable: a path of non-zero weights leads through it to the outputs
    singly_active   ablated alone, it moves an output
    core            in every minimal valid circuit
    relevant        in some minimal valid circuit

A circuit is valid if all outputs stay within the tolerance when everything outside it is ablated,
and minimal if no proper subset is valid. Where two parts do the same, each alone can go: neither is
singly active or core, and both are relevant. Where two parts cancel, both are singly active, and
neither is relevant: without both, nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from groundtruth.condition import Condition
from groundtruth.errors import InputError, Undefined, reject
from groundtruth.universe import Candidate, Universe, shown

Members = frozenset[Candidate]
TruthSet = Literal["structural", "singly_active", "core", "relevant"]
TRUTH_SETS: tuple[TruthSet, ...] = ("structural", "singly_active", "core", "relevant")


@dataclass(frozen=True)
class Bounds:
    """A set that is known exactly where both are equal.

    Fields:
        lower: surely in it.
        upper: all that may be in it.
    """

    lower: Members
    upper: Members

    @property
    def exact(self) -> bool:
        return self.lower == self.upper

    def __str__(self) -> str:
        least, most = len(self.lower), len(self.upper)
        return f"{most}" if self.exact else f"{least} to {most}"


@dataclass(frozen=True, repr=False)
class CircuitTruth:
    """The truth over `universe` under `condition`.

    Fields:
        universe: the candidates.
        condition: inputs and ablation.
        tolerance: the largest change of an output that counts as none, in its units.
        structural, singly_active: sets of candidates.
        core, relevant: sets, or bounds where they could not be enumerated.
        circuits: minimal valid circuits, smallest first.
        complete: whether `circuits` has all of them.
        routes: how they were found; where there are several, they agree.
        constant: structural candidates that carry the same at each token of every input, such as
            the mark of begin-of-sequence. They count as structural; only zero ablation, or what a
            partner's padding makes, changes them.
        expressions: node -> what of a program it computes, where the model is a program's.

    Raises:
        InputError: a set with what is no candidate; sets that contradict one another.
    """

    universe: Universe
    condition: Condition
    tolerance: float
    structural: Members
    singly_active: Members
    core: Bounds
    relevant: Bounds
    circuits: tuple[Members, ...]
    complete: bool
    routes: tuple[str, ...] = ("enumeration",)
    constant: Members = frozenset()
    expressions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Sizes, the condition, and the relevant set."""
        relevant = self.relevant.upper
        writers = {edge.writer for edge in self.universe.edges}
        trivial = self.universe.members(self.universe.trivial)
        found = len(self.circuits) if self.complete else f"at least {len(self.circuits)}"
        sizes = f"{len(writers)} nodes besides the outputs"
        if self.universe.unit == "edge":
            sizes += f", {len(self.universe)} edges"
        lines = [
            f"{sizes}, of which "
            f"{len(self.structural)} structural ({len(self.constant)} constant), "
            f"{len(self.singly_active)} singly active, {self.core} core, {self.relevant} relevant "
            f"({len(relevant & trivial)} at an embedding or the outputs)",
            f"minimal valid circuits: {found}, by {' and '.join(self.routes)}",
            f"under {self.condition}",
            f"relevant{'' if self.relevant.exact else ' at most'}: "
            + ", ".join(sorted(map(shown, relevant))),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        unit = self.universe.unit
        return f"<CircuitTruth: {self.relevant} of {len(self.universe)} {unit}s relevant>"

    def __post_init__(self) -> None:
        for name, members in self._sets():
            if unknown := members - set(self.universe.candidates):
                first = shown(min(unknown))
                raise InputError(f"{name}: expected candidates of the universe, got {first}.")
            if outside := members - self.structural:
                first = shown(min(outside))
                raise InputError(f"{name}: expected only structural candidates, got {first}.")
        for name, bounds in (("core", self.core), ("relevant", self.relevant)):
            if not bounds.lower <= bounds.upper:
                raise InputError(f"{name}: expected a lower bound within the upper.")
            if self.complete and not bounds.exact:
                raise InputError(f"{name}: expected an exact set where all circuits are known.")
        for circuit in self.circuits:
            if not self.core.lower <= circuit <= self.relevant.upper:
                raise InputError("circuits: expected each to hold core and lie within relevant.")

    def _sets(self) -> list[tuple[str, Members]]:
        return [
            ("structural", self.structural),
            ("singly_active", self.singly_active),
            ("core", self.core.upper),
            ("relevant", self.relevant.upper),
            ("constant", self.constant),
        ]

    def members(self, which: TruthSet = "relevant") -> Members:
        """One of the four sets.

        Raises:
            Undefined: only bounds of it are known.
            InputError: no set is called so.
        """
        if which not in TRUTH_SETS:
            raise reject("which", which, f"one of {', '.join(TRUTH_SETS)}")
        found = getattr(self, which)
        if not isinstance(found, Bounds):
            return found
        if not found.exact:
            raise Undefined(
                f"the {which} set is not known: between {len(found.lower)} and {len(found.upper)} "
                f"{self.universe.unit}s"
            )
        return found.lower


def from_circuits(circuits: tuple[Members, ...]) -> tuple[Bounds, Bounds]:
    """Core and relevant of the complete family of minimal valid circuits.

    Example:
        >>> core, relevant = from_circuits((frozenset({"a", "m"}), frozenset({"b", "m"})))
        >>> sorted(core.lower), sorted(relevant.lower)
        (['m'], ['a', 'b', 'm'])
    """
    core = frozenset.intersection(*circuits)
    relevant = frozenset.union(*circuits)
    return Bounds(core, core), Bounds(relevant, relevant)
