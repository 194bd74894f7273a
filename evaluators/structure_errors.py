"""Structure errors of decoders: features split over latents, latents merged or composed.

These say how a dictionary fails, not whether it succeeds: a claim of nothing makes no such error.
Read them beside recover.joint. Hedging and absorption, which need features that depend on one
another, are in files of their own.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import compositions, floors, statistics
from groundtruth.evaluators.average import average
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.compositions import LEAST_WEIGHT, MOST_ATOMS, RESIDUAL
from groundtruth.evaluators.recovery import IDENTITY
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.result import Metric, Result

SPLIT_FROM = 0.75
"""Above sqrt(1/2), which an even sum of two features reaches with both."""
MERGED_SHARE = 0.7


@metric("split.count", 1, "target", (0.0, math.inf), "feature", ceiling=IDENTITY, success=False)
def split_count(entry: Metric, c: Comparison) -> Result:
    """Mean over features of #{live j: argmax_i' C_i'j = i and C_ij >= 0.75}; 1 is one latent each.

    Missing features and split ones balance; split.rate counts the split ones alone. The evidence
    holds the count of each feature. Cost: none beyond the cosines that recovery needs.
    """
    result = average(entry, _counts(c).astype(np.float64), _split_parameters(c))
    return result.between(len(c.live) * _chance_of_one(c), "random directions", None, "")


@metric("split.rate", 1, "min", UNIT, "feature", ceiling=IDENTITY, success=False)
def split_rate(entry: Metric, c: Comparison) -> Result:
    """Features with two or more latents (as in split.count) / F; undefined if none has any.

    Copies count as splits. Latents that each fire on some of a feature's samples are told from
    copies by act.recall.
    """
    counts = _counts(c)
    if not counts.any():
        raise Undefined(f"no latent has cosine {SPLIT_FROM} with a feature: nothing can be split")
    # Two or more of k random latents fall to the feature.
    p, k = _chance_of_one(c), len(c.live)
    floor = max(0.0, 1 - (1 - p) ** k - k * p * (1 - p) ** (k - 1))
    result = _share(entry, counts >= 2, _split_parameters(c))
    return result.between(floor, "random directions", None, "")


@metric("merge.rate", 1, "min", UNIT, "latent", ceiling=IDENTITY, success=False)
def merge_rate(entry: Metric, c: Comparison) -> Result:
    """Share of live latents with two or more features of |C| >= 0.5 and >= 0.7 max_i |C_ij|.

    An even sum of r orthogonal features has cosine 1/sqrt(r) with each: sums of up to four count;
    compose.support sees more. Features of mutual cosine 0.7 count as merged in any dictionary,
    the planted one too, whose rate is the ceiling.
    """
    c.need_live()
    merged = compositions.of_latents(c).near(MERGED_SHARE) >= 2
    floor = float((compositions.of_chance(c.truth).near(MERGED_SHARE) >= 2).mean())
    result = _share(entry, merged, {"least_cosine": 0.5, "share_of_largest": MERGED_SHARE})
    return result.between(floor, "random directions, simulated", None, "")


@metric("compose.support", 1, "target", (0.0, float(MOST_ATOMS)), "latent", success=False)
def compose_support(entry: Metric, c: Comparison) -> Result:
    """Mean over live latents of #{i: |alpha_i| >= 0.3}, u_j = sum_i alpha_i d_i; 1 is one feature.

    alpha by orthogonal matching pursuit over the planted directions, either sign: at most 5
    atoms, until 5 % of the squared length is left or no direction has an inner product of 0.1
    with what is left. In many dimensions a random direction has no atom of weight 0.3 and counts
    0, so that random and composed latents may average to 1: read compose.residual with it. Cost:
    up to five passes over the F k cosines (at F = k = 16,384 and d = 768, 5 s of one core each).
    """
    c.need_live()
    found = compositions.of_latents(c)
    result = average(entry, found.support.astype(np.float64), _pursuit_parameters())
    evidence = {"atom": found.atom, "weight": found.weight, "latent": c.live}
    floor = float(compositions.of_chance(c.truth).support.mean())
    result = result.between(floor, "random directions, simulated", 1.0, IDENTITY)
    return replace(result, evidence={**result.evidence, **evidence})


@metric("compose.residual", 1, "min", UNIT, "latent", success=False)
def compose_residual(entry: Metric, c: Comparison) -> Result:
    """Mean over live latents of ||u_j - sum_i alpha_i d_i||^2, alpha as in compose.support.

    What no sum of five planted directions explains. A latent of cosine 0.975 or more with a
    feature stops at one atom and keeps 1 - cosine^2.
    """
    c.need_live()
    found = compositions.of_latents(c)
    floor = float(compositions.of_chance(c.truth).residual.mean())
    result = average(entry, found.residual, _pursuit_parameters())
    return result.between(floor, "random directions, simulated", 0.0, IDENTITY)


def _counts(c: Comparison) -> np.ndarray:
    """(n_features,) live latents whose nearest feature it is, at SPLIT_FROM or more."""
    near = c.similarity.best_truth_cosine >= SPLIT_FROM
    return np.bincount(c.similarity.best_truth[near], minlength=c.truth.n_features)


def _chance_of_one(c: Comparison) -> float:
    """P(a random direction counts for a given feature), if all have it alike."""
    n = c.truth.n_features
    return floors.random_recall(SPLIT_FROM, c.truth.d, n, signed=not c.absolute) / n


def _split_parameters(c: Comparison) -> dict[str, object]:
    return {**c.parameters, "threshold": SPLIT_FROM}


def _pursuit_parameters() -> dict[str, object]:
    return {"most_atoms": MOST_ATOMS, "residual": RESIDUAL, "least_weight": LEAST_WEIGHT}


def _share(entry: Metric, hit: np.ndarray, parameters: dict[str, object]) -> Result:
    _, low, high = statistics.wilson(int(hit.sum()), len(hit))
    return Result(
        entry,
        float(hit.mean()),
        n_units=len(hit),
        low=low,
        high=high,
        interval_method=f"Wilson over {entry.unit}s",
        parameters=parameters,
        evidence={"per_unit": hit},
    )
