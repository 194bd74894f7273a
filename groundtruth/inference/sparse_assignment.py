"""The best one-to-one assignment from a few candidate edges per row, proved or refused.

Solve on the candidates, compute prices that prove the solution optimal among them, and look with
those prices for excluded edges that could improve it: none means optimal for the whole matrix.
The prices are those of "The Hungarian method for the assignment problem" (1955),
https://doi.org/10.1002/nav.3800020109; adding edges by price is column generation, "A Primer in
Column Generation" (2005), https://doi.org/10.1007/0-387-25486-2_1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

# Past this share of all edges the dense solver is faster than another sparse round.
DENSE_SHARE = 1 / 32
# With this share of rows unmatched, most rows want the same columns and rounds would be many.
HOPELESS_SHARE = 1 / 2


@dataclass(frozen=True)
class Candidates:
    """Edges (row, column, similarity), plus a bound on every row's excluded similarities."""

    rows: np.ndarray  # (E,) int64
    columns: np.ndarray  # (E,) int64
    similarity: np.ndarray  # (E,) float64
    bound: np.ndarray  # (R,) float64


@dataclass(frozen=True)
class Side:
    """The R rows of a matrix with N >= R columns, read a few at a time, with its range."""

    n_rows: int
    n_columns: int
    read: Callable[[np.ndarray], torch.Tensor]  # row numbers (b,) -> (b, N)
    low: float
    high: float
    tolerance: float  # of one similarity

    @property
    def scale(self) -> float:
        return max(abs(self.low), abs(self.high)) or 1.0


def candidates(
    similarity: torch.Tensor, columns: torch.Tensor, bound: torch.Tensor | None = None
) -> Candidates:
    """Candidates from entries (R, m) of each row; its m best, best first, if no bound is given."""
    n_rows, m = similarity.shape
    values = similarity.to("cpu", torch.float64).numpy()
    bound = similarity[:, -1] if bound is None else bound
    return Candidates(
        np.repeat(np.arange(n_rows), m),
        columns.cpu().numpy().ravel(),
        values.ravel(),
        bound.to("cpu", torch.float64).numpy(),
    )


def solve(side: Side, edges: Candidates, m: int) -> np.ndarray | None:
    """Every row's column in a proved optimum of the whole matrix; None if the dense way is better.

    Each round adds, to each row that could improve, its most promising excluded edges, twice as
    many as the round before.
    """
    while len(edges.rows) <= max(DENSE_SHARE * side.n_rows * side.n_columns, 4 * side.n_rows * m):
        matched, value = _solve_candidates(side, edges)
        if np.mean(matched >= side.n_columns) > HOPELESS_SHARE:
            return None
        prices = column_prices(side, edges, matched, value)
        profit = value - prices[matched]
        if not _proves(side, edges, prices, profit):
            return None
        doubtful = np.flatnonzero(profit < edges.bound - side.tolerance)
        m = 2 * m
        found = _improving(side, doubtful, prices, profit, m)
        if not len(found[0]):
            # A row on its dummy always has an improving edge, so none is left here.
            assert matched.max() < side.n_columns
            return matched
        edges = _extend(edges, found)
    return None


def _solve_candidates(side: Side, edges: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Each row's column and similarity in the optimum among the candidates.

    Each row also has a dummy column of its own, worse than any edge, so that a full matching
    exists; one in the solution shows that candidates are missing.
    """
    n_rows, n_columns = side.n_rows, side.n_columns
    own = np.arange(n_rows)
    dummy = side.low - side.scale
    # Costs must be positive: the solver reads an explicit zero as a missing edge.
    cost = side.high + side.scale - np.concatenate([edges.similarity, np.full(n_rows, dummy)])
    index = (np.concatenate([edges.rows, own]), np.concatenate([edges.columns, n_columns + own]))
    graph = csr_array((cost, index), shape=(n_rows, n_columns + n_rows))
    matched = np.asarray(min_weight_full_bipartite_matching(graph)[1], dtype=np.int64)
    value = np.full(n_rows, dummy)
    taken = edges.columns == matched[edges.rows]
    value[edges.rows[taken]] = edges.similarity[taken]
    return matched, value


def column_prices(
    side: Side, edges: Candidates, matched: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Least prices (N + R,) at which every row prefers its own column among its candidates.

    The least fixpoint of v_i = max(0, max over edges (j, i) of C_ji - C_jm(j) + v_m(j)), with
    v_i = 0 for an unmatched column; reached by rounds of Bellman and Ford.
    """
    prices = np.zeros(side.n_columns + side.n_rows)
    gain = edges.similarity - value[edges.rows]
    own = matched[edges.rows]
    free = np.ones(len(prices), dtype=bool)
    free[matched] = False
    # The longest chain visits each row once; smaller steps than this are rounding.
    for _ in range(side.n_rows + 1):
        raised = prices.copy()
        np.maximum.at(raised, edges.columns, gain + prices[own])
        raised[free] = 0.0
        step = float(np.max(raised - prices, initial=0.0))
        prices = raised
        if step <= 1e-14 * side.scale:
            break
    return prices


def _proves(side: Side, edges: Candidates, prices: np.ndarray, profit: np.ndarray) -> bool:
    """Whether no candidate edge is worth more to its row than what the row has."""
    worth = edges.similarity - prices[edges.columns]
    return bool((worth <= profit[edges.rows] + side.tolerance).all())


def _improving(
    side: Side, rows: np.ndarray, prices: np.ndarray, profit: np.ndarray, m: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (rows, columns, similarity) worth more than their row's profit: the m best a row."""
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    column_price = torch.from_numpy(prices[: side.n_columns])
    for start in range(0, len(rows), 256):
        some = rows[start : start + 256]
        values = side.read(some).to("cpu", torch.float64)
        worth, least = values - column_price, torch.from_numpy(profit[some] + side.tolerance)
        # Most rows have nothing better, and a maximum is far cheaper than the m best.
        keep = (worth.amax(dim=1) > least).nonzero()[:, 0]
        some, values, worth, least = some[keep.numpy()], values[keep], worth[keep], least[keep]
        worth, columns = worth.topk(min(m, side.n_columns), dim=1)
        row, place = (worth > least[:, None]).nonzero(as_tuple=True)
        column = columns[row, place]
        found.append((some[row.numpy()], column.numpy(), values[row, column].numpy()))
    row_parts, column_parts, value_parts = zip(*found)
    return np.concatenate(row_parts), np.concatenate(column_parts), np.concatenate(value_parts)


def _extend(edges: Candidates, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Candidates:
    """`edges` with the improving ones; none of these was a candidate, as `_proves` has shown."""
    return Candidates(
        np.concatenate([edges.rows, found[0]]),
        np.concatenate([edges.columns, found[1]]),
        np.concatenate([edges.similarity, found[2]]),
        edges.bound,
    )
