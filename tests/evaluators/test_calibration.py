"""Do the metrics measure? Damage of a known kind and dose against what each metric must do.

Operators degrade the planted dictionary with its planted codes in small worlds; `SIGNATURE` says
of each cell whether it falls ("-"), rises ("+"), or stays ("="). The table is that of the metric
specification; a cell that is not listed is not promised. The headline number, recover.joint, must
fall under every operator that harms what is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from evaluator_cases import compared, map_codes, values
from scipy import stats

from groundtruth.evaluators import score
from groundtruth.generators.sparse import sparse
from groundtruth.ladder import planted
from groundtruth.outputs import Outputs, linear_outputs
from groundtruth.score_data import PARTS, ScoreData, Scoring

F, D, N_WORLDS = 96, 48, 3
COLUMNS = {
    "EV": "recon.ev_total",
    "L0": "recon.l0",
    "recall": "recover.recall",
    "precision": "recover.precision",
    "mcc": "recover.mcc",
    "mcc_min": "recover.mcc_min",
    "mmcs_latent": "recover.mmcs_latent",
    "latent_f1": "act.latent_f1",
    "act.f1": "act.f1",
    "joint": "recover.joint",
    "split": "split.count",
    "split_rate": "split.rate",
    "merge": "merge.rate",
    "support": "compose.support",
    "residual": "compose.residual",
}
ERRORS = {"split_rate", "merge", "residual"}
"""Columns of which 0 is perfect."""
Operator = Callable[[ScoreData, float, np.random.Generator], Outputs]


def dense(claim: Outputs) -> dict[str, np.ndarray]:
    """Codes by part, dense float64."""
    return {part: getattr(claim, part).toarray().astype(np.float64) for part in PARTS}


def rebuilt(claim: Outputs, decoder: np.ndarray, codes: dict[str, np.ndarray]) -> Outputs:
    """The claim with these rows and codes; signed exactly if a code is negative."""
    signed = any((c < 0).any() for c in codes.values())
    sparse_codes = {part: sp.csr_array(c) for part, c in codes.items()}
    return linear_outputs(decoder, claim.bias, **sparse_codes, signed=signed)


def drop_random(data, t, rng):
    """Leave out a share t of the latents."""
    kept = np.sort(rng.permutation(F)[round(t * F) :])
    return planted.take(planted.identity(data), kept)


def drop_rarest(data, t, rng):
    """Leave out the share t that fires least."""
    order = np.argsort(data.truth.firing_probability, kind="stable")
    return planted.take(planted.identity(data), np.sort(order[round(t * F) :]))


def rotate_each(data, t, rng):
    """Turn every row by t radians toward a random orthogonal direction."""
    claim = planted.identity(data)
    other = rng.standard_normal((F, D))
    other -= (other * claim.decoder).sum(axis=1, keepdims=True) * claim.decoder
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return map_codes(claim, lambda c: c, np.cos(t) * claim.decoder + np.sin(t) * other)


def pair_rotation(data, t, rng):
    """Turn each pair of rows in its plane by t radians, and the codes back: x_hat is unchanged."""
    claim = planted.identity(data)
    turn = np.eye(F)
    for i in range(0, F, 2):
        turn[i : i + 2, i : i + 2] = [[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]
    codes = {part: c @ turn.T for part, c in dense(claim).items()}
    return rebuilt(claim, turn @ claim.decoder, codes)


def merge_pairs(data, t, rng):
    """Replace a share t of the pairs by one latent with the sum of rows and the larger code."""
    claim, n = planted.identity(data), round(t * F / 2)
    merged = claim.decoder[: 2 * n].reshape(n, 2, D).sum(axis=1)
    codes = {}
    for part, c in dense(claim).items():
        pairs = c[:, : 2 * n].reshape(len(c), n, 2).max(axis=2)
        codes[part] = np.concatenate([pairs, c[:, 2 * n :]], axis=1)
    return rebuilt(claim, np.concatenate([merged, claim.decoder[2 * n :]]), codes)


def overwrite_rare(data, t, rng):
    """Overwrite the rarest share t by copies of the most frequent latents."""
    order = np.argsort(-data.truth.firing_probability, kind="stable")
    n, source = round(t * F), np.arange(F)
    source[order[F - n :]] = order[: F - n][np.arange(n) % max(1, F // 4)]
    return planted.take(planted.identity(data), source)


def split_activity(data, t, rng):
    """Give a share t of the latents a copy; each sample's code goes to one of the two."""
    claim, n = planted.identity(data), round(t * F)
    codes = {}
    for part, c in dense(claim).items():
        first = rng.random((len(c), n)) < 0.5
        halves = [np.where(first, c[:, :n], 0), c[:, n:], np.where(first, 0, c[:, :n])]
        codes[part] = np.concatenate(halves, axis=1)
    return rebuilt(claim, np.concatenate([claim.decoder, claim.decoder[:n]]), codes)


def append_junk(data, t, rng):
    """Append t F latents of random direction that fire at random on 5 % of the samples."""
    claim, n = planted.identity(data), round(t * F)
    rows = rng.standard_normal((n, D))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    codes = {
        # So faint that the reconstruction hardly notices.
        part: np.concatenate([c, 1e-4 * (rng.random((len(c), n)) < 0.05)], axis=1)
        for part, c in dense(claim).items()
    }
    return rebuilt(claim, np.concatenate([claim.decoder, rows]), codes)


def spurious_firing(data, t, rng):
    """Add faint codes on a share t of all samples."""
    claim = planted.identity(data)
    codes = {part: c + 1e-4 * (rng.random(c.shape) < t) for part, c in dense(claim).items()}
    return rebuilt(claim, claim.decoder, codes)


def decoder_shuffle(data, t, rng):
    """Exchange the codes of a share t of the latents along a cycle."""
    moved, n = np.arange(F), round(t * F)
    chosen = rng.permutation(F)[:n]
    moved[chosen] = np.roll(chosen, 1)
    return map_codes(planted.identity(data), lambda c: c[:, moved])


def shrink(data, t, rng):
    """Scale every code by 1 - t."""
    return map_codes(planted.identity(data), lambda c: c * np.float32(1 - t))


# Per operator: doses, and the cells of COLUMNS that are promised.
# "-" and "+" are strict over the doses, "_" falls in steps (never rises), "=" does not move.
SIGNATURE: dict[str, tuple[Operator, tuple[float, ...], dict[str, str]]] = {
    "drop random": (
        drop_random,
        (0.0, 0.1, 0.25, 0.5, 0.75),
        {
            "EV": "-",
            "L0": "-",
            "recall": "-",
            "precision": "=",
            "mcc": "-",
            "mcc_min": "=",
            "mmcs_latent": "=",
            "latent_f1": "=",
            "act.f1": "-",
            "joint": "-",
            "split": "-",
            "split_rate": "=",
            "merge": "=",
            "support": "=",
            "residual": "=",
        },
    ),
    "drop rarest": (
        drop_rarest,
        (0.0, 0.1, 0.25, 0.5, 0.75),
        {
            "EV": "-",
            "L0": "-",
            "recall": "-",
            "precision": "=",
            "mcc": "-",
            "mcc_min": "=",
            "mmcs_latent": "=",
            "latent_f1": "=",
            "act.f1": "-",
            "joint": "-",
            "split": "-",
            "split_rate": "=",
            "merge": "=",
            "support": "=",
            "residual": "=",
        },
    ),
    "rotate each": (
        rotate_each,
        (0.0, 0.2, 0.4, 0.5, 0.8),
        {
            "EV": "-",
            "L0": "=",
            "recall": "_",
            "precision": "_",
            "mcc": "-",
            "mcc_min": "-",
            "mmcs_latent": "-",
            "latent_f1": "=",
            "act.f1": "=",
            "joint": "_",
            "split": "_",
            "residual": "+",
        },
    ),
    "EV-preserving pair rotation": (
        pair_rotation,
        (0.0, 0.1, 0.2, 0.4, 0.6),
        {
            "EV": "=",
            "recall": "_",
            "precision": "_",
            "mcc": "-",
            "mcc_min": "-",
            "mmcs_latent": "-",
            "latent_f1": "_",
            "act.f1": "_",
            "joint": "_",
        },
    ),
    "merge pairs": (
        merge_pairs,
        (0.0, 0.25, 0.5, 0.75, 1.0),
        {
            "EV": "-",
            "recall": "-",
            "precision": "-",
            "mcc": "-",
            "mcc_min": "-",
            "mmcs_latent": "-",
            "latent_f1": "-",
            "act.f1": "-",
            "joint": "-",
            "split": "-",
            "merge": "+",
            "support": "+",
        },
    ),
    "overwrite rare by copies of top": (
        overwrite_rare,
        (0.0, 0.1, 0.25, 0.5),
        {
            "EV": "-",
            "L0": "+",
            "recall": "-",
            "precision": "-",
            "mcc": "-",
            "mcc_min": "-",
            "mmcs_latent": "=",
            "latent_f1": "=",
            "act.f1": "-",
            "joint": "-",
            "split": "=",
            "merge": "=",
            "support": "=",
        },
    ),
    "split activity in two copies": (
        split_activity,
        (0.0, 0.25, 0.5, 0.75, 1.0),
        {
            "EV": "=",
            "L0": "=",
            "recall": "=",
            "precision": "-",
            "mcc": "=",
            "mcc_min": "=",
            "mmcs_latent": "=",
            "latent_f1": "-",
            "act.f1": "-",
            "joint": "-",
            "split": "+",
            "split_rate": "+",
            "merge": "=",
            "support": "=",
        },
    ),
    "append junk latents": (
        append_junk,
        (0.0, 0.25, 0.5, 1.0),
        {
            "EV": "=",
            "L0": "+",
            "recall": "=",
            "precision": "-",
            "mcc": "=",
            "mcc_min": "=",
            "mmcs_latent": "-",
            "latent_f1": "-",
            "act.f1": "=",
            "joint": "=",
            "split": "=",
            "split_rate": "=",
            "merge": "=",
            "residual": "+",
        },
    ),
    "spurious firing": (
        spurious_firing,
        (0.0, 0.005, 0.02, 0.1),
        {
            "EV": "=",
            "L0": "+",
            "recall": "=",
            "precision": "=",
            "mcc": "=",
            "mcc_min": "=",
            "mmcs_latent": "=",
            "latent_f1": "-",
            "act.f1": "-",
            "joint": "_",
            "split": "=",
            "split_rate": "=",
            "merge": "=",
            "support": "=",
            "residual": "=",
        },
    ),
    "decoder shuffle": (
        decoder_shuffle,
        (0.0, 0.1, 0.25, 0.5, 1.0),
        {
            "EV": "-",
            "L0": "=",
            "recall": "=",
            "precision": "=",
            "mcc": "=",
            "mcc_min": "=",
            "mmcs_latent": "=",
            "latent_f1": "-",
            "act.f1": "-",
            "joint": "-",
            "split": "=",
            "split_rate": "=",
            "merge": "=",
            "support": "=",
            "residual": "=",
        },
    ),
    "shrink": (
        shrink,
        (0.0, 0.1, 0.3, 0.6),
        {
            "EV": "-",
            "L0": "=",
            "recall": "=",
            "precision": "=",
            "mcc": "=",
            "mcc_min": "=",
            "mmcs_latent": "=",
            "latent_f1": "=",
            "act.f1": "=",
            "joint": "=",
            "split": "=",
            "split_rate": "=",
            "merge": "=",
            "support": "=",
            "residual": "=",
        },
    ),
}
HARMLESS_TO_JOINT = {"append junk latents", "shrink"}
# EV is computed from float32 activations; 1e-4 of a code is about 1e-8 of the variance.
STAYS = {"EV": 1e-4}


@pytest.fixture(scope="module")
def worlds() -> list[ScoreData]:
    """Three worlds of 96 features in 48 dimensions, about three at a time."""
    out = []
    for seed in range(N_WORLDS):
        world = sparse(
            seed=seed,
            n_features=F,
            d=D,
            firing={"law": "log-uniform", "low": 0.015, "high": 0.07},
            dictionary={"law": "low-coherence", "n_steps": 30},
        )
        assert world.truth.features.coherence < 0.62
        data = ScoreData(world, Scoring(n_select=600, n_score=1200, n_positives=60))
        out.append(replace(data))
    return out


@pytest.fixture(scope="module")
def curves(worlds) -> dict[str, dict[str, np.ndarray]]:
    """Operator -> column -> (worlds, doses) values."""
    out = {}
    for operator, (damage, doses, _) in SIGNATURE.items():
        table = {column: np.empty((N_WORLDS, len(doses))) for column in COLUMNS}
        for w, data in enumerate(worlds):
            for t, dose in enumerate(doses):
                rng = np.random.default_rng([w, 7])
                claim = damage(data, dose, rng)
                found = values(compared(data, claim, f1=0.9), COLUMNS.values())
                for column, name in COLUMNS.items():
                    table[column][w, t] = found[name]
        out[operator] = table
    return out


CELLS = [(o, column, cell) for o, (_, _, row) in SIGNATURE.items() for column, cell in row.items()]


@pytest.mark.parametrize(("operator", "column", "cell"), CELLS)
def test_metric_responds_to_damage_as_declared(curves, operator, column, cell):
    check_cell(curves[operator][column], cell, STAYS.get(column, 1e-9))


@pytest.mark.parametrize("operator", SIGNATURE)
def test_no_dose_leaves_every_metric_perfect(curves, operator):
    for column in set(COLUMNS) - {"L0"}:
        perfect = 0 if column in ERRORS else 1
        assert curves[operator][column][:, 0] == pytest.approx(perfect, abs=1e-9), column


@pytest.mark.parametrize("operator", sorted(set(SIGNATURE) - HARMLESS_TO_JOINT))
def test_the_primary_metric_falls_under_every_harmful_operator(curves, operator):
    joint = curves[operator]["joint"]
    assert (joint[:, -1] <= 0.75).all()
    assert (np.diff(joint.mean(axis=0)) <= 0).all()


@pytest.mark.parametrize("metric", ["EV", "recall", "mcc_min", "mmcs_latent", "latent_f1"])
def test_no_other_metric_could_be_primary(curves, metric):
    blind = [o for o in set(SIGNATURE) - HARMLESS_TO_JOINT if curves[o][metric].min() > 1 - 1e-4]
    assert blind, f"{metric} falls under every harmful operator"


def test_junk_is_caught_by_joint_precision_and_shrinkage_by_its_slope(worlds):
    data, rng = worlds[0], np.random.default_rng(0)
    junk = values(compared(data, append_junk(data, 0.5, rng)), ["recover.joint_precision"])
    assert junk["recover.joint_precision"] == pytest.approx(1 / 1.5)
    slope = values(compared(data, shrink(data, 0.3, rng)), ["recon.latent_shrinkage"])
    assert slope["recon.latent_shrinkage"] == pytest.approx(0.7, abs=1e-6)


def test_rotation_lowers_mcc_as_the_cosine_and_recall_at_its_angle(curves):
    doses = np.array(SIGNATURE["rotate each"][1])
    mcc, recall = curves["rotate each"]["mcc"], curves["rotate each"]["recall"]
    assert mcc[:, :4] == pytest.approx(np.broadcast_to(np.cos(doses[:4]), (N_WORLDS, 4)), abs=2e-3)
    # The threshold of .9 lies at 25.84 degrees = .451.
    assert (recall[:, doses < 0.451] == 1).all() and (recall[:, doses > 0.451] < 0.05).all()


def test_composite_damage_is_ranked_by_its_dose(worlds):
    data = worlds[0]
    for seed in range(3):
        rng = np.random.default_rng([seed, 3])
        joint, order = [], rng.permutation(3)
        for level in range(5):
            claim = planted.identity(data)
            for step in order:
                claim = composite(claim, int(step), 0.15 * level, np.random.default_rng([seed, 4]))
            joint.append(score(compared(data, claim), ["recover.joint"])["recover.joint"].value)
        assert stats.kendalltau(range(5), joint).statistic <= -0.8, joint


def test_the_cell_check_rejects_the_wrong_response():
    falls, rises = np.array([[1.0, 0.8, 0.5]] * 3), np.array([[1.0, 1.2, 1.3]] * 3)
    flat = np.ones((3, 3))
    for curve, wrong in ((falls, "=+"), (rises, "=-_"), (flat, "-+_")):
        for cell in wrong:
            with pytest.raises(AssertionError):
                check_cell(curve, cell, 1e-9)


def check_cell(curve: np.ndarray, cell: str, tolerance: float) -> None:
    """Raise unless the (worlds, doses) curve falls, rises or stays as `cell` says."""
    step = np.diff(curve.mean(axis=0))
    if cell == "=":
        assert np.abs(curve - curve[:, :1]).max() <= tolerance, curve
    elif cell == "_":
        assert (step <= tolerance).all() and step.sum() < -0.05, curve
    else:
        sign = 1 if cell == "+" else -1
        assert (sign * step > 0).all(), curve
        doses = np.arange(curve.shape[1])
        assert all(sign * stats.kendalltau(doses, world).statistic >= 0.9 for world in curve), curve


def composite(claim: Outputs, step: int, t: float, rng: np.random.Generator) -> Outputs:
    """One of three kinds of damage to any claim: drop latents, swap codes, fire spuriously."""
    n = round(t * claim.k)
    if step == 0:
        return planted.take(claim, np.sort(rng.permutation(claim.k)[n:]))
    if step == 1:
        moved = np.arange(claim.k)
        chosen = rng.permutation(claim.k)[:n]
        moved[chosen] = np.roll(chosen, 1)
        return map_codes(claim, lambda c: c[:, moved])
    codes = {part: c + 1e-4 * (rng.random(c.shape) < 0.02 * t) for part, c in dense(claim).items()}
    return rebuilt(claim, claim.decoder, codes)
