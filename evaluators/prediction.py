"""Prediction on novel inputs: does a claim say what the model does, where nobody has shown it?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import prediction_certainty as certainty
from groundtruth.evaluators.prediction_answers import Answers, answers_of, pairs_of
from groundtruth.evaluators.registry import REAL, UNIT
from groundtruth.evaluators.statistics import t_interval
from groundtruth.prediction_testbed import HeldOut, PredictionTestbed, PredictionTruth
from groundtruth.predictor import Predictor
from groundtruth.result import Direction, Metric, Result, undefined

SETS = ("iid", "combinations", "longer", "frequencies", "intervened", "mined")
"""Test sets; a testbed may lack the last two."""

NOVEL = "novel"
"""Stands for the mean over all test sets but "iid"."""

CEILING = "the causal model of the program"
LEAST_CHANCE = 1e-6
"""Below this a chance counts as this: a claim that rules out what happens is not infinitely bad."""

_POSITIVE = (0.0, math.inf)


def _entries(
    name: str,
    summary: str,
    direction: Direction,
    range: tuple[float, float],
    sets: Iterable[str] = SETS,
    unit: str = "position",
    version: int = 1,
) -> dict[str, Metric]:
    return {s: Metric(f"pred.{name}.{s}", version, summary, direction, range, unit) for s in sets}


AGREEMENT = _entries(
    "agreement",
    "mean share of positions where the claim is what the model says",
    "max",
    UNIT,
    (NOVEL, *SETS),
    "sequence",
)
SKILL = _entries(
    "skill",
    "(agreement - surrogate's) / (1 - surrogate's), the best surrogate's",
    "max",
    REAL,
    (NOVEL, *SETS),
    "sequence",
)
OOD_GAP = _entries("ood_gap", "agreement on iid less that here", "min", REAL, SETS[1:], "sequence")
R2 = _entries("r2", "1 - sum (y - claim)^2 / sum (y - mean y)^2 of numbers", "max", REAL, version=2)
KL = _entries(
    "kl",
    "mean of -log q(y): the divergence of the claimed chances q from what the model says, nats",
    "min",
    _POSITIVE,
)
COVERAGE = _entries(
    "coverage", "share of positions where all outputs lie in their intervals", "max", UNIT
)
WIDTH = _entries("width", "mean of high - low over outputs", "min", _POSITIVE)
SELECTIVE_RISK = _entries(
    "selective_risk", "share of wrong answers among the surest 80 %", "min", UNIT
)
VIOLATIONS = Metric(
    "pred.guarantee_violations",
    1,
    "share of all sequences in its domain on which a guarantee does not hold",
    "min",
    UNIT,
    "sequence",
)

_FAMILIES = (AGREEMENT, SKILL, OOD_GAP, R2, KL, COVERAGE, WIDTH, SELECTIVE_RISK)
METRICS = {
    metric.id: metric for metric in (*(m for f in _FAMILIES for m in f.values()), VIOLATIONS)
}
"""Every metric of predictions, by id."""


def score_prediction(
    testbed: PredictionTestbed,
    predictor: Predictor | Answers,
    *,
    surrogates: Iterable[Predictor | Answers] = (),
) -> dict[str, Result]:
    """What a claim predicts, on each test set of the testbed.

    Args:
        testbed: the tests.
        predictor: the claim, or its answers. `groundtruth.methods.prediction.circuit_predictor`
            makes one from a circuit.
        surrogates: claims that have seen as many answers and nothing of the model's inside. The
            best of them on each test set is what skill is counted from, which is hard on the claim.
            Of "novel" that is the mean over sets of the best on each.

    Returns:
        Results by id, such as "pred.agreement.longer"; "novel" stands for the mean over all sets
        but "iid". The floor of agreement and skill is the best constant on the very test, that of
        r2 its mean, that of kl how often the model says what. Skill is 0 for a claim that says no
        more than the surrogate, and undefined without one, or where that is always right. r2 is of
        numbers; kl is of categories, and needs a claim of chances; coverage and width need
        intervals, selective risk confidence. What is missing is undefined and says why, and so is
        what belongs to a set that the testbed lacks.

    Raises:
        ExplanationError: a claim of another shape, of numbers that are not finite, or of chances
            that are none.

    Not a measure of why: a claim may be right for other reasons than the model, or run it.

    Example, a claim that every answer is the first category:
        >>> import groundtruth as gt
        >>> testbed = gt.build("prediction/reverse", max_length=6, n_test=20)
        >>> first = Predictor(lambda tokens, given: np.eye(5)[np.zeros(tokens.shape, dtype=int)])
        >>> found = score_prediction(testbed, first, surrogates=[testbed.oracle])
        >>> found["pred.agreement.longer"].value <= found["pred.agreement.longer"].floor
        True
        >>> found["pred.skill.longer"].reason
        'causal model is always right: nothing is left to explain'
    """
    truth, said = testbed.truth, _answers(testbed, predictor)
    others = [_answers(testbed, surrogate) for surrogate in surrogates]
    found = [*_agreements(truth, said, others), certainty.violations(said, VIOLATIONS)]
    for entries, score in _SCORES:
        found += [_tried(score, truth, said, name, entry) for name, entry in entries.items()]
    shared = {"queries": testbed.recipe.parameters["queries"]}
    found = [replace(result, parameters=shared | result.parameters) for result in found]
    return {result.metric.id: result for result in found}


def _answers(testbed: PredictionTestbed, predictor: Predictor | Answers) -> Answers:
    return predictor if isinstance(predictor, Answers) else answers_of(testbed, predictor)


def _tried(score: Score, truth: PredictionTruth, said: Answers, name: str, entry: Metric) -> Result:
    if name not in truth.sets:
        return undefined(entry, _ABSENT[name])
    try:
        return score(truth, said, name, entry)
    except Undefined as reason:
        return undefined(entry, str(reason))


def _agreements(truth: PredictionTruth, said: Answers, others: list[Answers]) -> list[Result]:
    """Agreement, its gap to iid and skill, on each test set and over the novel ones."""
    own = {name: _shares(truth, said, name) for name in truth.sets}
    means = _with_novel({name: float(shares.mean()) for name, shares in own.items()})
    floors = _with_novel({name: best_constant(truth, name)[0] for name in truth.sets})
    rivals = _rivals(truth, others)
    found = []
    for name, entry in AGREEMENT.items():
        if name not in means:
            gone = [entries[name] for entries in (AGREEMENT, SKILL, OOD_GAP)]
            found += [undefined(one, _ABSENT[name]) for one in gone]
            continue
        shares = own.get(name)
        n = sum(map(len, own.values())) - len(own["iid"]) if shares is None else len(shares)
        result = Result(entry, means[name], n_units=n)
        result = result.between(floors[name], "best constant", 1.0, CEILING)
        found.append(result if shares is None else _with_interval(result, shares))
        found.append(_skill(SKILL[name], means[name], floors[name], rivals.get(name), n))
        if name in OOD_GAP:
            gap = Result(OOD_GAP[name], means["iid"] - means[name], n_units=n)
            found.append(gap.between(1.0, "right on iid alone", 0.0, CEILING))
    return found


def _rivals(truth: PredictionTruth, others: list[Answers]) -> dict[str, tuple[float, str]]:
    """The agreement and the name of the best surrogate on each test set."""
    if not others:
        return {}
    best = {name: _best(truth, others, name) for name in truth.sets}
    found = {name: (float(_shares(truth, o, name).mean()), o.name) for name, o in best.items()}
    novel = _with_novel({name: agreement for name, (agreement, _) in found.items()})[NOVEL]
    return found | {NOVEL: (novel, "the best on each set")}


def _best(truth: PredictionTruth, others: Sequence[Answers], name: str) -> Answers:
    return max(others, key=lambda said: float(_shares(truth, said, name).mean()))


def best_on_each(truth: PredictionTruth, others: Sequence[Answers]) -> Answers:
    """Of several claims, on each test set the answers of the one that agrees most there."""
    sets = {name: _best(truth, others, name).sets[name] for name in truth.sets}
    return Answers(" or ".join(said.name for said in others), sets)


def _with_novel(by_set: dict[str, float]) -> dict[str, float]:
    return by_set | {NOVEL: float(np.mean([v for name, v in by_set.items() if name != "iid"]))}


def _with_interval(result: Result, shares: np.ndarray) -> Result:
    _, low, high = t_interval(shares)
    if math.isnan(low):
        return replace(result, evidence={"share": shares})
    method = "Student over sequences"
    return replace(result, low=low, high=high, interval_method=method, evidence={"share": shares})


def _skill(
    entry: Metric, mean: float, constant: float, rival: tuple[float, str] | None, n: int
) -> Result:
    """The floor is the best constant's: a run that failed must not count as a black box does."""
    if rival is None:
        return undefined(entry, "no surrogate was given")
    agreement, name = rival
    if agreement == 1:
        return undefined(entry, f"{name} is always right: nothing is left to explain")
    value, floor = ((one - agreement) / (1 - agreement) for one in (mean, constant))
    parameters = {"surrogate": name, "surrogate_agreement": agreement}
    result = Result(entry, value, n_units=n, parameters=parameters)
    return result.between(floor, "best constant", 1.0, CEILING)


def _shares(truth: PredictionTruth, said: Answers, name: str) -> np.ndarray:
    """(sequence,) share of counted positions that agree."""
    return np.concatenate(
        [
            _mean(truth.agrees(part.outputs, claim.outputs), part)
            for part, claim in pairs_of(truth, said, name)
        ]
    )


def _mean(right: np.ndarray, part: HeldOut) -> np.ndarray:
    return (right & part.counted).sum(1) / part.counted.sum(1)


def best_constant(truth: PredictionTruth, name: str) -> tuple[float, np.ndarray]:
    """The agreement of the output that agrees most on a test set, and that output (n_outputs,)."""
    parts = truth.sets[name]
    outputs = _pooled([part.outputs for part in parts], parts)
    if truth.kind == "categorical":
        constants = np.eye(outputs.shape[-1])[np.unique(outputs.argmax(-1))]
    else:
        constants = np.unique(np.round(outputs / truth.tolerance / 2), axis=0) * 2 * truth.tolerance
    scores = [
        float(np.concatenate([_mean(truth.agrees(p.outputs, c), p) for p in parts]).mean())
        for c in constants
    ]
    best = int(np.argmax(scores))
    return scores[best], constants[best]


def _pooled(arrays: Iterable[np.ndarray], parts: Iterable[HeldOut]) -> np.ndarray:
    """(counted position, ...) of arrays (n, position, ...)."""
    counted = [array[part.counted] for array, part in zip(arrays, parts)]
    return np.concatenate(counted).astype(float)


def _r2(truth: PredictionTruth, said: Answers, name: str, entry: Metric) -> Result:
    if truth.kind != "numerical":
        raise Undefined("the outputs are categories, of which the largest counts and not its size")
    parts = truth.sets[name]
    outputs = _pooled([part.outputs for part in parts], parts)
    claims = _pooled([claim.outputs for claim in said.sets[name]], parts)
    spread = ((outputs - outputs.mean(0)) ** 2).sum()
    if not spread > 0:
        raise Undefined("the outputs are the same everywhere")
    value = 1 - float(((outputs - claims) ** 2).sum() / spread)
    return Result(entry, value, n_units=len(outputs)).between(0.0, "mean of the test", 1.0, CEILING)


def _kl(truth: PredictionTruth, said: Answers, name: str, entry: Metric) -> Result:
    """The model's own distribution is all on what it says, so that nothing else enters."""
    if truth.kind != "categorical":
        raise Undefined("the outputs are numbers: what is claimed are not chances of them")
    if not all(claim.distribution for claim in said.sets[name]):
        raise Undefined("the claim is no distribution over outputs")
    parts = truth.sets[name]
    says = _pooled([part.outputs for part in parts], parts).argmax(-1)
    chances = _pooled([claim.outputs for claim in said.sets[name]], parts)
    given = chances[np.arange(len(says)), says]
    value = float(-np.log(given.clip(LEAST_CHANCE, 1)).mean()) + 0.0
    often = np.bincount(says)[np.unique(says)] / len(says)
    parameters = {"least_chance": LEAST_CHANCE, "ruled_out": int((given < LEAST_CHANCE).sum())}
    result = Result(entry, value, n_units=len(says), parameters=parameters)
    return result.between(float(-(often * np.log(often)).sum()), "how often", 0.0, CEILING)


Score = Callable[[PredictionTruth, Answers, str, Metric], Result]

_SCORES: tuple[tuple[dict[str, Metric], Score], ...] = (
    (R2, _r2),
    (KL, _kl),
    (COVERAGE, certainty.coverage),
    (WIDTH, certainty.width),
    (SELECTIVE_RISK, certainty.selective_risk),
)

_ABSENT = {
    "intervened": "no interchange of a variable moves an answer; the program has to be compiled "
    "with closed=True and to have a variable between its tokens and its output",
    "mined": "hardly an input is answered otherwise than the most alike of those that were asked",
}
"""Why a testbed may lack a set."""
