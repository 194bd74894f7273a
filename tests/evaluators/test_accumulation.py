"""How the numbers are summed: order, chunks, precision, threads and repetition leave no trace."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from evaluator_cases import (
    ENOUGH,
    Case,
    compared,
    same,
    untied_cases,
    values,
    with_parts,
    worlds_and_claims,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from groundtruth.errors import ExplanationError
from groundtruth.evaluators import counts, residuals, similarity
from groundtruth.explanation import Dictionary
from groundtruth.generators.sparse import sparse
from groundtruth.outputs import Outputs, take_outputs
from groundtruth.score_data import PARTS, ScoreData, Scoring
from groundtruth.testing import outputs, score_data

CASES = worlds_and_claims() | untied_cases()
FEWER = settings(max_examples=25)

# 20,000 float64 additions in another order differ by far less than this.
REORDERED = {"relative": 1e-11, "absolute": 1e-11}


def moved_rows(case: Case, orders: dict[str, np.ndarray]) -> Case:
    """The case with the rows of each part in another order."""
    data, claim = case
    truth = {part: sp.csr_array(getattr(data, part)[order]) for part, order in orders.items()}
    codes = {part: sp.csr_array(getattr(claim, part)[order]) for part, order in orders.items()}
    score = orders["score"]
    return Case(
        with_parts(data, x=data.x[score], **truth),
        Outputs(claim.decoder, claim.bias, reconstruction=claim.reconstruction[score], **codes),
    )


@FEWER
@given(CASES, st.integers(0, 99))
def test_the_order_of_samples_changes_nothing(case, seed):
    data, claim = case
    rng = np.random.default_rng(seed)
    orders = {part: rng.permutation(getattr(data, part).shape[0]) for part in ("select", "score")}
    # `positives` stays sorted by feature: rows move among those of their feature.
    shuffled = rng.permutation(len(data.forced))
    orders["positives"] = shuffled[np.argsort(data.forced[shuffled], kind="stable")]
    moved, claimed = moved_rows(case, orders)
    # Only the spread is measured from the first row; its rounding may leave or pass zero.
    same(values(compared(data, claim)), values(compared(moved, claimed)), **REORDERED)


@pytest.mark.parametrize("size", [1, 7])
def test_chunk_sizes_change_nothing(monkeypatch, size):
    data = ScoreData(sparse(n_features=9, d=4), ENOUGH)
    cases = []

    @settings(max_examples=10)
    # Without equal cosines: a product of another shape may differ in its last bit.
    @given(outputs(data, kinds=("rotated", "random", "dead", "zero", "tiny")))
    def collect(claim):
        cases.append(claim)

    collect()
    whole = [values(compared(data, claim)) for claim in cases]
    monkeypatch.setattr(counts, "_CHUNK", size)
    monkeypatch.setattr(similarity, "_BLOCK", size)
    monkeypatch.setattr(similarity, "_PAIRS", size)
    monkeypatch.setattr(residuals, "_BLOCK", size)
    for claim, before in zip(cases, whole):
        same(before, values(compared(data, claim)), relative=1e-12, absolute=1e-12)


def test_large_searches_in_float32_report_float64_cosines(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, 8)) for n in (30, 40))
    a, b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, b))
    exact = similarity.similarity(a, b, absolute=False)
    monkeypatch.setattr(similarity, "_EXACT_BELOW", 0)
    searched = similarity.similarity(a, b, absolute=False)
    for name in ("best_latent", "best_truth", "edge_truth", "edge_latent"):
        assert np.array_equal(getattr(exact, name), getattr(searched, name))
    # Another summation order may differ in the last bit; float32 would differ by 1e-8.
    assert np.abs(exact.best_latent_cosine - searched.best_latent_cosine).max() <= 4e-16


@FEWER
@given(worlds_and_claims(), st.integers(1, 127))
def test_counts_of_two_halves_add_up_to_the_whole(case, cut):
    data, claim = case
    truth, latent = (m.ravel() for m in np.meshgrid(range(data.truth.n_features), range(claim.k)))

    def both(rows):
        active, fires = (counts.fired(sp.csr_array(m[rows])) for m in (data.score, claim.score))
        return counts.overlaps(active, fires, truth, latent)

    parts = both(slice(0, cut)) + both(slice(cut, None))
    assert np.array_equal(parts, both(slice(None)))


@FEWER
@given(score_data(scoring=Scoring(64, 64, 4)), st.data())
def test_scoring_twice_gives_the_same_bits_and_edits_nothing(data, draw):
    claim = draw.draw(outputs(data))
    before = fingerprint(data, claim)
    first, second = values(compared(data, claim)), values(compared(data, claim))
    assert first == second
    assert fingerprint(data, claim) == before


def test_the_fingerprint_sees_one_changed_number():
    data = ScoreData(sparse(n_features=3, d=2), Scoring(64, 64, 4))
    claim = take_outputs(Dictionary(np.eye(2), lambda x: np.maximum(x, 0)), data)
    before = fingerprint(data, claim)
    claim.score.data[0] += 1
    assert fingerprint(data, claim) != before


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        # Codes and rows are rounded to 8, 11 and 24 bits; scores average over them.
        (torch.bfloat16, 2**-7),
        (torch.float16, 2**-10),
        (torch.float32, 1e-6),
    ],
)
def test_half_and_single_precision_claims_score_as_double_ones_do(dtype, tolerance):
    data = ScoreData(sparse(n_features=12, d=24, noise=0.05, bias=0.3), Scoring(256, 256, 40))
    exact, rounded = (
        values(compared(data, linear_claim(data, t), f1=0.5)) for t in (torch.float64, dtype)
    )
    same(exact, rounded, relative=8 * tolerance, absolute=8 * tolerance)
    assert exact["recover.recall"] == 1.0


def test_half_precision_does_not_overflow_in_sums():
    data = ScoreData(sparse(n_features=4, d=8, scale=1e4), Scoring(64, 64, 12))
    exact, rounded = (
        values(compared(data, linear_claim(data, t))) for t in (torch.float64, torch.bfloat16)
    )
    # Squares of 1e4 exceed the largest half number, 65,504.
    same(exact, rounded, relative=0.1, absolute=0.1)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool])
def test_integers_are_never_codes(dtype):
    data = ScoreData(sparse(n_features=3, d=3), Scoring(64, 64, 4))
    claim = Dictionary(torch.eye(3), lambda x: (x > 0).to(dtype))
    with pytest.raises(ExplanationError) as error:
        take_outputs(claim, data)
    name = str(dtype).removeprefix("torch.")
    assert str(error.value) == (
        f"encode: expected floating point numbers, got dtype {name}. "
        "Convert it, for example with .astype(float)."
    )


def test_one_thread_and_two_give_the_same_scores():
    data = ScoreData(sparse(n_features=60, d=24), Scoring(512, 512, 20))
    claim = linear_claim(data, torch.float64)
    found, held = [], torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            with threadpool_limits(limits=n):
                found.append(values(compared(data, claim)))
    finally:
        torch.set_num_threads(held)
    same(*found, relative=1e-12, absolute=1e-12)


def linear_claim(data: ScoreData, dtype: torch.dtype) -> Outputs:
    """The planted decoder with a linear encoder, at a precision."""
    truth = data.truth
    decoder = torch.tensor(truth.directions).to(dtype)
    encoder = torch.tensor(np.linalg.pinv(truth.directions))

    def encode(x: torch.Tensor) -> torch.Tensor:
        codes = (x.double() - torch.tensor(truth.bias)) @ encoder
        return torch.where(codes > 0.5 * truth.magnitude.scale, codes, 0.0).to(dtype)

    return take_outputs(Dictionary(decoder, encode, bias=truth.bias), data)


def fingerprint(data: ScoreData, claim: Outputs) -> str:
    """SHA-256 over the bytes of everything that metrics are given."""
    arrays = [claim.decoder, claim.bias, claim.reconstruction, data.x, data.forced]
    arrays += [data.truth.directions, data.truth.firing_probability]
    for record in (data, claim):
        for part in PARTS:
            codes = getattr(record, part)
            arrays += [codes.data, codes.indices, codes.indptr]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()
