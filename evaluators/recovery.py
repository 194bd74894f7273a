"""Recovery: how much of the planted dictionary was found, and how much of the claim is true.

tau is the cosine threshold, s_i the cosine of feature i with its matched latent (0 if none),
F the number of features, and a latent is live if it ever fires. Denominators are F: what is
true, never what happened to match.
"""

from __future__ import annotations

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import counts, floors, statistics
from groundtruth.evaluators.average import average, resolved
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.result import Metric, Result

LINEAR = "O2*-linear"
IDENTITY = "O0-identity"
SIGNED_UNIT = (-1.0, 1.0)
TAU_GRID = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)


@metric("recover.joint", 1, "max", UNIT, "feature", ceiling=LINEAR)
def joint(entry: Metric, c: Comparison) -> Result:
    """Share of features with a latent of cosine >= tau whose activity F1 >= phi F1_ref.

    F1_ref is the F1 of the linear-threshold detector Cov(X)^-1 d_i (row O2*), at least 0.1. The
    matching is one-to-one on the pairs that pass both. Primary: the only recovery number that
    sees decoder and codes. It is not normalised by what a nonlinear solver could reach; see
    recover.joint_o1.
    """
    truth, latent = c.joint(c.references.f1_linear)
    result = _share(
        entry,
        c,
        _mask(truth, c.truth.n_features),
        evidence={"matched_latent": _matched_latent(truth, latent, c)},
        share=c.share,
        reference=LINEAR,
        n_unscored=int(c.references.unscored.sum()),
    )
    return resolved(result, c.unresolved)


@metric("recover.joint_precision", 1, "max", UNIT, "latent", ceiling=LINEAR)
def joint_precision(entry: Metric, c: Comparison) -> Result:
    """Joint matches / live latents.

    One perfect latent alone scores 1: a claim may be small and right. Read it beside
    recover.joint, or read recover.joint_f1.
    """
    c.need_codes()
    c.need_live()
    matched = len(c.joint(c.references.f1_linear)[0])
    result = _precision(entry, c, matched, share=c.share, reference=LINEAR)
    return resolved(result, c.unresolved)


@metric("recover.joint_f1", 1, "max", UNIT, "feature", ceiling=LINEAR)
def joint_f1(entry: Metric, c: Comparison) -> Result:
    """2 P R / (P + R) = 2 matches / (F + live) of joint recall and joint precision."""
    c.need_codes()
    matched = len(c.joint(c.references.f1_linear)[0])
    value = 2 * matched / (c.truth.n_features + len(c.live))
    floor = _floor_f1(c)
    result = Result(
        entry,
        value,
        n_units=c.truth.n_features,
        floor=floor,
        floor_kind="random directions, upper bound",
        parameters={**c.parameters, "share": c.share, "reference": LINEAR},
    )
    return resolved(result, c.unresolved)


@metric("recover.joint_o1", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def joint_o1(entry: Metric, c: Comparison) -> Result:
    """As recover.joint, with the F1 of the best prior-aware inference (row O1-prior) as F1_ref."""
    if c.references.f1_inference is None:
        raise Undefined("row O1-prior is not made for this testbed")
    truth, _ = c.joint(c.references.f1_inference)
    mask = _mask(truth, c.truth.n_features)
    result = _share(entry, c, mask, share=c.share, reference="O1-prior")
    return resolved(result, c.unresolved)


@metric("recover.joint_identifiable", 1, "max", UNIT, "feature", ceiling=LINEAR)
def joint_identifiable(entry: Metric, c: Comparison) -> Result:
    """Joint matches among identifiable features / identifiable features, at the stated budget."""
    truth, _ = c.joint(c.references.f1_linear, c.identifiability.identifiable)
    return resolved(_identifiable(entry, c, _mask(truth, c.truth.n_features)), c.unresolved)


@metric("recover.recall", 1, "max", UNIT, "feature")
def recall(entry: Metric, c: Comparison) -> Result:
    """|largest matching on cosine >= tau| / F, over live latents: decoder recall.

    Blind to the codes: pairing the decoder with the wrong codes leaves it unchanged.
    """
    truth, latent = c.matched(c.threshold)
    cap = min(1.0, len(c.live) / c.truth.n_features)
    result = _share(
        entry,
        c,
        _mask(truth, c.truth.n_features),
        evidence={
            "matched_latent": _matched_latent(truth, latent, c),
            "best_cosine": c.similarity.best_latent_cosine,
            "curve_threshold": np.array(TAU_GRID),
            "curve_recall": np.array([len(c.matched(t)[0]) for t in TAU_GRID]) / c.truth.n_features,
        },
    )
    return result.between(result.floor, result.floor_kind, cap, "O4-capacity")


@metric("recover.recall_identifiable", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def recall_identifiable(entry: Metric, c: Comparison) -> Result:
    """Decoder recall among identifiable features / identifiable features, at the stated budget."""
    truth, _ = c.matched(c.threshold, c.identifiability.identifiable)
    return _identifiable(entry, c, _mask(truth, c.truth.n_features))


@metric("recover.precision", 1, "max", UNIT, "latent", ceiling=IDENTITY)
def precision(entry: Metric, c: Comparison) -> Result:
    """|largest matching on cosine >= tau| / live latents: strict decoder precision.

    A diagnostic: shuffled codes and a single perfect latent both score 1.
    """
    c.need_live()
    return _precision(entry, c, len(c.matched(c.threshold)[0]))


@metric("recover.precision_soft", 1, "max", UNIT, "latent", ceiling=IDENTITY)
def precision_soft(entry: Metric, c: Comparison) -> Result:
    """#{live j: max_i C_ij >= tau} / live latents; duplicates do not lower it."""
    c.need_live()
    hits = int((c.similarity.best_truth_cosine >= c.threshold).sum())
    result = _precision(entry, c, hits)
    n = c.truth.n_features
    floor = floors.random_recall(c.threshold, c.truth.d, n, signed=not c.absolute)
    return result.between(floor, "random directions", None, "")


@metric("recover.f1", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def f1(entry: Metric, c: Comparison) -> Result:
    """2 matches / (F + live latents): harmonic mean of decoder recall and strict precision."""
    matched = len(c.matched(c.threshold)[0])
    return Result(
        entry,
        2 * matched / (c.truth.n_features + len(c.live)),
        n_units=c.truth.n_features,
        floor=_floor_f1(c),
        floor_kind="random directions, upper bound",
        parameters=c.parameters,
    )


@metric("recover.aurc", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def aurc(entry: Metric, c: Comparison) -> Result:
    """Area under recall over thresholds in [tau_0, 1] / (1 - tau_0), at the Hungarian matching.

    Equals mean_i max(0, (s_i - tau_0) / (1 - tau_0)), the mean excess cosine. tau_0 is the least
    cosine at which random directions are expected to recover at most 0.01 features.
    """
    start = floors.significance_threshold(
        c.truth.d, len(c.live), c.truth.n_features, alpha=0.01, signed=not c.absolute
    )
    if start >= 1:
        raise Undefined("in this few dimensions random directions reach every cosine")
    start = max(0.0, start)
    excess = np.maximum(0.0, (_matched_cosine(c) - start) / (1 - start))
    return _mean(entry, c, excess, 0.0, "random directions", tau_0=start)


@metric("recover.mmcs_truth", 1, "max", SIGNED_UNIT, "feature", ceiling=IDENTITY)
def mmcs_truth(entry: Metric, c: Comparison) -> Result:
    """(1/F) sum_i max_j C_ij over live latents; rises with width, so compare at equal width."""
    floor = floors.expected_max_cosine(c.truth.d, len(c.live), signed=not c.absolute)
    return _mean(entry, c, c.similarity.best_latent_cosine, floor, "random directions")


@metric("recover.mmcs_latent", 1, "max", SIGNED_UNIT, "latent", ceiling=IDENTITY)
def mmcs_latent(entry: Metric, c: Comparison) -> Result:
    """Mean over live latents of max_i C_ij; copies of one perfect latent score 1: diagnostic."""
    c.need_live()
    floor = floors.expected_max_cosine(c.truth.d, c.truth.n_features, signed=not c.absolute)
    return _mean(entry, c, c.similarity.best_truth_cosine, floor, "random directions")


@metric("recover.mcc", 1, "max", SIGNED_UNIT, "feature", ceiling=IDENTITY)
def mcc(entry: Metric, c: Comparison) -> Result:
    """(1/F) sum of matched cosines at the Hungarian matching; unmatched features count 0."""
    floor = _random_mcc(c)
    return _mean(entry, c, _matched_cosine(c), floor, "random directions, simulated")


@metric("recover.mcc_min", 1, "max", SIGNED_UNIT, "feature", success=False)
def mcc_min(entry: Metric, c: Comparison) -> Result:
    """As recover.mcc but divided by min(F, k): for comparison with other tools only.

    One perfect latent scores 1 instead of 1/F.
    """
    c.need_live()
    n_pairs = min(c.truth.n_features, len(c.live))
    cosine = np.zeros(n_pairs)
    cosine[: len(c.assignment[2])] = c.assignment[2]
    floor = _random_mcc(c) * c.truth.n_features / n_pairs
    return _mean(entry, c, cosine, floor, "random directions, simulated")


@metric("recover.uniqueness", 1, "max", UNIT, "latent", success=False)
def uniqueness(entry: Metric, c: Comparison) -> Result:
    """#{distinct argmax_i C_ij over live j} / live latents; random directions score high."""
    c.need_live()
    n, k = c.truth.n_features, len(c.live)
    value = len(np.unique(c.similarity.best_truth)) / k
    return Result(
        entry,
        value,
        n_units=k,
        floor=floors.random_uniqueness(n, k),
        floor_kind="random directions",
        ceiling=min(1.0, n / k),
        ceiling_kind="O4-capacity",
        parameters=c.parameters,
    )


@metric("recover.energy_recall", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def energy_recall(entry: Metric, c: Comparison) -> Result:
    """Sum of the variances v_i of recovered features / sum of all v_i."""
    if not c.truth.variance.any():
        raise Undefined("no feature varies in this world")
    truth, _ = c.matched(c.threshold)
    return Result(
        entry,
        float(min(1.0, c.truth.energy_share[truth].sum())),
        n_units=c.truth.n_features,
        floor=_floor_recall(c),
        floor_kind="random directions",
        parameters=c.parameters,
    )


@metric("recover.rare_recall", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def rare_recall(entry: Metric, c: Comparison) -> Result:
    """Decoder recall among the tenth of the features that fire least (ties with it included)."""
    truth, _ = c.matched(c.threshold)
    p = c.truth.firing_probability
    rare = p <= np.sort(p)[max(1, round(len(p) / 10)) - 1]
    return _share(entry, c, _mask(truth, len(p))[rare], n_rare=int(rare.sum()))


@metric("recover.by_freq", 1, "max", UNIT, "feature", ceiling=IDENTITY)
def by_freq(entry: Metric, c: Comparison) -> Result:
    """Decoder recall in half-decade bins of firing probability; value is the mean over bins.

    The evidence holds the bins (edges in log10 p, counts, recall, Wilson bounds). Bins of fewer
    than 30 features are pooled with the next rarer ones.
    """
    truth, _ = c.matched(c.threshold)
    hit = _mask(truth, c.truth.n_features)
    bins = frequency_bins(c.truth.firing_probability)
    share = np.array([hit[b].mean() for b in bins])
    bounds = np.array([statistics.wilson(int(hit[b].sum()), len(b))[1:] for b in bins])
    p = c.truth.firing_probability
    return Result(
        entry,
        float(share.mean()),
        n_units=len(bins),
        floor=_floor_recall(c),
        floor_kind="random directions",
        parameters=c.parameters,
        evidence={
            "bin_low": np.array([p[b].min() for b in bins]),
            "bin_high": np.array([p[b].max() for b in bins]),
            "bin_count": np.array([len(b) for b in bins]),
            "bin_recall": share,
            "bin_wilson": bounds,
        },
    )


@metric("recover.match_disagreement", 1, "min", UNIT, "feature", success=False)
def match_disagreement(entry: Metric, c: Comparison) -> Result:
    """Share of features whose best latent by cosine is not their best by activity F1 (`select`).

    About 0 for the planted dictionary, about 1 where the decoder is paired with wrong codes. Of
    latents that are equally good by F1, the best by cosine is taken.
    """
    c.need_codes()
    c.need_live()
    assert c.outputs.select is not None
    codes, nearest = c.outputs.select[:, c.live], c.similarity.best_latent
    _, value = counts.best_by_f1(c.data.select, codes)
    seen = value > 0
    if not seen.any():
        raise Undefined("no latent fires together with any feature on `select`")
    differs = (counts.natural_f1(c.data.select, codes, nearest) < value - 1e-12)[seen]
    return Result(
        entry,
        float(differs.mean()),
        n_units=int(seen.sum()),
        floor=1.0,
        floor_kind="C4-shuffled",
        ceiling=0.0,
        ceiling_kind=IDENTITY,
        parameters=c.parameters,
    )


def frequency_bins(p: np.ndarray) -> list[np.ndarray]:
    """Feature indices by half-decade of p, frequent first; small bins join the next rarer one."""
    bins: list[np.ndarray] = []
    pending = np.zeros(0, dtype=np.int64)
    level = np.full(len(p), -99)
    level[p > 0] = np.floor(2 * np.log10(p[p > 0]) + 1e-9).astype(int)
    for value in sorted(set(level), reverse=True):
        pending = np.concatenate([pending, np.flatnonzero(level == value)])
        if len(pending) >= 30:
            bins.append(pending)
            pending = np.zeros(0, dtype=np.int64)
    if len(pending):
        if bins:
            bins[-1] = np.concatenate([bins[-1], pending])
        else:
            bins.append(pending)
    return bins


def _mask(truth: np.ndarray, n_features: int) -> np.ndarray:
    mask = np.zeros(n_features, dtype=bool)
    mask[truth] = True
    return mask


def _matched_latent(truth: np.ndarray, latent: np.ndarray, c: Comparison) -> np.ndarray:
    """(n_features,) index of the matched decoder row; -1 where there is none."""
    out = np.full(c.truth.n_features, -1)
    out[truth] = c.live[latent]
    return out


def _matched_cosine(c: Comparison) -> np.ndarray:
    """(n_features,) cosine s_i at the Hungarian matching; 0 where unmatched."""
    truth, _, cosine = c.assignment
    out = np.zeros(c.truth.n_features)
    out[truth] = cosine
    return out


def _floor_recall(c: Comparison) -> float:
    # Many-to-one for random directions, and no more than there are latents: an upper bound.
    k = len(c.live)
    chance = floors.random_recall(c.threshold, c.truth.d, k, signed=not c.absolute)
    return min(chance, k / c.truth.n_features)


def _floor_f1(c: Comparison) -> float:
    n, k = c.truth.n_features, len(c.live)
    return min(1.0, 2 * n * _floor_recall(c) / (n + k))


def _random_mcc(c: Comparison) -> float:
    if len(c.live) == 0:
        return 0.0
    n, k = c.truth.n_features, len(c.live)
    return floors.random_mcc(c.truth.d, n, k, signed=not c.absolute, seed=0).mean


def _share(
    entry: Metric,
    c: Comparison,
    hit: np.ndarray,
    *,
    evidence: dict[str, np.ndarray] | None = None,
    **parameters: object,
) -> Result:
    _, low, high = statistics.wilson(int(hit.sum()), len(hit))
    return Result(
        entry,
        float(hit.mean()),
        n_units=len(hit),
        low=low,
        high=high,
        interval_method="Wilson over features",
        floor=_floor_recall(c),
        floor_kind="random directions, upper bound"
        if "share" in parameters
        else "random directions",
        parameters={**c.parameters, **parameters},
        evidence={"recovered": hit, **(evidence or {})},
    )


def _identifiable(entry: Metric, c: Comparison, hit: np.ndarray) -> Result:
    kept = c.identifiability.identifiable
    if not kept.any():
        raise Undefined(f"no feature is identifiable from {c.references.n_train} training samples")
    return _share(entry, c, hit[kept], n_train=c.references.n_train)


def _precision(entry: Metric, c: Comparison, matched: int, **parameters: object) -> Result:
    k = len(c.live)
    _, low, high = statistics.wilson(matched, k)
    floor = min(1.0, _floor_recall(c) * c.truth.n_features / k)
    return Result(
        entry,
        matched / k,
        n_units=k,
        low=low,
        high=high,
        interval_method="Wilson over latents",
        floor=floor,
        floor_kind="random directions, upper bound",
        parameters={**c.parameters, **parameters},
    )


def _mean(
    entry: Metric,
    c: Comparison,
    values: np.ndarray,
    floor: float,
    floor_kind: str,
    **parameters: object,
) -> Result:
    result = average(entry, values, {**c.parameters, **parameters})
    return result.between(float(floor), floor_kind, None, "")
