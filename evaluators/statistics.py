"""Intervals, tests and ranking scores that the evaluators share.

Every interval is an `Interval(value, low, high)`. NaN marks a number that the data do not
define, and each docstring names those cases; damaged input (NaN, infinity, wrong shape) raises
`InputError` instead. Proportions: `wilson`, `clopper_pearson`. Means over units: `t_interval`,
`bootstrap_mean`. Ratios of sums: `ratio_interval`, `ev_interval`. Rankings: `auroc`,
`weighted_average_precision`. Comparisons: `sign_flip_test`, `holm`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from groundtruth.errors import InputError, reject

FEWEST_PER_CLASS = 10
"""Below this many positives (or negatives) the normal approximation of `auroc` is not used."""

MOST_SIGN_FLIP_UNITS = 20
"""The exact test holds 2^(n-1) sums in memory: 4 MiB at 20 units."""


class Interval(NamedTuple):
    """An estimate with its lower and upper confidence bound; NaN where undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Interval(math.nan, math.nan, math.nan)


def finite_array(name: str, values: ArrayLike, *, ndim: int | None = 1) -> NDArray[np.float64]:
    """`values` as float64, after checking that all of them are finite real numbers.

    Args:
        name: what the message calls the argument.
        values: real numbers; shape (n,) for the default `ndim`.
        ndim: number of axes demanded; None takes any.

    Returns:
        A float64 array of the same shape. It may share memory with `values`.

    Raises:
        InputError: not real numbers, another number of axes, or any NaN or infinity; the message
            gives the first bad index and how many there are.

    Example:
        >>> finite_array("scores", [1, 2]).tolist()
        [1.0, 2.0]
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise reject(name, values, "an array of real numbers") from error
    if array.size and array.dtype.kind not in "biuf":
        raise reject(name, array.dtype, "an array of real numbers")
    if ndim is not None and array.ndim != ndim:
        raise reject(name, array.shape, f"{ndim} axes" if ndim != 1 else "one axis")
    array = array.astype(np.float64, copy=False)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        place = f"index {index[0] if len(index) == 1 else index}"
        raise InputError(
            f"{name}: expected finite numbers, got {array[index]} at {place} "
            f"({len(bad)} of {array.size} values are not finite). "
            "Repair the source of the values, or leave those units out and report how many."
        )
    return array


def wilson(successes: float, n: float, z: float = 1.959964) -> Interval:
    """Score interval of a proportion over independent units.

    low, high = (p + z²/2n ∓ z √(p(1-p)/n + z²/4n²)) / (1 + z²/n),  p = successes / n.

    Args:
        successes: number of successes, 0 to n.
        n: number of independent units; an effective number may be fractional.
        z: normal quantile; the default gives 95 %.

    Returns:
        (p, low, high), bounds inside [0, 1]. All NaN when n is 0.

    Raises:
        InputError: a count that is negative, not finite, or successes > n; z not positive.

    Example:
        >>> [round(v, 3) for v in wilson(8, 10)]
        [0.8, 0.49, 0.943]

    Not for units that share a dictionary or a sequence: count those as one unit, or use
    `t_interval` over worlds. With 0 or n successes prefer `clopper_pearson`, whose coverage is
    guaranteed.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference"
    (1927), https://doi.org/10.1080/01621459.1927.10502953
    """
    _check_counts(successes, n)
    if not (math.isfinite(z) and z > 0):
        raise reject("z", z, "a positive finite number")
    if n == 0:
        return UNDEFINED
    p, spread = successes / n, z * z / n
    centre = (p + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (p * (1 - p) + spread / 4)) / (1 + spread)
    # The bounds are exactly 0 and 1 at the extremes; rounding would leave 1e-17 beside them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(p, low, high)


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Exact (conservative) interval of a proportion over independent units.

    low = BetaInv(α/2; s, n-s+1),  high = BetaInv(1-α/2; s+1, n-s),  α = 1 - level.

    Args:
        successes: number of successes s, 0 to n.
        n: number of independent units.
        level: coverage that is at least kept, in (0, 1).

    Returns:
        (s/n, low, high). All NaN when n is 0.

    Raises:
        InputError: a count that is negative, not finite, or successes > n; level outside (0, 1).

    Example:
        >>> [round(v, 3) for v in clopper_pearson(0, 10)]
        [0.0, 0.0, 0.308]

    Not the shortest interval: it covers more often than asked. `wilson` is closer to nominal.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the
    case of the binomial" (1934), https://doi.org/10.1093/biomet/26.4.404
    """
    _check_counts(successes, n)
    tail = (1 - _checked_level(level)) / 2
    if n == 0:
        return UNDEFINED
    s, f = successes, n - successes
    low = 0.0 if s == 0 else float(special.betaincinv(s, f + 1, tail))
    high = 1.0 if f == 0 else float(special.betainccinv(s + 1, f, tail))
    return Interval(s / n, low, high)


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student interval of the mean over independent units.

    mean ± t_{n-1, (1+level)/2} · s / √n,  s² = Σ (v - mean)² / (n - 1).

    Args:
        values: one number per unit, shape (n,).
        level: nominal coverage, in (0, 1).

    Returns:
        (mean, low, high). One value gives NaN bounds; none gives NaN throughout.

    Raises:
        InputError: values not finite or not one axis; level outside (0, 1).

    Example:
        >>> [round(v, 2) for v in t_interval([1.0, 2.0, 3.0])]
        [2.0, -0.48, 4.48]

    Not an interval for where the next unit will fall, and not valid over features of one
    dictionary, which are dependent: give it one mean per world.

    Source: Student, "The probable error of a mean" (1908), https://doi.org/10.1093/biomet/6.1.1
    """
    array = finite_array("values", values)
    _checked_level(level)
    if len(array) < 2:
        return Interval(float(array[0]), math.nan, math.nan) if len(array) else UNDEFINED
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return _student(float(array.mean()), error, len(array), level)


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of a ratio of sums, to first order in the sampling error.

    R = Σ a / Σ b;  SE² = n/(n-1) · Σ (a - R b)² / (Σ b)²;  R ± t_{n-1} SE.

    Args:
        numerator: a, one number per independent sample, shape (n,).
        denominator: b, the same samples in the same order, shape (n,).
        level: nominal coverage, in (0, 1).

    Returns:
        (R, low, high). All NaN when Σ b is 0 or there are no samples. NaN bounds for one sample,
        and when the mean of b is within three standard errors of zero, where the first-order
        expansion says nothing.

    Raises:
        InputError: values not finite, not one axis, or of different lengths; level outside (0, 1).

    Example:
        >>> [round(v, 3) for v in ratio_interval([1.0, 2.0, 3.1, 4.1], [2.0, 4.0, 6.0, 8.0])]
        [0.51, 0.498, 0.522]

    Not the mean of ratios, which gives a sample with a small denominator an unbounded weight.

    Source: Cochran, "Sampling Techniques", 3rd edition (1977), chapter 6,
    https://archive.org/details/samplingtechniqu0000coch_t4x6
    """
    a, b = finite_array("numerator", numerator), finite_array("denominator", denominator)
    _checked_level(level)
    if a.shape != b.shape:
        raise reject("denominator", b.shape, f"the shape of numerator, {a.shape}")
    n, total = len(a), float(b.sum())
    if n == 0 or total == 0:
        return UNDEFINED
    ratio = float(a.sum()) / total
    if n < 2 or abs(total) < 3 * math.sqrt(n) * float(b.std(ddof=1)):
        return Interval(ratio, math.nan, math.nan)
    error = math.sqrt(n / (n - 1) * float(np.sum((a - ratio * b) ** 2))) / abs(total)
    return _student(ratio, error, n, level)


def ev_interval(residual_sq: ArrayLike, x: ArrayLike, level: float = 0.95) -> Interval:
    """Explained variance with its interval, the mean taken over the whole split.

    EV = 1 - Σ_n r_n / Σ_n ‖x_n - x̄‖²,  r_n = ‖x_n - x̂_n‖².

    Args:
        residual_sq: r, squared reconstruction error per sample, shape (n,), not negative.
        x: activations, shape (n, d).
        level: nominal coverage, in (0, 1).

    Returns:
        (EV, low, high), value at most 1. All NaN when x does not vary; NaN bounds as in
        `ratio_interval`.

    Raises:
        InputError: values not finite, negative residuals, or lengths that differ.

    Example:
        >>> x = [[float(i % 5), float(i % 3)] for i in range(30)]
        >>> round(ev_interval([0.5] * 30, x).value, 4)
        0.8125

    Not evidence that features were recovered: a rotated dictionary reconstructs as well. It
    takes samples as independent; sum over a sequence first where they are not.

    Source: as `ratio_interval`.
    """
    residuals, points = finite_array("residual_sq", residual_sq), finite_array("x", x, ndim=2)
    if len(residuals) != len(points):
        raise reject("residual_sq", residuals.shape, f"one value per row of x ({len(points)},)")
    if np.any(residuals < 0):
        index = int(np.flatnonzero(residuals < 0)[0])
        raise reject(f"residual_sq[{index}]", float(residuals[index]), "a value of at least 0")
    if points.size == 0:
        return UNDEFINED
    # Measured from the first row, constant data give exactly zero, not the rounding of their mean.
    moved = points - points[0]
    # x̄ minimises Σ‖x - x̄‖², so its own sampling error enters only at second order.
    spread = np.sum((moved - moved.mean(axis=0)) ** 2, axis=1)
    value, low, high = ratio_interval(residuals, spread, level)
    return Interval(1 - value, 1 - high, 1 - low)


def bootstrap_mean(
    values: ArrayLike, rng: np.random.Generator, n_resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile bootstrap of the mean over units.

    Bounds are the (1 ∓ level)/2 quantiles of the means of n units drawn with replacement.

    Args:
        values: one finished number per unit, shape (n,).
        rng: where the resamples come from; same state, same bounds.
        n_resamples: number of resamples, at least 1.
        level: nominal coverage, in (0, 1).

    Returns:
        (mean, low, high). One value gives NaN bounds; none gives NaN throughout.

    Raises:
        InputError: values not finite or not one axis; n_resamples < 1; level outside (0, 1).

    Example:
        >>> bootstrap_mean([0.0, 1.0, 1.0, 1.0], np.random.default_rng(0))
        Interval(value=0.75, low=0.25, high=1.0)

    Not for numbers that depend on one another through a matching or a choice of the best: fix
    the matching, then give it the cosine of each truth. Matching again inside each resample
    makes copies of one truth compete for one latent and biases the mean down. Under about 20
    units it covers less than asked; use `t_interval`.

    Source: Efron, "Bootstrap methods: another look at the jackknife" (1979),
    https://doi.org/10.1214/aos/1176344552
    """
    array = finite_array("values", values)
    tail = (1 - _checked_level(level)) / 2
    if n_resamples < 1:
        raise reject("n_resamples", n_resamples, "at least 1")
    n = len(array)
    if n < 2:
        return Interval(float(array[0]), math.nan, math.nan) if n else UNDEFINED
    # One resample at a time: an (n_resamples, n) index would take 16 GB at a million units.
    means = [array[rng.integers(0, n, n)].mean() for _ in range(n_resamples)]
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(array.mean()), float(low), float(high))


def auroc(positive_scores: ArrayLike, negative_scores: ArrayLike, level: float = 0.95) -> Interval:
    """Area under the ROC curve with DeLong's interval.

    AUROC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻);  SE² = Var(V⁺)/n⁺ + Var(V⁻)/n⁻, where V is the share of
    the other class that a score beats, ties counted half.

    Args:
        positive_scores: scores of active samples, shape (n_positive,).
        negative_scores: scores of inactive samples, shape (n_negative,).
        level: nominal coverage, in (0, 1).

    Returns:
        (value, low, high) inside [0, 1]: 1 for a perfect ranking, .5 for chance. All NaN when
        either class has fewer than 10 samples. A perfect (or perfectly wrong) ranking has no
        estimated variance; there the bound is the exact binomial one over the disjoint pairs of
        a positive and a negative, of which there are as many as the smaller class has samples.

    Raises:
        InputError: scores not finite or not one axis; level outside (0, 1).

    Example:
        >>> auroc(range(5, 25), range(20)).value
        0.71875

    Not sensitive to false positives when positives are rare: a hundred for each hit can leave it
    near 1. Use `weighted_average_precision`.

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves" (1988), https://doi.org/10.2307/2531595
    """
    positive = finite_array("positive_scores", positive_scores)
    negative = finite_array("negative_scores", negative_scores)
    _checked_level(level)
    n1, n0 = len(positive), len(negative)
    if min(n1, n0) < FEWEST_PER_CLASS:
        return UNDEFINED
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    beaten = (ranks[:n1] - stats.rankdata(positive)) / n0
    lost = 1 - (ranks[n1:] - stats.rankdata(negative)) / n1
    value = float(beaten.mean())
    # Disjoint pairs are independent trials with success probability AUROC.
    if positive.min() > negative.max():
        return Interval(1.0, clopper_pearson(min(n1, n0), min(n1, n0), level).low, 1.0)
    if positive.max() < negative.min():
        return Interval(0.0, 0.0, clopper_pearson(0, min(n1, n0), level).high)
    error = math.sqrt(float(beaten.var(ddof=1)) / n1 + float(lost.var(ddof=1)) / n0)
    half = float(special.ndtri((1 + level) / 2)) * error
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def weighted_average_precision(
    z_positive: ArrayLike, z_negative: ArrayLike, prevalence: float
) -> float:
    """Average precision at a stated prevalence, from class-conditional samples.

    AP = Σ_t [TPR(t) - TPR(t⁻)] · π TPR(t) / (π TPR(t) + (1-π) FPR(t)), over the distinct scores t
    from high to low; equal scores enter together.

    Args:
        z_positive: scores of active samples, shape (n_positive,).
        z_negative: scores of inactive samples, shape (n_negative,).
        prevalence: π, share of active samples in the population, in [0, 1].

    Returns:
        AP in [0, 1]: 1 for a perfect ranking, π for a constant score and, as the samples grow,
        for chance. NaN when either class is empty or π is 0.

    Raises:
        InputError: scores not finite or not one axis; prevalence outside [0, 1].

    Example:
        >>> weighted_average_precision([3.0, 1.0], [2.0, 0.0], prevalence=0.5)
        0.8333333333333333

    Not comparable between features of different prevalence without the null beside it, and not
    the area under the linearly interpolated curve, which is too high.

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves"
    (2006), https://doi.org/10.1145/1143844.1143874
    """
    positive = finite_array("z_positive", z_positive)
    negative = finite_array("z_negative", z_negative)
    if not 0 <= prevalence <= 1:
        raise reject("prevalence", prevalence, "a share in [0, 1]")
    if len(positive) == 0 or len(negative) == 0 or prevalence == 0:
        return math.nan
    # Only thresholds at a positive's score add recall, so the sum runs over those.
    levels, counts = np.unique(positive, return_counts=True)
    recall = counts[::-1].cumsum()[::-1] / len(positive)
    below = np.searchsorted(np.sort(negative), levels, side="left")
    false_rate = (len(negative) - below) / len(negative)
    hits = prevalence * recall
    precision = hits / (hits + (1 - prevalence) * false_rate)
    return float(np.sum(counts * precision) / len(positive))


def sign_flip_test(differences: ArrayLike) -> float:
    """Exact two-sided permutation p-value for paired differences with mean zero.

    p = #{s ∈ {-1, 1}^n : |Σ s_i d_i| ≥ |Σ d_i|} / 2^n.

    Args:
        differences: one paired difference per independent unit (a world), shape (n,), n ≤ 20.

    Returns:
        p in [2^(1-n), 1], so fewer than six units cannot give p < .05. NaN for no units.

    Raises:
        InputError: values not finite or not one axis, or more than 20 of them.

    Example:
        >>> sign_flip_test([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        0.03125

    Not a test of the mean alone: the null is that each difference is as likely with either sign.

    Source: Fisher, "The Design of Experiments" (1935), section 21,
    https://archive.org/details/in.ernet.dli.2015.502684
    """
    array = finite_array("differences", differences)
    n = len(array)
    if n > MOST_SIGN_FLIP_UNITS:
        fix = "Average within each world, so that a unit is a world, or use t_interval."
        expected = f"at most {MOST_SIGN_FLIP_UNITS} units for the exact test"
        raise reject("differences", f"{n} units", expected, fix)
    if n == 0:
        return math.nan
    # Flipping all signs keeps |Σ|, so the first sign may stay fixed.
    sums = array[:1]
    for difference in array[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Equal sums reached in another order differ by at most n roundings of Σ|d|.
    slack = n * np.finfo(np.float64).eps * float(np.abs(array).sum())
    return float(np.mean(np.abs(sums) >= abs(float(sums[0])) - slack))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values: compare each with the family's level.

    p̃_(i) = max_{j ≤ i} min(1, (m - j + 1) p_(j)) for the ascending order statistics.

    Args:
        p_values: one p-value per hypothesis of the family, shape (m,), each in [0, 1].

    Returns:
        Adjusted p-values, shape (m,), in the order given, never below the input.

    Raises:
        InputError: values not finite, not one axis, or outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]

    Not a false-discovery rate: it bounds the chance of any false rejection, under any dependence.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979),
    https://www.jstor.org/stable/4615733
    """
    array = finite_array("p_values", p_values)
    outside = np.flatnonzero((array < 0) | (array > 1))
    if len(outside):
        index = int(outside[0])
        raise reject(f"p_values[{index}]", float(array[index]), "a probability in [0, 1]")
    order = np.argsort(array, kind="stable")
    scaled = array[order] * np.arange(len(array), 0, -1)
    adjusted = np.empty_like(array)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def _student(value: float, error: float, n: int, level: float) -> Interval:
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * error
    return Interval(value, value - half, value + half)


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise reject("level", level, "a coverage in (0, 1)", "For 95 % pass level=0.95.")
    return level


def _check_counts(successes: float, n: float) -> None:
    if not (math.isfinite(n) and n >= 0):
        raise reject("n", n, "a finite count of at least 0")
    if not 0 <= successes <= n:
        raise reject("successes", successes, f"a count from 0 to n = {n}")
