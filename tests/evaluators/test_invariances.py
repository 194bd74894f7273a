"""What must not change a score, metric by metric, with every exemption and its reason.

A claim's latents can be reordered, rescaled against their codes, joined by dead or copied ones;
a world can be scaled, shifted, turned and its features reordered. `EXEMPT` says which metrics
may notice; a metric that is not in it makes a test fail.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from evaluator_cases import (
    TIE_DEPENDENT,
    compared,
    joined,
    map_codes,
    permuted_truth,
    same,
    scaled_columns,
    untied,
    untied_cases,
    values,
    with_parts,
    worlds_and_claims,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groundtruth.evaluators import METRICS
from groundtruth.generators.dictionaries import random_rotation, unit_rows
from groundtruth.generators.sparse import sparse
from groundtruth.ladder import planted
from groundtruth.outputs import linear_outputs
from groundtruth.score_data import ScoreData, Scoring

PROPERTIES = (
    "latent order",
    "latent scale",
    "global scale",
    "shift",
    "rotation",
    "sign",
    "dead latents",
    "duplicates",
    "feature order",
)

_LIVE = "divides by live latents, of which there are more"
_ONE_TO_ONE = "a second copy may be matched to another feature"
_LUCK = {"latent order": "equal F1 on `select` is decided by position"}
_WIDTH = {"dead latents": "divides by all latents"}
_ORIGIN = {"shift": "measures from the origin, not from the mean"}
_PARTNER = {"duplicates": _ONE_TO_ONE}

EXEMPT: dict[str, dict[str, str]] = {
    "recover.joint": {},
    "recover.joint_precision": {"duplicates": _LIVE},
    "recover.joint_f1": {"duplicates": _LIVE},
    "recover.joint_o1": {},
    "recover.joint_identifiable": {},
    "recover.recall": {},
    "recover.recall_identifiable": {},
    "recover.recall_classes": {},
    "recover.precision": {"duplicates": _LIVE},
    "recover.precision_soft": {},
    "recover.f1": {"duplicates": _LIVE},
    "recover.aurc": _PARTNER,
    "recover.mmcs_truth": {},
    "recover.mmcs_latent": {},
    "recover.mcc": _PARTNER,
    "recover.mcc_min": _PARTNER,
    "recover.uniqueness": {"duplicates": _LIVE},
    "recover.energy_recall": {},
    "recover.rare_recall": {},
    "recover.by_freq": {},
    "recover.match_disagreement": {},
    "act.f1": _PARTNER,
    "act.precision": _PARTNER,
    "act.recall": _PARTNER,
    "act.fnr": _PARTNER,
    "act.fpr": _PARTNER,
    "act.matthews": _PARTNER,
    "act.auroc": _PARTNER,
    "act.auprc": _PARTNER,
    "act.corr": _PARTNER,
    "act.corr_active": _PARTNER,
    "act.spearman_active": _PARTNER,
    "act.best_latent_f1": _LUCK,
    "act.latent_f1": {},
    "split.count": {"duplicates": "counts latents, now twice as many"},
    "split.rate": {"duplicates": "a copy splits its feature"},
    "merge.rate": {},
    "compose.support": {},
    "compose.residual": {},
    # Undefined in the worlds of this file; test_hedging and test_absorption have worlds for them.
    "hedge.degree": {},
    "hedge.slope": {},
    "absorb.excess_fn": {},
    "absorb.full": {"duplicates": "copies share the code, and one alone may not supply enough"},
    "absorb.leak": {},
    # Undefined here too: one space, not several side by side. See test_parts.
    "part.share_error": {},
    "part.false_exclusive": {},
    "part.false_shared": {},
    "part.decoupled": {},
    # And here: features of one dimension. See test_manifold_scores.
    "subspace.coverage": {},
    "subspace.purity": {},
    "manifold.coord_error": {},
    "manifold.tiling": {"duplicates": "counts latents, now twice as many"},
    "manifold.gap": {},
    # Other tools' definitions count every decoder row, dead or not.
    "recover.mcc_all": {**_WIDTH, **_PARTNER},
    "recover.uniqueness_all": {**_WIDTH, "duplicates": "divides by all latents, now twice as many"},
    "recover.above_08": {},
    "act.latent_precision": _WIDTH,
    "act.latent_recall": _WIDTH,
    "act.latent_f1_all": _WIDTH,
    "act.latent_accuracy": _WIDTH,
    "recon.dead_score": _WIDTH,
    "recon.norm_ratio": {**_ORIGIN, "global scale": "leaves out lengths below an absolute 1e-6"},
    "recon.ev_total": {},
    "recon.fvu": {},
    "recon.ev_perdim": {"rotation": "a mean over the dimensions of one basis"},
    "recon.ev_uncentred": _ORIGIN,
    "recon.ev_token": {},
    "recon.ev_biasblind": {},
    "recon.cos": _ORIGIN,
    "recon.l0": {"duplicates": "counts latents that fire"},
    "recon.shrinkage": _ORIGIN,
    "recon.rel_bias": _ORIGIN,
    "recon.latent_shrinkage": {"duplicates": "copies share the code"},
    "recon.dead_frac": _WIDTH,
    "recon.dense_frac": _WIDTH,
}
CASES = worlds_and_claims() | untied_cases()
FEWER = settings(max_examples=30)


def exempt(name: str) -> set[str]:
    """Metrics that need not keep their value under the named property."""
    assert name in PROPERTIES
    return {metric for metric, reasons in EXEMPT.items() if name in reasons}


def check_same(name, before, after, **tolerance) -> None:
    """Raise unless all metrics that declare the property agree; ties count where there are none."""
    but = exempt(name) if untied(before) and untied(after) else exempt(name) | set(TIE_DEPENDENT)
    same(values(before), values(after), but=but, **tolerance)


def test_every_metric_declares_its_invariances_and_nothing_else_does():
    assert set(EXEMPT) == set(METRICS)


def test_exemptions_name_a_property_and_give_a_reason():
    for reasons in EXEMPT.values():
        assert set(reasons) <= set(PROPERTIES)
        assert all(len(reason.split()) >= 3 for reason in reasons.values())


@FEWER
@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_latents_changes_nothing(case, random):
    data, claim = case
    order = np.array(random.sample(range(claim.k), claim.k))
    moved = map_codes(claim, lambda codes: codes[:, order], claim.decoder[order])
    check_same("latent order", compared(data, claim), compared(data, moved))


@FEWER
@given(
    worlds_and_claims(("planted", "rotated", "random", "spurious", "dead", "duplicate")),
    st.lists(st.integers(-17, 17), min_size=10, max_size=10),
)
def test_the_scale_of_a_latent_against_its_code_changes_nothing(case, exponents):
    data, claim = case
    # Powers of two scale exactly, so that values must agree to the last bit.
    scale = 2.0 ** np.array(exponents)[: claim.k]
    moved = map_codes(
        claim, lambda codes: scaled_columns(codes, 1 / scale), claim.decoder * scale[:, None]
    )
    before, after = values(compared(data, claim)), values(compared(data, moved))
    same(before, after, relative=1e-12, absolute=1e-12)


@FEWER
@given(CASES, st.integers(-30, 30))
def test_the_unit_of_activations_changes_nothing(case, exponent):
    data, claim = case
    c = 2.0**exponent
    truth = data.truth
    magnitude = replace(truth.magnitude, scale=truth.magnitude.scale * c)
    scaled = replace(truth, magnitude=magnitude, bias=truth.bias * c, noise=truth.noise * c)
    parts = {name: getattr(data, name) * np.float32(c) for name in ("score", "select", "positives")}
    large = with_parts(data, x=data.x * np.float32(c), **parts)
    louder = replace(
        claim,
        bias=claim.bias * c,
        reconstruction=claim.reconstruction * c,
        **{name: getattr(claim, name) * np.float32(c) for name in ("score", "select", "positives")},
    )
    before, after = values(compared(data, claim)), values(compared(large, louder, truth=scaled))
    same(before, after, relative=1e-12, absolute=1e-12, but=exempt("global scale"))


@FEWER
@given(CASES, st.integers(0, 99), st.sampled_from([0.1, 1.0, 100.0]))
def test_an_offset_of_data_and_reconstruction_changes_nothing(case, seed, length):
    data, claim = case
    shift = length * unit_rows(np.random.default_rng(seed).standard_normal((1, data.truth.d)))[0]
    moved = with_parts(data, x=data.x.astype(np.float64) + shift)
    claimed = replace(claim, reconstruction=claim.reconstruction + shift)
    before, after = compared(data, claim), compared(moved, claimed)
    # A token at the mean has a ratio of rounding errors.
    near_mean = np.linalg.norm(data.x - data.x.mean(axis=0), axis=1).min() < 1e-3 * length
    but = exempt("shift") | ({"recon.ev_token"} if near_mean else set())
    # Rounding at the offset's size enters squares of the residual.
    same(values(before, "recon"), values(after, "recon"), relative=1e-7, absolute=1e-7, but=but)


@FEWER
@given(CASES, st.integers(0, 99))
def test_a_rotation_of_the_space_changes_nothing(case, seed):
    data, claim = case
    q = random_rotation(data.truth.d, np.random.default_rng(seed))
    truth = replace(data.truth, directions=data.truth.directions @ q, bias=data.truth.bias @ q)
    moved = with_parts(data, x=data.x.astype(np.float64) @ q)
    claimed = replace(
        claim,
        decoder=claim.decoder @ q,
        bias=claim.bias @ q,
        reconstruction=claim.reconstruction @ q,
    )
    before, after = compared(data, claim), compared(moved, claimed, truth=truth)
    assume(not on_threshold(before))
    token = np.linalg.norm(data.x - data.x.mean(axis=0), axis=1)
    but = exempt("rotation") | (set() if token.min() > 1e-3 else {"recon.ev_token"})
    if not (untied(before) and untied(after)):
        but |= set(TIE_DEPENDENT)
    same(values(before), values(after), relative=1e-7, absolute=1e-7, but=but)


@FEWER
@given(CASES, st.lists(st.booleans(), min_size=10, max_size=10))
def test_signs_of_latents_and_codes_change_nothing_where_both_signs_are_allowed(case, flips):
    data, claim = case
    signs = np.where(flips, -1.0, 1.0)[: claim.k]
    signed = replace(claim, signed=True)
    flipped = map_codes(
        signed, lambda codes: scaled_columns(codes, signs), claim.decoder * signs[:, None]
    )
    before, after = compared(data, signed), compared(data, flipped)
    assert before.absolute and after.absolute
    check_same("sign", before, after)


def test_a_wrong_sign_is_wrong_where_codes_are_not_negative():
    data = ScoreData(sparse(n_features=6, d=12), Scoring(64, 64, 12))
    claim = planted.identity(data)
    flipped = linear_outputs(-claim.decoder, claim.bias, claim.select, claim.score, claim.positives)
    found = values(compared(data, flipped), ["recover.recall", "recover.joint"])
    assert found == {"recover.recall": 0.0, "recover.joint": 0.0}


@FEWER
@given(CASES, st.integers(1, 4), st.booleans())
def test_dead_latents_change_nothing(case, n_dead, zero_rows):
    data, claim = case
    rng = np.random.default_rng(n_dead)
    rows = np.zeros((n_dead, data.truth.d))
    if not zero_rows:
        rows = unit_rows(rng.standard_normal(rows.shape))
    empty = {
        part: sp.csr_array((getattr(claim, part).shape[0], n_dead), dtype=np.float32)
        for part in ("select", "score", "positives")
    }
    wide = joined(claim, linear_outputs(rows, claim.bias, **empty))
    same(values(compared(data, claim)), values(compared(data, wide)), but=exempt("dead latents"))


@FEWER
@given(untied_cases())
def test_splitting_every_latent_in_two_copies_changes_nothing_but_counts_of_latents(case):
    data, claim = case
    half = map_codes(claim, lambda codes: codes * np.float32(0.5))
    before, after = compared(data, claim), compared(data, joined(half, half))
    # Near-duplicate features may both take a copy; then recall rises, rightly.
    gram = np.abs(data.truth.directions @ data.truth.directions.T) - np.eye(data.truth.n_features)
    assume(gram.max() < 2 * 0.9**2 - 1)
    first = values(before)
    but = exempt("duplicates") | (set() if untied(before) else set(TIE_DEPENDENT))
    second = values(after)
    same(first, second, but=but)
    for strict in ("recover.precision", "recover.joint_precision", "recover.f1"):
        if first[strict] is not None:
            assert second[strict] <= first[strict]


@FEWER
@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_features_changes_nothing(case, random):
    data, claim = case
    n = data.truth.n_features
    order = np.array(random.sample(range(n), n))
    place = np.argsort(order)
    # `positives` is sorted by feature, so its rows move with the features.
    rows = np.argsort(place[data.forced], kind="stable")
    moved = with_parts(
        data,
        select=sp.csr_array(data.select[:, order]),
        score=sp.csr_array(data.score[:, order]),
        positives=sp.csr_array(data.positives[rows][:, order]),
        forced=place[data.forced][rows],
    )
    claimed = replace(claim, positives=sp.csr_array(claim.positives[rows]))
    truth = permuted_truth(data.truth, order)
    check_same("feature order", compared(data, claim), compared(moved, claimed, truth=truth))


def test_the_checks_reject_a_score_that_depends_on_position_or_scale():
    data = ScoreData(sparse(n_features=6, d=12), Scoring(64, 64, 12))
    claim = planted.identity(data)
    order = np.roll(np.arange(6), 1)
    moved = map_codes(claim, lambda codes: codes[:, order], claim.decoder[order])
    by_position = [{"x": float((c.decoder * data.truth.directions).sum())} for c in (claim, moved)]
    with pytest.raises(AssertionError, match="x: 6"):
        same(*by_position)
    louder = map_codes(claim, lambda codes: codes * np.float32(2), claim.decoder / 2)
    by_scale = [{"x": float(np.linalg.norm(c.decoder))} for c in (claim, louder)]
    with pytest.raises(AssertionError, match="became"):
        same(*by_scale)
    with pytest.raises(AssertionError, match=r"became None"):
        same({"x": 1.0}, {"x": None})


def on_threshold(c) -> bool:
    """Whether a cosine lies within round-off of a threshold."""
    return bool((np.abs(c.similarity.edge_cosine - c.threshold) < 1e-9).any())
