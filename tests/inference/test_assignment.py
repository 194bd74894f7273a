"""Assignments agree with scipy's dense solver, and the proof of optimality can fail."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from groundtruth.errors import InputError, MemoryRefused
from groundtruth.inference import assign, assign_directions, assignment, sparse_assignment
from groundtruth.inference.sparse_assignment import Candidates, Side, candidates, column_prices
from groundtruth.inference.top_edges import top_edges, top_per_row

# The package gives the function of that name.
top_edges_module = importlib.import_module("groundtruth.inference.top_edges")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def side_of(matrix: torch.Tensor, low: float, high: float) -> Side:
    return Side(*matrix.shape, lambda rows, columns: matrix[rows][:, columns], low, high, 1e-10)


def best_sum(matrix: np.ndarray) -> float:
    truth, latent = linear_sum_assignment(matrix, maximize=True)
    return float(matrix[truth, latent].sum(dtype=np.float64))


MATRICES = {
    "tall": random(300, 90),
    "wide": random(90, 300),
    "square": random(200, 200),
    "float32": random(300, 90).astype(np.float32),
    "near identity": np.eye(200) + 0.01 * random(200, 200),
    "constant": np.ones((150, 150)),
    "zero": np.zeros((60, 170)),
    "tied": np.random.default_rng(0).integers(0, 3, (160, 200)).astype(float),
    "duplicated columns": np.repeat(random(250, 20), 8, axis=1),
    "few zero columns": random(400, 100) * (np.arange(100) >= 30),
    "negative": -5 - np.abs(random(120, 140)),
    "rank one": np.linspace(0, 1, 100)[:, None] * np.linspace(0, 1, 130),
    "huge": 1e30 * random(120, 140),
    "tiny": 1e-30 * random(120, 140),
    "one by one": np.array([[-2.0]]),
    "one row": random(1, 50),
    "one column": random(50, 1),
}


@pytest.fixture
def always_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every matrix, however small, to the sparse solver, which may still give it back."""
    monkeypatch.setattr(assignment, "DENSE_ENTRIES", 0)
    monkeypatch.setattr(sparse_assignment, "DENSE_SHARE", 1.0)


@pytest.fixture
def no_dense(monkeypatch: pytest.MonkeyPatch, always_sparse: None) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the dense solver was used")

    monkeypatch.setattr(assignment, "_dense", refuse)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("route", ["default", "always_sparse", "no_dense"])
def test_sum_is_that_of_the_dense_solver(
    name: str, route: str, request: pytest.FixtureRequest
) -> None:
    if route != "default":
        request.getfixturevalue(route)
    matrix = MATRICES[name]
    found = assign(matrix)
    n_pairs = min(matrix.shape)
    assert found.certified
    assert len(set(found.truth)) == len(set(found.latent)) == len(found.truth) == n_pairs
    assert (np.diff(found.truth) > 0).all()
    np.testing.assert_array_equal(found.similarity, matrix[found.truth, found.latent])
    scale = float(np.abs(matrix).max()) * n_pairs
    assert found.similarity.sum() == pytest.approx(best_sum(matrix), abs=1e-9 * scale)


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(0, 5), st.integers(0, 99)
)
@settings(max_examples=80, deadline=None)
def test_sum_is_maximal_from_any_number_of_first_candidates(
    n_truths: int, n_latents: int, m: int, levels: int, seed: int
) -> None:
    # levels 0 draws reals; otherwise whole numbers, which tie. Shrinks to one truth, one latent.
    rng = np.random.default_rng(seed)
    shape = (n_truths, n_latents)
    matrix = rng.integers(0, levels, shape).astype(float) if levels else rng.standard_normal(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "DENSE_ENTRIES", 0)
        patch.setattr(assignment, "FIRST_CANDIDATES", m)
        patch.setattr(sparse_assignment, "DENSE_SHARE", 1.0)
        assert assign(matrix).similarity.sum() == pytest.approx(best_sum(matrix), abs=1e-9)


def test_too_few_candidates_alone_miss_the_maximum_and_their_prices_show_it() -> None:
    # Both rows prefer column 0, and with one candidate each, one row is left on its dummy.
    matrix = torch.tensor([[0.9, 0.8], [0.8, 0.1]], dtype=torch.float64)
    side = side_of(matrix, 0.1, 0.9)
    edges = candidates(*top_per_row(matrix, 1))
    matched, value = sparse_assignment._solve_candidates(side, edges)
    assert matched.max() >= 2
    profit = value - column_prices(side, edges, matched, value)[matched]
    assert (profit < edges.bound).any()


def test_short_candidate_list_that_has_a_full_matching_is_still_refused() -> None:
    # Two candidates a row admit a full matching, of sum 1.1 + 0.1; the best takes a third edge.
    matrix = torch.tensor([[1.0, 0.9, 0.8], [1.0, 0.1, 0.0], [1.0, 0.9, 0.0]]).double()
    side = side_of(matrix, 0.0, 1.0)
    edges = candidates(*top_per_row(matrix, 2))
    matched, value = sparse_assignment._solve_candidates(side, edges)
    prices = column_prices(side, edges, matched, value)
    assert sparse_assignment._proves(side, edges, prices, value - prices[matched])
    assert (value - prices[matched] < edges.bound).any()
    solved = sparse_assignment.solve(side, edges, 2)
    assert solved is not None
    assert matrix[torch.arange(3), torch.from_numpy(solved)].sum() == pytest.approx(2.7)


def test_wrong_matching_is_not_proved() -> None:
    matrix = torch.eye(2, dtype=torch.float64)
    side = side_of(matrix, 0.0, 1.0)
    edges, crossed = candidates(*top_per_row(matrix, 2)), np.array([1, 0])
    prices = column_prices(side, edges, crossed, np.zeros(2))
    assert not sparse_assignment._proves(side, edges, prices, -prices[crossed])


def test_columns_that_lose_their_price_are_not_proved_and_all_is_solved_again() -> None:
    matrix = torch.tensor([[1.0, 0.0, 0.35, 0.0], [0.9, 0.2, 0.0, 0.3]]).double()
    side = side_of(matrix, 0.0, 1.0)
    few = Candidates(*(np.array(a) for a in ([0, 1, 1], [0, 0, 1], [1.0, 0.9, 0.2], [1.0, 1.0])))
    before = sparse_assignment._solution(side, few, None)
    assert before is not None
    # Row 0 keeps column 0, which row 1 would like, at a price; then both find another.
    more = (np.array([0, 1]), np.array([2, 3]), np.array([0.35, 0.3]))
    edges = sparse_assignment._extend(few, more)
    moved = sparse_assignment._solve_again(side, edges, before)
    assert moved[0].tolist() == [2, 3]
    assert sparse_assignment._proved(side, edges, *moved) is None
    found = sparse_assignment._solution(side, edges, before)
    assert found is not None
    assert found.column.tolist() == [0, 3]


@pytest.mark.usefixtures("no_dense")
def test_most_rounds_go_on_from_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    again, seen = sparse_assignment._solve_again, []
    monkeypatch.setattr(
        sparse_assignment, "_solve_again", lambda *a: seen.append(again(*a)) or seen[-1]
    )
    matrix = random(400, 400)
    found = assign(matrix)
    assert found.similarity.sum() == pytest.approx(best_sum(matrix))
    np.testing.assert_array_equal(seen[-1][0], found.latent)


@pytest.mark.usefixtures("no_dense")
def test_rows_that_find_equal_columns_do_not_all_ask_for_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latents = random(300, 32, seed=1) * (np.arange(300) >= 150)[:, None]
    whole, calls = sparse_assignment._solve_candidates, []
    monkeypatch.setattr(
        sparse_assignment, "_solve_candidates", lambda *a: calls.append(a) or whole(*a)
    )
    assign_directions(random(300, 32), latents, absolute=False)
    # With the same 32 zero latents for every row, a round would match 32 rows more.
    assert len(calls) <= 2


@pytest.mark.usefixtures("no_dense")
def test_only_columns_cheap_enough_to_improve_a_row_are_read() -> None:
    matrix, read = torch.from_numpy(random(500, 500)), []

    def reader(rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
        read.append(len(columns))
        return matrix[rows][:, columns]

    side = Side(500, 500, reader, float(matrix.min()), float(matrix.max()), 1e-10)
    found = sparse_assignment.solve(side, candidates(*top_per_row(matrix, 16)), 16)
    assert found is not None
    assert matrix[torch.arange(500), torch.from_numpy(found)].sum() == pytest.approx(
        best_sum(matrix.numpy())
    )
    # 56 of them; without prices, all 500.
    assert 0 < max(read) < 125


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_lists_of_any_length_lead_to_the_sum_over_all_pairs(
    n_truths: int, n_latents: int, m: int, absolute: bool, both: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    truths, latents = (rng.standard_normal((n, 3)) for n in (n_truths, n_latents))
    copies = rng.integers(0, n_latents, n_latents // 2)
    latents[: len(copies)] = latents[copies] * rng.integers(0, 2, (len(copies), 1))
    length = np.outer(*(np.linalg.norm(a, axis=1) for a in (truths, latents)))
    cosines = truths @ latents.T / np.where(length > 0, length, 1)
    cosines = np.abs(cosines) if absolute else np.maximum(cosines, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "DENSE_ENTRIES", 0)
        patch.setattr(sparse_assignment, "DENSE_SHARE", 1.0)
        edges = top_edges(truths, latents, m, absolute=absolute) if both else None
        found = assign_directions(truths, latents, absolute=absolute, edges=edges)
    assert found.similarity.sum() == pytest.approx(best_sum(cosines), abs=1e-9)
    np.testing.assert_allclose(found.similarity, cosines[found.truth, found.latent], atol=1e-14)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_match_gives_no_pairs(shape: tuple[int, int]) -> None:
    found = assign(np.empty(shape))
    assert (len(found.truth), len(found.latent), len(found.similarity)) == (0, 0, 0)
    assert found.certified


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("shape", [(200, 70), (70, 200), (150, 150)])
@pytest.mark.usefixtures("no_dense")
def test_directions_give_the_sum_of_their_cosines(shape: tuple[int, int], absolute: bool) -> None:
    truths, latents = random(shape[0], 16), 3 * random(shape[1], 16, seed=1)
    cosines = truths @ latents.T / np.outer(*(np.linalg.norm(a, axis=1) for a in (truths, latents)))
    cosines = np.abs(cosines) if absolute else cosines
    found = assign_directions(truths, latents, absolute=absolute, block=32)
    assert found.similarity.sum() == pytest.approx(best_sum(cosines), abs=1e-9)
    edges = top_edges(truths, latents, absolute=absolute)
    again = assign_directions(truths, latents, absolute=absolute, edges=edges)
    np.testing.assert_array_equal(again.latent, found.latent)


@pytest.mark.usefixtures("always_sparse")
def test_zero_latents_have_similarity_zero() -> None:
    found = assign_directions(np.eye(3), np.array([[0.0, 0, 0], [0, 0, 2]]), absolute=False)
    assert dict(zip(found.latent.tolist(), found.similarity.tolist())) == {0: 0.0, 1: 1.0}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("block", [7, 64, 1000])
def test_top_edges_are_those_of_the_whole_matrix(absolute: bool, block: int) -> None:
    truths, latents = random(701, 8), random(90, 8, seed=1)
    edges = top_edges(truths, latents, 5, absolute=absolute, block=block)
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (truths, latents)]
    cosines = unit[0] @ unit[1].T
    cosines = np.abs(cosines) if absolute else cosines
    for partner, value, matrix in (
        (edges.latent_truth, edges.latent_similarity, cosines.T),
        (edges.truth_latent, edges.truth_similarity, cosines),
    ):
        best = np.argsort(-matrix, axis=1)[:, :5]
        np.testing.assert_array_equal(partner, best)
        np.testing.assert_allclose(value, np.take_along_axis(matrix, best, 1), atol=1e-14)


@pytest.fixture
def in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search in bfloat16 however small the problem is and whatever the processor."""
    monkeypatch.setattr(top_edges_module, "fast_bfloat16", lambda: True)
    monkeypatch.setattr(top_edges_module, "LISTED_COST", 1)


def _crowded() -> tuple[np.ndarray, np.ndarray]:
    """Truths in groups of 40 that bfloat16 cannot tell apart, so that a list of 8 misses some."""
    centres = np.repeat(random(10, 24), 40, axis=0)
    return centres + 1e-3 * random(400, 24, seed=1), centres[::4] + 1e-3 * random(100, 24, seed=2)


BFLOAT16_CASES = {
    "random": (random(500, 64), random(120, 64, seed=1)),
    "some equal": (random(500, 64), np.vstack([random(500, 64)[:60], random(60, 64, seed=1)])),
    "crowded": _crowded(),
    "zero latents": (random(300, 16), random(90, 16, seed=1) * (np.arange(90) >= 5)[:, None]),
    "one sparse": (np.eye(200, 128) + 1e-3, random(80, 128)),
}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BFLOAT16_CASES)
@pytest.mark.usefixtures("in_bfloat16")
def test_a_search_in_bfloat16_finds_the_best_and_bounds_the_rest(
    name: str, dtype: type, absolute: bool
) -> None:
    truths, latents = (a.astype(dtype) for a in BFLOAT16_CASES[name])
    edges = top_edges(truths, latents, 8, absolute=absolute, block=64)
    truths, latents = (a.astype(np.float64) for a in (truths, latents))
    length = np.outer(*(np.linalg.norm(a, axis=1) for a in (truths, latents)))
    cosines = truths @ latents.T / np.where(length > 0, length, 1)
    cosines = np.abs(cosines) if absolute else cosines
    # Two sums of d products of unit rows.
    near = 4 * np.sqrt(truths.shape[1]) * np.finfo(dtype).eps
    for partner, value, bound, matrix in (
        (edges.latent_truth, edges.latent_similarity, edges.latent_bound, cosines.T),
        (edges.truth_latent, edges.truth_similarity, edges.truth_bound, cosines),
    ):
        listed = np.take_along_axis(matrix, partner.numpy(), 1)
        np.testing.assert_allclose(value, listed, atol=near)
        assert (listed[:, 0] >= matrix.max(axis=1) - near).all()
        others = matrix.copy()
        np.put_along_axis(others, partner.numpy(), -np.inf, 1)
        assert (others.max(axis=1) <= bound.numpy() + near).all()


@pytest.mark.usefixtures("in_bfloat16")
def test_without_its_bound_a_search_in_bfloat16_would_miss_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truths, latents = BFLOAT16_CASES["crowded"]
    best = top_edges(truths, latents, 8, absolute=True).latent_similarity[:, 0]
    monkeypatch.setattr(top_edges_module, "_lost", lambda rows, short: torch.full((len(rows),), -1))
    missed = top_edges(truths, latents, 8, absolute=True).latent_similarity[:, 0]
    assert (missed < best).any()


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("name", BFLOAT16_CASES)
@pytest.mark.usefixtures("in_bfloat16", "always_sparse")
def test_an_assignment_searched_in_bfloat16_has_the_largest_sum(name: str, absolute: bool) -> None:
    truths, latents = BFLOAT16_CASES[name]
    length = np.outer(*(np.linalg.norm(a, axis=1) for a in (truths, latents)))
    cosines = truths @ latents.T / np.where(length > 0, length, 1)
    cosines = np.abs(cosines) if absolute else cosines
    found = assign_directions(truths, latents, absolute=absolute)
    assert found.similarity.sum() == pytest.approx(best_sum(cosines), abs=1e-9)


@pytest.mark.parametrize("n_columns", [1, 16, 160, 333, 1000])
def test_top_of_a_transposed_matrix_is_its_top(n_columns: int) -> None:
    matrix = torch.from_numpy(random(n_columns, 20))
    values, columns = top_per_row(matrix.T, 7)
    expected = matrix.T.contiguous().topk(min(7, n_columns), dim=1)
    assert torch.equal(values, expected.values)
    assert torch.equal(columns, expected.indices)


def test_entries_not_finite_are_named() -> None:
    matrix = np.zeros((3, 4))
    matrix[1, 2] = matrix[2, 0] = np.nan
    message = (
        "similarity: expected finite numbers, got nan at index (1, 2) "
        "(2 of 12 entries are not finite)."
    )
    with pytest.raises(InputError, match=re.escape(message)):
        assign(matrix)
    with pytest.raises(InputError, match=r"latents: expected finite numbers, got inf at index \(0"):
        assign_directions(np.eye(2), np.full((1, 2), np.inf), absolute=True)


def test_shapes_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"similarity: expected a two-dimensional array .* \(3,\)\."
    ):
        assign(np.zeros(3))
    with pytest.raises(InputError, match=r"latents: expected rows as wide .* \(2, 2\), got \(1, 3"):
        assign_directions(np.eye(2), np.zeros((1, 3)), absolute=True)
    with pytest.raises(InputError, match=r"m, block: expected whole numbers of at least 1"):
        top_edges(np.eye(2), np.eye(2), 0, absolute=True)


def test_dense_memory_above_the_limit_is_refused_with_the_estimate() -> None:
    with pytest.raises(MemoryRefused, match=r"needs 3,200 bytes, above memory_limit=3,199\."):
        assign(np.zeros((20, 20)), memory_limit=3199)
    assert len(assign(np.zeros((20, 20)), memory_limit=3200).truth) == 20


def test_read_only_input_is_taken_and_the_result_is_read_only() -> None:
    matrix = random(5, 5)
    matrix.setflags(write=False)
    assert not assign(matrix).similarity.flags.writeable
