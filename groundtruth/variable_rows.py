"""Rows that every testbed of causal variables has: the planted subspaces, and claims that know
nothing of them but their size, or nothing at all.

The controls that choose their own sites are methods like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from groundtruth import seeds
from groundtruth.alignment import Alignment, Subspace
from groundtruth.evaluators.variable_claims import planted_alignment
from groundtruth.variable_testbed import VariableTestbed


@dataclass(frozen=True)
class Row:
    """One row: id, kind, what it is, and the claim."""

    id: str
    kind: Literal["oracle", "control"]
    summary: str
    claim: Callable[[VariableTestbed], Alignment]


def _planted(testbed: VariableTestbed) -> Alignment:
    return planted_alignment(testbed.truth)


def _random(testbed: VariableTestbed) -> Alignment:
    rng = seeds.generator(seeds.root_of("random row", testbed.recipe.seed))
    planted = [testbed.truth[name] for name in testbed.hypothesis]
    rows = [np.linalg.qr(rng.normal(size=variable.basis.T.shape))[0].T for variable in planted]
    return Alignment({v.name: Subspace(v.site, found) for v, found in zip(planted, rows)})


def _whole(testbed: VariableTestbed) -> Alignment:
    planted = [testbed.truth[name] for name in testbed.hypothesis]
    return Alignment({v.name: Subspace(v.site, np.eye(v.basis.shape[1])) for v in planted})


ROWS: tuple[Row, ...] = (
    Row("O0-alignment", "oracle", "the planted subspaces, and the planted values", _planted),
    Row("C0-subspace", "control", "random subspaces where, and as large as, is planted", _random),
    Row("C1-layer", "control", "all that stands where a variable is planted", _whole),
)
