"""Pursuit is exact where the theory says so, and stops where it must."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.inference import nonnegative_omp


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sparse_codes(n: int, n_features: int, counts: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = np.zeros((n, n_features))
    for row, count in zip(codes, counts):
        row[rng.choice(n_features, count, replace=False)] = rng.uniform(0.5, 2, count)
    return codes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_recovered_below_the_coherence_bound(dtype: type) -> None:
    # Identity and Hadamard bases: coherence 1/8, so fewer than (1 + 8) / 2 features are found.
    hadamard = np.array([[1.0]])
    for _ in range(6):
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    dictionary = np.vstack([np.eye(64), hadamard / 8])
    mutual = np.abs(dictionary @ dictionary.T - np.eye(128)).max()
    assert mutual == 1 / 8
    counts = np.arange(100) % 5  # 0 to 4, all below 4.5
    codes = sparse_codes(100, 128, counts, seed=0)
    found = nonnegative_omp((codes @ dictionary).astype(dtype), dictionary.astype(dtype), counts)
    np.testing.assert_allclose(found.toarray(), codes, atol=1e-5)
    np.testing.assert_array_equal(np.diff(found.indptr), counts)


def test_surplus_steps_add_nothing_once_the_residual_is_zero() -> None:
    codes = sparse_codes(20, 30, np.full(20, 3), seed=1)
    found = nonnegative_omp(codes @ np.eye(30), np.eye(30), 10)
    assert found.nnz == 60


def test_a_sample_opposite_to_every_feature_has_no_code() -> None:
    assert nonnegative_omp(-np.ones((1, 3)), np.eye(3), 3).nnz == 0


def test_one_step_is_the_best_single_feature() -> None:
    rng = np.random.default_rng(0)
    x, dictionary = rng.standard_normal((40, 10)), unit(rng.standard_normal((25, 10)))
    found = nonnegative_omp(x, dictionary, 1).toarray()
    product = x @ dictionary.T
    np.testing.assert_array_equal(found.argmax(1), product.argmax(1))
    np.testing.assert_allclose(found.max(1), product.max(1), rtol=1e-6)


def test_codes_are_a_least_squares_fit_on_their_support() -> None:
    rng = np.random.default_rng(0)
    x, dictionary = rng.standard_normal((30, 12)), unit(rng.standard_normal((40, 12)))
    found = nonnegative_omp(x, dictionary, 4).toarray()
    whole = (found > 0).sum(1) == 4  # nothing was clamped
    assert whole.sum() > 10
    residual = x - found @ dictionary
    on_support = np.where(found > 0, residual @ dictionary.T, 0)
    assert np.abs(on_support[whole]).max() < 1e-6
    assert (found >= 0).all()
    assert (found > 0).sum(1).max() <= 4


def test_repeated_features_do_not_break_the_fit() -> None:
    dictionary = np.repeat(np.eye(4), 3, axis=0)
    found = nonnegative_omp(np.array([[1.0, 2.0, 0.0, 0.0]]), dictionary, 4).toarray()
    np.testing.assert_allclose(found @ dictionary, [[1, 2, 0, 0]], atol=1e-6)


def test_parts_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, dictionary = rng.standard_normal((17, 8)), unit(rng.standard_normal((20, 8)))
    whole = nonnegative_omp(torch.from_numpy(x), torch.from_numpy(dictionary), 3).toarray()
    monkeypatch.setattr("groundtruth.inference.arrays.CHUNK_ELEMENTS", 100)
    np.testing.assert_allclose(nonnegative_omp(x, dictionary, 3).toarray(), whole, atol=1e-6)


def test_empty_inputs_give_empty_codes() -> None:
    assert nonnegative_omp(np.empty((0, 3)), np.eye(3), 2).shape == (0, 3)
    assert nonnegative_omp(np.ones((2, 3)), np.empty((0, 3)), 2).shape == (2, 0)
    assert nonnegative_omp(np.ones((2, 3)), np.eye(3), 0).nnz == 0


def test_bad_inputs_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"dictionary: expected rows of length 1, got length 2 in r"
    ):
        nonnegative_omp(np.ones((1, 3)), np.diag([1.0, 2, 1]), 1)
    with pytest.raises(
        InputError, match=r"dictionary: expected a width of 3, as x has, got \(2, 2"
    ):
        nonnegative_omp(np.ones((1, 3)), np.eye(2), 1)
    with pytest.raises(
        InputError, match=r"n_active: expected a whole number of at least 0, or 2 of"
    ):
        nonnegative_omp(np.ones((2, 3)), np.eye(3), [1, 2, 3])
    with pytest.raises(InputError, match=r"x: expected finite numbers, got nan at index \(0, 1\)"):
        nonnegative_omp(np.array([[0, np.nan]]), np.eye(2), 1)
