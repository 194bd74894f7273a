"""A concept and its correlate: rates, sizes and the best accuracies, by second routes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from groundtruth.errors import InputError
from groundtruth.generators.concept_shift import N_SCORE, best_accuracy, concept_shift


def test_the_correlate_goes_along_and_then_turns_round():
    truth = concept_shift().truth
    for cases, rho in (truth.familiar, 0.9), (truth.shifted, -0.9):
        concept = (cases.x @ truth.readout)[:, None]
        codes = np.concatenate([concept, (cases.x @ truth.rival_readout)[:, None]], axis=1)
        # Noise of .4 shrinks the covariance of 0/1 codes of sizes 1 and 2 in nothing.
        found = np.cov(codes.T)[0, 1]
        assert abs(found - rho * 2 / 4) < 5 * 1.2 / np.sqrt(N_SCORE)
        size = codes[cases.labels, 0].mean() - codes[~cases.labels, 0].mean()
        assert abs(size - 1) < 5 * 0.8 / np.sqrt(N_SCORE)


def test_the_best_accuracy_is_that_of_the_posterior_on_samples():
    # Sampled by its definition: c is answered where both coordinates make it likelier.
    rng, n, size, spurious, rho = np.random.default_rng(0), 400_000, 2.5, 5.0, 0.9
    c = rng.random(n) < 0.5
    s = np.where(rng.random(n) < (1 + rho) / 2, c, ~c)
    x = size * c + rng.standard_normal(n)
    t = spurious * s + rng.standard_normal(n)
    given = [
        stats.norm.pdf(x - size * a)
        * sum(
            (1 + rho * (1 if a == b else -1)) / 2 * stats.norm.pdf(t - spurious * b) for b in (0, 1)
        )
        for a in (0, 1)
    ]
    found = ((given[1] > given[0]) == c).mean()
    # Four standard errors: a false alarm in 16,000 seeds.
    assert abs(found - best_accuracy(size, spurious, rho)) < 4 * np.sqrt(0.03 / n)


def test_the_planted_direction_is_right_equally_often_before_and_after():
    truth = concept_shift(noise=0.3).truth
    expected = stats.norm.cdf(1 / 0.6)
    assert truth.shifted.ceiling == pytest.approx(expected)
    for cases in (truth.familiar, truth.shifted):
        found = ((cases.x @ truth.readout > truth.threshold) == cases.labels).mean()
        assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / N_SCORE)


def test_what_methods_see_is_not_what_scores():
    testbed = concept_shift(seed=2)
    x, labels = testbed.subject.labelled(2048, seed=0)
    assert np.allclose(testbed.subject.sample(2048, seed=0).numpy(), x, atol=1e-5)
    assert not np.allclose(x, testbed.truth.familiar.x[:2048])
    assert 0.4 < labels.mean() < 0.6
    assert testbed.hash == concept_shift(seed=2).hash != concept_shift(seed=3).hash


@pytest.mark.parametrize(
    "wrong", [{"correlation": 1.0}, {"noise": 0.0}, {"noise": np.nan}, {"d": 13}]
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        concept_shift(**wrong)
