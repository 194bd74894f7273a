"""Effects of claimed latents: closed forms, laws, and specimens that each score must catch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundtruth.errors import ExplanationError, MethodError
from groundtruth.evaluators import causes
from groundtruth.evaluators.causes import planted_ranking, random_ranked, score_causes
from groundtruth.explanation import Dictionary
from groundtruth.generators.cause_worlds import causal_dictionary
from groundtruth.ranked_dictionary import RankedDictionary

TESTBED = causal_dictionary(n_inputs=96)
TRUTH = TESTBED.truth
PLANTED = planted_ranking(TRUTH)
D, R = TRUTH.directions, TRUTH.readouts
# Neither written nor read; at this site the mediator's direction is read, though never written.
UNUSED = np.linalg.svd(np.concatenate([D, TESTBED.weights.W_U.T]))[2][len(D) + 1 :]
ACTING = TRUTH.of_kind("causal", "mediated")
RANKED = ("rank_gap", "rank_gap_30", "rank_gap_60", "rank_gap_90")


def values(claim, testbed=TESTBED):
    found = score_causes(testbed, claim)
    return {id.removeprefix("causal."): result.value for id, result in found.items()}


def linear(rows, readouts, **settings):
    """Codes x @ readouts on these rows."""
    return Dictionary(rows.copy(), lambda x: x @ readouts, signed=True, **settings)


def replaced(change):
    """The planted rows and readouts after `change` of copies."""
    rows, readouts = D.copy(), R.copy()
    change(rows, readouts)
    return linear(rows, readouts)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("cosine", [0.0, 0.3])
def test_the_planted_dictionary_is_the_ceiling_of_everything(level, cosine):
    testbed = causal_dictionary(n_inputs=64, level=level, cosine=cosine, seed=level)
    found = score_causes(testbed, planted_ranking(testbed.truth))
    assert set(found) == set(causes.METRICS)
    for id, result in found.items():
        if id == "causal.mediated_r2" and level == 1:
            assert result.reason == "the testbed has no such feature"
            continue
        # With directions that are not orthogonal the planted ones move other features too.
        assert result.value == pytest.approx(1, abs=1e-9), id
        assert result.ceiling == 1 and result.floor is not None
        assert result.floor < 0.8, id


def test_random_dictionaries_lie_at_the_floor():
    found = [score_causes(TESTBED, random_ranked(TRUTH.d, 16, seed)) for seed in range(100, 112)]
    for id, first in found[0].items():
        drawn = np.array([scores[id].value for scores in found])
        # Floors are means of 20 draws, on fewer inputs; these of 12. Four standard errors of the
        # difference, over 14 scores that go together: a false alarm in about 1,000.
        error = drawn.std(ddof=1) * math.sqrt(1 / 20 + 1 / 12)
        assert abs(drawn.mean() - first.floor) < 4 * error + 0.02, id


def test_order_and_scale_of_latents_and_latents_that_do_nothing_do_not_count():
    expected = values(PLANTED)
    order = np.random.default_rng(0).permutation(len(D))
    scale = np.linspace(0.2, 5, len(D))[:, None]
    rows, readouts = (scale * D)[order], (R / scale.T)[:, order]
    assert values(RankedDictionary(linear(rows, readouts), PLANTED.strengths[order])) == (
        pytest.approx(expected)
    )
    flipped = RankedDictionary(linear(-D, -R), PLANTED.strengths)
    assert values(flipped) == pytest.approx(expected)
    # Junk that points where no feature does.
    more = linear(np.concatenate([D, UNUSED]), np.concatenate([R, UNUSED.T], axis=1))
    last, first = (np.append(PLANTED.strengths, np.full(len(UNUSED), s)) for s in (-1.0, 9.0))
    assert values(RankedDictionary(more, last)) == pytest.approx(expected)
    # Ranked before causes, it takes their places.
    taken = values(RankedDictionary(more, first))
    assert taken["sufficiency"] < 0.9 and taken["necessity"] < 0.9


def test_half_cause_and_half_correlate_steers_by_root_half():
    # u = (c0 + its decoy) / sqrt 2 in c0's place: the decoy's half does nothing.
    def mix(rows, readouts):
        rows[0] = (D[0] + D[3]) / math.sqrt(2)

    found = score_causes(TESTBED, replaced(mix))
    n = len(ACTING)
    assert found["causal.steer_cos"].value == pytest.approx(1)
    expected = 1 - (1 - math.sqrt(0.5)) ** 2 / n
    assert found["causal.steer_r2"].value == pytest.approx(expected)
    assert found["causal.specificity"].evidence["per_unit"][0] == pytest.approx(0.5)


def test_a_decoy_in_the_place_of_a_cause_is_active_and_does_nothing():
    # The latent of c1 points at c1, and its code is that of c1's decoy at .9.
    def code_of_decoy(rows, readouts):
        readouts[:, 4] = R[:, 7]

    found = score_causes(TESTBED, replaced(code_of_decoy))
    share = found["causal.effect_r2"].evidence["per_unit"]
    assert share[4] < 0.95 and np.allclose(np.delete(share, 4)[[0, 7, 11, 12]], 1)

    # A second latent of the decoy, and none of c1: nothing happens, as with every decoy.
    def be_decoy(rows, readouts):
        rows[4], readouts[:, 4] = D[7], R[:, 7]

    found = score_causes(TESTBED, replaced(be_decoy))
    assert found["causal.gap"].value == pytest.approx((4 + 1 / 2) / 5)
    assert found["causal.inert"].value == 1


@pytest.mark.parametrize(
    ("partner", "falling"),
    [
        (np.resize(UNUSED, D.shape), ("effect_r2", "slope", "steer_r2")),
        (np.roll(D, 1, axis=0), ("effect_cos", "effect_r2", "specificity")),
    ],
    ids=["to where nothing is", "to the next feature"],
)
def test_turning_every_direction_away_lowers_effects(partner, falling):
    turned = [
        values(linear(math.cos(angle) * D + math.sin(angle) * partner, R))
        for angle in (0.0, 0.2, 0.4, 0.6)
    ]
    for name in falling:
        assert (np.diff([found[name] for found in turned]) < 0).all(), name


def test_shrinking_codes_lowers_the_slope_and_not_the_direction():
    found = score_causes(TESTBED, linear(D, 0.5 * R))
    assert found["causal.effect_cos"].value > 0.99
    causal = TRUTH.of_kind("causal")
    assert np.allclose(found["causal.slope"].evidence["per_unit"][causal], 0.5)
    assert found["causal.effect_r2"].value < 0.9
    assert found["causal.steer_r2"].value == pytest.approx(1)


def test_codes_of_other_latents_lower_effects_that_directions_do_not_show():
    shuffled = values(RankedDictionary(linear(D, np.roll(R, 1, axis=1)), PLANTED.strengths))
    for name in ("effect_cos", "effect_r2", "mediated_r2"):
        assert shuffled[name] < 0.6, name
    assert shuffled["steer_r2"] == pytest.approx(1)


def test_missing_latents_count_as_no_effect():
    kept = [i for i in range(len(D)) if i not in (0, 12)]
    found = score_causes(TESTBED, linear(D[kept], R[:, kept]))
    assert found["causal.effect_cos"].value == pytest.approx(3 / 5)
    assert found["causal.steer_r2"].value == pytest.approx(3 / 5)
    assert found["causal.mediated_r2"].value < 0.6
    assert found["causal.specificity"].value == pytest.approx(12 / 14)


def test_what_never_fires_is_found_by_steering_alone():
    kept = np.arange(len(D) - 1)  # all but the dormant one
    found = values(RankedDictionary(linear(D[kept], R[:, kept]), PLANTED.strengths[kept]))
    assert found.pop("dormant_r2") == 0
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_ranking_by_exact_correlation_is_fooled_and_by_effect_is_not():
    # Corr(a_i, target) by the law: features of one variance V; a decoy has its parent's times rho.
    weight = {"c0": 3.0, "c1": 1.5, "c2": 0.75}
    p = np.array([0.7, 0.15, 0.15])
    a = np.arange(3.0)
    gate = np.maximum(a[:, None] + a - 1, 0)
    mean, variance = p @ a, p @ a**2 - (p @ a) ** 2
    slope = (p @ (gate * (a - mean)[:, None]) @ p) / variance  # of the mediator in m0
    strengths = []
    for name in TRUTH.names:
        root, _, rho = name.partition("~")
        of = weight.get(root, 0.0 if root == "dormant" else 2 * slope)
        strengths.append(of * float(rho or 1))
    found = values(RankedDictionary(PLANTED.dictionary, np.array(strengths)))
    m = 2 * slope
    decoys = {rho: [w * rho for w in weight.values()] for rho in (0.3, 0.6, 0.9)}
    for rho, lower in decoys.items():
        pairs = [s > t for s in (*weight.values(), m, m) for t in lower]
        assert found[f"rank_gap_{round(100 * rho)}"] == pytest.approx(np.mean(pairs))
    assert found["rank_gap_30"] > found["rank_gap_60"] > found["rank_gap_90"]
    assert found["rank_gap_90"] < 0.6
    assert all(values(PLANTED)[name] == 1 for name in RANKED)


def test_ties_count_half():
    found = values(RankedDictionary(PLANTED.dictionary, np.zeros(len(D))))
    assert all(found[name] == 0.5 for name in RANKED)


def test_what_is_not_claimed_is_undefined_with_a_reason():
    found = score_causes(TESTBED, PLANTED.dictionary)
    for name in RANKED:
        result = found[f"causal.{name}"]
        assert result.reason == "the latents are not ranked; return a RankedDictionary"
    assert found["causal.gap"].value == 1
    found = score_causes(TESTBED, Dictionary(D.copy()))
    assert found["causal.effect_cos"].reason == (
        "the explanation has no codes; pass encode= to gt.Dictionary"
    )
    assert found["causal.steer_r2"].value == pytest.approx(1)
    plain = causal_dictionary(correlations=(), n_inputs=8)
    found = score_causes(plain, planted_ranking(plain.truth))
    assert found["causal.rank_gap"].reason == "no such decoys are planted"
    assert found["causal.inert"].reason == "the testbed has no such feature"


def test_what_is_no_such_claim_is_refused():
    with pytest.raises(ExplanationError) as error:
        score_causes(TESTBED, np.eye(3))  # type: ignore[arg-type]
    assert str(error.value) == ("claim: expected a Dictionary or a RankedDictionary, got ndarray.")
    with pytest.raises(ExplanationError, match="decoder: expected shape"):
        score_causes(TESTBED, Dictionary(np.eye(3)))
    with pytest.raises(MethodError, match="encode raised ValueError: no"):

        def encode(x):
            raise ValueError("no")

        score_causes(TESTBED, Dictionary(D.copy(), encode))


def test_what_a_method_does_to_its_model_reaches_no_score_and_no_other_method():
    testbed = causal_dictionary(n_inputs=16)
    seen = testbed.subject
    seen.model.W_U.data.zero_()
    assert testbed.subject.model.W_U.any() and not seen.model.W_U.any()
    assert values(planted_ranking(testbed.truth), testbed)["effect_r2"] == pytest.approx(1)


def test_the_strongest_latents_carry_what_their_features_cause():
    # Of three equal causes that fire alike, two of five places taken by decoys leave three parts.
    testbed = causal_dictionary(strengths=(1.0, 1.0), correlations=(0.9,), n_inputs=512)
    truth = testbed.truth
    planted = planted_ranking(truth)
    assert truth.names == ("c0", "c0~0.9", "c1", "c1~0.9", "m0", "m1", "dormant")
    # The four strongest are now c0, c1 and the decoys.
    strengths = np.array([4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0])
    found = score_causes(testbed, RankedDictionary(planted.dictionary, strengths))
    c = truth.codes[:, [0, 2]].sum(1)
    total = truth.network.outputs(truth.codes)[:, 0]
    share = c.mean() / total.mean()
    assert found["causal.sufficiency"].value == pytest.approx(share)
    assert found["causal.necessity"].value == pytest.approx(share)
    assert 0.3 < share < 0.8


def test_swapping_counts_pairs_that_should_move_and_a_latent_that_does_nothing_moves_none():
    silent = Dictionary(D.copy(), lambda x: np.zeros((len(x), len(D))))
    assert score_causes(TESTBED, silent)["causal.iia"].value == 0
    half = score_causes(TESTBED, linear(D, 0.4 * R))["causal.iia"].evidence["per_unit"]
    more = score_causes(TESTBED, linear(D, 0.6 * R))["causal.iia"].evidence["per_unit"]
    causal = TRUTH.of_kind("causal")
    # Linear effects: a share below one half ends nearer to where it began.
    assert (half[causal] == 0).all() and (more[causal] == 1).all()


def test_targets_that_cancel_have_no_share():
    p, a = np.array([0.7, 0.15, 0.15]), np.arange(3.0)
    gate = p @ np.maximum(a[:, None] + a - 1, 0) @ p
    testbed = causal_dictionary(strengths=(-2 * gate / (p @ a),), correlations=(0.9,), seed=2)
    found = score_causes(testbed, planted_ranking(testbed.truth))
    for name in ("sufficiency", "necessity"):
        assert found[f"causal.{name}"].reason == (
            "m(M) - m(0) is within three standard errors of 0 on 512 inputs"
        )
    assert found["causal.rank_gap"].value == 1
