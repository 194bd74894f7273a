"""FISTA meets the optimality conditions of its objective, signed and weighted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.inference import fista


def problem(n_features: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((15, 12)), rng.standard_normal((n_features, 12))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("penalty", [0.1, 2.0])
def test_subgradient_conditions_hold(weighted: bool, nonnegative: bool, penalty: float) -> None:
    x, dictionary = problem()
    weights = np.linspace(0.5, 2, 40) if weighted else None
    codes = fista(
        x,
        dictionary,
        penalty,
        weights=weights,
        n_iterations=5000,
        nonnegative=nonnegative,
        tolerance=1e-12,
    )
    dense = codes.toarray().astype(np.float64)
    cost = penalty * (np.ones(40) if weights is None else weights)
    downhill = (x - dense @ dictionary) @ dictionary.T
    active = dense != 0
    assert 0 < active.sum() < active.size
    # The codes come back in float32, so the conditions hold to its rounding.
    assert np.abs(downhill - cost * np.sign(dense))[active].max() < 1e-4
    if nonnegative:
        assert (dense >= 0).all()
        assert (downhill - cost).max() < 1e-4
    else:
        assert (dense < 0).any()
        assert (np.abs(downhill) - cost).max() < 1e-4


def test_orthonormal_dictionary_gives_the_soft_threshold() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    x = np.random.default_rng(1).standard_normal((9, 6))
    product = x @ basis.T
    expected = np.sign(product) * np.maximum(np.abs(product) - 0.4, 0)
    found = fista(x, basis, 0.4, nonnegative=False)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)
    positive = fista(x, basis, 0.4)
    np.testing.assert_allclose(positive.toarray(), np.maximum(expected, 0), atol=1e-5)


def test_scale_of_penalty_and_of_weights_is_one_scale() -> None:
    x, dictionary = problem()
    one = fista(x, dictionary, 2.0, weights=np.full(40, 0.5)).toarray()
    np.testing.assert_array_equal(one, fista(x, dictionary, 1.0).toarray())


def test_penalty_above_every_correlation_gives_no_code() -> None:
    x, dictionary = problem()
    most = float((x @ dictionary.T).max())
    assert fista(x, dictionary, 1.001 * most).nnz == 0
    assert fista(x, dictionary, 0.999 * most).nnz > 0


def test_more_iterations_do_not_raise_the_objective() -> None:
    x, dictionary = problem()

    def objective(n_iterations: int) -> float:
        codes = fista(x, dictionary, 0.5, n_iterations=n_iterations, tolerance=0.0).toarray()
        return float(((x - codes @ dictionary) ** 2).sum() / 2 + 0.5 * codes.sum())

    values = [objective(n) for n in (1, 10, 100, 1000)]
    assert all(later <= earlier + 1e-4 for earlier, later in itertools.pairwise(values))
    assert values[0] > values[-1] + 1


def test_parts_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x, dictionary = (torch.from_numpy(part) for part in problem())
    whole = fista(x, dictionary, 0.5, tolerance=0.0)
    monkeypatch.setattr("groundtruth.inference.arrays.CHUNK_ELEMENTS", 160)
    parts = fista(x, dictionary, 0.5, tolerance=0.0)
    np.testing.assert_allclose(parts.toarray(), whole.toarray(), atol=1e-6)


def test_empty_inputs_and_a_zero_dictionary_give_empty_codes() -> None:
    assert fista(np.empty((0, 3)), np.eye(3), 1.0).shape == (0, 3)
    assert fista(np.ones((2, 3)), np.empty((0, 3)), 1.0).shape == (2, 0)
    assert fista(np.ones((2, 3)), np.zeros((4, 3)), 0.0).nnz == 0


def test_bad_inputs_are_refused() -> None:
    x, dictionary = problem()
    with pytest.raises(
        InputError, match=r"penalty: expected a finite number of at least 0, got -1"
    ):
        fista(x, dictionary, -1.0)
    with pytest.raises(
        InputError, match=r"weights: expected one weight per feature, \(40,\), got \("
    ):
        fista(x, dictionary, 1.0, weights=np.ones(3))
    with pytest.raises(
        InputError, match=r"weights: expected no weight below 0, got -2\.0\. Use np\.maximum"
    ):
        fista(x, dictionary, 1.0, weights=np.full(40, -2.0))
    with pytest.raises(InputError, match=r"n_iterations: expected a whole number of at least 1"):
        fista(x, dictionary, 1.0, n_iterations=0)
    with pytest.raises(InputError, match=r"tolerance: expected a number of at least 0, got -1"):
        fista(x, dictionary, 1.0, tolerance=-1)
