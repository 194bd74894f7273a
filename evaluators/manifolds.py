"""Metrics of features that have several dimensions: subspaces and manifolds.

The axes of a planted subspace are a convention, so no cosine with one of them is taken. Latents are
assigned to a manifold by when they fire, on `select`; how their directions lie, and what their
codes say of the planted coordinate, is then measured.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from groundtruth.errors import Undefined
from groundtruth.evaluators.average import average
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.recovery import IDENTITY
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.manifold import Manifold, Visits
from groundtruth.result import Metric, Result

FIRINGS = 10
"""On `select`, below which a latent is not assigned: so few may fall together by luck."""
RANK_FROM = 0.1
"""Of the largest singular value of the assigned latents' unit rows, from which a direction is
counted to their span."""
_PENALTIES = 10.0 ** np.arange(-4, 2)  # times the number of samples, codes scaled to mean square 1


@metric("subspace.coverage", 1, "max", UNIT, "manifold", ceiling=IDENTITY)
def coverage(entry: Metric, c: Comparison) -> Result:
    """Mean over manifolds of ||U V^T||_F^2 / dims, V the span of the latents assigned to it.

    Assigned: at least 10 firings on `select`, and a share of its squared codes where the manifold
    is active that is nearer to 1 than to the manifold's firing probability. 0 where no latent is.
    Directions of a singular value below 0.1 of the largest are not counted to the span. It does
    not fall when assigned latents point elsewhere: read subspace.purity with it.
    """
    values = [_overlap(c, m, rows)[0] for m, rows in _assigned(c)]
    return _result(entry, c, values).between(0.0, "no latent", None, "")


@metric("subspace.purity", 1, "max", UNIT, "manifold", ceiling=IDENTITY)
def purity(entry: Metric, c: Comparison) -> Result:
    """Mean over manifolds of ||U V^T||_F^2 / rank(V), V as in subspace.coverage.

    Undefined for a manifold without latents. A claim that says little is pure: read
    subspace.coverage with it.
    """
    values = [_overlap(c, m, rows)[1] for m, rows in _assigned(c)]
    floor = float(np.mean([m.chart.dims / c.truth.d for m in c.truth.manifolds]))
    return _result(entry, c, values).between(floor, "random directions", None, "")


@metric("manifold.coord_error", 1, "min", (0.0, math.inf), "manifold", ceiling=IDENTITY)
def coord_error(entry: Metric, c: Comparison) -> Result:
    """Mean over manifolds of E distance(c, c_hat) / E distance(c, best constant guess).

    c_hat is the point of the manifold nearest to a ridge regression of phi(c) on the codes of the
    assigned latents, where the manifold is active; fitted on `select`, its penalty chosen by halves
    of it, measured on `score`. 1 is what knowing nothing reaches, and the value without latents.
    Distances are geodesic. It is about what the codes say together; one latent per point of a
    finite set and two per axis of a circle do alike.
    """
    select, score = c.data.visits("select"), c.data.visits("score")
    values = []
    for number, (manifold, latents) in enumerate(_assigned(c)):
        fit = _codes(c, "select", select[number], latents), select[number]
        test = _codes(c, "score", score[number], latents), score[number]
        values.append(_error(manifold, fit, test))
    return _result(entry, c, values).between(1.0, "a constant guess", None, "")


@metric(
    "manifold.tiling", 1, "target", (0.0, math.inf), "manifold", ceiling=IDENTITY, success=False
)
def tiling(entry: Metric, c: Comparison) -> Result:
    """Mean over manifolds of the number of latents assigned to it, as in subspace.coverage.

    Non-negative codes need dims + 1 latents to write every point, and sparse ones gain by more:
    each tiles a piece. What a wide dictionary spends here it does not spend on rare features.
    """
    return _result(entry, c, [float(len(latents)) for _, latents in _assigned(c)])


@metric("manifold.gap", 1, "min", UNIT, "manifold", ceiling=IDENTITY, success=False)
def gap(entry: Metric, c: Comparison) -> Result:
    """Mean over manifolds of the share of its firings on `score` where no assigned latent fires."""
    values = []
    for (_, latents), found in zip(_assigned(c), c.data.visits("score"), strict=True):
        fires = np.diff(_codes(c, "score", found, latents).indptr) > 0
        values.append(float(1 - fires.mean()) if len(fires) else math.nan)
    return _result(entry, c, values).between(1.0, "no latent", None, "")


def _assigned(c: Comparison) -> list[tuple[Manifold, np.ndarray]]:
    """Each manifold with the latents (indices among all k) that fire for it on `select`."""
    if not c.truth.manifolds:
        raise Undefined("every planted feature has one dimension")
    c.need_codes()
    assert c.outputs.select is not None
    codes = c.outputs.select
    often = np.bincount(codes.indices, weights=codes.data != 0, minlength=c.outputs.k) >= FIRINGS
    # A code that barely is not 0 is a firing too; squares tell what the latent is there for.
    energy = codes.astype(np.float64).power(2)
    total = np.asarray(energy.sum(axis=0)).ravel()
    best, share = np.full(c.outputs.k, -1), np.zeros(c.outputs.k)
    for number, found in enumerate(c.data.visits("select")):
        with_it = np.asarray(energy[found.row].sum(axis=0)).ravel()
        with_it = np.divide(with_it, total, out=np.zeros_like(total), where=total > 0)
        chance = c.truth.manifolds[number].firing_probability
        better = often & (with_it >= (1 + chance) / 2) & (with_it > share)
        best[better], share[better] = number, with_it[better]
    return [(m, np.flatnonzero(best == number)) for number, m in enumerate(c.truth.manifolds)]


def _overlap(c: Comparison, manifold: Manifold, latents: np.ndarray) -> tuple[float, float]:
    """(coverage, purity) of the span of the latents' decoder rows."""
    rows = c.outputs.decoder[latents]
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > 0] / norms[norms > 0, None]
    if len(rows) == 0:
        return 0.0, math.nan
    _, size, span = np.linalg.svd(rows, full_matrices=False)
    span = span[size >= RANK_FROM * size[0]]
    shared = float(((manifold.basis @ span.T) ** 2).sum())
    return shared / len(manifold.basis), shared / len(span)


def _codes(c: Comparison, part: str, found: Visits, latents: np.ndarray) -> sp.csr_array:
    """(m, n_latents) codes where the manifold is active."""
    return sp.csr_array(getattr(c.outputs, part)[found.row][:, latents])


def _error(
    manifold: Manifold, fit: tuple[sp.csr_array, Visits], test: tuple[sp.csr_array, Visits]
) -> float:
    """Error on `test` of the ridge regression fitted on `fit`, in units of the best guess's."""
    chart = manifold.chart
    (fit_codes, fit_at), (test_codes, test_at) = fit, test
    if len(test_at.row) == 0:
        return math.nan
    if fit_codes.shape[1] == 0 or len(fit_at.row) < 2:
        return 1.0
    x = fit_codes.toarray().astype(np.float64)
    size = np.sqrt((x**2).mean(axis=0))
    size[size == 0] = 1.0
    x, x_test = x / size, test_codes.toarray() / size
    y, half = chart.points(fit_at.coordinates), len(x) // 2

    def error(penalty: float, train: slice, codes: np.ndarray, at: np.ndarray) -> float:
        guess = chart.nearest(_ridge(x[train], y[train], penalty, codes))
        return float(chart.distance(guess, at).mean()) / chart.chance

    at = fit_at.coordinates[half:]
    found = [error(penalty, slice(0, half), x[half:], at) for penalty in _PENALTIES]
    penalty = float(_PENALTIES[int(np.argmin(found))])
    return error(penalty, slice(None), x_test, test_at.coordinates)


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float, at: np.ndarray) -> np.ndarray:
    """Predictions for `at` (m, k) of the ridge regression of y (n, r) on x (n, k), centred."""
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x = x - x_mean
    gram = x.T @ x + penalty * len(x) * np.eye(x.shape[1])
    return (at - x_mean) @ np.linalg.solve(gram, x.T @ (y - y_mean)) + y_mean


def _result(entry: Metric, c: Comparison, values: list[float]) -> Result:
    return average(entry, np.array(values), {"firings": FIRINGS, "rank_from": RANK_FROM})
