"""What a method claims of a model's inside. `Circuit`: a strength for every candidate, or a set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from groundtruth.condition import Condition
from groundtruth.errors import ExplanationError, UnknownName
from groundtruth.universe import Candidate, Universe, shown


class Circuit:
    """A claimed circuit over a universe of nodes or edges.

    Args:
        universe: what it is chosen from.
        strengths: candidate -> how much it matters, larger is more; or numbers in the order of the
            universe. One for every candidate, -inf for what the method ruled out without a number.
            None: a member has 1, the others 0.
        members: the candidates that are claimed. None: the method only ranks.
        condition: under which it was found; None where the method does not say.
        name: shown in tables.

    Raises:
        ExplanationError: neither strengths nor members, strengths that are missing, NaN or +inf,
            members twice.
        UnknownName: a candidate that the universe has not.

    Example:
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.universe import universe_of
        >>> nodes = universe_of(gate("or").weights, "node")
        >>> claim = Circuit(nodes, members=["embed", "a0.h0", "m0"])
        >>> claim.strengths.tolist(), claim.size
        ([1.0, 0.0, 1.0, 0.0, 1.0], 3)
        >>> Circuit(nodes, {"embed": 1.0})
        Traceback (most recent call last):
        groundtruth.errors.ExplanationError: strengths: expected one for each of 5 nodes, got none \
for 4, the first pos_embed. Give -inf to what was ruled out, or pass members= for a set.
    """

    def __init__(
        self,
        universe: Universe,
        strengths: Mapping[Candidate, float] | Sequence[float] | np.ndarray | None = None,
        *,
        members: Iterable[Candidate] | None = None,
        condition: Condition | None = None,
        name: str | None = None,
    ) -> None:
        if strengths is None and members is None:
            raise ExplanationError("a circuit: expected strengths or members, got neither.")
        self.universe, self.condition, self.name = universe, condition, name
        self.claimed = None if members is None else _flags(universe, list(members))
        self.ranked = strengths is not None
        if strengths is not None:
            self.strengths = _numbers(universe, _by_candidate(universe, strengths))
        else:
            assert self.claimed is not None
            self.strengths = self.claimed.astype(np.float64)
        self.strengths.setflags(write=False)

    @cached_property
    def members(self) -> frozenset[Candidate] | None:
        """What is claimed, or None."""
        return None if self.claimed is None else self.universe.members(self.claimed)

    @property
    def size(self) -> int | None:
        """Claimed candidates, or None."""
        return None if self.claimed is None else int(self.claimed.sum())

    def strongest(self, n: int) -> np.ndarray:
        """(candidate,) flags of the n strongest; of equals, those earlier in the computation."""
        flags = np.zeros(len(self.universe), dtype=bool)
        flags[np.argsort(-self.strengths, kind="stable")[:n]] = True
        return flags

    def check_universe(self, universe: Universe) -> None:
        """Raise unless the circuit is chosen from `universe`.

        Raises:
            ExplanationError: another model's, or other units.
        """
        if self.universe == universe:
            return
        own, wanted = (
            f"{len(u)} {u.unit}s ({u.granularity}) of model {u.model[:8]}"
            for u in (self.universe, universe)
        )
        hint = (
            "It was found in another model."
            if self.universe.model != universe.model
            else "Compare with the truth of its unit and granularity."
        )
        raise ExplanationError(f"a circuit: expected one over {wanted}, got {own}. {hint}")

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        claim = "ranked" if self.size is None else f"{self.size} claimed"
        return f"Circuit({label}{len(self.universe)} {self.universe.unit}s, {claim})"


def circuit_of(
    universe: Universe,
    strengths: np.ndarray,
    *,
    claimed: np.ndarray | None = None,
    condition: Condition | None = None,
    name: str | None = None,
) -> Circuit:
    """The circuit whose strengths, and claimed flags, stand in the order of the universe."""
    members = None if claimed is None else universe.members(claimed)
    return Circuit(universe, strengths, members=members, condition=condition, name=name)


def _flags(universe: Universe, members: list[Candidate]) -> np.ndarray:
    _check_known(universe, members)
    flags = np.zeros(len(universe), dtype=bool)
    for member in members:
        if flags[universe.place[member]]:
            raise ExplanationError(f"members: expected each once, got {shown(member)} twice.")
        flags[universe.place[member]] = True
    return flags


def _by_candidate(
    universe: Universe, strengths: Mapping[Candidate, float] | Sequence[float] | np.ndarray
) -> Mapping[Candidate, float]:
    if isinstance(strengths, Mapping):
        return strengths
    try:
        numbers = np.asarray(strengths, dtype=float)
    except (TypeError, ValueError):
        raise ExplanationError(
            f"strengths: expected a number for each {universe.unit}, got {strengths!r}."
        ) from None
    if numbers.shape != (len(universe),):
        raise ExplanationError(
            f"strengths: expected {len(universe)} numbers, one for each {universe.unit} in the "
            f"order of the universe, got shape {numbers.shape}."
        )
    return dict(zip(universe.candidates, numbers.tolist()))


def _numbers(universe: Universe, strengths: Mapping[Candidate, float]) -> np.ndarray:
    _check_known(universe, strengths)
    missing = [c for c in universe.candidates if c not in strengths]
    if missing:
        raise ExplanationError(
            f"strengths: expected one for each of {len(universe)} {universe.unit}s, got none for "
            f"{len(missing)}, the first {shown(missing[0])}. Give -inf to what was ruled out, or "
            "pass members= for a set."
        )
    try:
        numbers = np.array([float(strengths[c]) for c in universe.candidates])
    except (TypeError, ValueError) as error:
        raise ExplanationError(f"strengths: expected a number each: {error}.") from error
    bad = np.flatnonzero(np.isnan(numbers) | (numbers == np.inf))
    if len(bad):
        raise ExplanationError(
            f"strengths: expected numbers, or -inf for what was ruled out, got "
            f"{numbers[bad[0]]} for {shown(universe.candidates[bad[0]])} "
            f"({len(bad)} of {len(numbers)})."
        )
    return numbers


def _check_known(universe: Universe, candidates: Iterable[Candidate]) -> None:
    for candidate in candidates:
        if candidate not in universe.place:
            known = (shown(c) for c in universe.candidates)
            raise UnknownName(f"{universe.unit} of this model", shown(candidate), known)
