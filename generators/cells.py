"""Which cells of a table fire, at a cost that grows with those that do and not with all.

Independent Bernoulli cells by a Poisson process: give column i the rate -log(1 - p_i) per row. A
cell holds at least one point with probability 1 - exp(log(1 - p_i)) = p_i, and cells are
independent, so the cells that were hit are exactly the firings. Points that fall into one cell
merge; nothing is approximated.
"""

from __future__ import annotations

import numpy as np

# Above this, hitting a cell many times to fill it costs more than drawing every cell.
_DENSE_ABOVE = 0.9


class BernoulliCells:
    """Independent cells (row, i) that fire with probability p_i.

    Args:
        probability: (m,) p_i.

    Example:
        >>> cells = BernoulliCells(np.array([1.0, 0.0, 0.5]))
        >>> hit = cells.draw(np.random.default_rng(0), 1000)
        >>> [int((hit % 3 == i).sum()) for i in range(3)][:2]
        [1000, 0]
    """

    def __init__(self, probability: np.ndarray) -> None:
        often = probability > _DENSE_ABOVE
        self.n_columns = len(probability)
        self._rate = -np.log1p(-np.where(often, 0.0, probability))
        self._dense = np.flatnonzero(often)
        self._dense_probability = probability[often]

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Sorted flat indices row * m + i of the cells that fire in n rows."""
        # Half the width sorts in half the time.
        kind = np.int32 if n * self.n_columns < 2**31 else np.int64
        counts = rng.poisson(n * self._rate)
        column = np.repeat(np.arange(self.n_columns, dtype=kind), counts)
        cells = rng.integers(0, n, len(column), dtype=kind) * kind(self.n_columns) + column
        if len(self._dense):
            row, extra = np.nonzero(rng.random((n, len(self._dense))) < self._dense_probability)
            more = row * self.n_columns + self._dense[extra]
            cells = np.concatenate([cells, more.astype(kind)])
        return distinct(cells)


def distinct(cells: np.ndarray) -> np.ndarray:
    """The different entries, sorted."""
    cells = np.sort(cells)
    new = np.ones(len(cells), dtype=bool)
    np.not_equal(cells[1:], cells[:-1], out=new[1:])
    return cells[new]
