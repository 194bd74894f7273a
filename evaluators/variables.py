"""Causal variables: whether a claimed subspace carries what the causal model says it does.

Interchange puts what a subspace holds on one input into the run on another, and asks whether the
outputs are those of the causal model: on pairs that tell, on which an answer changes, and on all.
Beside it stand random subspaces of equal dimension, the whole layer, and what the same method makes
of an untrained model. A claim can pass and be elsewhere than planted: subspaces are compared too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from groundtruth import seeds
from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import Undefined
from groundtruth.evaluators.registry import UNIT
from groundtruth.evaluators.statistics import wilson
from groundtruth.evaluators.variable_runs import DRAWS, VariableRuns
from groundtruth.result import Direction, Metric, Result, undefined
from groundtruth.variable_subject import activations
from groundtruth.variable_testbed import VariableTestbed
from groundtruth.variable_truth import CausalVariable, VariableTruth

Method = Callable[..., Alignment]
"""method(subject, *, seed=...)."""


def _entry(
    id: str,
    summary: str,
    unit: str,
    direction: Direction = "max",
    range: tuple[float, float] = UNIT,
) -> Metric:
    return Metric(id, 1, summary, direction, range, unit)


IIA = _entry(
    "cv.iia", "P[model interchanged = causal model interchanged], where that tells", "pair"
)
IIA_ALL = _entry("cv.iia_all", "the same on pairs as they come", "pair")
CAUSE = _entry("cv.cause", "P[the variable then has the source's value], where it had not", "pair")
ISO = _entry("cv.iso", "P[other variables keep theirs], where the source has others", "pair")
CAUSE_ISO = _entry("cv.cause_iso", "(cause + iso) / 2", "pair")
COVERAGE = _entry("cv.subspace_coverage", "|U'V|^2 / dim U, U where values differ", "variable")
PURITY = _entry("cv.subspace_purity", "|U'V|^2 / dim V, U planted, V claimed", "variable")
ANGLE = _entry(
    "cv.subspace_angle",
    "largest angle, in degrees, of where values differ to what is claimed",
    "variable",
    "min",
    (0.0, 90.0),
)
SELECTIVITY = _entry(
    "cv.iia_selectivity",
    "iia - iia of the same method on an untrained model",
    "pair",
    "max",
    (-1.0, 1.0),
)
PROBE = _entry("probe.accuracy", "P[value read off activations = the variable's]", "token")
PROBE_SELECTIVITY = _entry(
    "probe.selectivity",
    "accuracy - accuracy of the same probe on random labels of tokens",
    "token",
    "max",
    (-1.0, 1.0),
)


class Twin(NamedTuple):
    """Another testbed of the same hypothesis, and what the same method claims of it."""

    testbed: VariableTestbed
    alignment: Alignment


def planted_alignment(truth: VariableTruth) -> Alignment:
    """The oracle: the planted subspaces, with the planted values read off them."""
    return Alignment(
        {
            v.name: Subspace(v.site, v.basis, decode=None if v.values is None else v.decode)
            for v in truth.variables
        },
        name="planted",
    )


def score_method(
    testbed: VariableTestbed, method: Method, *, seed: int = 0, n: int = 500
) -> dict[str, Result]:
    """Every score of a method: it is run on the testbed, on an untrained model of the same shape,
    and, if it decodes, on a control task.

    Args:
        method: `method(subject, *, seed=...)` -> Alignment.
        seed: of the method, of the untrained model, and of the control task.
        n: pairs, or inputs, of each score.
    """
    alignment = method(testbed.subject, seed=seed)
    fresh, task = testbed.untrained(seed=seed), testbed.control(seed=seed)
    untrained = Twin(fresh, method(fresh.subject, seed=seed))
    control = None
    if any(subspace.decode is not None for subspace in alignment.subspaces.values()):
        control = Twin(task, method(task.subject, seed=seed))
    return score_variables(testbed, alignment, untrained=untrained, control=control, n=n)


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

    Example, the planted subspaces:
        >>> from groundtruth.generators.hierarchical_equality import hierarchical_equality
        >>> testbed = hierarchical_equality(4)
        >>> scores = score_variables(testbed, planted_alignment(testbed.truth), n=100)
        >>> scores["cv.iia"].value, scores["cv.iso"].value
        (1.0, 1.0)
    """
    claims = {name: alignment.subspaces.get(name) for name in testbed.hypothesis}
    results = [
        *_interchanges(testbed, claims, untrained, n, seed),
        *_subspaces(testbed, claims, seed),
        *_probes(testbed, claims, control, n, seed),
    ]
    return {result.metric.id: result for result in results}


Claims = Mapping[str, Subspace | None]


def _interchanges(
    testbed: VariableTestbed, claims: Claims, untrained: Twin | None, n: int, seed: int
) -> list[Result]:
    oracle = planted_alignment(testbed.truth)
    runs = {name: VariableRuns(testbed, name, n, seed) for name in claims}
    found = {name: runs[name].outcome(claim) for name, claim in claims.items()}
    floors = {name: runs[name].floor(claim) for name, claim in claims.items()}
    ceilings = {name: runs[name].outcome(oracle[name]) for name in claims}
    parameters = _described(claims) | {
        "whole_layer": {name: runs[name].whole_layer(claim) for name, claim in claims.items()},
    }
    results = {}
    for entry in (IIA, IIA_ALL, CAUSE, ISO):
        key = entry.id.removeprefix("cv.")
        part, low, high = (
            {name: one[key] for name, one in by.items()} for by in (found, floors, ceilings)
        )
        results[key] = _shares(entry, part, low, high, parameters)
    both = _both(results["cause"], results["iso"], parameters)
    free = [name for name, claim in claims.items() if claim is not None and claim.featurizer]
    if free and untrained is None:
        reason = (
            f"{', '.join(free)}: a map that is not linear can find any variable in any model. Pass "
            "untrained=, what the same method claims of testbed.untrained()"
        )
        for key in ("iia", "iia_all"):
            results[key] = undefined(results[key].metric, reason, **parameters)
    return [*results.values(), both, _selectivity(results["iia"], untrained, n, seed, parameters)]


def _shares(
    entry: Metric,
    found: Mapping[str, np.ndarray],
    floors: Mapping[str, np.ndarray],
    ceilings: Mapping[str, np.ndarray],
    parameters: dict[str, Any],
) -> Result:
    """The mean over variables of the share of pairs, beside those of floor and ceiling."""
    defined = [name for name, right in found.items() if len(right)]
    parameters = parameters | {"undefined": [name for name in found if name not in defined]}
    if not defined:
        return undefined(entry, "no pair on which it is defined", **parameters)
    total = sum(len(found[name]) for name in defined)
    value, floor, ceiling = (
        float(np.mean([by[name].mean() for name in defined])) for by in (found, floors, ceilings)
    )
    _, low, high = wilson(value * total, total)
    result = Result(
        entry,
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
        return undefined(SELECTIVITY, "no claim about an untrained model was given", **parameters)
    if iia.value is None or iia.ceiling is None:
        return undefined(SELECTIVITY, "cv.iia is undefined", **parameters)
    twin, alignment = untrained
    claims = {name: alignment.subspaces.get(name) for name in twin.hypothesis}
    runs = {name: VariableRuns(twin, name, n, seed) for name in claims}
    defined = {name: c for name, c in claims.items() if len(runs[name].telling)}
    there = float(np.mean([runs[name].outcome(c)["iia"].mean() for name, c in defined.items()]))
    random = float(np.mean([runs[name].floor(c)["iia"].mean() for name, c in defined.items()]))
    parameters = parameters | {"untrained_iia": there, "untrained_random_iia": random}
    result = Result(SELECTIVITY, iia.value - there, n_units=iia.n_units, parameters=parameters)
    kind = "planted subspaces, less random ones on the untrained model"
    return result.between(0.0, "as much on an untrained model", iia.ceiling - random, kind)


def _subspaces(testbed: VariableTestbed, claims: Claims, seed: int) -> list[Result]:
    """Principal angles between where a variable is planted and where it is claimed."""
    pairs, reasons = {}, []
    for name, claim in claims.items():
        truth = testbed.truth[name]
        try:
            pairs[name] = (truth, _comparable(testbed, truth, claim))
        except Undefined as reason:
            reasons.append(f"{name}: {reason}")
    parameters = _described(claims) | {"undefined": reasons}
    if not pairs:
        return [undefined(e, "; ".join(reasons), **parameters) for e in (COVERAGE, PURITY, ANGLE)]
    rng = seeds.generator(seeds.root_of("subspaces", seed))
    results = []
    for entry, score in ((COVERAGE, _coverage), (PURITY, _purity), (ANGLE, _angle)):
        values = {name: score(*pair) for name, pair in pairs.items()}
        random = [
            score(truth, np.linalg.qr(rng.normal(size=rows.T.shape))[0].T)
            for truth, rows in pairs.values()
            for _ in range(20)
        ]
        best = [score(truth, truth.basis) for truth, _ in pairs.values()]
        result = Result(
            entry,
            float(np.mean(list(values.values()))),
            n_units=len(values),
            parameters=parameters,
            evidence={name: np.array([value]) for name, value in values.items()},
        )
        floor = float(np.mean(random))
        if entry is COVERAGE:  # E |U'V|^2 = dim U dim V / width
            floor = float(np.mean([len(rows) / rows.shape[1] for _, rows in pairs.values()]))
        if entry is PURITY:
            floor = float(np.mean([len(t.basis) / t.basis.shape[1] for t, _ in pairs.values()]))
        kind = "random subspaces of equal dimension"
        results.append(result.between(floor, kind, float(np.mean(best)), "planted subspaces"))
    return results


def _comparable(
    testbed: VariableTestbed, truth: CausalVariable, claim: Subspace | None
) -> np.ndarray:
    """The claimed rows.

    Raises:
        Undefined: the truth names no subspace there.
    """
    sites = testbed.sites
    if claim is None:
        raise Undefined("not claimed")
    if claim.featurizer is not None:
        raise Undefined("claimed of a map of activations")
    carried = sites[sites.index(truth.site) :] if truth.site in sites else (truth.site,)
    if claim.site not in carried:
        raise Undefined(f"planted from {truth.site} on, claimed at {claim.site}")
    return claim.basis


def _moving(truth: CausalVariable) -> np.ndarray:
    """(r, width) orthonormal rows: the directions between values. Of one-hot values they are one
    fewer than values: what all share never moves."""
    if not len(truth.points):
        return truth.basis
    _, size, rows = np.linalg.svd(truth.points - truth.points.mean(0))
    return rows[: int((size > 1e-9).sum())] @ truth.basis


def _coverage(truth: CausalVariable, rows: np.ndarray) -> float:
    moving = _moving(truth)
    return float(np.square(moving @ rows.T).sum() / len(moving))


def _purity(truth: CausalVariable, rows: np.ndarray) -> float:
    return float(np.square(truth.basis @ rows.T).sum() / len(rows))


def _angle(truth: CausalVariable, rows: np.ndarray) -> float:
    moving = _moving(truth)
    # The sine is exact where the cosine is flat.
    away = moving - moving @ rows.T @ rows
    return math.degrees(math.asin(min(1.0, float(np.linalg.norm(away, 2)))))


def _probes(
    testbed: VariableTestbed, claims: Claims, control: Twin | None, n: int, seed: int
) -> list[Result]:
    parameters = _described(claims)
    decoded = {name: c for name, c in claims.items() if c is not None and c.decode is not None}
    if not decoded:
        reason = "no decoder is claimed"
        return [undefined(entry, reason, **parameters) for entry in (PROBE, PROBE_SELECTIVITY)]
    oracle = planted_alignment(testbed.truth)
    read = {name: _read(testbed, name, claim, n, seed) for name, claim in decoded.items()}
    best = {name: _read(testbed, name, oracle[name], n, seed) for name in decoded}
    majority = [_majority(testbed, name, n, seed) for name in decoded]
    parameters |= {"not_decoded": [name for name in claims if name not in decoded]}
    value, ceiling = (float(np.mean([r.mean() for r in by.values()])) for by in (read, best))
    total = sum(len(r) for r in read.values())
    accuracy = Result(PROBE, value, n_units=total, parameters=parameters, evidence=dict(read))
    floor = float(np.mean(majority))
    accuracy = accuracy.between(floor, "majority value", ceiling, "planted subspaces")
    if control is None:
        return [accuracy, undefined(PROBE_SELECTIVITY, "no control task was given", **parameters)]
    task, claim = control
    theirs = {name: claim.subspaces.get(name) for name in decoded}
    there = [
        _read(task, name, c, n, seed).mean()
        for name, c in theirs.items()
        if c is not None and c.decode is not None
    ]
    if len(there) < len(decoded):
        reason = "the claim about the control task decodes fewer variables"
        return [accuracy, undefined(PROBE_SELECTIVITY, reason, **parameters)]
    mean = float(np.mean(there))
    parameters = parameters | {"control_accuracy": mean}
    result = Result(PROBE_SELECTIVITY, value - mean, n_units=total, parameters=parameters)
    guessed = float(np.mean([_majority(task, name, n, seed) for name in decoded]))
    return [
        accuracy,
        result.between(
            0.0,
            "as much on random labels",
            ceiling - guessed,
            "planted subspaces, and the majority of the control's labels",
        ),
    ]


def _read(testbed: VariableTestbed, name: str, claim: Subspace, n: int, seed: int) -> np.ndarray:
    """(token,) whether the value is read right."""
    inputs = testbed.labelled(name, n, seed=seed)
    assert claim.decode is not None
    found = list(claim.decode(activations(testbed.model, inputs, claim.site)))
    values = testbed.values(name)
    return np.array([values[k] == one for k, one in zip(inputs.labels[inputs.there], found)])


def _majority(testbed: VariableTestbed, name: str, n: int, seed: int) -> float:
    inputs = testbed.labelled(name, n, seed=seed)
    labels = inputs.labels[inputs.there]
    return float(np.bincount(labels).max() / len(labels))


def _described(claims: Claims) -> dict[str, Any]:
    return {
        "sites": {name: None if c is None else c.site for name, c in claims.items()},
        "dims": {name: 0 if c is None else c.dim for name, c in claims.items()},
        "linear": all(c is None or c.featurizer is None for c in claims.values()),
    }
