"""What a predictor says of its own answers: intervals, confidence and guarantees, tried."""

from __future__ import annotations

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators.prediction_answers import Answers, pairs_of
from groundtruth.evaluators.statistics import clopper_pearson
from groundtruth.prediction_testbed import PredictionTruth
from groundtruth.result import Metric, Result, undefined

KEPT = 0.8
"""Share of the answers, the surest ones, whose risk counts."""

_LEVEL = 0.95


def coverage(truth: PredictionTruth, answers: Answers, name: str, entry: Metric) -> Result:
    """The share of positions at which every output lies in its interval.

    The floor is that of the same intervals at random positions.
    """
    outputs, low, high = _intervals(truth, answers, name)
    value = float(_covered(outputs, low, high).mean())
    # One position at a time: all pairs of a thousand positions are a million.
    dealt = np.mean([_covered(outputs, lo, hi).mean() for lo, hi in zip(low, high)])
    result = Result(entry, value, n_units=len(outputs))
    return result.between(float(dealt), "the same intervals elsewhere", 1.0, "the causal model")


def width(truth: PredictionTruth, answers: Answers, name: str, entry: Metric) -> Result:
    """The mean of high - low.

    The floor is one interval that holds all outputs of the test, the ceiling what still agrees.
    """
    outputs, low, high = _intervals(truth, answers, name)
    result = Result(entry, float((high - low).mean()), n_units=len(outputs))
    least = 0.0 if truth.kind == "categorical" else 2 * truth.tolerance
    everything = float(np.ptp(outputs, axis=0).mean())
    return result.between(everything, "one interval for all", least, "what still agrees")


def selective_risk(truth: PredictionTruth, answers: Answers, name: str, entry: Metric) -> Result:
    """The share of wrong answers among the surest; of equally sure ones, the mean over all choices.

    The floor is the share among all answers, which is what a choice at random gives.
    """
    wrong, sure = [], []
    for part, said in pairs_of(truth, answers, name):
        if said.confidence is None:
            raise Undefined("the claim is equally sure everywhere")
        wrong.append(~truth.agrees(part.outputs, said.outputs)[part.counted])
        sure.append(said.confidence[part.counted])
    errors, order = np.concatenate(wrong), np.concatenate(sure)
    value, risk = risk_of_surest(errors, order, KEPT), float(errors.mean())
    parameters = {"kept": KEPT, "ties": "mean over all choices"}
    result = Result(entry, value, n_units=len(errors), parameters=parameters)
    return result.between(risk, "kept at random", 0.0, "the causal model")


def risk_of_surest(wrong: np.ndarray, confidence: np.ndarray, kept: float) -> float:
    """The share of `wrong` among the share `kept` of largest confidence, ties taken in part.

    Example, of four the two surest; then all equally sure:
        >>> risk_of_surest(np.array([0, 1, 1, 1]), np.array([9, 8, 2, 1]), 0.5)
        0.5
        >>> risk_of_surest(np.array([0, 1, 1, 1]), np.zeros(4), 0.5)
        0.75
    """
    n = kept * len(wrong)
    levels, which = np.unique(-confidence, return_inverse=True)
    size = np.bincount(which, minlength=len(levels))
    taken = np.clip(n - (size.cumsum() - size), 0, size)
    rate = np.bincount(which, wrong, minlength=len(levels)) / size
    return float(taken @ rate / n)


def violations(answers: Answers, entry: Metric) -> Result:
    """The share of sequences on which a guarantee of right answers does not hold.

    All of them where they are at most a million; else of a sample, with the one-sided bound of
    Clopper and Pearson, which without a violation is about 3 / n.
    """
    tried = answers.guarantee
    if tried is None:
        return undefined(entry, "nothing is guaranteed")
    found, n = int(tried.broken.sum()), len(tried.broken)
    # One-sided: an upper bound at level L is that of the two-sided interval at 2 L - 1.
    bound = found / n if tried.exhaustive else clopper_pearson(found, n, 2 * _LEVEL - 1).high
    parameters = {
        "longest": tried.longest,
        "domain": tried.size,
        "exhaustive": tried.exhaustive,
        "violations": found,
        "at_most": bound,
        "level": 1.0 if tried.exhaustive else _LEVEL,
    }
    return Result(
        entry,
        found / n,
        n_units=n,
        low=None if tried.exhaustive else 0.0,
        high=None if tried.exhaustive else bound,
        interval_method="" if tried.exhaustive else "one-sided Clopper-Pearson",
        floor=1.0,
        floor_kind="wrong somewhere in every sequence",
        ceiling=0.0,
        ceiling_kind="the causal model",
        parameters=parameters,
    )


def _covered(outputs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.all((outputs >= low) & (outputs <= high), axis=-1)


def _intervals(
    truth: PredictionTruth, answers: Answers, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(counted position, n_outputs) outputs, and between what they are said to lie."""
    outputs, lows, highs = [], [], []
    for part, said in pairs_of(truth, answers, name):
        if said.low is None or said.high is None:
            raise Undefined("the claim has no intervals")
        outputs.append(part.outputs[part.counted].astype(float))
        lows.append(said.low[part.counted])
        highs.append(said.high[part.counted])
    return np.concatenate(outputs), np.concatenate(lows), np.concatenate(highs)
