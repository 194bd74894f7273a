"""The pursuit against plain loops, and against directions whose sums are known."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.evaluators import compositions, similarity
from groundtruth.evaluators.compositions import (
    LEAST_SHARED,
    LEAST_WEIGHT,
    MOST_ATOMS,
    RESIDUAL,
    Compositions,
)
from groundtruth.generators.dictionaries import unit_rows


def plain(directions: np.ndarray, u: np.ndarray) -> tuple[list[int], np.ndarray, float]:
    """Atoms, weights and residual of one direction, by the definition."""
    atoms: list[int] = []
    weights, left = np.zeros(0), u.copy()
    while len(atoms) < MOST_ATOMS and left @ left > RESIDUAL:
        inner = np.abs(directions @ left)
        if inner.max() < LEAST_SHARED:
            break
        atoms.append(int(inner.argmax()))
        weights = np.linalg.lstsq(directions[atoms].T, u, rcond=None)[0]
        left = u - weights @ directions[atoms]
    return atoms, weights, float(left @ left)


def drawn(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Random directions, and latents that are sums of three of them and noise."""
    rng = np.random.default_rng(n)
    directions = unit_rows(rng.standard_normal((n, d)))
    sums = [rng.uniform(-1, 1, (k, 1)) * directions[rng.integers(0, n, k)] for _ in range(3)]
    return directions, unit_rows(sum(sums) + 0.2 / np.sqrt(d) * rng.standard_normal((k, d)))


def same(found: Compositions, other: Compositions) -> None:
    assert np.array_equal(found.atom, other.atom)
    assert np.array_equal(found.near_row, other.near_row)
    for name in ("weight", "residual", "near_cosine"):
        assert getattr(found, name) == pytest.approx(getattr(other, name), abs=1e-12)


@pytest.mark.parametrize(("n", "d"), [(3, 8), (40, 12), (200, 30)])
def test_atoms_weights_and_residuals_equal_plain_loops(n, d):
    directions, latents = drawn(n, d, 60)
    found = compositions.compositions(directions, latents)
    for j, u in enumerate(latents):
        atoms, weights, residual = plain(directions, u)
        assert found.atom[j].tolist() == atoms + [-1] * (MOST_ATOMS - len(atoms))
        assert found.weight[j, : len(atoms)] == pytest.approx(weights, abs=1e-9)
        assert found.residual[j] == pytest.approx(residual, abs=1e-9)
        assert found.support[j] == (np.abs(weights) >= LEAST_WEIGHT).sum()
        cosine = np.abs(directions @ u)
        near = (cosine >= 0.5) & (cosine >= 0.7 * cosine.max())
        assert found.near(0.7)[j] == near.sum()


@pytest.mark.parametrize("r", range(1, 8))
def test_an_even_sum_of_orthogonal_features_has_cosines_and_weights_of_one_over_root_r(r):
    directions, u = np.eye(8), np.zeros((1, 8))
    u[0, :r] = (-1.0) ** np.arange(r) / np.sqrt(r)
    found = compositions.compositions(directions, u)
    n = min(r, MOST_ATOMS)
    assert np.abs(found.weight[0, :n]) == pytest.approx(r**-0.5)
    assert found.support[0] == n
    assert found.residual[0] == pytest.approx(1 - n / r)
    # From five on the cosines are below 0.5.
    assert found.near(0.7)[0] == (r if r <= 4 else 0)


def test_a_large_search_in_float32_and_small_blocks_find_the_same(monkeypatch):
    directions, latents = drawn(200, 30, 60)
    exact = compositions.compositions(directions, latents)
    monkeypatch.setattr(similarity, "_EXACT_BELOW", 0)
    same(compositions.compositions(directions, latents), exact)
    monkeypatch.setattr(compositions, "_ROWS", 7)
    same(compositions.compositions(directions, latents), exact)


def test_of_two_directions_that_coincide_one_is_enough():
    directions = np.eye(4)[[0, 0, 1]]
    found = compositions.compositions(directions, unit_rows(np.array([[1.0, 0.5, 0.0, 0.0]])))
    assert found.support.tolist() == [2]
    assert found.residual[0] == pytest.approx(0, abs=1e-9)
    assert found.near(0.7).tolist() == [2]  # the two that coincide are equally near


def test_the_plain_loops_reject_a_pursuit_that_does_not_refit():
    directions = unit_rows(np.array([[1.0, 0.0], [0.8, 0.6]]))
    u = np.array([0.6, 0.8])
    _, weights, _ = plain(directions, u)
    first = directions[1] @ u
    second = (u - first * directions[1]) @ directions[0]
    assert np.abs(weights - [first, second]).max() > 0.1
