"""Principal angles between the subspace that a variable has and the one that is claimed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from groundtruth import seeds
from groundtruth.alignment import Subspace
from groundtruth.errors import Undefined
from groundtruth.evaluators.variable_claims import Claims, described, entry
from groundtruth.result import Metric, Result, undefined
from groundtruth.variable_testbed import VariableTestbed
from groundtruth.variable_truth import CausalVariable

COVERAGE = entry("cv.subspace_coverage", "|U'V|^2 / dim U, U where values differ", "variable")
PURITY = entry("cv.subspace_purity", "|U'V|^2 / dim V, U planted, V claimed", "variable")
ANGLE = entry(
    "cv.subspace_angle",
    "largest angle, in degrees, of where values differ to what is claimed",
    "variable",
    "min",
    (0.0, 90.0),
)

_DRAWS = 20


def subspace_scores(testbed: VariableTestbed, claims: Claims, seed: int) -> list[Result]:
    """Coverage, purity and angle, where the truth names a subspace at the claimed site."""
    compared, reasons = {}, []
    for name, claim in claims.items():
        truth = testbed.truth[name]
        try:
            compared[name] = (truth, _comparable(testbed, truth, claim))
        except Undefined as reason:
            reasons.append(f"{name}: {reason}")
    parameters = described(claims) | {"undefined": reasons}
    if not compared:
        return [undefined(e, "; ".join(reasons), **parameters) for e in (COVERAGE, PURITY, ANGLE)]
    rng = seeds.generator(seeds.root_of("subspaces", seed))

    def random_angle(truth: CausalVariable, rows: np.ndarray) -> float:
        drawn = [np.linalg.qr(rng.normal(size=rows.T.shape))[0].T for _ in range(_DRAWS)]
        return float(np.mean([_angle(truth, random) for random in drawn]))

    # E |U'V|^2 = dim U dim V / width for random V.
    rules: list[tuple[Metric, Score, Score]] = [
        (COVERAGE, _coverage, lambda truth, rows: len(rows) / rows.shape[1]),
        (PURITY, _purity, lambda truth, rows: len(truth.basis) / rows.shape[1]),
        (ANGLE, _angle, random_angle),
    ]
    results = []
    for metric, score, floor in rules:
        values = {name: score(*pair) for name, pair in compared.items()}
        result = Result(
            metric,
            float(np.mean(list(values.values()))),
            n_units=len(values),
            parameters=parameters,
            evidence={name: np.array([value]) for name, value in values.items()},
        )
        low = float(np.mean([floor(*pair) for pair in compared.values()]))
        high = float(np.mean([score(truth, truth.basis) for truth, _ in compared.values()]))
        results.append(
            result.between(low, "random subspaces of equal dimension", high, "planted subspaces")
        )
    return results


Score = Callable[[CausalVariable, np.ndarray], float]
"""(variable, claimed rows (dim, width)) -> how they compare."""


def _comparable(
    testbed: VariableTestbed, truth: CausalVariable, claim: Subspace | None
) -> np.ndarray:
    """The claimed rows.

    Raises:
        Undefined: the truth names no subspace there.
    """
    sites = testbed.sites
    if claim is None:
        raise Undefined("not claimed")
    if claim.featurizer is not None:
        raise Undefined("claimed of a map of activations")
    carried = sites[sites.index(truth.site) :] if truth.site in sites else (truth.site,)
    if claim.site not in carried:
        raise Undefined(f"planted from {truth.site} on, claimed at {claim.site}")
    return claim.basis


def _moving(truth: CausalVariable) -> np.ndarray:
    """(r, width) orthonormal rows: the directions between values. Of one-hot values they are one
    fewer than values: what all share never moves."""
    if not len(truth.points):
        return truth.basis
    _, size, rows = np.linalg.svd(truth.points - truth.points.mean(0))
    return rows[: int((size > 1e-9).sum())] @ truth.basis


def _coverage(truth: CausalVariable, rows: np.ndarray) -> float:
    moving = _moving(truth)
    return float(np.square(moving @ rows.T).sum() / len(moving))


def _purity(truth: CausalVariable, rows: np.ndarray) -> float:
    return float(np.square(truth.basis @ rows.T).sum() / len(rows))


def _angle(truth: CausalVariable, rows: np.ndarray) -> float:
    moving = _moving(truth)
    # The sine is exact where the cosine is flat.
    away = moving - moving @ rows.T @ rows
    return math.degrees(math.asin(min(1.0, float(np.linalg.norm(away, 2)))))
