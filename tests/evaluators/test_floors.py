"""Chance floors: Monte Carlo, closed forms of special dimensions, laws, and what they refuse.

Monte Carlo tests draw from fixed seeds. Each compares with an interval of level 1 - 1e-6, so one
comparison fails by chance once in a million seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import f1_score

from groundtruth.errors import InputError
from groundtruth.evaluators import floors
from groundtruth.evaluators.statistics import clopper_pearson, t_interval

LEVEL = 1 - 1e-6
dimensions, widths, signs = st.integers(1, 10_000), st.integers(0, 1_000_000), st.booleans()


def nearest(d: int, k: int, *, signed: bool, n: int, seed: int) -> np.ndarray:
    """Cosine of the first axis with the nearest of k normal vectors, n times."""
    rng = np.random.default_rng(seed)
    best = np.empty(n)
    for draw in range(n):
        rows = rng.standard_normal((k, d))
        cosine = rows[:, 0] / np.linalg.norm(rows, axis=1)
        best[draw] = (cosine if signed else np.abs(cosine)).max()
    return best


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("d", "k"), [(1, 3), (2, 5), (5, 20), (8, 64), (64, 256)])
def test_nearest_random_latent_follows_the_closed_forms(d: int, k: int, signed: bool) -> None:
    best = nearest(d, k, signed=signed, n=400, seed=11)
    _, low, high = t_interval(best, LEVEL)
    # In one dimension |cos| is always 1 and the interval has no width.
    assert low - 1e-12 <= floors.expected_max_cosine(d, k, signed=signed) <= high + 1e-12
    median = floors.median_max_cosine(d, k, signed=signed)
    for threshold in (median, 0.5, 0.9):
        _, low, high = clopper_pearson(int(np.sum(best >= threshold)), 400, LEVEL)
        assert low <= floors.random_recall(threshold, d, k, signed=signed) <= high


@pytest.mark.parametrize(
    ("d", "k", "absolute", "signed"),
    [
        (64, 256, 0.371, 0.346),
        (128, 1024, 0.299, 0.283),
        (256, 4096, 0.235, 0.224),
        (768, 4096, 0.137, 0.130),
        (768, 16384, 0.1485, 0.143),
        (768, 100_000, 0.163, 0.157),
        (2304, 65536, 0.092, 0.089),
    ],
)
def test_expected_max_cosine_has_the_tabulated_values(d, k, absolute, signed) -> None:
    half_a_digit = 5e-4
    assert floors.expected_max_cosine(d, k, signed=False) == pytest.approx(
        absolute, abs=half_a_digit
    )
    assert floors.expected_max_cosine(d, k, signed=True) == pytest.approx(signed, abs=half_a_digit)


@pytest.mark.parametrize("k", [1, 2, 7, 100, 10**4, 10**6])
def test_expected_max_cosine_is_that_of_uniform_draws_in_three_dimensions(k: int) -> None:
    # 200 nodes resolve a smooth integrand to rounding; 1e-13 is 450 roundings.
    assert floors.expected_max_cosine(3, k, signed=False) == pytest.approx(k / (k + 1), abs=1e-13)
    expected = (k - 1) / (k + 1)
    assert floors.expected_max_cosine(3, k, signed=True) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("d", [2, 3, 10, 1000, 10_000])
def test_expected_cosine_of_one_latent_is_the_ratio_of_gamma_functions(d: int) -> None:
    expected = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    # lgamma near 4e4 loses about five digits of its sixteen.
    assert floors.expected_max_cosine(d, 1, signed=False) == pytest.approx(expected, rel=1e-11)
    assert floors.expected_max_cosine(d, 1, signed=True) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("d", "k"), [(2, 30), (4, 2), (20, 65), (10_000, 1_000_000)])
def test_expected_max_cosine_agrees_with_adaptive_quadrature_of_the_law(d: int, k: int) -> None:
    for signed, law, start in (
        (False, floors.absolute_cosine_cdf, 0.0),
        (True, floors.signed_cosine_cdf, -1.0),
    ):
        split = floors.median_max_cosine(d, k, signed=signed)  # where the integrand falls
        parts = [
            integrate.quad(lambda t, law=law: float(law(t, d)) ** k, *ends, epsabs=1e-11, limit=400)
            for ends in ((start, split), (split, min(1.0, 2 * split)), (min(1.0, 2 * split), 1.0))
        ]
        expected = 1 - sum(area for area, _ in parts)
        assert floors.expected_max_cosine(d, k, signed=signed) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(dimensions, st.integers(0, 500_000), signs)
def test_more_latents_never_lower_a_floor(d: int, k: int, signed: bool) -> None:
    for floor in (
        lambda n: floors.expected_max_cosine(d, n, signed=signed),
        lambda n: floors.random_recall(0.3, d, n, signed=signed),
        lambda n: floors.median_max_cosine(d, max(1, n), signed=signed),
        lambda n: floors.significance_threshold(d, n, 50, signed=signed),
    ):
        assert floor(k) <= floor(2 * k + 1) + 1e-12


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), dimensions, widths, signs)
def test_random_recall_is_a_share_that_falls_with_the_threshold(a, b, d, k, signed) -> None:
    easy, hard = (floors.random_recall(t, d, k, signed=signed) for t in (min(a, b), max(a, b)))
    assert 0 <= hard <= easy <= 1


@settings(deadline=None)
@given(dimensions, widths)
def test_expected_max_cosine_is_larger_without_sign_and_at_most_one(d: int, k: int) -> None:
    signed, absolute = (floors.expected_max_cosine(d, k, signed=s) for s in (True, False))
    assert -1e-15 <= signed <= absolute + 1e-12
    assert absolute <= 1 + 1e-12


@settings(deadline=None)
@given(st.integers(2, 10_000), st.integers(2, 1_000_000), signs)
def test_half_of_the_draws_reach_the_median(d: int, k: int, signed: bool) -> None:
    median = floors.median_max_cosine(d, k, signed=signed)
    # In two dimensions and many latents, rounding a median this near 1 moves the chance.
    assume(median < 1 - 1e-9)
    assert abs(floors.random_recall(median, d, k, signed=signed) - 0.5) <= 1e-6


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("d", "k", "n"), [(8, 64, 64), (128, 1024, 512), (768, 16384, 4096)])
def test_significance_threshold_is_reached_alpha_times(d, k, n, signed) -> None:
    for alpha in (0.01, 0.5):
        threshold = floors.significance_threshold(d, k, n, alpha, signed=signed)
        reached = n * floors.random_recall(threshold, d, k, signed=signed)
        assert reached == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("threshold", "d", "k", "expected"),
    [
        (0.9, 8, 64, 0.059),
        (0.9, 5, 20, 0.25),
        (0.9, 2, 5, 0.82),
        (0.9, 16, 64, 5.5e-5),
        (0.9, 20, 100, 2.8e-6),
        (0.7, 8, 64, 0.90),
        (0.7, 16, 64, 0.11),
        (0.7, 20, 100, 0.040),
        (0.8, 16, 100_000, 1.00),
    ],
)
def test_random_recall_has_the_tabulated_values(threshold, d, k, expected) -> None:
    ours = floors.random_recall(threshold, d, k, signed=False)
    assert ours == pytest.approx(expected, rel=0.04)  # two printed digits


def test_random_recall_keeps_its_digits_far_out_in_the_tail() -> None:
    # At small p the chance of any hit is k p.
    one, many = (floors.random_recall(0.9, 64, k, signed=False) for k in (1, 1000))
    assert 0 < one < 1e-20
    assert many == pytest.approx(1000 * one, rel=1e-12)


@settings(deadline=None)
@given(st.integers(2, 500), st.floats(-1, 1))
def test_signed_law_is_symmetric_and_folds_into_the_absolute_one(d: int, t: float) -> None:
    up, down = floors.signed_cosine_cdf([t, -t], d)
    assert up + down == pytest.approx(1, abs=1e-12)
    absolute = float(floors.absolute_cosine_cdf(abs(t), d))
    assert abs(up - down) == pytest.approx(absolute, abs=1e-12)


def test_laws_keep_shape_and_saturate_outside_the_range() -> None:
    t = np.array([[-2.0, -1.0], [1.0, 2.0]])
    assert floors.absolute_cosine_cdf(t, 5).tolist() == [[0, 0], [1, 1]]
    assert floors.signed_cosine_cdf(t, 5).tolist() == [[0, 0], [1, 1]]
    assert np.ndim(floors.signed_cosine_cdf(0.2, 5)) == 0


def test_one_dimension_is_exact() -> None:
    assert floors.absolute_cosine_cdf([0.0, 0.999, 1.0], 1).tolist() == [0, 0, 1]
    assert floors.signed_cosine_cdf([-1.1, -1.0, 0.0, 1.0], 1).tolist() == [0, 0.5, 0.5, 1]
    assert floors.random_recall(1.0, 1, 1, signed=False) == 1
    assert floors.random_recall(1.0, 1, 3, signed=True) == 1 - 0.5**3
    assert floors.random_recall(-0.5, 1, 3, signed=True) == 1 - 0.5**3
    assert floors.random_recall(-1.0, 1, 3, signed=True) == 1
    assert floors.expected_max_cosine(1, 3, signed=False) == 1
    assert floors.expected_max_cosine(1, 3, signed=True) == 1 - 2 * 0.5**3
    assert floors.median_max_cosine(1, 4, signed=False) == 1
    assert floors.median_max_cosine(1, 4, signed=True) == 1
    assert floors.significance_threshold(1, 4, 10) == 1


def test_without_latents_every_floor_is_zero_and_uniqueness_is_undefined() -> None:
    for signed in (False, True):
        assert floors.random_recall(0.0, 4, 0, signed=signed) == 0
        assert floors.expected_max_cosine(4, 0, signed=signed) == 0
        assert floors.median_max_cosine(4, 0, signed=signed) == 0
        assert floors.random_mcc(4, 3, 0, signed=signed, seed=0)[:2] == (0, 0)
    assert floors.significance_threshold(4, 0, 10) == 0
    assert math.isnan(floors.random_uniqueness(10, 0))


@pytest.mark.parametrize(("ratio", "expected"), [(1, 0.632), (0.25, 0.885), (4, 0.245)])
def test_random_uniqueness_has_the_tabulated_values(ratio: float, expected: float) -> None:
    ours = floors.random_uniqueness(4000, int(4000 * ratio))
    assert ours == pytest.approx(expected, abs=5e-4)


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_random_uniqueness_stays_between_its_bounds(n_features: int, k: int) -> None:
    ours = floors.random_uniqueness(n_features, k)
    assert 1 / k * (1 - 1e-9) <= ours <= min(1, n_features / k) * (1 + 1e-9)


def test_random_uniqueness_is_what_uniform_choices_give() -> None:
    rng = np.random.default_rng(12)
    shares = [len(np.unique(rng.integers(0, 50, 80))) / 80 for _ in range(2000)]
    _, low, high = t_interval(shares, LEVEL)
    assert low <= floors.random_uniqueness(50, 80) <= high


def test_independent_f1_is_the_f1_of_the_population_table() -> None:
    truth, claim = np.zeros((10, 10), dtype=int), np.zeros((10, 10), dtype=int)
    truth[:2], claim[:, :3] = 1, 1  # rates .2 and .3, crossed, hence independent
    expected = f1_score(truth.ravel(), claim.ravel())
    assert float(floors.independent_f1(0.2, 0.3)) == pytest.approx(expected, rel=1e-12)
    expected = f1_score(truth.ravel(), np.ones(100, dtype=int))
    assert float(floors.always_on_f1(0.2)) == pytest.approx(expected, rel=1e-12)


def test_independent_f1_broadcasts_and_is_undefined_without_truth_and_claim() -> None:
    ours = floors.independent_f1([0.0, 0.5], 0.0)
    assert math.isnan(ours[0])
    assert ours[1] == 0
    assert float(floors.always_on_f1(0.0)) == 0


@settings(deadline=None)
@given(st.floats(1e-6, 1), st.floats(0, 1))
def test_no_independent_latent_beats_the_always_on_one(prevalence: float, rate: float) -> None:
    ours, best = floors.independent_f1(prevalence, rate), floors.always_on_f1(prevalence)
    assert 0 <= ours <= best + 1e-12


def test_auroc_null_sd_is_that_of_the_rank_sum() -> None:
    rng = np.random.default_rng(13)
    order = rng.permuted(np.tile(np.arange(30), (4000, 1)), axis=1)[:, :8]
    area = (order.sum(axis=1) - 8 * 7 / 2) / (8 * 22)
    # The sampling law of a variance, chi-square for near-normal values; AUROC is lighter-tailed.
    low, high = stats.chi2.interval(LEVEL, 3999)
    ratio = area.var(ddof=1) / floors.auroc_null_sd(8, 22) ** 2
    assert low / 3999 <= ratio <= high / 3999
    assert math.isnan(floors.auroc_null_sd(0, 5))
    assert math.isnan(floors.auroc_null_sd(5, 0))


def test_random_mcc_stands_in_the_known_relation_to_the_unmatched_floor() -> None:
    def per_pair(n_features: int, k: int) -> float:
        floor = floors.random_mcc(64, n_features, k, signed=False, seed=0)
        return floor.mean * n_features / min(n_features, k)

    # Twenty draws leave a standard error of about .0004 to .0011; the margins are five of them.
    square, spare, few = per_pair(256, 256), per_pair(256, 1024), per_pair(256, 64)
    unmatched = floors.expected_max_cosine(64, 256, signed=False)
    assert square / unmatched == pytest.approx(0.96, abs=0.01)
    # With latents to spare, matching costs little against the nearest one for each truth.
    wide = floors.expected_max_cosine(64, 1024, signed=False)
    assert spare / wide == pytest.approx(0.996, abs=0.007)
    # Few latents take the truths that suit them: more per pair than their own unmatched floor.
    assert few == pytest.approx(0.370, abs=0.0055)
    assert few > 1.1 * floors.expected_max_cosine(64, 64, signed=False)


def test_random_mcc_repeats_with_its_seed_and_varies_with_another() -> None:
    draws = [floors.random_mcc(8, 10, 12, signed=True, seed=s) for s in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0].mean != draws[2].mean
    assert draws[0].n_draws == 20
    assert 0 < draws[0].sd < 0.1


@pytest.mark.parametrize("signed", [False, True])
def test_random_mcc_of_many_cosines_takes_one_draw_with_the_same_answer(
    signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = floors.random_mcc(32, 600, 90, signed=signed, n_draws=1, seed=3)
    monkeypatch.setattr(floors, "SINGLE_DRAW_CELLS", 600 * 90 - 1)
    floors._simulated_mcc.cache_clear()
    large = floors.random_mcc(32, 600, 90, signed=signed, n_draws=7, seed=3)
    floors._simulated_mcc.cache_clear()
    assert large.n_draws == 1
    assert math.isnan(large.sd)
    assert large.mean == pytest.approx(dense.mean, rel=1e-12)


def test_random_mcc_of_many_cosines_is_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "SINGLE_DRAW_CELLS", 0)
    first = floors.random_mcc(9, 21, 22, signed=True, seed=5)

    def refuse(**_: object) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr(floors, "_simulated_mcc", refuse)
    assert floors.random_mcc(9, 21, 22, signed=True, seed=5).mean == first.mean
    with pytest.raises(AssertionError, match="simulated again"):
        floors.random_mcc(9, 21, 22, signed=False, seed=5)


def test_random_mcc_in_one_dimension_counts_signs() -> None:
    assert floors.random_mcc(1, 4, 3, signed=False, n_draws=2, seed=0) == (0.75, 0, 2)
    signed = {floors.random_mcc(1, 1, 1, signed=True, n_draws=1, seed=s).mean for s in range(20)}
    # The same way, or opposite and so no pair.
    assert signed == {0.0, 1.0}


def message(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda: floors.absolute_cosine_cdf([0.1, math.nan], 4),
            "t: expected finite numbers, got nan at index 1 (1 of 2 values are not finite). "
            "Repair the source of the values, or leave those units out and report how many.",
        ),
        (
            lambda: floors.signed_cosine_cdf(0.5, 0),
            "d: expected a whole number of at least 1, got 0.",
        ),
        (
            lambda: floors.expected_max_cosine(4, -1, signed=True),
            "k: expected a whole number of at least 0, got -1.",
        ),
        (
            lambda: floors.median_max_cosine(4.0, 2, signed=True),  # type: ignore[arg-type]
            "d: expected a whole number of at least 1, got 4.0.",
        ),
        (
            lambda: floors.random_recall(90, 4, 2, signed=False),
            "threshold: expected a cosine in [0, 1], got 90.",
        ),
        (
            lambda: floors.random_recall(math.nan, 4, 2, signed=True),
            "threshold: expected a cosine in [-1, 1], got nan.",
        ),
        (
            lambda: floors.significance_threshold(4, 2, 3, alpha=0),
            "alpha: expected a positive expected number of false truths, got 0.",
        ),
        (
            lambda: floors.random_uniqueness(0, 2),
            "n_features: expected a whole number of at least 1, got 0.",
        ),
        (
            lambda: floors.independent_f1(0.5, [0.1, 1.5]),
            "rate: expected shares in [0, 1], got 1.5.",
        ),
        (
            lambda: floors.auroc_null_sd(-1, 5),
            "n_positive: expected a whole number of at least 0, got -1.",
        ),
        (
            lambda: floors.random_mcc(4, 2, 2, signed=True, n_draws=0, seed=0),
            "n_draws: expected a whole number of at least 1, got 0.",
        ),
        (
            lambda: floors.random_mcc(4, 2, 2, signed=True, seed=True),
            "seed: expected a whole number of at least 0, got True.",
        ),
    ],
)
def test_messages_name_the_argument_the_expectation_and_the_value(call, expected) -> None:
    assert message(call) == expected
