"""The residual streams of many sets of patched edges, as differences from the clean run.

A set has no row of its own until one of its edges changes what a reader reads; up to there, and for
ever if none does, it has row 0, the clean run. A reader is run again only for the rows that differ
in what it sees. So a single edge costs its reader, and what follows from that. Arrays are laid out
as `attending.as_rows` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from groundtruth.errors import reject
from groundtruth.models.attending import as_rows, from_rows
from groundtruth.models.edge_plan import EdgePlan, Reading


class Moved(NamedTuple):
    """Sets whose edges change what a reader reads, (n,), and by how much at its `given`
    coordinates, (width, outer, n, inner)."""

    sets: torch.Tensor
    by: torch.Tensor


class Written(NamedTuple):
    """What a writer writes beyond the clean run at `rows` (n,) and at the coordinates `wanted`:
    (width, outer, n, inner)."""

    rows: torch.Tensor
    difference: torch.Tensor
    wanted: slice


class EdgeRun:
    """A run on its way through the blocks.

    Fields:
        plan: what is patched.
        chosen: (set, edge) how much of the source each edge carries.
        row_of: (set,) each set's row; 0 for those that are as the clean run.
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
        self.row_of = torch.zeros(len(chosen), dtype=torch.long, device=self.chosen.device)
        d_model, outer, inner = plan.changes.shape[1:]
        self.touched = self._ever.new_zeros(1, d_model)
        # Enough but for sets of which only what other sets move is a change.
        room = 1 + len(self._chosen(self.chosen[:, plan.changed]))
        self._differences = plan.changes.new_zeros(d_model, outer, room, inner)
        self._written: dict[str, Written] = {}

    def moved(self, reader: str) -> Moved:
        """What the edges into `reader` change."""
        plan, reading = self.plan, self.plan.reading[reader]
        nothing = Moved(self.row_of[:0], self._differences[reading.given, :, :0])
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
        changes = plan.changes[reading.writers[reading.changed], reading.given]
        by = share[:, reading.changed] @ changes.flatten(1)
        by = by.unflatten(1, changes.shape[1:]).permute(1, 2, 0, 3)
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
            difference = written.difference[low - wrote[0] : high - wrote[0], :, at[own]]
            into = by[low - seen[0] : high - seen[0]]
            into.index_add_(2, own, share[own, None] * difference, alpha=-1)

    def _chosen(self, share: torch.Tensor) -> torch.Tensor:
        """Rows of `share` (set, edge) with an entry that counts."""
        if self._keeps_zeros:
            return torch.arange(len(share) if share.shape[1] else 0, device=share.device)
        return share.any(1).nonzero().flatten()

    def branch(self, groups: Iterable[torch.Tensor]) -> None:
        """Give every set in `groups` a row, if it had none."""
        sets = torch.cat([self.row_of[:0], *groups]).unique()
        new = sets[self.row_of[sets] == 0]
        n, m = len(self.touched), len(self.touched) + len(new)
        self.row_of[new] = torch.arange(n, m, device=new.device)
        self.touched = torch.cat(
            [self.touched, self.touched.new_zeros(m - n, self.touched.shape[1])]
        )
        d_model, outer, room, inner = self._differences.shape
        if m > room:
            larger = self._differences.new_zeros(d_model, outer, 1 + len(self.chosen), inner)
            larger[:, :, :n] = self._differences[:, :, :n]
            self._differences = larger

    def seeing(self, reader: str, moved: Moved) -> torch.Tensor:
        """(n,) rows that the reader has to be run for, ascending: the clean run comes first."""
        touched = (self.touched & self.plan.reading[reader].sees).any(1)
        touched[0] = True
        return torch.cat([touched.nonzero().flatten(), self.row_of[moved.sets]]).unique()

    def read(self, reader: str, site: str, rows: torch.Tensor, moved: Moved) -> torch.Tensor:
        """(n batch, position, width) what the reader is given at `rows` (n,); `site` is where."""
        given = self.plan.reading[reader].given
        x = self._differences[given].index_select(2, rows)
        x += self.plan.entering[site][given]
        if len(moved.sets) and len(rows) > 1:
            x.index_add_(2, torch.searchsorted(rows, self.row_of[moved.sets]), moved.by)
        return from_rows(x, self.plan.length)

    def write(self, writer: str, rows: torch.Tensor, output: torch.Tensor) -> None:
        """Add what a writer writes at `rows` beyond what it writes clean.

        Args:
            output: (n batch, position, width) at `rows` (n,), the clean run first, where it is
                `wanted`.
        """
        writing = self.plan.writing[writer]
        output = as_rows(output, len(rows))
        difference = output - output[:, :, :1]
        self._differences[writing.wanted].index_add_(2, rows, difference)
        self.touched[rows] |= writing.writes
        if not bool(self._ever[writing.edges].any()):
            return
        later = self.chosen[:, writing.edges][self.row_of > 0]
        if len(self._chosen(later)):
            self._written[writer] = Written(rows, difference, writing.wanted)
