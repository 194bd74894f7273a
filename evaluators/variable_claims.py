"""What the scores of causal variables share: claims by variable, the oracle, and their entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from groundtruth.alignment import Alignment, Subspace
from groundtruth.evaluators.registry import UNIT
from groundtruth.result import Direction, Metric
from groundtruth.variable_testbed import VariableTestbed
from groundtruth.variable_truth import VariableTruth

Claims = Mapping[str, Subspace | None]
"""Variable of the hypothesis -> where it is said to be; None: it is not claimed."""

SIGNED = (-1.0, 1.0)


class Twin(NamedTuple):
    """Another testbed of the same hypothesis, and what the same method claims of it; None: it found
    nothing there, for the reason that is given."""

    testbed: VariableTestbed
    alignment: Alignment | None
    reason: str = ""


def entry(
    id: str,
    summary: str,
    unit: str,
    direction: Direction = "max",
    range: tuple[float, float] = UNIT,
) -> Metric:
    """What is known of a score before anything is scored."""
    return Metric(id, 1, summary, direction, range, unit)


def claims_of(testbed: VariableTestbed, alignment: Alignment) -> Claims:
    """What an alignment says of each variable of the hypothesis."""
    return {name: alignment.subspaces.get(name) for name in testbed.hypothesis}


def planted_alignment(truth: VariableTruth) -> Alignment:
    """The oracle: the planted subspaces, with the planted values read off them."""
    return Alignment(
        {
            v.name: Subspace(v.site, v.basis, decode=None if v.values is None else v.decode)
            for v in truth.variables
        },
        name="planted",
    )


def described(claims: Claims) -> dict[str, Any]:
    """What enters every score, for its parameters."""
    return {
        "sites": {name: None if c is None else c.site for name, c in claims.items()},
        "dims": {name: 0 if c is None else c.dim for name, c in claims.items()},
        "linear": all(c is None or c.featurizer is None for c in claims.values()),
    }
