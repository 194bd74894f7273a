"""What a method that knows nothing would score.

Geometry: the cosine of a fixed direction with a uniformly random one in R^d has a known law, and
the best of k independent ones follows from it (`random_recall`, `expected_max_cosine`,
`median_max_cosine`, `significance_threshold`, `random_uniqueness`). Activity: rates alone give
`independent_f1`, `always_on_f1`, `auroc_null_sd`. One-to-one matching has no closed form;
`random_mcc` simulates it, and keeps what took long. All functions are pure; the tails are
computed directly, never as one minus a number near one, so they keep their digits at large k.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import linear_sum_assignment

from groundtruth import cache
from groundtruth.errors import reject
from groundtruth.evaluators.statistics import finite_array

SINGLE_DRAW_CELLS = 4_000_000
"""Above this many cosines, `random_mcc` takes one draw, does not hold their matrix, and keeps the
answer in the cache: 16,384 latents and features take as long as scoring a dictionary."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_NEGLIGIBLE = 1e-18


class SimulatedFloor(NamedTuple):
    """Mean and standard deviation over draws; `sd` is NaN after a single draw."""

    mean: float
    sd: float
    n_draws: int


def absolute_cosine_cdf(t: ArrayLike, d: int) -> NDArray[np.float64]:
    """Law of |cos| between a fixed and a uniformly random direction in R^d.

    B(t) = P(|cos| ≤ t) = I_{t²}(1/2, (d-1)/2); in one dimension |cos| is always 1.

    Args:
        t: cosines, any shape; values outside [0, 1] have probability 0 or 1.
        d: dimension, at least 1.

    Returns:
        Probabilities of the shape of `t` (a scalar for a scalar).

    Raises:
        InputError: t not finite or d not a whole number of at least 1.

    Example:
        >>> absolute_cosine_cdf([0.25, 0.5], d=3).tolist()  # uniform in three dimensions
        [0.25, 0.5]

    Not the law for directions of real activations, which are far from uniform.

    Source: Cai, Fan and Jiang, "Distributions of angles in random packing on spheres" (2013),
    https://jmlr.org/papers/v14/cai13a.html
    """
    cosine, d = finite_array("t", t, ndim=None), _whole("d", d, 1)
    if d == 1:
        return (cosine >= 1).astype(np.float64)[()]
    return special.betainc(0.5, (d - 1) / 2, np.clip(cosine, 0, 1) ** 2)


def signed_cosine_cdf(t: ArrayLike, d: int) -> NDArray[np.float64]:
    """Law of the signed cosine between a fixed and a uniformly random direction in R^d.

    Φ(t) = P(cos ≤ t) = 1/2 + sgn(t) B(|t|) / 2; in one dimension cos is -1 or 1, each half the
    time.

    Args:
        t: cosines, any shape; values outside [-1, 1] have probability 0 or 1.
        d: dimension, at least 1.

    Returns:
        Probabilities of the shape of `t` (a scalar for a scalar).

    Raises:
        InputError: t not finite or d not a whole number of at least 1.

    Example:
        >>> signed_cosine_cdf([-0.5, 0.0, 0.5], d=3).tolist()
        [0.25, 0.5, 0.75]

    Not the law of similarity where sign is ignored; that is `absolute_cosine_cdf`.

    Source: as `absolute_cosine_cdf`.
    """
    cosine, d = finite_array("t", t, ndim=None), _whole("d", d, 1)
    if d == 1:
        return (((cosine >= -1) * 0.5) + ((cosine >= 1) * 0.5))[()]
    # P(cos > |t|): the lower half is taken from it directly, without cancellation.
    upper = special.betaincc(0.5, (d - 1) / 2, np.clip(np.abs(cosine), 0, 1) ** 2) / 2
    return np.where(cosine < 0, upper, 1 - upper)[()]


def random_recall(threshold: float, d: int, k: int, *, signed: bool) -> float:
    """Chance that at least one of k random latents comes as close as `threshold` to a truth.

    1 - (1 - P(cos ≥ τ))^k, with |cos| for the unsigned policy.

    Args:
        threshold: τ, in [0, 1]; in [-1, 1] when signed.
        d: dimension, at least 1.
        k: number of latents, at least 0.
        signed: whether an opposite direction counts as far (True) or as equal (False).

    Returns:
        Expected recall in [0, 1], also the expected share of truths with such a latent. 0 for
        k = 0.

    Raises:
        InputError: threshold outside its range, or d or k not a whole number in range.

    Example:
        >>> round(random_recall(0.9, d=8, k=64, signed=False), 3)
        0.059

    Not the floor of one-to-one recall when truths are close to each other, nor what an untrained
    network with structured initial weights scores; simulate those.

    Source: as `absolute_cosine_cdf`.
    """
    low = -1 if signed else 0
    if not low <= threshold <= 1:
        raise reject("threshold", threshold, f"a cosine in [{low}, 1]")
    d, k = _whole("d", d, 1), _whole("k", k, 0)
    return _at_least_one(_tail(threshold, d, signed), k)


def expected_max_cosine(d: int, k: int, *, signed: bool) -> float:
    """Expected similarity of a truth to the nearest of k random latents.

    E max|cos| = 1 - ∫₀¹ B(t)^k dt;  signed: 1 - ∫₋₁¹ Φ(t)^k dt.

    Args:
        d: dimension, at least 1.
        k: number of latents, at least 0.
        signed: whether an opposite direction counts as far (True) or as equal (False).

    Returns:
        The expectation in [0, 1], to about 12 digits. k = 0 gives 0, the similarity that a
        truth without a latent is scored with.

    Raises:
        InputError: d or k not a whole number in range.

    Example:
        >>> [round(expected_max_cosine(64, 256, signed=s), 3) for s in (False, True)]
        [0.371, 0.346]

    Not √(2 ln k / d), which is 10 to 20 % too high, and not the floor of a one-to-one matching;
    see `random_mcc`.

    Source: as `absolute_cosine_cdf`; the integrals are those of the maximum of k independent
    draws.
    """
    d, k = _whole("d", d, 1), _whole("k", k, 0)
    if k == 0:
        return 0.0
    if d == 1:
        return 1 - 2.0 ** (1 - k) if signed else 1.0
    # With x = P(cos ≥ t), halved when signed, both integrals become one over t in [0, 1], of
    # 1 - (1-x)^k, less x^k from negative t when signed. Substituting t = cos φ keeps 1 - t exact
    # near 1 and removes the square-root end point that d = 2 has.
    share = 0.5 if signed else 1.0
    start = _angle(_NEGLIGIBLE / k, d)
    certain = -math.expm1(math.log(_NEGLIGIBLE) / k) / share  # beyond it (1-x)^k is negligible
    stop = _angle(certain, d) if certain < 1 else math.pi / 2
    phi = start + (stop - start) * (_NODES + 1) / 2
    x = share * special.betainc((d - 1) / 2, 0.5, np.sin(phi) ** 2)
    with np.errstate(divide="ignore"):  # x = 1 stands for a certain hit: log 0 is meant
        integrand = -np.expm1(k * np.log1p(-x)) - (x**k if signed else 0.0)
    area = (stop - start) / 2 * float(np.sum(_WEIGHTS * integrand * np.sin(phi)))
    # From t = 0 to cos(stop) the integrand is 1.
    return area + (math.cos(stop) if certain < 1 else 0.0)


def median_max_cosine(d: int, k: int, *, signed: bool) -> float:
    """Median similarity of a truth to the nearest of k random latents.

    The t with B(t)^k = 1/2 (signed: Φ(t)^k = 1/2).

    Args:
        d: dimension, at least 1.
        k: number of latents, at least 0.
        signed: whether an opposite direction counts as far (True) or as equal (False).

    Returns:
        The median. k = 0 gives 0. In one dimension it is 1, except that a single signed latent
        is 1 or -1 with equal chance and has the midpoint 0.

    Raises:
        InputError: d or k not a whole number in range.

    Example:
        >>> round(median_max_cosine(3, 1, signed=False), 6)  # uniform in three dimensions
        0.5

    Not the expectation: the law is skewed to the right, so the mean is higher at large k.

    Source: as `absolute_cosine_cdf`.
    """
    d, k = _whole("d", d, 1), _whole("k", k, 0)
    if k == 0 or (signed and k == 1):
        return 0.0
    return _cosine_with_tail(-math.expm1(-math.log(2) / k), d, signed)


def significance_threshold(
    d: int, k: int, n_features: int, alpha: float = 0.01, *, signed: bool = False
) -> float:
    """Smallest cosine that random latents reach, over all truths together, at most α times.

    τ₀ = min{t : F (1 - B(t)^k) ≤ α}; signed with Φ for B.

    Args:
        d: dimension, at least 1.
        k: number of latents, at least 0.
        n_features: F, number of truths, at least 1.
        alpha: expected number of truths reached by chance, above 0.
        signed: whether an opposite direction counts as far (True) or as equal (False).

    Returns:
        τ₀, the lower end for curves over thresholds. 0 (signed: -1) when nothing can exceed α,
        as for k = 0. In one dimension it is 1: there chance reaches every truth exactly and no
        cosine is evidence.

    Raises:
        InputError: d, k or n_features not a whole number in range, or alpha not positive.

    Example:
        >>> round(significance_threshold(128, 1024, 512), 3)
        0.47

    Not a threshold for calling a feature recovered: it says "more than chance", and a merge of
    two features passes it.

    Source: as `absolute_cosine_cdf`, with the union bound over truths.
    """
    d, k, n_features = _whole("d", d, 1), _whole("k", k, 0), _whole("n_features", n_features, 1)
    if not (math.isfinite(alpha) and alpha > 0):
        raise reject("alpha", alpha, "a positive expected number of false truths")
    if k == 0 or alpha >= n_features:
        return -1.0 if signed else 0.0
    return _cosine_with_tail(-math.expm1(math.log1p(-alpha / n_features) / k), d, signed)


def random_uniqueness(n_features: int, k: int) -> float:
    """Distinct nearest truths per latent when each latent's nearest truth is uniform.

    (F/k) (1 - (1 - 1/F)^k).

    Args:
        n_features: F, number of truths, at least 1.
        k: number of latents, at least 0.

    Returns:
        Expected share in (0, 1]; NaN for k = 0, where there is no latent to ask.

    Raises:
        InputError: n_features or k not a whole number in range.

    Example:
        >>> round(random_uniqueness(1000, 1000), 3)
        0.632

    Not a low number: uniqueness near .63 at k = F is what chance gives. A truth that is crowded
    by others attracts fewer latents, which lowers the floor a little.

    Source: the classical occupancy problem; Feller, "An Introduction to Probability Theory and
    Its Applications", volume 1 (1968), section IV.2,
    https://archive.org/details/introductiontopr0001fell
    """
    n_features, k = _whole("n_features", n_features, 1), _whole("k", k, 0)
    return n_features / k * _at_least_one(1 / n_features, k) if k else math.nan


def independent_f1(prevalence: ArrayLike, rate: ArrayLike) -> NDArray[np.float64]:
    """F1 of a latent that fires at `rate`, independently of the feature.

    2πq / (π + q), from precision π and recall q.

    Args:
        prevalence: π, share of samples where the feature is active, in [0, 1].
        rate: q, share of samples where the latent fires, in [0, 1]; broadcast against π.

    Returns:
        F1 of the population, in [0, 1], of the broadcast shape. NaN where both are 0.

    Raises:
        InputError: a share outside [0, 1] or not finite.

    Example:
        >>> round(float(independent_f1(0.1, 0.3)), 2)
        0.15

    Not the floor of a latent chosen as the best of many on the same data; that is higher.

    Source: van Rijsbergen, "Information Retrieval", 2nd edition (1979), chapter 7,
    http://www.dcs.gla.ac.uk/Keith/Preface.html
    """
    active, fires = _share("prevalence", prevalence), _share("rate", rate)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN on purpose: no truth and no claim
        return (2 * active * fires / (active + fires))[()]


def always_on_f1(prevalence: ArrayLike) -> NDArray[np.float64]:
    """F1 of a latent that fires on every sample: 2π / (1 + π).

    Args:
        prevalence: π, share of samples where the feature is active, in [0, 1], any shape.

    Returns:
        F1 in [0, 1], of the shape of `prevalence`; the best that a constant answer gets.

    Raises:
        InputError: a share outside [0, 1] or not finite.

    Example:
        >>> float(always_on_f1(0.25))
        0.4

    Not small for a frequent feature: at π = .5 it is .67.

    Source: as `independent_f1`, at rate 1.
    """
    return independent_f1(prevalence, 1.0)


def auroc_null_sd(n_positive: int, n_negative: int) -> float:
    """Standard deviation of the AUROC of a score without information.

    √((n⁺ + n⁻ + 1) / (12 n⁺ n⁻)), about a mean of 1/2.

    Args:
        n_positive: number of active samples, at least 0.
        n_negative: number of inactive samples, at least 0.

    Returns:
        The standard deviation; NaN when either class is empty.

    Raises:
        InputError: a count that is not a whole number of at least 0.

    Example:
        >>> round(auroc_null_sd(10, 19990), 4)
        0.0913

    Not valid with many ties, as for sparse codes: there it is too large. Not the spread of the
    best of many latents; choose the latent on other data.

    Source: Mann and Whitney, "On a test of whether one of two random variables is stochastically
    larger than the other" (1947), https://doi.org/10.1214/aoms/1177730491
    """
    n1, n0 = _whole("n_positive", n_positive, 0), _whole("n_negative", n_negative, 0)
    return math.sqrt((n1 + n0 + 1) / (12 * n1 * n0)) if n1 and n0 else math.nan


def random_mcc(
    d: int, n_features: int, k: int, *, signed: bool, n_draws: int = 20, seed: int
) -> SimulatedFloor:
    """Matched cosine per truth between random latents and random truths, by simulation.

    max over one-to-one matchings M of Σ_{(i,j) ∈ M} C_ij / F, |M| <= min(F, k).

    Args:
        d: dimension, at least 1.
        n_features: F, number of truths, at least 1; the sum is divided by it.
        k: number of latents, at least 0.
        signed: whether an opposite direction counts as far (True) or as equal (False).
        n_draws: independent draws, at least 1. Above `SINGLE_DRAW_CELLS` cosines one draw is
            taken: its mean over thousands of pairs hardly varies. `n_draws` of the result says.
        seed: seed of the draws. The same arguments give the same, cached, answer.

    Returns:
        Mean and standard deviation over draws, and the number of draws. `mean` is in [0, 1]
        (signed: [-1, 1]); 0 for k = 0.

    Raises:
        InputError: a count or the seed not a whole number in range.
        MemoryRefused: from the solver, when one draw does not fit.

    Example:
        >>> round(random_mcc(64, 256, 64, signed=False, n_draws=3, seed=0).mean, 2)
        0.09

    Not exact for a given dictionary: truths that are far from uniform, a hierarchy say, have
    another floor. Dividing by min(F, k) instead would reward k < F, where the best truths are
    chosen.

    Source: Crouse, "On implementing 2D rectangular assignment algorithms" (2016),
    https://doi.org/10.1109/TAES.2016.140952
    """
    d, k, n_features = _whole("d", d, 1), _whole("k", k, 0), _whole("n_features", n_features, 1)
    n_draws, seed = _whole("n_draws", n_draws, 1), _whole("seed", seed, 0)
    if n_features * k <= SINGLE_DRAW_CELLS:
        return _simulated_mcc(d, n_features, k, bool(signed), n_draws, seed)
    drawn = {"d": d, "n_features": n_features, "k": k, "signed": bool(signed), "seed": seed}
    held = cache.cached(
        "random mcc",
        lambda: {"mean": np.array(_simulated_mcc(**drawn, n_draws=1).mean)},
        description=drawn,
    )
    return SimulatedFloor(float(held["mean"]), math.nan, 1)


@lru_cache(maxsize=256)
def _simulated_mcc(
    d: int, n_features: int, k: int, signed: bool, n_draws: int, seed: int
) -> SimulatedFloor:
    rng = np.random.default_rng(seed)
    draws = np.empty(n_draws)
    for draw in range(n_draws):
        truths, latents = _unit_rows(rng, n_features, d), _unit_rows(rng, k, d)
        draws[draw] = _matched_sum(truths, latents, signed) / n_features
    sd = float(draws.std(ddof=1)) if n_draws > 1 else math.nan
    return SimulatedFloor(float(draws.mean()), sd, n_draws)


def _matched_sum(truths: NDArray[np.float64], latents: NDArray[np.float64], signed: bool) -> float:
    if len(truths) * len(latents) > SINGLE_DRAW_CELLS:
        # Loads torch, which the small floors do without.
        from groundtruth.inference.assignment import assign_directions

        return float(assign_directions(truths, latents, absolute=not signed).similarity.sum())
    similarity = truths @ latents.T  # (F, k)
    # As the metric does: a pair that points away is no pair.
    similarity = np.maximum(similarity, 0) if signed else np.abs(similarity)
    return float(similarity[linear_sum_assignment(similarity, maximize=True)].sum())


def _unit_rows(rng: np.random.Generator, n: int, d: int) -> NDArray[np.float64]:
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _tail(t: float, d: int, signed: bool) -> float:
    """P(cos ≥ t) or P(|cos| ≥ t), with its digits kept when small."""
    if not signed:
        return 1.0 if d == 1 else float(special.betaincc(0.5, (d - 1) / 2, t * t))
    if t > 0:
        return _tail(t, d, signed=False) / 2
    # In one dimension the mass at -1 belongs to P(cos ≥ -1) and to nothing above it.
    if d == 1:
        return 1.0 if t <= -1 else 0.5
    return 1 - _tail(-t, d, signed=False) / 2


def _cosine_with_tail(p: float, d: int, signed: bool) -> float:
    """The t that |cos| (or cos) reaches with probability p."""
    if signed:
        upper = _cosine_with_tail(min(1.0, 2 * min(p, 1 - p)), d, signed=False)
        return upper if p <= 0.5 else -upper
    if d == 1:
        return 1.0
    return math.cos(_angle(p, d)) if p < 1 else 0.0


def _angle(p: float, d: int) -> float:
    """The angle φ with P(|cos| ≥ cos φ) = p, for d ≥ 2."""
    return math.asin(math.sqrt(float(special.betaincinv((d - 1) / 2, 0.5, p))))


def _at_least_one(p: float, k: int) -> float:
    """1 - (1 - p)^k without cancellation."""
    if p >= 1:
        return 1.0 if k else 0.0
    return -math.expm1(k * math.log1p(-p))


def _share(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = finite_array(name, values, ndim=None)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        raise reject(name, float(outside[0]), "shares in [0, 1]")
    return array


def _whole(name: str, value: int, least: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise reject(name, value, f"a whole number of at least {least}")
    return int(value)
