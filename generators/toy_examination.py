"""Whether a trained toy model is what theory predicts: without a certificate it has no truth.

A ReLU model is certified if the features that it represents lie in known geometries: each group
of features that interfere is a known polytope, with its angles, its dimensionalities and equal
lengths; and no feature is half represented. A linear model is certified if it keeps as many
dimensions as it has. Features that are left out have columns of length 0 but for training noise;
they are named, and stay out of the truth. Features of a correlated set are orthogonal as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from groundtruth.generators.polytopes import cosines, factors, feature_dimensionality
from groundtruth.generators.toy_certificate import Certificate, CertificateError, Check, Group
from groundtruth.generators.toy_matching import (
    INTERFERENCE,
    SEARCHED,
    UNKNOWN,
    Match,
    match,
    plateaus,
)
from groundtruth.generators.toy_training import TrainedToy

LEFT_OUT = 0.01
"""|W_i| up to which a feature is not represented; columns of dropped features train to 0.001."""

REPRESENTED = 0.5
"""|W_i| from which a feature of a ReLU model is represented; known geometries train to 1 to 1.15.
Also the singular value from which a linear model keeps a dimension."""

DIMENSIONALITY_ERROR = 5e-3
COSINE_ERROR = 0.02
NORM_SPREAD = 0.02

CORRELATED_INTERFERENCE = 0.15
"""Largest |cosine| between geometries where features fire in correlated sets. Their optimum is a
little off the right angle: two pairs in a plane trained to 0.09 to 0.14 at p = 0.1."""

CORRELATED_COSINE = 0.05
"""Largest |cosine| of features that are never alone: theory wants them orthogonal."""
PROJECTION_ERROR = 0.01


def certify(trained: TrainedToy) -> Certificate:
    """The certificate of a model that deserves it.

    Raises:
        CertificateError: a check fails; the message lists all that do, with what was measured and
            what is allowed.
    """
    certificate = examine(trained)
    failed = [check for check in certificate.checks if not check.passed]
    if failed:
        listed = "; ".join(
            f"{c.name}: expected at most {c.allowed:g}, got {c.measured:.4g} ({c.detail})"
            for c in failed
        )
        raise CertificateError(
            f"toy model (seed {trained.seed}): no certificate, so no truth. {listed}. Train "
            "longer (n_steps), from more starts (n_starts), or with another seed.",
            certificate,
        )
    return certificate


def examine(trained: TrainedToy) -> Certificate:
    """The certificate, passed or not."""
    W, names = trained.W.astype(np.float64), trained.names
    norm = np.linalg.norm(W, axis=0)
    out = norm <= LEFT_OUT
    if trained.training.activation == "linear":
        kept, members, matches = ~out, [], []
        checks = _rank_checks(W)
    else:
        kept = norm >= REPRESENTED
        together = trained.training.inputs.correlated
        allowed = CORRELATED_INTERFERENCE if together else COSINE_ERROR
        members = _groups(W, np.flatnonzero(kept), max(allowed, INTERFERENCE))
        matches = [match(cosines(W[:, group])) for group in members]
        checks = (
            *_geometry_checks(W, members, matches, names, allowed),
            *([_together_check(W, kept, together, names)] if together else []),
        )
    return Certificate(
        represented=_chosen(names, np.flatnonzero(kept)),
        left_out=_chosen(names, np.flatnonzero(out)),
        left_out_length=float(norm[out].sum()),
        groups=tuple(Group(m.name, _chosen(names, g)) for m, g in zip(matches, members)),
        checks=checks,
    )


def _rank_checks(W: np.ndarray) -> tuple[Check, ...]:
    """rank W = min(d, n_features), and W W^T = I: W^T W is then a projection.

    The optimum keeps the dimensions of most importance times variance. Where these are equal the
    subspace is arbitrary, so it is not asked for.
    """
    value = np.linalg.svd(W, compute_uv=False)
    rank, most = int(np.sum(value > REPRESENTED)), len(value)
    error = np.abs(value - 1)
    return (
        Check("missing_rank", float(most - rank), 0.0, f"rank {rank} of {most}"),
        Check(
            "projection_error",
            float(error.max()),
            PROJECTION_ERROR,
            f"singular values from {value.min():.4g} to {value.max():.4g}, each expected to be 1",
        ),
    )


def _groups(W: np.ndarray, index: np.ndarray, interference: float) -> list[np.ndarray]:
    """The features `index` in groups that interfere by more than `interference`."""
    return [index[group] for group in factors(W[:, index], interference=interference)]


def _geometry_checks(
    W: np.ndarray,
    members: list[np.ndarray],
    matches: list[Match],
    names: tuple[str, ...],
    interference: float,
) -> tuple[Check, ...]:
    norm = np.linalg.norm(W, axis=0)
    half = _half_check(norm, names)
    if not members:
        nothing = f"no feature has |W_i| >= {REPRESENTED}"
        return half, Check("dimensionality_error", math.inf, DIMENSIONALITY_ERROR, nothing)
    return (
        half,
        _dimensionality_check(W, np.concatenate(members), names),
        _cosine_check(members, matches, names),
        _interference_check(W, members, interference),
        _norm_check(norm, members),
    )


def _half_check(norm: np.ndarray, names: tuple[str, ...]) -> Check:
    half = np.flatnonzero((norm > LEFT_OUT) & (norm < REPRESENTED))
    shown = [f"{names[i]} {norm[i]:.3g}" for i in half[:8]] or ["none"]
    more = f" and {len(half) - 8} more" if len(half) > 8 else ""
    between = f"|W_i| between {LEFT_OUT} and {REPRESENTED}: {', '.join(shown)}{more}"
    return Check("half_represented", float(len(half)), 0.0, between)


def _dimensionality_check(W: np.ndarray, index: np.ndarray, names: tuple[str, ...]) -> Check:
    share, known = feature_dimensionality(W)[index], np.array(plateaus())
    gap = np.abs(share[:, None] - known)
    worst = int(np.argmax(gap.min(axis=1)))
    nearest = known[gap[worst].argmin()]
    return Check(
        "dimensionality_error",
        float(gap[worst].min()),
        DIMENSIONALITY_ERROR,
        f"{names[index[worst]]} has {share[worst]:.4f}, nearest {nearest:.4f}",
    )


def _cosine_check(members: list[np.ndarray], matches: list[Match], names: tuple[str, ...]) -> Check:
    worst = int(np.argmax([m.error for m in matches]))
    name, error = matches[worst]
    features = ", ".join(_chosen(names, members[worst]))
    unknown = f"{features} match no known geometry within {SEARCHED}"
    detail = unknown if name == UNKNOWN else f"{features} as {name}"
    return Check("cosine_error", error, COSINE_ERROR, detail)


def _interference_check(W: np.ndarray, members: list[np.ndarray], allowed: float) -> Check:
    label = np.repeat(np.arange(len(members)), [len(group) for group in members])
    cosine = np.abs(cosines(W[:, np.concatenate(members)]))
    most = float(cosine[label[:, None] != label].max(initial=0.0))
    return Check("interference", most, allowed, "largest |cosine| between geometries")


def _together_check(
    W: np.ndarray, kept: np.ndarray, sets: Sequence[Sequence[int]], names: tuple[str, ...]
) -> Check:
    """Represented features of one correlated set are orthogonal."""
    pairs = [(i, j) for members in sets for i, j in combinations(members, 2) if kept[i] and kept[j]]
    if not pairs:
        return Check("correlated_cosine", 0.0, CORRELATED_COSINE, "no set has two features left")
    cosine = np.abs(cosines(W))[tuple(zip(*pairs, strict=True))]
    worst = int(cosine.argmax())
    i, j = pairs[worst]
    detail = f"{names[i]} and {names[j]}"
    return Check("correlated_cosine", float(cosine[worst]), CORRELATED_COSINE, detail)


def _norm_check(norm: np.ndarray, members: list[np.ndarray]) -> Check:
    spread = [norm[group].max() / norm[group].min() - 1 for group in members]
    worst = members[int(np.argmax(spread))]
    return Check(
        "norm_spread",
        float(max(spread)),
        NORM_SPREAD,
        f"lengths {norm[worst].min():.4f} to {norm[worst].max():.4f} in one geometry",
    )


def _chosen(names: tuple[str, ...], index: np.ndarray) -> tuple[str, ...]:
    return tuple(names[i] for i in index)
