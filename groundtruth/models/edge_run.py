"""The residual streams of many sets of patched edges, as differences from the clean run.

A set has no row of its own until one of its edges changes what a reader reads; up to there, and for
ever if none does, the clean run stands for it. A reader is run again only for the rows that differ
in what it sees. So a single edge costs its reader, and what follows from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from groundtruth.errors import reject
from groundtruth.models.edge_plan import EdgePlan, Reading


class Moved(NamedTuple):
    """Sets whose edges change what a reader reads, (n,), and by how much, (n, batch, position,
    width) at its `given` coordinates."""

    sets: torch.Tensor
    by: torch.Tensor


class Written(NamedTuple):
    """What a writer writes beyond the clean run: (n, batch, position, width) at `rows` (n,), and at
    the coordinates `wanted`."""

    rows: torch.Tensor
    difference: torch.Tensor
    wanted: slice


class EdgeRun:
    """A run on its way through the blocks.

    Fields:
        plan: what is patched.
        chosen: (set, edge) how much of the source each edge carries.
        row_of: (set,) each set's row; -1 for those that are as the clean run.
        touched: (row, d_model) where a row may differ from the clean run.

    Raises:
        InputError: sets of another shape.
    """

    def __init__(self, plan: EdgePlan, chosen: Any) -> None:
        chosen = torch.ones(1, plan.n_edges) if chosen is None else torch.as_tensor(chosen)
        if chosen.ndim != 2 or chosen.shape[1] != plan.n_edges:
            raise reject("chosen", tuple(chosen.shape), f"shape (set, {plan.n_edges})")
        # A share of 0 that is to have a gradient is a chosen edge like any other.
        self.plan, self._keeps_zeros = plan, chosen.requires_grad
        self.chosen = chosen.to(plan.changes.device)
        self._ever = self.chosen.any(0) | self._keeps_zeros
        self.row_of = torch.full((len(chosen),), -1, device=self.chosen.device)
        self.touched = self._ever.new_zeros(0, plan.changes.shape[-1])
        self._differences = plan.changes[:0]
        self._written: dict[str, Written] = {}

    def moved(self, reader: str) -> Moved:
        """What the edges into `reader` change."""
        plan, reading = self.plan, self.plan.reading[reader]
        nothing = Moved(self.row_of[:0], plan.changes[:0, ..., reading.given])
        if not bool(self._ever[reading.edges].any()):
            return nothing
        names = [plan.writers[i] for i in reading.writers.tolist()]
        again = [i for i, name in enumerate(names) if name in self._written]
        counts = reading.changed.clone()
        counts[again] = True
        share = self.chosen[:, reading.edges].to(plan.changes)
        sets = self._chosen(share[:, counts])
        if not len(sets):
            return nothing
        share = share[sets]
        changes = plan.changes[..., reading.given][reading.writers[reading.changed]]
        by = share[:, reading.changed] @ changes.flatten(1)
        by = by.unflatten(1, changes.shape[1:])
        for i in again:
            self._subtract(by, self._written[names[i]], share[:, i], self.row_of[sets], reading)
        return Moved(sets, by)

    def _subtract(
        self,
        by: torch.Tensor,
        written: Written,
        share: torch.Tensor,
        rows: torch.Tensor,
        reading: Reading,
    ) -> None:
        """From `by` of sets at `rows`, in place, a share of what was written there beyond clean."""
        at = torch.searchsorted(written.rows, rows).clamp_max(len(written.rows) - 1)
        (own,) = (written.rows[at] == rows).nonzero(as_tuple=True)
        d_model = self.touched.shape[1]
        seen, wrote = (s.indices(d_model) for s in (reading.given, written.wanted))
        low, high = max(seen[0], wrote[0]), min(seen[1], wrote[1])
        if low < high and len(own):
            difference = written.difference[..., low - wrote[0] : high - wrote[0]][at[own]]
            into = by[..., low - seen[0] : high - seen[0]]
            into.index_add_(0, own, share[own, None, None, None] * difference, alpha=-1)

    def _chosen(self, share: torch.Tensor) -> torch.Tensor:
        """Rows of `share` (set, edge) with an entry that counts."""
        if self._keeps_zeros:
            return torch.arange(len(share) if share.shape[1] else 0, device=share.device)
        return share.any(1).nonzero().flatten()

    def branch(self, groups: Iterable[torch.Tensor]) -> None:
        """Give every set in `groups` a row, if it had none."""
        sets = torch.cat([self.row_of[:0], *groups]).unique()
        new = sets[self.row_of[sets] < 0]
        n, m = len(self.touched), len(self.touched) + len(new)
        self.row_of[new] = torch.arange(n, m, device=new.device)
        self.touched = torch.cat(
            [self.touched, self.touched.new_zeros(m - n, self.touched.shape[1])]
        )
        if m > len(self._differences):
            # Room for more than asked, so that rows are copied a few times at most.
            larger = self.plan.changes.new_empty(2 * m, *self.plan.changes.shape[1:])
            larger[:n] = self._differences[:n]
            self._differences = larger
        self._differences[n:m] = 0

    def seeing(self, reader: str, moved: Moved) -> torch.Tensor:
        """(n,) rows that the reader has to be run for, ascending."""
        touched = (self.touched & self.plan.reading[reader].sees).any(1)
        return torch.cat([touched.nonzero().flatten(), self.row_of[moved.sets]]).unique()

    def read(
        self, reader: str, clean: torch.Tensor, rows: torch.Tensor, moved: Moved
    ) -> torch.Tensor:
        """(1 + n, batch, position, width) what the reader is given clean, and at `rows`."""
        given = self.plan.reading[reader].given
        x = clean[..., given] + self._differences[..., given][rows]
        if len(moved.sets):
            x = x.index_add(0, torch.searchsorted(rows, self.row_of[moved.sets]), moved.by)
        return torch.cat([clean[None, ..., given], x])

    def write(self, writer: str, rows: torch.Tensor, output: torch.Tensor) -> None:
        """Add what a writer writes at `rows` beyond what it writes clean.

        Args:
            output: (1 + n, batch, position, width) clean, and at `rows`, where it is `wanted`.
        """
        writing = self.plan.writing[writer]
        difference = output[1:] - output[:1]
        self._differences[..., writing.wanted].index_add_(0, rows, difference)
        self.touched[rows] |= writing.writes
        if not bool(self._ever[writing.edges].any()):
            return
        later = self.chosen[:, writing.edges][self.row_of >= 0]
        if len(self._chosen(later)):
            self._written[writer] = Written(rows, difference, writing.wanted)
