"""Metrics of worlds whose activations are several spaces side by side: models, or layers.

A direction's shares are its lengths within the parts over their sum: (1/2, 1/2) for a feature that
two models hold alike, (1, 0) for one of the first alone.
"""

from __future__ import annotations

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.result import Metric, Result

NEAR = 0.5  # cosine from which a latent stands for its nearest feature
LOST = 0.25  # of the planted share, below which a part is taken to be left out
ABSENT = 0.05  # share below which a part is taken to be empty where nothing is planted


def shares(rows: np.ndarray, parts: tuple[int, ...]) -> np.ndarray:
    """(n, parts) lengths of rows (n, d) within each part, over their sum; zeros for zero rows.

    Example:
        >>> shares(np.array([[3.0, 0.0, 0.0, 1.0]]), (2, 2)).tolist()
        [[0.75, 0.25]]
    """
    ends = np.cumsum(parts)[:-1]
    lengths = np.stack([np.linalg.norm(p, axis=1) for p in np.split(rows, ends, axis=1)], axis=1)
    total = lengths.sum(axis=1, keepdims=True)
    return np.divide(lengths, total, out=np.zeros_like(lengths), where=total > 0)


@metric("part.share_error", 1, "min", UNIT, "feature", success=False)
def share_error(entry: Metric, c: Comparison) -> Result:
    """Mean over features of half the summed difference between planted and claimed shares.

    Claimed by the live latent of largest cosine; a feature that none is near (cosine below 0.5)
    has error 1. Half the sum of differences is the total variation, in [0, 1].
    """
    planted, claimed, near = _both(c)
    error = np.where(near, np.abs(planted - claimed).sum(axis=1) / 2, 1.0)
    return _result(entry, c, error)


@metric("part.false_exclusive", 1, "min", UNIT, "feature", success=False)
def false_exclusive(entry: Metric, c: Comparison) -> Result:
    """Share of features in several parts whose latent leaves one of these out.

    Left out: the latent's share is below a quarter of the planted one. A feature that no latent is
    near is no false exclusive: it is missed, which recall counts. An L1 crosscoder leaves the
    weaker part out completely below a planted ratio ("complete shrinkage").

    Source: Minder et al., "Robustly identifying concepts introduced during chat fine-tuning using
    crosscoders", 2025, https://arxiv.org/abs/2504.02922
    """
    planted, claimed, near = _both(c)
    several = (planted > 0).sum(axis=1) > 1
    if not several.any():
        raise Undefined("no planted feature lives in more than one part")
    missing = near & (claimed < LOST * planted).any(axis=1)
    return _result(entry, c, missing[several].astype(np.float64))


@metric("part.false_shared", 1, "min", UNIT, "feature", success=False)
def false_shared(entry: Metric, c: Comparison) -> Result:
    """Share of features absent from some part whose latent puts weight (0.05 or more) there."""
    planted, claimed, near = _both(c)
    partial = (planted == 0).any(axis=1)
    if not partial.any():
        raise Undefined("every planted feature lives in all parts")
    extra = near & ((planted == 0) & (claimed >= ABSENT)).any(axis=1)
    return _result(entry, c, extra[partial].astype(np.float64))


@metric("part.decoupled", 1, "min", UNIT, "feature", success=False)
def decoupled(entry: Metric, c: Comparison) -> Result:
    """Share of features in several parts that different latents stand for in different parts.

    In each part that the feature lives in, the latent of largest cosine within that part (at
    least 0.9) is found; decoupled means that two parts find different ones and that none of them
    has the whole feature at cosine 0.9.
    """
    parts = _parts(c)
    planted = shares(c.truth.directions, parts)
    several = (planted > 0).sum(axis=1) > 1
    if not several.any():
        raise Undefined("no planted feature lives in more than one part")
    c.need_live()
    found = np.full((c.truth.n_features, len(parts)), -1)
    ends = np.cumsum(parts)[:-1]
    rows = zip(np.split(c.truth.directions, ends, 1), np.split(c.latents, ends, 1), strict=True)
    for part, (truth, latents) in enumerate(rows):
        cosine = _unit(truth) @ _unit(latents).T
        best = cosine.argmax(axis=1)
        close = cosine[np.arange(len(best)), best] >= 0.9
        found[:, part] = np.where((planted[:, part] > 0) & close, best, -1)
    highest = found.max(axis=1)
    lowest = np.where(found >= 0, found, np.iinfo(np.int64).max).min(axis=1)
    whole = c.similarity.best_latent_cosine >= 0.9
    apart = (highest >= 0) & (lowest < highest) & ~whole
    return _result(entry, c, apart[several].astype(np.float64))


def _both(c: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Planted and claimed shares (n_features, parts), and whether a latent is near."""
    parts = _parts(c)
    c.need_live()
    claimed = shares(c.latents[c.similarity.best_latent], parts)
    near = c.similarity.best_latent_cosine >= NEAR
    return shares(c.truth.directions, parts), claimed, near


def _parts(c: Comparison) -> tuple[int, ...]:
    if not c.truth.parts:
        raise Undefined("the activations of this world are one space, not several side by side")
    return c.truth.parts


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def _result(entry: Metric, c: Comparison, values: np.ndarray) -> Result:
    return Result(
        entry,
        float(values.mean()),
        n_units=len(values),
        ceiling=0.0,
        ceiling_kind="planted",
        parameters={**c.parameters, "near": NEAR, "lost": LOST, "absent": ABSENT},
        evidence={"per_feature": values},
    )
