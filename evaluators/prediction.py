"""Prediction on novel inputs: does a claim say what the model does, where nobody has shown it?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from groundtruth.evaluators.registry import REAL, UNIT
from groundtruth.evaluators.statistics import t_interval
from groundtruth.prediction_testbed import HeldOut, PredictionTestbed, PredictionTruth
from groundtruth.predictor import Predictor
from groundtruth.result import Metric, Result, undefined

SETS = ("iid", "combinations", "longer", "intervened")
CEILING = "the causal model of the program"


def _entry(name: str, summary: str, range: tuple[float, float] = UNIT) -> Metric:
    return Metric(f"pred.{name}", 1, summary, "max", range, "sequence")


AGREEMENT = {
    s: _entry(f"agreement.{s}", "mean share of positions where the claim is what the model says")
    for s in SETS
}
R2 = {
    s: _entry(f"r2.{s}", "1 - sum (y - claim)^2 / sum (y - mean y)^2 over outputs", REAL)
    for s in SETS
}
SKILL = {
    s: _entry(f"skill.{s}", "(agreement - surrogate's) / (1 - surrogate's)", REAL) for s in SETS
}
OOD_GAP = {
    s: Metric(f"pred.ood_gap.{s}", 1, "agreement on iid less that here", "min", REAL, "sequence")
    for s in SETS[1:]
}


def score_prediction(
    testbed: PredictionTestbed, predictor: Predictor, *, surrogates: Iterable[Predictor] = ()
) -> dict[str, Result]:
    """What a claim predicts, on each test set of the testbed.

    Args:
        testbed: the tests.
        predictor: the claim. `groundtruth.methods.prediction.circuit_predictor` makes one from a
            circuit.
        surrogates: claims that have seen as many answers and nothing of the model's inside. The
            best of them on each test set is what skill is counted from, which is hard on the claim.

    Returns:
        Results by id, such as "pred.agreement.longer". The floor of agreement is the best constant
        on the very test, that of r2 its mean. Skill is 0 for a claim that says no more than the
        surrogate, and undefined without one, or where that is always right.

    Raises:
        ExplanationError: a claim of another shape, or of numbers that are not finite.

    Not a measure of why: a claim may be right for other reasons than the model.
    """
    truth = testbed.truth
    own = {name: _shares(truth, parts, predictor) for name, parts in truth.sets.items()}
    others = list(surrogates)
    found: list[Result] = []
    for name, parts in truth.sets.items():
        parameters = {"set": name, "queries": testbed.recipe.parameters["queries"]}
        mean, low, high = t_interval(own[name])
        found.append(
            Result(
                AGREEMENT[name],
                mean,
                n_units=len(own[name]),
                low=_finite(low),
                high=_finite(high),
                interval_method="Student over sequences",
                floor=_best_constant(truth, parts),
                floor_kind="best constant",
                ceiling=1.0,
                ceiling_kind=CEILING,
                parameters=parameters,
                evidence={"share": own[name]},
            )
        )
        found.append(_r2(truth, parts, predictor, R2[name]))
        found.append(_skill(truth, parts, others, SKILL[name], mean))
        if name != "iid":
            gap = float(own["iid"].mean()) - mean
            found.append(
                Result(
                    OOD_GAP[name],
                    gap,
                    n_units=len(own[name]),
                    floor=1.0,
                    floor_kind="right on iid alone",
                    ceiling=0.0,
                    ceiling_kind=CEILING,
                    parameters=parameters,
                )
            )
    return {result.metric.id: result for result in found}


def _claims(part: HeldOut, predictor: Predictor) -> np.ndarray:
    return predictor(part.tokens, part.interchange, n_outputs=part.outputs.shape[-1])


def _shares(truth: PredictionTruth, parts: Iterable[HeldOut], predictor: Predictor) -> np.ndarray:
    """(sequence,) share of counted positions that agree."""
    return np.concatenate(
        [_mean(_agrees(truth, part.outputs, _claims(part, predictor)), part) for part in parts]
    )


def _agrees(truth: PredictionTruth, outputs: np.ndarray, claims: np.ndarray) -> np.ndarray:
    if truth.kind == "categorical":
        return np.equal(outputs.argmax(-1), claims.argmax(-1))
    return np.all(np.abs(outputs - claims) <= truth.tolerance, axis=-1)


def _mean(right: np.ndarray, part: HeldOut) -> np.ndarray:
    return (right & part.counted).sum(1) / part.counted.sum(1)


def _best_constant(truth: PredictionTruth, parts: tuple[HeldOut, ...]) -> float:
    """The agreement of the output that agrees most."""
    outputs = np.concatenate([part.outputs[part.counted] for part in parts])
    if truth.kind == "categorical":
        constants = np.eye(outputs.shape[-1])[np.unique(outputs.argmax(-1))]
    else:
        constants = np.unique(np.round(outputs / truth.tolerance / 2), axis=0) * 2 * truth.tolerance
    return max(
        float(np.concatenate([_mean(_agrees(truth, p.outputs, c), p) for p in parts]).mean())
        for c in constants
    )


def _r2(
    truth: PredictionTruth, parts: tuple[HeldOut, ...], predictor: Predictor, entry: Metric
) -> Result:
    outputs = np.concatenate([part.outputs[part.counted] for part in parts]).astype(float)
    claims = np.concatenate([_claims(part, predictor)[part.counted] for part in parts])
    spread = ((outputs - outputs.mean(0)) ** 2).sum()
    if not spread > 0:
        return undefined(entry, "the outputs are the same everywhere")
    value = 1 - float(((outputs - claims) ** 2).sum() / spread)
    n = sum(len(part.tokens) for part in parts)
    return Result(entry, value, n_units=n).between(0.0, "mean of the test", 1.0, CEILING)


def _skill(
    truth: PredictionTruth,
    parts: tuple[HeldOut, ...],
    surrogates: list[Predictor],
    entry: Metric,
    mean: float,
) -> Result:
    if not surrogates:
        return undefined(entry, "no surrogate was given")
    scores = {str(s.name): float(_shares(truth, parts, s).mean()) for s in surrogates}
    best = max(scores, key=scores.__getitem__)
    if scores[best] == 1:
        return undefined(entry, f"{best} is always right: nothing is left to explain")
    n = sum(len(part.tokens) for part in parts)
    value = (mean - scores[best]) / (1 - scores[best])
    parameters = {"surrogate": best, "surrogate_agreement": scores[best]}
    result = Result(entry, value, n_units=n, parameters=parameters)
    return result.between(0.0, best, 1.0, CEILING)


def _finite(bound: float) -> float | None:
    return None if np.isnan(bound) else float(bound)
