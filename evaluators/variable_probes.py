"""Whether claimed decoders read the values of variables, and more than they could memorise."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundtruth.alignment import Subspace
from groundtruth.errors import ExplanationError
from groundtruth.evaluators.variable_claims import (
    SIGNED,
    Claims,
    Twin,
    claims_of,
    described,
    entry,
    planted_alignment,
)
from groundtruth.result import Result, undefined
from groundtruth.variable_subject import activations
from groundtruth.variable_testbed import VariableTestbed

ACCURACY = entry("probe.accuracy", "P[value read off activations = the variable's]", "token")
SELECTIVITY = entry(
    "probe.selectivity",
    "accuracy - accuracy of the same probe on random labels of tokens",
    "token",
    "max",
    SIGNED,
)


def probe_scores(
    testbed: VariableTestbed, claims: Claims, control: Twin | None, n: int, seed: int
) -> list[Result]:
    """Accuracy of the decoders that are claimed, and their selectivity."""
    decoded = _decoded(claims)
    parameters = described(claims) | {"not_decoded": [c for c in claims if c not in decoded]}
    if not decoded:
        reason = "no decoder is claimed"
        return [undefined(metric, reason, **parameters) for metric in (ACCURACY, SELECTIVITY)]
    read = {name: _read(testbed, name, claim, n, seed) for name, claim in decoded.items()}
    value = float(np.mean([right.mean() for right in read.values()]))
    total = sum(len(right) for right in read.values())
    planted = planted_alignment(testbed.truth)
    best = float(np.mean([_read(testbed, v, planted[v], n, seed).mean() for v in decoded]))
    floor = float(np.mean([_majority(testbed, v, n, seed) for v in decoded]))
    accuracy = Result(ACCURACY, value, n_units=total, parameters=parameters, evidence=read)
    accuracy = accuracy.between(floor, "majority value", best, "planted subspaces")
    if control is None:
        return [accuracy, undefined(SELECTIVITY, "no control task was given", **parameters)]
    task, alignment, reason = control
    if alignment is None:
        return [accuracy, undefined(SELECTIVITY, reason, **parameters)]
    theirs = _decoded(claims_of(task, alignment))
    if not decoded.keys() <= theirs.keys():
        reason = "the claim about the control task decodes fewer variables"
        return [accuracy, undefined(SELECTIVITY, reason, **parameters)]
    there = float(np.mean([_read(task, v, theirs[v], n, seed).mean() for v in decoded]))
    guessed = float(np.mean([_majority(task, v, n, seed) for v in decoded]))
    parameters = parameters | {"control_accuracy": there}
    result = Result(SELECTIVITY, value - there, n_units=total, parameters=parameters)
    kind = "planted subspaces, less the majority of the control's labels"
    return [accuracy, result.between(0.0, "as much on random labels", best - guessed, kind)]


def _decoded(claims: Claims) -> dict[str, Subspace]:
    """Those with a decoder."""
    return {v: c for v, c in claims.items() if c is not None and c.decode is not None}


def _read(testbed: VariableTestbed, name: str, claim: Subspace, n: int, seed: int) -> np.ndarray:
    """(token,) whether the value is read right."""
    inputs = testbed.labelled(name, n, seed=seed)
    found = read_values(claim, activations(testbed.model, inputs, claim.site))
    values = testbed.values(name)
    return np.array([values[k] == one for k, one in zip(inputs.labels[inputs.there], found)])


def read_values(claim: Subspace, x: np.ndarray) -> list[Any]:
    """What the claimed decoder reads off activations (row, width).

    Raises:
        ExplanationError: it fails, or does not give one value for each row.
    """
    assert claim.decode is not None
    try:
        found = list(claim.decode(x))
    except Exception as error:
        raise ExplanationError(
            f"decode at {claim.site}: expected a value for each row of an array of shape "
            f"{x.shape}, got {type(error).__name__}: {error}."
        ) from error
    if len(found) != len(x):
        raise ExplanationError(
            f"decode at {claim.site}: expected {len(x)} values, one for each row, got {len(found)}."
        )
    return found


def _majority(testbed: VariableTestbed, name: str, n: int, seed: int) -> float:
    inputs = testbed.labelled(name, n, seed=seed)
    labels = inputs.labels[inputs.there]
    return float(np.bincount(labels).max() / len(labels))
