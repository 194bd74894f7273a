"""Causal variables: whether a claimed subspace carries what the causal model says it does.

Interchange puts what a subspace holds on one input into the run on another, and asks whether the
outputs are those of the causal model: on pairs that tell, on which an answer changes, and on all.
Beside it stand random subspaces of equal dimension, the whole layer, and what the same method makes
of an untrained model. A claim can pass and be elsewhere than planted: subspaces are compared too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groundtruth.alignment import Alignment
from groundtruth.evaluators import variable_probes as probes
from groundtruth.evaluators.statistics import wilson
from groundtruth.evaluators.variable_claims import (
    SIGNED,
    Claims,
    Twin,
    claims_of,
    described,
    entry,
    planted_alignment,
)
from groundtruth.evaluators.variable_runs import DRAWS, VariableRuns
from groundtruth.evaluators.variable_subspaces import ANGLE, COVERAGE, PURITY, subspace_scores
from groundtruth.result import Metric, Result, undefined
from groundtruth.variable_testbed import VariableTestbed

IIA = entry("cv.iia", "P[model interchanged = causal model interchanged], where that tells", "pair")
IIA_ALL = entry("cv.iia_all", "the same on pairs as they come", "pair")
CAUSE = entry("cv.cause", "P[the variable then has the source's value], where it had not", "pair")
ISO = entry("cv.iso", "P[other variables keep theirs], where the source has others", "pair")
CAUSE_ISO = entry("cv.cause_iso", "(cause + iso) / 2", "pair")
SELECTIVITY = entry(
    "cv.iia_selectivity",
    "iia - iia of the same method on an untrained model",
    "pair",
    "max",
    SIGNED,
)


_NO_CLAIM = "what the same method claims of an untrained model is not known"

METRICS = {
    metric.id: metric
    for metric in (
        IIA,
        IIA_ALL,
        CAUSE,
        ISO,
        CAUSE_ISO,
        SELECTIVITY,
        COVERAGE,
        PURITY,
        ANGLE,
        probes.ACCURACY,
        probes.SELECTIVITY,
    )
}
"""Every score, by id."""


def score_variables(
    testbed: VariableTestbed,
    alignment: Alignment,
    *,
    untrained: Twin | None = None,
    control: Twin | None = None,
    n: int = 500,
    seed: int = 0,
) -> dict[str, Result]:
    """Every score of an alignment, as means over the variables of the hypothesis.

    A variable that is not claimed counts as if nothing were interchanged. What is not defined for a
    variable (a subspace at a site where the truth names none) is left out of that mean, and named.

    Args:
        untrained: `testbed.untrained()` with what the method claims there. Without it
            cv.iia_selectivity is undefined, and so is interchange through a map that is not linear:
            such maps reach it on any model.
        control: `testbed.control()` with what the method claims there, for probe.selectivity.
        n: pairs, or inputs, of each score and variable.
        seed: of the scoring draws.

    Returns:
        Results by id. The floor of interchange and of cause and iso is that of random subspaces of
        equal dimension at the claimed sites; the ceiling is that of the planted subspaces.

    Raises:
        ExplanationError: a basis that is not as wide as its site.
        UnknownName: a site that the model has not.

    Interchange accuracy is not a measure of being right about the place, and cv.iia_all is none of
    anything alone: it counts the pairs on which doing nothing is right.

    Source: Geiger et al., "Finding Alignments Between Interpretable Causal Variables and
    Distributed Neural Representations", 2023, https://arxiv.org/abs/2303.02536; of cause and iso:
    Huang et al., "RAVEL: Evaluating Interpretability Methods on Disentangling Language Model
    Representations", 2024, https://arxiv.org/abs/2402.17700 (there read off prompts for each
    attribute, here off the planted subspaces)

    Example, the planted subspaces:
        >>> from groundtruth.generators.hierarchical_equality import hierarchical_equality
        >>> testbed = hierarchical_equality(4)
        >>> scores = score_variables(testbed, planted_alignment(testbed.truth), n=100)
        >>> scores["cv.iia"].value, scores["cv.iso"].value
        (1.0, 1.0)
    """
    claims = claims_of(testbed, alignment)
    results = [
        *_interchanges(testbed, claims, untrained, n, seed),
        *subspace_scores(testbed, claims, seed),
        *probes.probe_scores(testbed, claims, control, n, seed),
    ]
    return {result.metric.id: result for result in results}


def _interchanges(
    testbed: VariableTestbed, claims: Claims, untrained: Twin | None, n: int, seed: int
) -> list[Result]:
    oracle = planted_alignment(testbed.truth)
    runs = {name: VariableRuns(testbed, name, n, seed) for name in claims}
    found = {name: runs[name].outcome(claim) for name, claim in claims.items()}
    floors = {name: runs[name].floor(claim) for name, claim in claims.items()}
    ceilings = {name: runs[name].outcome(oracle[name]) for name in claims}
    parameters = described(claims) | {
        "whole_layer": {name: runs[name].whole_layer(claim) for name, claim in claims.items()},
    }
    results = {}
    for metric in (IIA, IIA_ALL, CAUSE, ISO):
        key = metric.id.removeprefix("cv.")
        part, low, high = (
            {name: one[key] for name, one in by.items()} for by in (found, floors, ceilings)
        )
        results[key] = _shares(metric, part, low, high, parameters)
    both = _both(results["cause"], results["iso"], parameters)
    free = [name for name, claim in claims.items() if claim is not None and claim.featurizer]
    if free and (untrained is None or untrained.alignment is None):
        reason = (
            f"{', '.join(free)}: a map that is not linear can find any variable in any model, and "
            + (_NO_CLAIM if untrained is None else untrained.reason)
        )
        for key in ("iia", "iia_all"):
            results[key] = undefined(results[key].metric, reason, **parameters)
    return [*results.values(), both, _selectivity(results["iia"], untrained, n, seed, parameters)]


def _shares(
    metric: Metric,
    found: Mapping[str, np.ndarray],
    floors: Mapping[str, np.ndarray],
    ceilings: Mapping[str, np.ndarray],
    parameters: dict[str, Any],
) -> Result:
    """The mean over variables of the share of pairs, beside those of floor and ceiling."""
    defined = [name for name, right in found.items() if len(right)]
    parameters = parameters | {"undefined": [name for name in found if name not in defined]}
    if not defined:
        return undefined(metric, "no pair on which it is defined", **parameters)
    total = sum(len(found[name]) for name in defined)
    value, floor, ceiling = (
        float(np.mean([by[name].mean() for name in defined])) for by in (found, floors, ceilings)
    )
    _, low, high = wilson(value * total, total)
    result = Result(
        metric,
        value,
        n_units=total,
        low=low,
        high=high,
        interval_method="Wilson, over pairs",
        parameters=parameters,
        evidence={name: found[name] for name in defined},
    )
    kind = f"random subspaces of equal dimension at the same sites, mean of {DRAWS}"
    return result.between(floor, kind, ceiling, "planted subspaces")


def _both(cause: Result, iso: Result, parameters: dict[str, Any]) -> Result:
    if cause.value is None or iso.value is None:
        return undefined(CAUSE_ISO, "cause or iso is undefined", **parameters)
    value, floor, ceiling = (
        (one + other) / 2
        for one, other in (
            (cause.value, iso.value),
            (cause.floor, iso.floor),
            (cause.ceiling, iso.ceiling),
        )
        if one is not None and other is not None
    )
    result = Result(CAUSE_ISO, value, n_units=cause.n_units, parameters=parameters)
    return result.between(floor, cause.floor_kind, ceiling, cause.ceiling_kind)


def _selectivity(
    iia: Result, untrained: Twin | None, n: int, seed: int, parameters: dict[str, Any]
) -> Result:
    if untrained is None:
        return undefined(SELECTIVITY, _NO_CLAIM, **parameters)
    twin, alignment, reason = untrained
    if alignment is None:
        return undefined(SELECTIVITY, reason, **parameters)
    if iia.value is None or iia.ceiling is None:
        return undefined(SELECTIVITY, "cv.iia is undefined", **parameters)
    claims = claims_of(twin, alignment)
    runs = {name: VariableRuns(twin, name, n, seed) for name in claims}
    defined = {name: c for name, c in claims.items() if len(runs[name].telling)}
    there = float(np.mean([runs[name].outcome(c)["iia"].mean() for name, c in defined.items()]))
    random = float(np.mean([runs[name].floor(c)["iia"].mean() for name, c in defined.items()]))
    parameters = parameters | {"untrained_iia": there, "untrained_random_iia": random}
    result = Result(SELECTIVITY, iia.value - there, n_units=iia.n_units, parameters=parameters)
    kind = "planted subspaces, less random ones on the untrained model"
    return result.between(0.0, "as much on an untrained model", iia.ceiling - random, kind)
