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
ROWS = 256  # compared with all columns at a time


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
    read: Callable[[np.ndarray, np.ndarray], torch.Tensor]  # rows (b,), columns (c,) -> (b, c)
    low: float
    high: float
    tolerance: float  # of one similarity

    @property
    def scale(self) -> float:
        return max(abs(self.low), abs(self.high)) or 1.0

    @property
    def dummy(self) -> float:
        """Similarity of a row's dummy column: worse than any."""
        return self.low - self.scale


@dataclass(frozen=True)
class Solution:
    """The optimum among the candidates, with the prices that prove it."""

    column: np.ndarray  # (R,) each row's column; from N on, its dummy
    prices: np.ndarray  # (N + R,)
    profit: np.ndarray  # (R,) what each row's column is worth to it


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


def joined(edges: Candidates, more: Candidates, n_columns: int) -> Candidates:
    """`edges` with those of `more`, whose rows are columns here, that are not among them."""
    key = edges.rows * n_columns + edges.columns
    new = ~np.isin(more.columns * n_columns + more.rows, key)
    return _extend(edges, (more.columns[new], more.rows[new], more.similarity[new]))


def solve(side: Side, edges: Candidates, m: int) -> np.ndarray | None:
    """Every row's column in a proved optimum of the whole matrix; None if the dense way is better.

    Each round adds, to each row that could improve, its most promising excluded edges, twice as
    many as the round before.
    """
    found = _solution(side, edges, None)
    while found is not None:
        m = 2 * m
        more = _improving(side, edges.bound, found, m)
        if not len(more[0]):
            # A row on its dummy always has an improving edge, so none is left here.
            assert found.column.max() < side.n_columns
            return found.column
        edges = _extend(edges, more)
        if len(edges.rows) > max(DENSE_SHARE * side.n_rows * side.n_columns, 4 * side.n_rows * m):
            return None
        found = _solution(side, edges, found)
    return None


def _solution(side: Side, edges: Candidates, before: Solution | None) -> Solution | None:
    """The proved optimum among the candidates; None if the dense way is better.

    Args:
        before: the optimum among fewer candidates.
    """
    if before is not None and before.column.max() < side.n_columns:
        again = _proved(side, edges, *_solve_again(side, edges, before))
        if again is not None:
            return again
    return _proved(side, edges, *_solve_candidates(side, edges))


def _solve_candidates(side: Side, edges: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Each row's column and similarity in the optimum among the candidates.

    Each row also has a dummy column of its own, worse than any edge, so that a full matching
    exists; one in the solution shows that candidates are missing.
    """
    n_rows, n_columns = side.n_rows, side.n_columns
    own = np.arange(n_rows)
    # Costs must be positive: the solver reads an explicit zero as a missing edge.
    cost = side.high + side.scale - np.concatenate([edges.similarity, np.full(n_rows, side.dummy)])
    index = (np.concatenate([edges.rows, own]), np.concatenate([edges.columns, n_columns + own]))
    graph = csr_array((cost, index), shape=(n_rows, n_columns + n_rows))
    return _matched(side, edges, graph)


def _solve_again(side: Side, edges: Candidates, before: Solution) -> tuple[np.ndarray, np.ndarray]:
    """`_solve_candidates` from the optimum before some of the candidates were added.

    The cost of an edge is what it falls short of its row's profit at the prices before: 0 on what
    was matched, below 0 on new edges alone, so that few rows move and the solver is done far
    sooner. The sum changes by a constant if all columns that have a price stay matched; where one
    does not, the new prices fail to prove the solution.
    """
    short = before.profit[edges.rows] + before.prices[edges.columns] - edges.similarity
    graph = csr_array(
        (short - short.min() + side.scale, (edges.rows, edges.columns)),
        shape=(side.n_rows, side.n_columns),
    )
    return _matched(side, edges, graph)


def _matched(side: Side, edges: Candidates, graph: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Each row's column and similarity in the cheapest full matching of `graph`."""
    column = np.asarray(min_weight_full_bipartite_matching(graph)[1], dtype=np.int64)
    value = np.full(side.n_rows, side.dummy)
    taken = edges.columns == column[edges.rows]
    value[edges.rows[taken]] = edges.similarity[taken]
    return column, value


def _proved(
    side: Side, edges: Candidates, column: np.ndarray, value: np.ndarray
) -> Solution | None:
    """The matching with the prices that prove it; None if they do not."""
    prices = column_prices(side, edges, column, value)
    profit = value - prices[column]
    return Solution(column, prices, profit) if _proves(side, edges, prices, profit) else None


def _proves(side: Side, edges: Candidates, prices: np.ndarray, profit: np.ndarray) -> bool:
    """Whether no candidate edge is worth more to its row than what the row has."""
    worth = edges.similarity - prices[edges.columns]
    return bool((worth <= profit[edges.rows] + side.tolerance).all())


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


def _improving(
    side: Side, bound: np.ndarray, found: Solution, m: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Excluded edges (rows, columns, similarity) worth more than their row's profit: the m best.

    An edge of similarity at most `bound` is worth more only in a column of a price below the
    row's bound - profit. The rows with the most room go first, each group with the columns that
    are cheap enough for its first: a few per cent of all pairs, where prices vary.
    """
    room = bound - found.profit - side.tolerance
    prices = found.prices[: side.n_columns]
    rows, cheap = np.argsort(-room, kind="stable"), np.argsort(prices, kind="stable")
    enough = np.searchsorted(prices[cheap], room[rows])
    rows = rows[enough > 0]
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    lots = torch.Generator().manual_seed(0)
    for start in range(0, len(rows), ROWS):
        some, columns = rows[start : start + ROWS], cheap[: enough[start]]
        least = torch.from_numpy(found.profit[some] + side.tolerance)
        values = side.read(some, columns).to("cpu", torch.float64)
        worth = values - torch.from_numpy(prices[columns])
        # Most rows have nothing better, and a maximum is far cheaper than the m best.
        keep = (worth.amax(dim=1) > least).nonzero()[:, 0]
        some, values, worth, least = some[keep.numpy()], values[keep], worth[keep], least[keep]
        # Rows that find many equal columns must not all ask for the same ones.
        lot = side.tolerance * torch.rand(worth.shape, generator=lots)
        place = (worth + lot).topk(min(m, len(columns)), dim=1).indices
        worth = worth.gather(1, place)
        row, nth = (worth > least[:, None]).nonzero(as_tuple=True)
        column = place[row, nth]
        parts.append((some[row.numpy()], columns[column.numpy()], values[row, column].numpy()))
    row_parts, column_parts, value_parts = zip(*parts)
    return np.concatenate(row_parts), np.concatenate(column_parts), np.concatenate(value_parts)


def _extend(edges: Candidates, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Candidates:
    """`edges` with those found, none of which is among them."""
    return Candidates(
        np.concatenate([edges.rows, found[0]]),
        np.concatenate([edges.columns, found[1]]),
        np.concatenate([edges.similarity, found[2]]),
        edges.bound,
    )
