"""Known answers: what the planted dictionary, chance, and claims built to game a score get.

World: 24 features in 48 dimensions with distinct probabilities, so that every number is known.
"""

from __future__ import annotations

import numpy as np
import pytest
from evaluator_cases import ENOUGH, compared, joined, map_codes, values
from hypothesis import given, settings

from groundtruth.evaluators import METRICS, floors, score
from groundtruth.generators.dictionaries import unit_rows
from groundtruth.generators.sparse import sparse
from groundtruth.ladder import planted
from groundtruth.ladder.detectors import linear_ceiling
from groundtruth.outputs import Outputs
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.testing import testbeds

N = 24
FEW = Scoring(n_select=1024, n_score=2048, n_positives=50)
PERFECT = {
    name: 0.0 if entry.direction == "min" else 1.0
    for name, entry in METRICS.items()
    # Features fire independently here, in one space and of one dimension: nothing can be hedged,
    # absorbed, shared or tiled.
    if entry.direction != "target"
    and not name.startswith(("hedge.", "absorb.", "part.", "subspace.", "manifold."))
}


@pytest.fixture(scope="module")
def data() -> ScoreData:
    world = sparse(n_features=N, d=48, firing={"law": "linear", "first": 0.15, "last": 0.02})
    assert world.truth.features.coherence < 0.62
    return ScoreData(world, FEW)


@pytest.fixture(scope="module")
def o0(data) -> Outputs:
    return planted.identity(data)


def test_the_planted_dictionary_with_the_planted_codes_is_perfect_on_every_metric(data, o0):
    results = score(compared(data, o0))
    found = {name: results[name].value for name in PERFECT}
    assert found == pytest.approx(PERFECT, abs=1e-9)
    for name in ("recon.shrinkage", "recon.rel_bias"):
        # Codes, directions and activations are float32.
        assert results[name].value == pytest.approx(1, abs=1e-6)
    for name in ("recon.latent_shrinkage", "split.count", "compose.support"):
        assert results[name].value == pytest.approx(1, abs=1e-9)
    assert results["recon.l0"].value == pytest.approx(data.truth.expected_l0, rel=0.1)


@settings(max_examples=40)
@given(testbeds(max_features=8, least=0.02, noise=False, near_duplicates=False, min_d=2))
def test_the_planted_dictionary_recovers_everything_in_every_world(world):
    drawn = ScoreData(world, ENOUGH)
    results = score(compared(drawn, planted.identity(drawn)), ["recover", "act"])
    # A feature that is absent from `select` has no best latent there.
    promised = [m for m in results if METRICS[m].success and m != "act.best_latent_f1"]
    for name in promised:
        result = results[name]
        # Defined or not, never short of perfect.
        if result.value is not None:
            assert result.value == pytest.approx(PERFECT[name], abs=1e-9), name
    for name in ("recover.joint", "recover.recall", "recover.precision", "recover.mcc", "act.f1"):
        assert results[name].value == pytest.approx(1, abs=1e-9), name


def test_noise_costs_the_oracle_exactly_its_share_of_variance():
    world = sparse(n_features=N, d=8, noise=0.1, firing={"law": "constant", "probability": 0.1})
    noisy = ScoreData(world, FEW)
    found = values(compared(noisy, planted.identity(noisy)), ["recon.ev_total"])
    expected = 1 - 8 * 0.01 / np.trace(world.truth.features.covariance)
    # 2,048 samples of 8 dimensions: the standard error of the noise variance is 1 %.
    assert 1 - found["recon.ev_total"] == pytest.approx(1 - expected, rel=0.1)


@pytest.mark.parametrize(("d", "k"), [(2, 3), (4, 24), (8, 48)])
def test_random_directions_score_the_closed_forms_within_four_standard_errors(d, k):
    rng = np.random.default_rng(5)
    draws: dict[str, list[float]] = {"recover.mmcs_truth": [], "recover.recall": []}
    for seed in range(60):
        world = ScoreData(sparse(seed=seed, n_features=6, d=d), Scoring(2, 2, 0))
        claim = Outputs(unit_rows(rng.standard_normal((k, d))), np.zeros(d))
        for name, value in values(compared(world, claim, threshold=0.75), list(draws)).items():
            draws[name].append(value)
    expected = {
        "recover.mmcs_truth": floors.expected_max_cosine(d, k, signed=True),
        # The largest matching is at most the many-to-one recall that the closed form counts.
        "recover.recall": floors.random_recall(0.75, d, k, signed=True),
    }
    means = {name: np.mean(v) for name, v in draws.items()}
    errors = {name: np.std(v, ddof=1) / np.sqrt(60) for name, v in draws.items()}
    name = "recover.mmcs_truth"
    assert abs(means[name] - expected[name]) < 4 * errors[name]
    name = "recover.recall"
    assert means[name] < expected[name] + 4 * errors[name] + 1e-9
    if d == 8:  # few coincidences: the bound is nearly met
        assert abs(means[name] - expected[name]) < 4 * errors[name] + 0.02


def test_shuffled_pairing_is_perfect_for_every_decoder_score_and_nothing_for_joint(data):
    found = values(compared(data, planted.shuffled(data, np.random.default_rng(0))))
    blind = ("recall", "precision", "f1", "mcc", "mcc_min", "mmcs_truth", "mmcs_latent", "aurc")
    assert {name: found[f"recover.{name}"] for name in blind} == pytest.approx(
        dict.fromkeys(blind, 1), abs=1e-9
    )
    assert found["recover.joint"] == found["recover.joint_precision"] == 0
    assert found["recover.match_disagreement"] == 1
    assert found["act.best_latent_f1"] == pytest.approx(1)  # codes alone are perfect
    assert found["act.f1"] < 0.2
    assert found["recon.ev_total"] < 0


def test_one_perfect_latent_is_precise_and_recovers_one_feature(data):
    found = values(compared(data, planted.one(data)))
    top = data.truth.energy_share.max()
    assert found == pytest.approx(
        {
            **found,
            "recover.recall": 1 / N,
            "recover.joint": 1 / N,
            "recover.mcc": 1 / N,
            "recover.f1": 2 / (N + 1),
            "recover.joint_f1": 2 / (N + 1),
            "recover.energy_recall": top,
            "act.f1": 1 / N,
            "act.recall": 1 / N,
            "act.fnr": 1 - 1 / N,
            # What makes these diagnostics: one latent of 24 is all that they ask.
            "recover.mcc_min": 1,
            "recover.mmcs_latent": 1,
            "recover.precision": 1,
            "recover.joint_precision": 1,
            "recover.uniqueness": 1,
            "act.latent_f1": 1,
        },
        abs=1e-9,
    )


def test_a_flipped_decoder_recovers_nothing_unless_signs_are_free(data, o0):
    flipped = map_codes(o0, lambda codes: codes, -o0.decoder)
    found = values(compared(data, flipped))
    assert found["recover.recall"] == found["recover.joint"] == found["recover.aurc"] == 0
    assert found["recover.mcc"] < 0.5
    free = Outputs(**{**vars(flipped), "signed": True})
    both = values(compared(data, free))
    assert both["recover.recall"] == 1
    # The direction is right up to sign, and then its codes have the wrong one.
    assert both["act.corr"] == pytest.approx(-1)
    assert both["recon.latent_shrinkage"] == pytest.approx(-1)


@pytest.mark.parametrize("n_copies", [2, 5])
def test_copies_of_the_dictionary_keep_recall_and_divide_precision(data, o0, n_copies):
    share = map_codes(o0, lambda codes: codes / np.float32(n_copies))
    wide = share
    for _ in range(n_copies - 1):
        wide = joined(wide, share)
    found = values(compared(data, wide))
    assert found["recover.recall"] == found["recover.joint"] == found["recover.precision_soft"] == 1
    assert found["recover.precision"] == found["recover.joint_precision"] == 1 / n_copies
    assert found["recover.uniqueness"] == 1 / n_copies
    assert found["recover.f1"] == pytest.approx(2 / (1 + n_copies))
    assert found["recover.match_disagreement"] == 0
    assert found["recon.ev_total"] == pytest.approx(1, abs=1e-6)
    assert found["recon.latent_shrinkage"] == pytest.approx(1 / n_copies)


def test_copies_of_one_latent_are_one_feature(data):
    found = values(compared(data, planted.copies(data)))
    assert found["recover.recall"] == found["recover.joint"] == pytest.approx(1 / N)
    assert found["recover.precision"] == found["recover.uniqueness"] == pytest.approx(1 / N)
    assert found["recover.mmcs_latent"] == found["act.latent_f1"] == pytest.approx(1)


def test_half_the_dictionary_recovers_its_half(data, o0):
    half = values(compared(data, planted.capacity(data, N // 2)))
    assert half["recover.recall"] == half["recover.joint"] == half["act.f1"] == 0.5
    assert half["recover.energy_recall"] == pytest.approx(
        np.sort(data.truth.energy_share)[N // 2 :].sum()
    )
    assert half["recover.precision"] == half["recover.mcc_min"] == 1


def test_only_the_planted_dictionary_scores_best_of_five_answers(data, o0):
    answers = {
        "perfect": o0,
        "random": planted.null(data, np.random.default_rng(1)),
        "empty": planted.dead(data),
        "duplicated": joined(map_codes(o0, lambda c: c * np.float32(0.5)), o0),
        "truncated": planted.capacity(data, N - 1),
    }
    found = {name: values(compared(data, claim)) for name, claim in answers.items()}
    for name in ("recover.joint_f1", "recover.f1"):
        scores = {answer: v[name] for answer, v in found.items()}
        assert max(scores, key=scores.get) == "perfect"
        assert sorted(scores.values())[-2] < 1


def test_joint_asks_for_the_share_of_what_a_linear_detector_reaches():
    crowded = ScoreData(sparse(n_features=40, d=10), Scoring(512, 512, 50))
    truth = crowded.truth
    detectors = linear_ceiling(crowded, np.random.default_rng(0))
    claim = detectors.outputs(crowded, truth.directions, truth.bias)
    c = compared(crowded, claim)
    f1 = np.zeros(40)
    f1[c.live] = c.firing.rates(c.live, np.arange(len(c.live))).f1
    assert 0.1 < f1.mean() < 0.9  # a world where linear detectors are far from perfect
    own = values(compared(crowded, claim, f1=f1), ["recover.joint"])["recover.joint"]
    absolute = values(compared(crowded, claim, f1=1.0), ["recover.joint"])["recover.joint"]
    # Held to its own F1 every live detector that passes the gate of 0.1 is enough.
    assert own == np.mean(f1 >= 0.08)
    assert absolute == np.mean(f1 >= 0.8)
