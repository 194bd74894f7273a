"""Rows that every circuit testbed has: what the truth itself scores, and claims of all or nothing.

The control that ranks at random is a method like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from groundtruth.circuit_testbed import CircuitTestbed
from groundtruth.circuit_truth import Members, TruthSet
from groundtruth.errors import Undefined


@dataclass(frozen=True)
class Row:
    """One row: id, kind, what it is, and the claim; that raises Undefined where it is not known."""

    id: str
    kind: Literal["oracle", "control"]
    summary: str
    members: Callable[[CircuitTestbed, TruthSet], Members]


def _truth(testbed: CircuitTestbed, against: TruthSet) -> Members:
    return testbed.truth.members(against)


def _smallest(testbed: CircuitTestbed, against: TruthSet) -> Members:
    if not testbed.truth.circuits:
        raise Undefined("no minimal valid circuit is known")
    return testbed.truth.circuits[0]


def _whole(testbed: CircuitTestbed, against: TruthSet) -> Members:
    return frozenset(testbed.universe.candidates)


def _empty(testbed: CircuitTestbed, against: TruthSet) -> Members:
    return frozenset()


ROWS: tuple[Row, ...] = (
    Row("O0-truth", "oracle", "the set of the truth that is scored against", _truth),
    Row("O1-smallest", "oracle", "the smallest minimal valid circuit", _smallest),
    Row("C0-whole", "control", "all candidates, equally strong", _whole),
    Row("C1-empty", "control", "none of the candidates", _empty),
)
