"""Claims that know nothing score their floor: directions drawn anew, codes with shuffled samples.

Each comparison is two-sided at one in 100,000 over fixed seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from evaluator_cases import compared
from scipy import stats

from groundtruth.evaluators import score
from groundtruth.evaluators.statistics import clopper_pearson, t_interval
from groundtruth.generators.sparse import sparse
from groundtruth.ladder import planted
from groundtruth.score_data import ScoreData, Scoring

LEVEL = 1 - 1e-5
DRAWS = 100
FLOORED = (
    "recover.mmcs_truth",
    "recover.mmcs_latent",
    "recover.mcc",
    "recover.uniqueness",
    "act.f1",
    "act.precision",
    "act.recall",
    "act.fpr",
    "act.matthews",
    "act.auroc",
    "act.corr",
)


@pytest.fixture(scope="module")
def draws():
    """Results of the null claim in 100 worlds."""
    out = []
    for seed in range(DRAWS):
        world = sparse(seed=seed, n_features=8, d=6, firing={"law": "constant", "probability": 0.2})
        data = ScoreData(world, Scoring(n_select=256, n_score=512, n_positives=30))
        claim = planted.null(data, np.random.default_rng([seed, 1]))
        out.append(score(compared(data, claim), FLOORED))
    return out


@pytest.mark.parametrize("name", FLOORED)
def test_the_mean_over_null_draws_is_the_floor(draws, name):
    gap = [results[name].value - results[name].floor for results in draws]
    low, high = t_interval(gap, LEVEL)[1:]
    # Floors of the activity family take the claim's rates as they are: no slack is needed there.
    slack = 0.02 if name == "recover.mcc" else 2e-3  # mcc's floor is itself simulated, 20 draws
    assert low - slack <= 0 <= high + slack


def test_the_null_test_rejects_a_claim_that_knows_something():
    gaps = []
    for seed in range(10):
        world = sparse(seed=seed, n_features=8, d=6, firing={"law": "constant", "probability": 0.2})
        data = ScoreData(world, Scoring(n_select=256, n_score=512, n_positives=30))
        result = score(compared(data, planted.one(data)), ["act.f1"])["act.f1"]
        gaps.append(result.value - result.floor)
    assert t_interval(gaps, LEVEL)[1] > 2e-3


def test_an_exact_interval_at_the_nominal_level_misses_no_more_often_than_stated(draws):
    """Type I error of the DeLong-free test AUROC = 1/2 over all features of the null draws."""
    values = np.concatenate([r["act.auroc"].evidence["per_unit"] for r in draws])
    values = values[np.isfinite(values)]
    # P+ >= 30 + 102, P- about 410: normal to well within the tails that are used.
    n1, n0 = 102, 410
    sd = np.sqrt((n1 + n0 + 1) / (12 * n1 * n0))
    z = (values - 0.5) / sd
    # Ties at zero shrink the spread, so the nominal 5 % test rejects at most 5 %.
    rejected = int((np.abs(z) > stats.norm.ppf(0.975)).sum())
    assert clopper_pearson(rejected, len(values), LEVEL).low <= 0.05


def test_choosing_the_best_of_many_latents_by_luck_is_in_the_floor():
    found = []
    for seed in range(30):
        world = sparse(
            seed=seed, n_features=20, d=6, firing={"law": "constant", "probability": 0.1}
        )
        data = ScoreData(world, Scoring(n_select=128, n_score=512, n_positives=30))
        claim = planted.null(data, np.random.default_rng([seed, 2]))
        results = score(compared(data, claim), ["act.best_latent_f1"])
        found.append(results["act.best_latent_f1"])
    _, low, high = t_interval([r.value - r.floor for r in found], LEVEL)
    assert low - 5e-3 <= 0 <= high + 5e-3
    # The floor is above that of one given latent only through the choice of frequent ones.
    assert min(r.floor for r in found) > 0.05
