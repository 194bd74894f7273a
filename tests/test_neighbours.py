"""The nearest other direction is found, whether all pairs are compared or searched."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtruth import neighbours
from groundtruth.generators.dictionaries import unit_rows
from groundtruth.neighbours import neighbour_cosine

# The package gives the function of that name.
top_edges = importlib.import_module("groundtruth.inference.top_edges")


def plain(rows: np.ndarray, absolute: bool) -> np.ndarray:
    """By the whole matrix."""
    cosine = rows @ rows.T
    cosine = np.abs(cosine) if absolute else cosine
    np.fill_diagonal(cosine, -1)
    return cosine.max(axis=1)


@given(st.integers(2, 40), st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 99))
def test_a_search_finds_what_comparing_all_pairs_does(
    n: int, d: int, absolute: bool, short: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng.standard_normal((n, d)))
    rows[rng.integers(n)] = rows[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_BLOCK", 7)
        np.testing.assert_allclose(
            neighbour_cosine(rows, absolute=absolute), plain(rows, absolute), atol=1e-15
        )
        patch.setattr(neighbours, "_EXACT_BELOW", 0)
        patch.setattr(neighbours, "_LISTED", 3)
        patch.setattr(top_edges, "fast_bfloat16", lambda: short)
        patch.setattr(top_edges, "LEAST_LISTED", 1)
        patch.setattr(top_edges, "LISTED_COST", 0)
        # A neighbour nearer by less than the rounding of float32 may be missed.
        np.testing.assert_allclose(
            neighbour_cosine(rows, absolute=absolute), plain(rows, absolute), atol=1e-6
        )


def test_without_its_bound_the_search_would_miss_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Told apart by less than bfloat16 holds, and more of them than a list does.
    rng = np.random.default_rng(0)
    rows = unit_rows(1 + 1e-3 * rng.standard_normal((60, 24)))
    monkeypatch.setattr(neighbours, "_EXACT_BELOW", 0)
    monkeypatch.setattr(neighbours, "_LISTED", 8)
    monkeypatch.setattr(top_edges, "fast_bfloat16", lambda: True)
    monkeypatch.setattr(top_edges, "LISTED_COST", 0)
    found, bound = neighbours._searched(rows, absolute=False)
    assert (found < plain(rows, False) - 1e-9).any()
    assert (plain(rows, False) <= np.maximum(found, bound) + 1e-6).all()


def test_one_direction_has_no_neighbour() -> None:
    assert neighbour_cosine(np.ones((1, 1)), absolute=False).tolist() == [0]
