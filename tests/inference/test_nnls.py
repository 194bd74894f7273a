"""Non-negative least squares meets its optimality conditions, also where scipy gives up."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from groundtruth.errors import InputError
from groundtruth.inference import counted_nnls, fista, nnls


def problem(n: int = 15, n_features: int = 40, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, width)), rng.standard_normal((n_features, width))


def test_gradient_is_zero_on_the_support_and_not_negative_off_it() -> None:
    x, dictionary = problem()
    codes = nnls(x, dictionary)
    dense = codes.toarray().astype(np.float64)
    gradient = (dense @ dictionary - x) @ dictionary.T
    assert codes.dtype == np.float32
    assert (dense >= 0).all()
    assert gradient.min() > -1e-5
    assert np.abs(gradient[dense > 0]).max() < 1e-5
    assert np.diff(codes.indptr).max() <= 12


def test_error_is_that_of_gradient_descent_without_penalty() -> None:
    x, dictionary = problem(n_features=10)  # fewer features than dimensions: a unique solution
    slow = fista(x, dictionary, 0.0, n_iterations=3000, tolerance=0.0).toarray()
    np.testing.assert_allclose(nnls(x, dictionary).toarray(), slow, atol=1e-5)


def test_samples_that_scipy_gives_up_are_solved_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, dictionary = problem(n=6, n_features=10)
    exact, none = counted_nnls(x, dictionary)

    def give_up(*_: object) -> None:
        raise RuntimeError("Maximum number of iterations reached.")

    module = importlib.import_module("groundtruth.inference.nnls")  # its name is the function's
    monkeypatch.setattr(module, "scipy_nnls", give_up)
    codes, all_of_them = counted_nnls(x, dictionary)
    assert (none, all_of_them) == (0, 6)
    np.testing.assert_allclose(codes.toarray(), exact.toarray(), atol=1e-4)


def test_empty_inputs_give_empty_codes() -> None:
    assert nnls(np.empty((0, 3)), np.eye(3)).shape == (0, 3)
    assert nnls(np.ones((2, 3)), np.empty((0, 3))).shape == (2, 0)


def test_entries_not_finite_are_named() -> None:
    with pytest.raises(InputError, match=r"dictionary: expected finite numbers, got inf at index"):
        nnls(np.ones((1, 2)), np.array([[1.0, np.inf]]))
