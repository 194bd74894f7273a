"""Every number by a second route: plain loops over dense arrays, scikit-learn, and identities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from evaluator_cases import ENOUGH, compared, untied, untied_cases, values, worlds_and_claims
from hypothesis import assume, given, settings
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    explained_variance_score,
    matthews_corrcoef,
    r2_score,
    roc_auc_score,
)

from groundtruth.evaluators import counts, ranking, score
from groundtruth.inference import greedy_matching, maximum_matching

FEWER = settings(max_examples=30)
CASES = worlds_and_claims() | untied_cases()


def naive_cosines(c) -> np.ndarray:
    """C (F, live), one pair at a time."""
    out = np.zeros((c.truth.n_features, len(c.live)))
    for i, d in enumerate(c.truth.directions):
        for column, j in enumerate(c.live):
            w = c.outputs.decoder[j]
            length = sum(v * v for v in w) ** 0.5
            cosine = sum(a * b for a, b in zip(d, w)) / length
            out[i, column] = abs(cosine) if c.absolute else cosine
    return out


def largest_matching(edges: np.ndarray) -> int:
    """Pairs in the largest matching of a boolean matrix, by augmenting paths."""
    owner: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in np.flatnonzero(edges[i]):
            if int(j) not in tried:
                tried.add(int(j))
                if int(j) not in owner or place(owner[int(j)], tried):
                    owner[int(j)] = i
                    return True
        return False

    return sum(place(i, set()) for i in range(len(edges)))


def naive_rates(c, i: int, j: int) -> tuple[float, float]:
    """TPR and FPR of live latent j for feature i, sample by sample."""
    active, z = c.data.score.toarray()[:, i] != 0, c.outputs.score.toarray()[:, c.live[j]] != 0
    hits, positives, false, negatives = 0, 0, 0, 0
    for a, fires in zip(active, z):
        positives, hits = positives + a, hits + (a and fires)
        negatives, false = negatives + (not a), false + (not a and fires)
    given_fires = c.outputs.positives.toarray()[:, c.live[j]] != 0
    for feature, fires in zip(c.data.forced, given_fires):
        if feature == i:
            positives, hits = positives + 1, hits + fires
    return hits / positives if positives else np.nan, false / negatives if negatives else 0.0


def naive_f1(p: float, tpr: float, fpr: float) -> float:
    """Harmonic mean of precision and recall at prevalence p."""
    if tpr == 0:
        return 0.0
    precision = p * tpr / (p * tpr + (1 - p) * fpr)
    return 2 * precision * tpr / (precision + tpr)


@FEWER
@given(CASES)
def test_direction_scores_equal_plain_loops(case):
    c = compared(*case)
    assume(len(c.live))
    cosine = naive_cosines(c)
    assume((np.abs(cosine - 0.9) > 1e-9).all())
    found = values(c)
    matched = largest_matching(cosine >= 0.9)
    f, k = cosine.shape
    assert found["recover.recall"] == pytest.approx(matched / f)
    assert found["recover.precision"] == pytest.approx(matched / k)
    assert found["recover.f1"] == pytest.approx(2 * matched / (f + k))
    assert found["recover.precision_soft"] == np.mean((cosine >= 0.9).any(axis=0))
    assert found["recover.mmcs_truth"] == pytest.approx(cosine.max(axis=1).mean(), abs=1e-9)
    assert found["recover.mmcs_latent"] == pytest.approx(cosine.max(axis=0).mean(), abs=1e-9)


@FEWER
@given(worlds_and_claims())
def test_the_matched_cosine_is_the_best_of_all_permutations(case):
    c = compared(*case)
    assume(0 < len(c.live) <= 5 and c.truth.n_features <= 5)
    cosine = naive_cosines(c)
    small, large = sorted(cosine.shape)
    wide = cosine if cosine.shape[0] == small else cosine.T
    best = max(
        # A pair of negative cosine is no pair.
        sum(max(0.0, wide[i, j]) for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(large), small)
    )
    assert values(c, ["recover.mcc"])["recover.mcc"] == pytest.approx(
        best / c.truth.n_features, abs=1e-9
    )


@FEWER
@given(CASES)
def test_rates_and_joint_equal_plain_loops(case):
    c = compared(*case, f1=0.8)
    assume(len(c.live))
    p = c.truth.firing_probability
    f1 = np.zeros((c.truth.n_features, len(c.live)))
    for i, j in itertools.product(*map(range, f1.shape)):
        tpr, fpr = naive_rates(c, i, j)
        rates = c.firing.rates(np.array([i]), np.array([j]))
        assert (rates.tpr[0], rates.fpr[0]) == pytest.approx((tpr, fpr), nan_ok=True)
        f1[i, j] = naive_f1(p[i], tpr, fpr) if tpr == tpr else np.nan
        assert np.nan_to_num(rates.f1[0]) == pytest.approx(np.nan_to_num(f1[i, j]))
    cosine = naive_cosines(c)
    gate = 0.8 * 0.8
    assume((np.abs(cosine - 0.9) > 1e-9).all() and not (np.abs(f1 - gate) < 1e-9).any())
    joint = largest_matching((cosine >= 0.9) & (f1 >= gate)) / len(p)
    assert values(c, ["recover.joint"])["recover.joint"] == pytest.approx(joint)
    partner = c.partner
    macro = [np.nan_to_num(f1[i, j]) if j >= 0 else 0.0 for i, j in enumerate(partner)]
    seen = [not np.isnan(f1[i]).all() for i in range(len(p))]
    if any(seen):
        expected = np.mean(np.array(macro)[seen])
        assert values(c, ["act.f1"])["act.f1"] == pytest.approx(expected)


@FEWER
@given(CASES)
def test_rankings_equal_scikit_learn_and_scipy(case):
    data, claim = case
    c = compared(data, claim)
    assume(len(c.live))
    for i, pair in ranking.pairs(c, c.partner):
        z, a = dense_pair(c, i)
        active = a != 0
        # Positives that were added at will are weighted down to prevalence.
        p = c.truth.firing_probability[i]
        weight = np.where(active, p / max(1, active.sum()), (1 - p) / max(1, (~active).sum()))
        if min(active.sum(), (~active).sum()) >= 10:
            assert ranking.auroc(pair) == pytest.approx(roc_auc_score(active, z), abs=1e-9)
            expected = average_precision_score(active, z, sample_weight=weight)
            assert ranking.average_precision(pair) == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(ranking.auroc(pair)) and np.isnan(ranking.average_precision(pair))
        if active.sum() >= 2 and (~active).any() and np.ptp(z) > 0:
            cov = np.cov(np.stack([z, a]), aweights=weight, ddof=0)
            expected = cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
            assert ranking.correlation(pair) == pytest.approx(expected, abs=1e-6)
        both = active & (z != 0)
        if both.sum() >= 3 and np.ptp(a[active]) > 1e-3 and np.ptp(z[both]) > 0:
            expected = stats.spearmanr(z[both], a[both]).statistic
            assert ranking.spearman_active(pair) == pytest.approx(expected, abs=1e-9)
            if np.ptp(z[active]) > 1e-6:
                expected = np.corrcoef(z[active], a[active])[0, 1]
                assert ranking.correlation_active(pair) == pytest.approx(expected, abs=1e-6)


@FEWER
@given(untied_cases())
def test_matthews_on_natural_samples_equals_scikit_learn(case):
    data, claim = case
    c = compared(data, claim)
    assume(len(c.live))
    for i, j in itertools.product(range(c.truth.n_features), range(len(c.live))):
        active = data.score.toarray()[:, i] != 0
        fires = claim.score.toarray()[:, c.live[j]] != 0
        if not 0 < active.sum() < len(active):
            continue
        rates = counts.Rates(
            np.array([active.mean()]),
            np.array([fires[active].mean()]),
            np.array([fires[~active].mean()]),
            np.array([active.sum()]),
        )
        assert rates.matthews[0] == pytest.approx(matthews_corrcoef(active, fires), abs=1e-9)


@FEWER
@given(CASES)
def test_reconstruction_scores_equal_scikit_learn(case):
    data, claim = case
    found = values(compared(data, claim), "recon")
    x, x_hat = data.x.astype(np.float64), claim.reconstruction
    assume(found["recon.ev_total"] is not None and (np.ptp(x, axis=0) > 1e-6).all())
    # Sums of 128 rows: two routes differ by rounding, more where the total is far below zero.
    close = {"rel": 1e-9, "abs": 1e-9}
    variance = "variance_weighted"
    pooled = r2_score(x, x_hat, multioutput=variance)
    assert found["recon.ev_total"] == pytest.approx(pooled, **close)
    assert found["recon.ev_perdim"] == pytest.approx(r2_score(x, x_hat), **close)
    assert found["recon.ev_biasblind"] == pytest.approx(
        explained_variance_score(x, x_hat, multioutput=variance), **close
    )
    assert found["recon.ev_uncentred"] == pytest.approx(
        1 - ((x - x_hat) ** 2).sum() / (x**2).sum(), **close
    )
    assert found["recon.l0"] == (claim.score.toarray() != 0).sum() / len(x)
    if found["recon.shrinkage"] is not None:
        expected = (x * x_hat).sum() / (x_hat**2).sum()
        assert found["recon.shrinkage"] == pytest.approx(expected, **close)
        if found["recon.rel_bias"] is not None and abs(expected) > 1e-6:
            assert found["recon.rel_bias"] == pytest.approx(1 / expected, rel=1e-6)


@FEWER
@given(CASES)
def test_matchings_keep_their_order_and_agree_where_they_must(case):
    c = compared(*case)
    for threshold in (0.5, 0.75, 0.9):
        cosine = naive_cosines(c)
        truth, latent = np.nonzero(cosine >= threshold)
        shape = cosine.shape
        largest = len(maximum_matching(truth, latent, *shape)[0])
        greedy = len(greedy_matching(truth, latent, *shape, cosine[truth, latent])[0])
        assert largest / 2 <= greedy <= largest
        assert largest == len(c.matched(threshold)[0]) == largest_matching(cosine >= threshold)
        if len(c.live):
            assert int((c.assignment[2] >= threshold).sum()) <= largest
        near = np.abs(c.truth.directions @ c.truth.directions.T) - np.eye(shape[0])
        if near.max() < 2 * threshold**2 - 1:
            # No latent is near two features: each may simply take its nearest.
            assert largest == int((cosine >= threshold).any(axis=1).sum())


@FEWER
@given(CASES)
def test_aurc_is_the_area_under_the_recall_curve_at_a_fixed_matching(case):
    c = compared(*case)
    result = score(c, ["recover.aurc"])["recover.aurc"]
    assume(result.value is not None)
    start = result.parameters["tau_0"]
    cosine = np.zeros(c.truth.n_features)
    cosine[c.assignment[0]] = c.assignment[2]
    # Recall is a step function: its area is exact between its steps.
    steps = np.unique(np.concatenate([[start, 1.0], cosine[(cosine > start) & (cosine < 1)]]))
    middle = (steps[1:] + steps[:-1]) / 2
    recall = (cosine[:, None] >= middle).mean(axis=0)
    area = float((recall * np.diff(steps)).sum()) / (1 - start)
    assert result.value == pytest.approx(area, abs=1e-9)
    if untied(c):
        again = float(np.trapezoid((cosine[:, None] >= steps).mean(axis=0), steps)) / (1 - start)
        assert abs(again - area) <= np.diff(steps).max() / (1 - start)


@FEWER
@given(CASES)
def test_the_best_latent_by_activity_equals_a_plain_search(case):
    data, claim = case
    active, fires = data.select.toarray() != 0, claim.select.toarray() != 0
    best, value = counts.best_by_f1(data.select, claim.select)
    for i in range(data.truth.n_features):
        f1 = [
            2 * (active[:, i] & fires[:, j]).sum() / max(1, active[:, i].sum() + fires[:, j].sum())
            for j in range(claim.k)
        ]
        assert value[i] == pytest.approx(max(f1))
        assert (best[i] == -1) if max(f1) == 0 else f1[best[i]] == pytest.approx(max(f1))


def test_the_second_route_rejects_a_greedy_matching_that_calls_itself_largest():
    edges = np.array([[True, True], [True, False]])
    truth, latent = np.nonzero(edges)
    greedy = greedy_matching(truth, latent, 2, 2, [0.95, 0.9, 0.9])
    assert len(greedy[0]) == 1
    assert largest_matching(edges) == 2


def dense_pair(c, i: int) -> tuple[np.ndarray, np.ndarray]:
    """z and a of feature i with its partner: score samples, then those where it was given."""
    j = c.live[c.partner[i]]
    rows = c.data.forced == i
    z = [c.outputs.score.toarray()[:, j], c.outputs.positives.toarray()[rows, j]]
    a = [c.data.score.toarray()[:, i], c.data.positives.toarray()[rows, i]]
    return np.concatenate(z).astype(np.float64), np.concatenate(a).astype(np.float64)


def test_enough_samples_are_given_for_rankings_to_be_defined():
    assert ENOUGH.n_positives >= 10
