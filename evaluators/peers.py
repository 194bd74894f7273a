"""The numbers of other tools, by their own definitions, so that results can be compared.

Each but one repeats a metric of SAELens (`sae_lens.synthetic.evals`, version 6.54) on natural
samples of `score`. Its conventions, where ours differ: cosines are absolute, so that a decoder
row that points the wrong way counts as right; means run over all k decoder rows, dead ones
included; what is undefined counts 0; nothing is taken off for the features that no latent is near.
None of them is a success criterion.

What else both define: `recon.ev_total`, `recon.l0`.

`recover.above_08` is the rule of another paper, kept so that its numbers can be set beside ours.

Source: Chanin and Garriga-Alonso, "SynthSAEBench", 2026, https://arxiv.org/abs/2602.14687
"""

from __future__ import annotations

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import floors
from groundtruth.evaluators.average import average
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.result import Metric, Result

ABOVE = 0.8
NORM_FLOOR = 1e-6
"""Samples of no greater length have no ratio of norms."""


@metric("recover.mcc_all", 1, "max", UNIT, "latent", success=False)
def mcc_all(entry: Metric, c: Comparison) -> Result:
    """Sum of |cosines| at the Hungarian matching of all k decoder rows / min(F, k).

    SAELens `mcc`. One perfect latent scores 1, where recover.mcc gives 1/F; so does a decoder
    of flipped sign, whose signed cosines recover.mcc sums.
    """
    cosine = c.every_latent.matched_cosine
    most = max(c.truth.n_features, c.outputs.k)
    floor = floors.expected_max_cosine(c.truth.d, most, signed=False)
    result = average(entry, cosine, {"sign_mode": "absolute"})
    return result.between(floor, "random directions, upper bound", None, "")


@metric("recover.uniqueness_all", 1, "max", UNIT, "latent", success=False)
def uniqueness_all(entry: Metric, c: Comparison) -> Result:
    """#{distinct argmax_i |C_ij| over all k decoder rows} / k.

    SAELens `uniqueness`. Random directions score high, and dead rows count as any others.
    """
    n, k = c.truth.n_features, c.outputs.k
    return Result(
        entry,
        len(np.unique(c.every_latent.best_truth)) / k,
        n_units=k,
        floor=floors.random_uniqueness(n, k),
        floor_kind="random directions",
        ceiling=min(1.0, n / k),
        ceiling_kind="O4-capacity",
        parameters={"sign_mode": "absolute"},
    )


@metric("recover.above_08", 1, "max", UNIT, "feature", success=False)
def above_08(entry: Metric, c: Comparison) -> Result:
    """Share of features with max_j C_ij > 0.8 over live latents: many features to one latent.

    The rule of Korznikov et al. Where two features have cosine above 0.28, one latent between
    them can count for both; recover.recall asks for 0.9 and gives each feature a latent of its
    own.

    Source: "Sanity Checks for Sparse Autoencoders", 2026, https://arxiv.org/abs/2602.14111
    """
    found = c.similarity.best_latent_cosine > ABOVE
    floor = floors.random_recall(ABOVE, c.truth.d, len(c.live), signed=not c.absolute)
    result = average(entry, found.astype(np.float64), {**c.parameters, "threshold": ABOVE})
    return result.between(floor, "random directions", 1.0, "O0-identity")


@metric("act.latent_precision", 1, "max", UNIT, "latent", success=False)
def latent_precision(entry: Metric, c: Comparison) -> Result:
    """Mean over all k latents of TP / (TP + FP) against the feature of largest |cosine|.

    SAELens `classification.precision`. A latent that never fires counts 0.
    """
    active, fires, both = _counts(c)
    return _mean(entry, _ratio(both, fires), _ratio(fires > 0, 1) * active / _n(c))


@metric("act.latent_recall", 1, "max", UNIT, "latent", success=False)
def latent_recall(entry: Metric, c: Comparison) -> Result:
    """Mean over all k latents of TP / (TP + FN) against the feature of largest |cosine|.

    SAELens `classification.recall`. A feature that is never active counts 0.
    """
    active, fires, both = _counts(c)
    return _mean(entry, _ratio(both, active), _ratio(active > 0, 1) * fires / _n(c))


@metric("act.latent_f1_all", 1, "max", UNIT, "latent", success=False)
def latent_f1_all(entry: Metric, c: Comparison) -> Result:
    """Mean over all k latents of 2 TP / (2 TP + FP + FN) against the feature of largest |cosine|.

    SAELens `classification.f1_score`. act.latent_f1 leaves dead latents out and minds the sign.
    """
    active, fires, both = _counts(c)
    by_luck = 2 * _ratio(active * fires, active + fires) / _n(c)
    return _mean(entry, 2 * _ratio(both, active + fires), by_luck)


@metric("act.latent_accuracy", 1, "max", UNIT, "latent", success=False)
def latent_accuracy(entry: Metric, c: Comparison) -> Result:
    """Mean over all k latents of (TP + TN) / n against the feature of largest |cosine|.

    SAELens `classification.accuracy`. Where features are rare a dead latent scores nearly 1.
    """
    active, fires, both = _counts(c)
    p, q = active / _n(c), fires / _n(c)
    values = 1 - (active + fires - 2 * both) / _n(c)
    return _mean(entry, values, p * q + (1 - p) * (1 - q))


@metric("recon.dead_score", 1, "min", UNIT, "latent", success=False)
def dead_score(entry: Metric, c: Comparison) -> Result:
    """Latents that never fire on `score` / k.

    SAELens `dead_latents`, which is the number itself. recon.dead_frac looks at samples in which
    rare features were made to fire as well, and calls fewer latents dead.
    """
    fires = _counts(c)[1]
    return Result(entry, float((fires == 0).mean()), n_units=len(fires), ceiling=0.0)


@metric("recon.norm_ratio", 1, "target", (0.0, np.inf), "sample", success=False)
def norm_ratio(entry: Metric, c: Comparison) -> Result:
    """Mean over samples of ||x_hat_n|| / ||x_n||, over ||x_n|| > 1e-6; 1 is no shrinkage.

    SAELens `shrinkage`. recon.shrinkage is the ratio of sums that fits best.
    """
    if c.outputs.reconstruction is None:
        raise Undefined("the explanation has no codes; pass encode= to gt.Dictionary")
    norms, claimed = _norms(c.data.x), _norms(c.outputs.reconstruction)
    seen = norms > NORM_FLOOR
    return average(entry, _ratio(claimed[seen], norms[seen]), {"norm_floor": NORM_FLOOR})


def _norms(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))


def _counts(c: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples of `score` where the nearest feature is active, the latent fires, both: (k,)."""
    c.need_codes()
    found = c.every_latent
    assert found.active is not None and found.fires is not None and found.both is not None
    return found.active, found.fires, found.both


def _n(c: Comparison) -> int:
    return c.data.score.shape[0]


def _ratio(part: np.ndarray, whole: np.ndarray | int) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    return np.where(np.equal(whole, 0), 0.0, part / np.maximum(whole, 1e-300))


def _mean(entry: Metric, values: np.ndarray, by_luck: np.ndarray) -> Result:
    result = average(entry, values, {"sign_mode": "absolute"})
    return result.between(float(by_luck.mean()), "independent firing", None, "")
