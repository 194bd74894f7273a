"""Absorption: its closed form, specimens that look like it, plain loops, what changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from evaluator_cases import compared, joined, map_codes, same, scaled_columns, values, with_parts
from structured_worlds import absorbing, claim, dense, tree_world

from groundtruth.evaluators import absorbers, counts, mains, score
from groundtruth.evaluators.absorption import silences
from groundtruth.evaluators.mains import edges
from groundtruth.evaluators.statistics import t_interval
from groundtruth.explanation import Dictionary
from groundtruth.generators.dictionaries import random_rotation, unit_rows
from groundtruth.ladder import planted
from groundtruth.outputs import Outputs, linear_outputs, take_outputs
from groundtruth.score_data import PARTS, ScoreData, Scoring
from groundtruth.structure import Structure

ABSORB = ("absorb.excess_fn", "absorb.full", "absorb.leak")
NONE = dict.fromkeys(ABSORB, 0.0)
MANY = Scoring(n_select=2000, n_score=4000, n_positives=400)


@pytest.fixture(scope="module")
def pair() -> ScoreData:
    """A parent with one child, orthonormal, of size 1."""
    return tree_world([-1, 0], [0.3, 0.4], d=64, scoring=MANY)


@pytest.fixture(scope="module")
def family() -> ScoreData:
    """Three levels: two roots, four children, two grandchildren."""
    return tree_world(
        [-1, -1, 0, 0, 1, 1, 2, 4], [0.4, 0.4] + [0.4] * 4 + [0.5] * 2, d=24, scoring=MANY
    )


def test_the_planted_dictionary_absorbs_nothing(family):
    found = values(compared(family, planted.identity(family)), ABSORB)
    assert found == pytest.approx(NONE, abs=1e-12)


def test_a_linear_encoder_absorbs_without_error_of_reconstruction(pair):
    f0, f1 = pair.truth.directions
    decoder = np.stack([f0, (f0 + f1) / np.sqrt(2)])

    def encode(x: np.ndarray) -> np.ndarray:
        z = np.maximum(0, np.stack([x @ (f0 - f1), np.sqrt(2) * x @ f1], axis=1))
        return np.where(z > 1e-3, z, 0.0)  # rounding of float32 is no firing

    c = compared(pair, take_outputs(Dictionary(decoder, encode), pair))
    assert c.similarity.edge_cosine == pytest.approx([1, np.sqrt(0.5), np.sqrt(0.5)], abs=1e-9)
    found = values(c, [*ABSORB, "recon.ev_total", "recon.l0"])
    assert found["absorb.excess_fn"] == found["absorb.full"] == 1.0
    assert found["absorb.leak"] == pytest.approx(np.sqrt(0.5))
    assert found["recon.ev_total"] == pytest.approx(1)
    # It fires less often than the truth does: what a sparse objective asks for.
    assert found["recon.l0"] < 0.8 * pair.truth.expected_l0


@pytest.mark.parametrize(("parent", "child"), [(1.0, 1.0), (2.0, 1.0), (1.0, 3.0)])
def test_leak_is_the_parents_share_of_the_sum(parent, child):
    data = tree_world([-1, 0], [0.3, 0.4], d=64, size=[parent, child])
    found = values(compared(data, absorbing(data)), ABSORB)
    assert found["absorb.leak"] == pytest.approx(parent / np.hypot(parent, child))
    assert found["absorb.excess_fn"] == found["absorb.full"] == 1.0


@pytest.mark.parametrize("dose", [0.0, 0.25, 0.5, 0.75])
def test_rates_are_the_share_of_samples_in_which_the_parent_is_absorbed(pair, dose):
    result = score(compared(pair, absorbing(pair, dose)), ABSORB)
    # The child is active in about 480 samples: five standard errors.
    slack = 5 * np.sqrt(dose * (1 - dose) / 400) + 1e-12
    assert result["absorb.excess_fn"].value == pytest.approx(dose, abs=slack)
    assert result["absorb.full"].value == pytest.approx(result["absorb.excess_fn"].value)
    assert result["absorb.leak"].value == pytest.approx(np.sqrt(0.5))  # the decoder is the same


def test_leak_sees_the_decoder_and_the_rates_see_the_codes(pair):
    o0 = planted.identity(pair)
    rows = o0.decoder.copy()
    rows[1] = (rows[1] + 0.5 * rows[0]) / np.sqrt(1.25)
    found = values(compared(pair, map_codes(o0, lambda codes: codes, rows)), ABSORB)
    assert found == pytest.approx(NONE | {"absorb.leak": 0.5 / np.sqrt(1.25)})


def test_a_latent_that_misses_its_feature_at_random_is_not_absorbed(pair):
    rng, codes = np.random.default_rng(0), dense(pair)
    for a in codes.values():
        a[:, 0] *= rng.random(len(a)) < 0.6
    found = values(compared(pair, claim(pair, pair.truth.directions, codes)), ABSORB)
    # Two rates of 0.4 from about 480 and 720 samples: five standard errors.
    assert found["absorb.excess_fn"] == pytest.approx(0, abs=0.15)
    assert found["absorb.full"] == 0.0 and abs(found["absorb.leak"]) < 1e-12


def test_a_parent_that_its_child_silences_and_nobody_supplies_is_no_full_absorption(pair):
    codes = dense(pair)
    for a in codes.values():
        a[:, 0] *= a[:, 1] == 0
    found = values(compared(pair, claim(pair, pair.truth.directions, codes)), ABSORB)
    assert found == pytest.approx(NONE | {"absorb.excess_fn": 1.0}, abs=1e-12)


def test_a_parent_split_over_two_latents_has_two_main_latents(pair, monkeypatch):
    rng, codes = np.random.default_rng(0), dense(pair)
    for part, a in codes.items():
        first = rng.random(len(a)) < 0.5
        codes[part] = np.stack([a[:, 0] * first, a[:, 0] * ~first, a[:, 1]], axis=1)
    split = claim(pair, pair.truth.directions[[0, 0, 1]], codes)
    assert values(compared(pair, split), ABSORB) == pytest.approx(NONE, abs=1e-12)
    # With one main latent the other half would look like an absorber.
    monkeypatch.setattr(mains, "MOST_MAINS", 1)
    assert values(compared(pair, split), ABSORB)["absorb.full"] > 0.3


def test_a_likely_child_does_not_hide_absorption():
    data = tree_world([-1, 0], [0.5, 0.9], d=64, scoring=MANY)
    c = compared(data, absorbing(data))
    # By F1 over all samples the sum would be the parent's best latent, and never silent.
    assert counts.best_by_f1(data.select, c.outputs.select)[0][0] == 1
    assert values(c, ["absorb.excess_fn"])["absorb.excess_fn"] == 1.0


def test_main_latents_are_chosen_on_select_alone(family):
    c = compared(family, absorbing(family, 0.5))
    rng = np.random.default_rng(0)
    codes = {part: getattr(c.outputs, part) for part in PARTS}
    for part in ("score", "positives"):
        codes[part] = sp.csr_array(codes[part][rng.permutation(codes[part].shape[0])])
    other = compared(family, linear_outputs(c.outputs.decoder, c.outputs.bias, **codes))
    chosen = mains.mains(c).main != mains.mains(other).main
    assert chosen.nnz == 0
    assert values(c, ABSORB) != values(other, ABSORB)


def test_a_parent_that_select_never_shows_alone_takes_its_nearest_latent():
    scoring = Scoring(n_select=2, n_score=2000, n_positives=200)
    data = tree_world([-1, 0], [0.02, 0.4], d=64, scoring=scoring, seed=1)
    assert data.select.nnz == 0
    assert values(compared(data, absorbing(data)), ABSORB)["absorb.excess_fn"] == 1.0


def test_rare_edges_are_counted_on_samples_in_which_they_were_made_to_fire():
    scoring = Scoring(n_select=2000, n_score=2000, n_positives=400)
    data = tree_world([-1, 0], [0.01, 0.1], d=64, scoring=scoring)
    assert (data.score.toarray()[:, 1] != 0).sum() < 10
    c = compared(data, absorbing(data, 0.3))
    assert silences(c).n_with_child[0] == 400
    found = values(c, ABSORB)
    # Five standard errors at 400 samples.
    assert found["absorb.excess_fn"] == pytest.approx(0.3, abs=0.12)
    assert found["absorb.full"] == pytest.approx(found["absorb.excess_fn"])


def noisy(data: ScoreData, seed: int) -> Outputs:
    """Latents near the features that miss firings, fire spuriously and absorb now and then."""
    rng, base = np.random.default_rng(seed), absorbing(data, 0.5, seed=seed)
    decoder = np.concatenate([base.decoder, data.truth.directions])
    decoder = decoder + 0.3 / np.sqrt(data.truth.d) * rng.standard_normal(decoder.shape)
    codes = {}
    for part, a in dense(data).items():
        z = np.concatenate([getattr(base, part).toarray(), a * (rng.random(a.shape) < 0.4)], axis=1)
        z = z * (rng.random(z.shape) < 0.9) + (rng.random(z.shape) < 0.05)
        codes[part] = z * rng.lognormal(0, 0.3, z.shape)
    return claim(data, unit_rows(decoder), codes)


def test_rates_equal_plain_loops(family):
    c = compared(family, noisy(family, 1))
    parent, edge = family.truth.structure.parent, edges(family.truth)
    main = mains.mains(c).main.toarray() > 0
    a = np.concatenate([family.score.toarray(), family.positives.toarray()])
    z = np.concatenate([c.outputs.score.toarray(), c.outputs.positives.toarray()])
    natural = np.arange(len(a)) < family.score.shape[0]
    forced = np.concatenate([np.full(family.score.shape[0], -1), family.forced])
    excess, full = [], []
    for child, p in zip(edge.child, edge.parent):
        own = np.flatnonzero(main[:, p])
        assert len(own)
        silent_with, silent_alone, absorbed = [], [], []
        for n in range(len(a)):
            quiet = not z[n, own].any()
            if a[n, child] and (natural[n] or forced[n] == child):
                silent_with.append(quiet)
                supply = 0.0
                for j in np.flatnonzero(z[n]):
                    row, d = c.outputs.decoder[j], family.truth.directions[p]
                    if j not in own and row @ d / np.linalg.norm(row) >= 0.025:
                        supply = max(supply, z[n, j] * (row @ d))
                absorbed.append(quiet and supply >= 0.5 * a[n, p])
            if a[n, p] and not a[n, parent == p].any() and (natural[n] or forced[n] == p):
                silent_alone.append(quiet)
        excess.append(np.mean(silent_with) - np.mean(silent_alone))
        full.append(np.mean(absorbed))
    found = values(c, ABSORB)
    assert found["absorb.excess_fn"] == pytest.approx(np.mean(excess), abs=1e-12)
    assert found["absorb.full"] == pytest.approx(np.mean(full), abs=1e-12)
    assert 0.1 < np.mean(full) < 0.9 and 0.1 < np.mean(excess) < 0.9


def test_main_latents_equal_a_plain_search(family):
    c = compared(family, noisy(family, 2))
    main = mains.mains(c).main.toarray() > 0
    a, z = family.select.toarray() != 0, c.outputs.select.toarray() != 0
    parent = family.truth.structure.parent
    for p in np.unique(parent[parent >= 0]):
        alone, silent = a[:, p] & ~a[:, parent == p].any(axis=1), ~a[:, p]
        kept, best = [], -1.0
        while len(kept) < mains.MOST_MAINS:
            f1 = {}
            for j in np.flatnonzero(c.latents @ family.truth.directions[p] >= 0.5):
                fires = z[:, [*kept, j]].any(axis=1)
                hits, false = (fires & alone).sum(), (fires & silent).sum()
                f1[int(j)] = 2 * hits / (hits + false + alone.sum())
            top = max(f1, key=f1.get)
            if f1[top] < best + mains.JUMP:
                break
            kept, best = [*kept, top], f1[top]
        assert np.flatnonzero(main[:, p]).tolist() == sorted(kept)


def test_leak_equals_least_squares_where_directions_are_not_orthogonal():
    rng = np.random.default_rng(0)
    directions = unit_rows(rng.standard_normal((4, 6)))
    data = tree_world([-1, 0, 0, 2], [0.5] * 4, d=6, directions=directions)
    rows = unit_rows(directions + 0.2 * rng.standard_normal((4, 6)))
    c = compared(data, Outputs(rows, np.zeros(6)))
    weights = []
    for child, p in zip(*vars(edges(data.truth)).values()):
        u = rows[(rows @ directions[child]).argmax()]
        weights.append(np.linalg.lstsq(directions[[p, child]].T, u, rcond=None)[0][0])
    assert values(c, ["absorb.leak"])["absorb.leak"] == pytest.approx(np.mean(weights))


def test_claims_that_know_nothing_score_their_floors():
    """Two-sided at one in 100,000 for each metric, over 40 fixed draws."""
    gaps: dict[str, list[float]] = {name: [] for name in ABSORB}
    for seed in range(40):
        scoring = Scoring(n_select=300, n_score=600, n_positives=60)
        rows = unit_rows(np.random.default_rng(seed).standard_normal((5, 4)))
        parent = [-1, 0, 0, -1, 3]
        data = tree_world(parent, [0.4] * 5, d=4, scoring=scoring, seed=seed, directions=rows)
        wide = [planted.null(data, np.random.default_rng([seed, i])) for i in range(3)]
        results = score(compared(data, joined(joined(wide[0], wide[1]), wide[2])), ABSORB)
        for name, result in results.items():
            if result.value is not None:
                gaps[name].append(result.value - result.floor)
    for name, gap in gaps.items():
        assert len(gap) > 20
        _, low, high = t_interval(gap, 1 - 1e-5)
        assert low <= 0 <= high, name


def test_the_floor_test_rejects_a_claim_that_absorbs(pair):
    for result in score(compared(pair, absorbing(pair, 0.5)), ABSORB).values():
        assert result.value - result.floor > 0.2


def test_small_blocks_find_the_same(family, monkeypatch):
    before = values(compared(family, noisy(family, 3)), ABSORB)
    monkeypatch.setattr(absorbers, "_PARENTS", 1)
    monkeypatch.setattr(absorbers, "_EVENTS", 7)
    assert values(compared(family, noisy(family, 3)), ABSORB) == before


def turned(data: ScoreData, base: Outputs) -> tuple[ScoreData, Outputs]:
    turn = random_rotation(data.truth.d, np.random.default_rng(0))
    truth = replace(data.truth, directions=data.truth.directions @ turn)
    moved = with_parts(ScoreData(data.testbed, data.scoring), x=data.x @ turn)
    vars(moved)["truth"] = truth
    return moved, map_codes(base, lambda codes: codes, base.decoder @ turn)


def relabelled(data: ScoreData, base: Outputs) -> tuple[ScoreData, Outputs]:
    """Features in another order, the claim as it was."""
    order = np.random.default_rng(1).permutation(data.truth.n_features)
    place = np.argsort(order)
    law = data.truth.structure
    parent = np.where(law.parent[order] < 0, -1, place[law.parent[order]])
    truth = replace(
        data.truth,
        directions=data.truth.directions[order],
        firing_probability=data.truth.firing_probability[order],
        structure=Structure(parent, law.rate[order], law.exclusive),
    )
    rows = np.argsort(place[data.forced], kind="stable")
    moved = with_parts(
        data,
        select=sp.csr_array(data.select[:, order]),
        score=sp.csr_array(data.score[:, order]),
        positives=sp.csr_array(data.positives[rows][:, order]),
        forced=place[data.forced][rows],
    )
    vars(moved)["truth"] = truth
    return moved, replace(base, positives=sp.csr_array(base.positives[rows]))


@pytest.mark.parametrize("change", ["order", "scale", "dead", "rotation", "feature order"])
def test_what_must_change_nothing_changes_nothing(family, change):
    base, rng = noisy(family, 4), np.random.default_rng(5)
    data, moved = family, base
    if change == "order":
        order = rng.permutation(base.k)
        moved = map_codes(base, lambda codes: codes[:, order], base.decoder[order])
    elif change == "scale":
        scale = 2.0 ** rng.integers(-9, 9, base.k)
        moved = map_codes(
            base, lambda codes: scaled_columns(codes, 1 / scale), base.decoder * scale[:, None]
        )
    elif change == "dead":
        moved = joined(base, planted.dead(family))
    elif change == "rotation":
        data, moved = turned(family, base)
    else:
        data, moved = relabelled(family, base)
    wanted = (*ABSORB, "hedge")
    before = values(compared(family, base), wanted)
    after = values(compared(data, moved, truth=vars(data).get("truth")), wanted)
    same(before, after, relative=1e-9, absolute=1e-9)


def test_copies_that_share_the_code_leave_rates_of_silence_alone(family):
    half = map_codes(noisy(family, 6), lambda codes: codes * np.float32(0.5))
    once, twice = (values(compared(family, c), ABSORB) for c in (half, joined(half, half)))
    same(once, twice, but={"absorb.full"})


def test_what_is_undefined_says_why(pair):
    roots = tree_world([-1, -1], [0.3, 0.3], d=8)
    for result in score(compared(roots, planted.identity(roots)), ABSORB).values():
        assert result.reason == "no feature has a planted parent that can fire without it"
    free = replace(roots.truth, structure=None)
    for result in score(compared(roots, planted.identity(roots), truth=free), ABSORB).values():
        assert result.reason == "features fire independently in this world"
    away = np.linalg.svd(pair.truth.directions)[2][-2:]
    lost = map_codes(planted.identity(pair), lambda codes: codes, away)
    reasons = {m: r.reason for m, r in score(compared(pair, lost), ABSORB).items()}
    assert reasons["absorb.excess_fn"] == "no parent has a latent of cosine 0.5 that fires with it"
    assert reasons["absorb.full"] == reasons["absorb.excess_fn"]
    assert reasons["absorb.leak"].startswith("no child has a latent of cosine 0.3")
    decoder_only = score(compared(pair, Outputs(pair.truth.directions, np.zeros(64))), ABSORB)
    assert decoder_only["absorb.leak"].value == pytest.approx(0, abs=1e-12)
    assert decoder_only["absorb.full"].reason == (
        "the explanation has no codes; pass encode= to gt.Dictionary"
    )


def test_an_edge_whose_parent_never_fires_alone_is_left_out_and_counted():
    """One of the first parent's two children is always there, though neither has to be."""
    either = Structure(
        np.array([-1, 0, 0, -1, 3]),
        np.array([0.3, 0.5, 0.5, 0.3, 0.5]),
        np.array([-1, 0, 0, -1, -1]),
    )
    data = tree_world([-1, 0, 0, -1, 3], [0.3, 0.5, 0.5, 0.3, 0.5], d=16)
    codes = dense(data)
    for a in codes.values():
        a[:, 2] = (a[:, 0] > 0) & (a[:, 1] == 0)
    parts = {part: sp.csr_array(value.astype(np.float32)) for part, value in codes.items()}
    moved = with_parts(data, **parts)
    truth = replace(data.truth, structure=either)
    claimed = claim(moved, data.truth.directions, codes)
    result = score(compared(moved, claimed, truth=truth), ABSORB)["absorb.excess_fn"]
    assert (result.value, result.status, result.n_units) == (0.0, "degenerate", 1)
    assert result.reason == "undefined for 67% of edges"
    assert np.isnan(result.evidence["per_unit"]).tolist() == [True, True, False]
    assert result.evidence["child"].tolist() == [1, 2, 4]


def test_features_that_always_fire_together_are_no_edge():
    data = tree_world([-1, 0, -1, 2], [0.3, 1.0, 0.3, 0.5], d=16)
    result = score(compared(data, absorbing(data)), ABSORB)["absorb.excess_fn"]
    assert (result.value, result.status, result.n_units) == (1.0, "ok", 1)
    assert result.evidence["child"].tolist() == [3]
