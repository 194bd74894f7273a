"""A model whose circuits are known: what a method may see of it, and the truth that it may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth import cache, hashing
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.circuit_truth import Bounds, CircuitTruth
from groundtruth.errors import reject
from groundtruth.model_subject import ModelSubject
from groundtruth.testbed import Recipe
from groundtruth.universe import Unit, Universe

VERSION = 2
"""Raised whenever a truth is derived in another way, so that cached ones are derived again."""

ROUTES = ("program", "enumeration")
"""Ways to a truth; see `CircuitTruth.routes`."""

Derive = Callable[[ModelSubject, Unit, float], CircuitTruth]
"""derive(subject, unit, tolerance) -> the truth."""


def by_enumeration(subject: ModelSubject, unit: Unit, tolerance: float) -> CircuitTruth:
    """The truth from all sets of the candidates that can matter; see `enumerate_circuits`."""
    return enumerate_circuits(subject, unit, tolerance=tolerance)


@dataclass(frozen=True, eq=False, repr=False)
class CircuitTestbed:
    """A model on inputs, under one ablation, with the truth about the circuits in it.

    Fields:
        recipe: from which it is built again.
        make: a new subject at each call, always the same.
        unit: whether circuits are sets of edges or of nodes.
        tolerance: the largest change of an output that counts as none, in its units.
        exhaustive: whether the subject's inputs are all there are, so that none of its means has
            an error.
        truth_class: "analytic" or "compiled".
        source: where the model comes from, in one line.
        derive: the truth; cached under the testbed's hash.

    Example:
        >>> import groundtruth as gt
        >>> testbed = gt.build("circuit/gate-or", unit="node")
        >>> [sorted(circuit) for circuit in testbed.truth.circuits]
        [['a0.h0', 'embed', 'm0'], ['a0.h1', 'embed', 'm0']]
        >>> testbed.subject.ablation
        'resample'
    """

    recipe: Recipe
    make: Callable[[], ModelSubject]
    unit: Unit
    tolerance: float
    exhaustive: bool
    truth_class: str
    source: str
    derive: Derive = by_enumeration

    def __post_init__(self) -> None:
        if self.unit not in ("edge", "node"):
            raise reject("unit", self.unit, '"edge" or "node"')
        if not self.tolerance > 0:
            raise reject("tolerance", self.tolerance, "a positive number")
        _ = self.scored  # what is wrong with its settings is said when it is built

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def subject(self) -> ModelSubject:
        """What a method may see: a new one each time, so that nothing a method does to it reaches
        the next method, the truth or the scores."""
        return self.make()

    @cached_property
    def scored(self) -> ModelSubject:
        """The subject that truth and scores are computed on; never handed to a method."""
        return self.make()

    @cached_property
    def hash(self) -> str:
        """Of the weights, the inputs, the ablation, and what the metric says of both ends."""
        subject = self.scored
        nothing = np.zeros((1, len(self.universe)), dtype=bool)
        ends = [subject.outputs(), subject.ablated(self.unit, nothing)]
        values = [subject.metric(end)[0].double().cpu().numpy() for end in ends]
        described = {
            "model": self.universe.model,
            "condition": str(subject.condition),
            "inputs": subject.condition.inputs,
            "unit": self.unit,
            "granularity": subject.granularity,
            "tolerance": self.tolerance,
        }
        # Adding 0 turns a rounded -0 into 0.
        return hashing.content_hash(described, {"metric": np.round(values, 4) + 0.0})

    @property
    def universe(self) -> Universe:
        """The candidates."""
        return self.scored.universe(self.unit)

    @cached_property
    def truth(self) -> CircuitTruth:
        """Which candidates the model uses."""

        def derived() -> dict[str, np.ndarray]:
            return _arrays(self.derive(self.scored, self.unit, self.tolerance))

        described = {"testbed": self.hash, "derive": self.derive.__name__, "version": VERSION}
        return _truth(self, cache.cached("circuit truth", derived, description=described))

    def __repr__(self) -> str:
        return (
            f"<CircuitTestbed {self.name}: {len(self.universe)} {self.unit}s, "
            f"{self.scored.condition}, {self.hash[:12]}>"
        )


def _arrays(truth: CircuitTruth) -> dict[str, np.ndarray]:
    """The truth as flags over the candidates."""
    bounds = [truth.core.lower, truth.core.upper, truth.relevant.lower, truth.relevant.upper]
    sets = [truth.structural, truth.singly_active, *bounds, *truth.circuits]
    candidates = truth.universe.candidates
    flags = np.array([[c in members for c in candidates] for members in sets], dtype=bool)
    routes = np.array([route in truth.routes for route in ROUTES])
    return {"sets": flags, "complete": np.array(truth.complete), "routes": routes}


def _truth(testbed: CircuitTestbed, arrays: dict[str, np.ndarray]) -> CircuitTruth:
    universe = testbed.universe
    structural, singly, *bounds = (universe.members(row) for row in arrays["sets"])
    core, relevant, circuits = bounds[:2], bounds[2:4], bounds[4:]
    return CircuitTruth(
        universe=universe,
        condition=testbed.scored.condition,
        tolerance=testbed.tolerance,
        structural=structural,
        singly_active=singly,
        core=Bounds(*core),
        relevant=Bounds(*relevant),
        circuits=tuple(circuits),
        complete=bool(arrays["complete"]),
        routes=tuple(route for route, taken in zip(ROUTES, arrays["routes"]) if taken),
    )
