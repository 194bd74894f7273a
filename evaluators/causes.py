"""Features as causes: latents are ablated and steered in the real model, beside what was planted.

Feature i is given the latent j of `assign_directions`, one to one. With W_j its decoder row, u_j
the same at length 1 and z_j its code,

    ablate: x' = x - z_j W_j      against do(a_i := 0)
    steer:  x' = x + dose_i u_j   against do(a_i := a_i + dose_i)

    swap:   x' = x + (z_j(other input) - z_j) W_j    against do(a_i := a_i of the other input)

where dose_i is the largest activity that feature i has, and the other input is the one half a list
further on. What the model's outputs change by is
Delta; what they should change by, Delta*, is the planted network's closed form. A feature without
a latent has Delta = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.cause_truth import CauseTruth
from groundtruth.errors import ExplanationError, Undefined
from groundtruth.evaluators.registry import REAL, UNIT
from groundtruth.explanation import Dictionary
from groundtruth.inference.assignment import assign_directions
from groundtruth.models.site_edits import EditedRuns
from groundtruth.models.transformer import Transformer
from groundtruth.outputs import codes_of
from groundtruth.ranked_dictionary import RankedDictionary
from groundtruth.result import Direction, Metric, Result, undefined
from groundtruth.site_testbed import CauseTestbed, SteeringTestbed

SIGNED_UNIT = (-1.0, 1.0)
UP_TO_ONE = (-math.inf, 1.0)
FLOOR_DRAWS, FLOOR_INPUTS = 20, 64
EPSILON = 1e-3
"""An effect below this share of the target's largest planted effect counts as none."""
CORRELATIONS = (0.3, 0.6, 0.9)
"""Of decoys, that have a score of their own."""


@dataclass(frozen=True, eq=False)
class Effects:
    """A claim's latents beside the features of the truth.

    Fields:
        latent: (n_features,) the latent of each feature, -1 for none.
        ablated, swapped, steered: (n_features, n, n_outputs) Delta; None without codes.
        alone, without: (n, n_outputs) where the strongest latents, as many as features act, are all
            that is left, and where they alone are ablated; None without codes or ranks.
        readings: (n_features, n_features) |change of code i'| per unit of the latent of feature i.
        strengths: (n_features,) as claimed for the latent; None where latents are not ranked.
    """

    truth: CauseTruth
    latent: np.ndarray
    ablated: np.ndarray | None
    swapped: np.ndarray | None
    steered: np.ndarray
    alone: np.ndarray | None
    without: np.ndarray | None
    readings: np.ndarray
    strengths: np.ndarray | None


_NO_CODES = "the explanation has no codes; pass encode= to gt.Dictionary"
_NO_RANKS = "the latents are not ranked; return a RankedDictionary"

Score = Callable[[Effects], np.ndarray]
_SCORES: dict[str, tuple[Metric, Score]] = {}


def _metric(
    name: str, range: tuple[float, float], direction: Direction = "max", unit: str = "feature"
):
    """Enter a function that gives one number per feature, NaN where it says nothing; or one."""

    def enter(function: Score) -> Score:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        _SCORES[name] = (
            Metric(f"causal.{name}", 1, summary, direction, range, unit),
            function,
        )
        return function

    return enter


def score_causes(
    testbed: CauseTestbed | SteeringTestbed, claim: Dictionary | RankedDictionary
) -> dict[str, Result]:
    """Every score of a dictionary on a site, and of its ranking if it has one.

    Args:
        testbed: of causes, or of steering, whose features cause as well.
        claim: latents at the site; ranked by claimed effect if that is claimed.

    Returns:
        Results by id. Floors are means over 20 random dictionaries of equal width with codes
        ReLU(x u_j), matched to features as the claim is, and 1/2 for the areas under a curve;
        ceilings are the planted dictionary's, ranked by planted effect.

    Raises:
        ExplanationError: another kind of claim, or another width.
        MethodError: encode raised.

    Not a measure of how many features were found: `recover.*` on the same activations is.

    Example, a dictionary that has it all, and its ranking turned upside down:
        >>> from groundtruth.generators.cause_worlds import causal_dictionary
        >>> testbed = causal_dictionary(n_inputs=64)
        >>> claim = planted_ranking(testbed.truth)
        >>> round(score_causes(testbed, claim)["causal.rank_gap"].value, 6)
        1.0
        >>> wrong = RankedDictionary(claim.dictionary, -claim.strengths)
        >>> round(score_causes(testbed, wrong)["causal.rank_gap"].value, 6)
        0.0
    """
    if not isinstance(claim, (Dictionary, RankedDictionary)):
        raise ExplanationError(
            f"claim: expected a Dictionary or a RankedDictionary, got {type(claim).__name__}."
        )
    dictionary = claim.dictionary if isinstance(claim, RankedDictionary) else claim
    dictionary.check_width(testbed.truth.d)
    effects = _effects(testbed.model, testbed.truth, claim)
    floors = _floors(testbed, dictionary.k)
    return {
        entry.id: _bounded(_result(entry, score, effects), floors)
        for entry, score in _SCORES.values()
    }


def planted_ranking(truth: CauseTruth) -> RankedDictionary:
    """The oracle: the planted directions with their exact codes, ranked by the planted effect."""
    dictionary = Dictionary(
        truth.directions.copy(), lambda x: x @ truth.readouts, signed=True, name="planted"
    )
    effects = np.stack([truth.ablated(i) for i in range(len(truth.names))])
    return RankedDictionary(dictionary, _size(effects, truth), name="planted")


@_metric("effect_cos", SIGNED_UNIT)
def effect_cos(e: Effects) -> np.ndarray:
    """mean over x with Delta* != 0 of cos(Delta, Delta*) under ablation, over acting features."""
    acting = e.truth.of_kind("causal", "mediated")
    return _spread(e, acting, lambda i: _cosine(_ablated(e)[i], e.truth.ablated(i)))


@_metric("effect_r2", UP_TO_ONE)
def effect_r2(e: Effects) -> np.ndarray:
    """1 - sum |Delta - Delta*|^2 / sum |Delta* - its mean|^2 under ablation, over acting features.

    Inputs on which the feature is silent count: a latent that fires there is wrong there.
    """
    acting = e.truth.of_kind("causal", "mediated")
    return _spread(e, acting, lambda i: _r2(_ablated(e)[i], e.truth.ablated(i)))


@_metric("mediated_r2", UP_TO_ONE)
def mediated_r2(e: Effects) -> np.ndarray:
    """As effect_r2, over the features that act only through later layers: 1 - error / variance.

    What reads directions off the unembedding alone calls these inert.
    """
    return _spread(
        e, e.truth.of_kind("mediated"), lambda i: _r2(_ablated(e)[i], e.truth.ablated(i))
    )


@_metric("slope", REAL, "target")
def slope(e: Effects) -> np.ndarray:
    """sum <Delta, Delta*> / sum |Delta*|^2 under ablation, over acting features: 1 is right."""
    acting = e.truth.of_kind("causal", "mediated")
    return _spread(e, acting, lambda i: _slope(_ablated(e)[i], e.truth.ablated(i)))


@_metric("steer_cos", SIGNED_UNIT)
def steer_cos(e: Effects) -> np.ndarray:
    """mean over x of cos(Delta, Delta*) under steering, over features that fire and act."""
    acting = e.truth.of_kind("causal", "mediated")
    return _spread(e, acting, lambda i: _cosine(e.steered[i], _steered(e, i)))


@_metric("steer_r2", UP_TO_ONE)
def steer_r2(e: Effects) -> np.ndarray:
    """1 - sum |Delta - Delta*|^2 / sum |Delta*|^2 under steering, over features that fire and act.

    Not about the mean, as effect_r2 is: the effect of one dose may be the same everywhere.
    """
    acting = e.truth.of_kind("causal", "mediated")
    return _spread(e, acting, lambda i: _agreement(e.steered[i], _steered(e, i)))


@_metric("dormant_r2", UP_TO_ONE)
def dormant_r2(e: Effects) -> np.ndarray:
    """As steer_r2, over features that never fire, and act when steered: 1 - error / effect.

    No method that looks at activations alone can find them; a claim that steers them is likely to
    have found a direction that works and is not used.
    """
    dormant = e.truth.of_kind("dormant")
    return _spread(e, dormant, lambda i: _agreement(e.steered[i], _steered(e, i)))


@_metric("iia", UNIT)
def iia(e: Effects) -> np.ndarray:
    """share of pairs with Delta* != 0 on which |Delta - Delta*| < |Delta| under swapping, over
    acting features.

    Outputs end nearer to the planted outcome than to where they were: interchange intervention
    accuracy on discriminating pairs, for outputs that are numbers.
    """
    if e.swapped is None:
        raise Undefined(_NO_CODES)
    swapped, acting = e.swapped, e.truth.of_kind("causal", "mediated")
    return _spread(e, acting, lambda i: _nearer(swapped[i], e.truth.swapped(i)))


@_metric("sufficiency", REAL, "target", "input")
def sufficiency(e: Effects) -> np.ndarray:
    """(m(C) - m(0)) / (m(M) - m(0)), m being the mean target: 1 is right.

    C is what the strongest latents, as many as features act, write without the rest; M the whole
    model; 0 the model with all acting features ablated.
    """
    return _share_of_target(e, e.alone, kept=True)


@_metric("necessity", REAL, "target", "input")
def necessity(e: Effects) -> np.ndarray:
    """(m(M) - m(M - C)) / (m(M) - m(0)), as sufficiency, with C ablated: 1 is right."""
    return _share_of_target(e, e.without, kept=False)


@_metric("specificity", UNIT)
def specificity(e: Effects) -> np.ndarray:
    """1 - sum over i' != i of |change of a_i'| / sum of all, by the planted readouts, per latent.

    Features without a latent count 0.
    """
    everything = e.readings.sum(1)
    own = np.diag(e.readings)
    share = np.divide(own, everything, out=np.zeros(len(own)), where=everything > 0)
    return np.where(e.truth.active & (e.latent >= 0), share, np.where(e.truth.active, 0.0, np.nan))


@_metric("inert", UNIT)
def inert(e: Effects) -> np.ndarray:
    """share of x on which ablating the latent of an inert feature moves the target by less than
    0.001 of its largest planted effect.

    Not to be read alone: a latent that does nothing, or a feature without one, is silent too.
    """
    target, truth = e.truth.target, e.truth
    limit = EPSILON * max(np.abs(truth.ablated(i)[:, target]).max() for i in truth.acting)
    still = np.abs(_ablated(e)[:, :, target]) < limit
    return _spread(e, truth.of_kind("inert"), lambda i: float(still[i].mean()))


@_metric("gap", UNIT)
def gap(e: Effects) -> np.ndarray:
    """area under the curve of mean |Delta| on the target: features that act over planted decoys.

    It asks whether the latents that stand for causes are themselves apart from those of correlates.
    """
    sizes = _size(_ablated(e), e.truth)
    # What is only rounding is a tie.
    sizes[sizes < 1e-9 * sizes.max()] = 0
    return _over_decoys(e, sizes, None)


@_metric("rank_gap", UNIT)
def rank_gap(e: Effects) -> np.ndarray:
    """area under the curve of claimed strength: features that act over planted decoys.

    Ranks by correlation put the decoys of strong causes above weak causes; ranks by effect do not.
    """
    return _over_decoys(e, _strengths(e), None)


def _rank_gap_at(correlation: float) -> Score:
    def score(e: Effects) -> np.ndarray:
        return _over_decoys(e, _strengths(e), correlation)

    score.__doc__ = f"as rank_gap, over decoys of correlation {correlation}: area under the curve."
    return score


for _correlation in CORRELATIONS:
    _metric(f"rank_gap_{round(100 * _correlation)}", UNIT)(_rank_gap_at(_correlation))

METRICS: dict[str, Metric] = {entry.id: entry for entry, _ in _SCORES.values()}


def _effects(
    model: Transformer, truth: CauseTruth, claim: Dictionary | RankedDictionary
) -> Effects:
    dictionary = claim.dictionary if isinstance(claim, RankedDictionary) else claim
    rows = dictionary.decoder
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    # A row that may have either sign is steered as it is oriented to the feature.
    found = assign_directions(truth.directions, units, absolute=dictionary.signed)
    latent = np.full(len(truth.names), -1)
    latent[found.truth] = found.latent
    runs = EditedRuns(model, truth.site, torch.tensor(truth.tokens))
    x, intact = runs.x.numpy(), runs.intact.numpy()

    def moved_by(change: np.ndarray) -> np.ndarray:
        edit = torch.from_numpy(np.ascontiguousarray(change))
        return runs.outputs(lambda x: x + edit).numpy() - intact

    codes = None
    if dictionary.encode is not None:
        codes = codes_of(dictionary, x).toarray().astype(np.float64)
    none = np.zeros_like(intact)
    ablated, swapped, steered = [], [], []
    for i, j in enumerate(latent):
        if codes is not None:
            z = codes[:, [max(j, 0)]]
            ablated.append(none if j < 0 else moved_by(-z * rows[j]))
            other = z[truth.partners]
            swapped.append(none if j < 0 else moved_by((other - z) * rows[j]))
        sign = -1.0 if j >= 0 and dictionary.signed and units[j] @ truth.directions[i] < 0 else 1.0
        steered.append(none if j < 0 else moved_by(sign * truth.dose[i] * units[[j]]))
    strengths = alone = without = None
    if isinstance(claim, RankedDictionary):
        strengths = np.where(latent >= 0, claim.strengths[latent], -np.inf)
        if codes is not None:
            top = claim.order[: len(truth.acting)]
            written = codes[:, top] @ rows[top]
            alone = intact + moved_by(written + dictionary.bias - x)
            without = intact + moved_by(-written)
    readings = np.where(latent[:, None] >= 0, np.abs(units[latent] @ truth.readouts), 0.0)
    return Effects(
        truth,
        latent,
        None if codes is None else np.stack(ablated),
        None if codes is None else np.stack(swapped),
        np.stack(steered),
        alone,
        without,
        readings,
        strengths,
    )


def _result(entry: Metric, score: Score, e: Effects) -> Result:
    parameters = {
        "inputs": len(e.truth.tokens),
        "site": e.truth.site,
        "epsilon": EPSILON if entry.id == "causal.inert" else None,
    }
    parameters = {name: value for name, value in parameters.items() if value is not None}
    try:
        values = score(e)
    except Undefined as reason:
        return undefined(entry, str(reason), **parameters)
    counted = np.isfinite(values)
    if not counted.any():
        return undefined(entry, "the testbed has no such feature", **parameters)
    return Result(
        entry,
        float(values[counted].mean()),
        n_units=int(counted.sum()),
        parameters=parameters,
        evidence={"per_unit": values, "latent": e.latent},
    )


def _bounded(result: Result, floors: Mapping[str, float | None]) -> Result:
    floor = floors[result.metric.id]
    kind = f"mean of {FLOOR_DRAWS} random dictionaries of equal width, on {FLOOR_INPUTS} inputs"
    if "gap" in result.metric.id:
        floor, kind = 0.5, "sizes that have nothing to do with the features"
    return result.between(floor, "" if floor is None else kind, 1.0, "planted dictionary")


@lru_cache(maxsize=16)
def _floors(testbed: CauseTestbed | SteeringTestbed, k: int) -> dict[str, float | None]:
    """Means of every score over random dictionaries."""
    truth = testbed.truth
    few = replace(truth, tokens=truth.tokens[:FLOOR_INPUTS], codes=truth.codes[:FLOOR_INPUTS])
    drawn: dict[str, list[float]] = {entry.id: [] for entry, _ in _SCORES.values()}
    for draw in range(FLOOR_DRAWS):
        effects = _effects(testbed.model, few, random_ranked(truth.d, k, draw))
        for entry, score in _SCORES.values():
            value = _result(entry, score, effects).value
            if value is not None:
                drawn[entry.id].append(value)
    return {id: float(np.mean(values)) if values else None for id, values in drawn.items()}


def random_ranked(d: int, k: int, seed: int) -> RankedDictionary:
    """The control: k uniform directions with codes ReLU(x u_j), ranked by independent numbers."""
    rng = seeds.generator(seeds.root_of("random ranked dictionary", seed))
    rows = rng.standard_normal((k, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    dictionary = Dictionary(rows, lambda x: np.maximum(x @ rows.T, 0), name="random")
    return RankedDictionary(dictionary, rng.random(k), name="random")


def _spread(e: Effects, features: np.ndarray, value: Callable[[int], float]) -> np.ndarray:
    """(n_features,) the value of each of `features`, NaN elsewhere."""
    out = np.full(len(e.latent), np.nan)
    for i in features:
        out[i] = value(int(i))
    return out


def _ablated(e: Effects) -> np.ndarray:
    if e.ablated is None:
        raise Undefined(_NO_CODES)
    return e.ablated


def _strengths(e: Effects) -> np.ndarray:
    if e.strengths is None:
        raise Undefined(_NO_RANKS)
    return e.strengths


def _steered(e: Effects, i: int) -> np.ndarray:
    return e.truth.steered(i, float(e.truth.dose[i]))


def _size(effects: np.ndarray, truth: CauseTruth) -> np.ndarray:
    """(n_features,) mean |Delta| on the target."""
    return np.abs(effects[:, :, truth.target]).mean(1)


def _over_decoys(e: Effects, sizes: np.ndarray, correlation: float | None) -> np.ndarray:
    """(n_features,) of each acting feature, the share of decoys that lie below it."""
    decoys = e.truth.parent >= 0
    if correlation is not None:
        decoys &= np.isclose(e.truth.correlation, correlation)
    acting = e.truth.acting
    if not decoys.any() or not len(acting):
        raise Undefined("no such decoys are planted")
    beaten = (sizes[:, None] > sizes[decoys]).mean(1) + (sizes[:, None] == sizes[decoys]).mean(
        1
    ) / 2
    return _spread(e, acting, lambda i: float(beaten[i]))


def _share_of_target(e: Effects, outputs: np.ndarray | None, *, kept: bool) -> np.ndarray:
    """(1,) the share of the mean target that the outputs keep, or lack."""
    if outputs is None:
        raise Undefined(_NO_RANKS if e.strengths is None else _NO_CODES)
    truth, target = e.truth, e.truth.target
    everything = truth.network.outputs(truth.codes, truth.level)[:, target]
    codes = truth.codes.copy()
    codes[:, truth.acting] = 0
    caused = everything - truth.network.outputs(codes, truth.level)[:, target]
    if abs(caused.mean()) < 3 * caused.std() / math.sqrt(len(caused)):
        raise Undefined(f"m(M) - m(0) is within three standard errors of 0 on {len(caused)} inputs")
    lost = float((everything - outputs[:, target]).mean() / caused.mean())
    return np.array([1 - lost if kept else lost])


def _nearer(delta: np.ndarray, planted: np.ndarray) -> float:
    """The share of rows that moved, and should, by more than they are off."""
    moved = np.linalg.norm(planted, axis=1) > 0
    near = np.linalg.norm(delta - planted, axis=1) < np.linalg.norm(delta, axis=1)
    return float(near[moved].mean()) if moved.any() else math.nan


def _cosine(delta: np.ndarray, planted: np.ndarray) -> float:
    lengths = np.linalg.norm(delta, axis=1) * np.linalg.norm(planted, axis=1)
    acting = np.linalg.norm(planted, axis=1) > 0
    if not acting.any():
        return math.nan
    dots = (delta * planted).sum(1)
    return float(
        np.divide(dots, lengths, out=np.zeros(len(dots)), where=lengths > 0)[acting].mean()
    )


def _r2(delta: np.ndarray, planted: np.ndarray) -> float:
    varied = ((planted - planted.mean(0)) ** 2).sum()
    return float(1 - ((delta - planted) ** 2).sum() / varied) if varied > 0 else math.nan


def _agreement(delta: np.ndarray, planted: np.ndarray) -> float:
    size = (planted**2).sum()
    return float(1 - ((delta - planted) ** 2).sum() / size) if size > 0 else math.nan


def _slope(delta: np.ndarray, planted: np.ndarray) -> float:
    size = (planted**2).sum()
    return float((delta * planted).sum() / size) if size > 0 else math.nan
