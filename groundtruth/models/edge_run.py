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
from groundtruth.models.edge_plan import EdgePlan


class Moved(NamedTuple):
    """Sets whose edges change what a reader reads, (n,), and by how much, (n, batch, position,
    d_model)."""

    sets: torch.Tensor
    by: torch.Tensor


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
        self.chosen = chosen.to(plan.changes)
        self._ever = self.chosen.any(0)
        self.row_of = torch.full((len(chosen),), -1, device=self.chosen.device)
        self.touched = torch.zeros(
            0, plan.changes.shape[-1], dtype=torch.bool, device=chosen.device
        )
        self._differences = plan.changes[:0]
        self._written: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def moved(self, reader: str, weight: torch.Tensor | None) -> Moved:
        """What the edges into `reader` change; for `weight` see `EdgePlan.seen`."""
        nothing = Moved(self.row_of[:0], self.plan.changes[:0])
        if reader not in self.plan.into:
            return nothing
        writers, edges = self.plan.into[reader]
        if not (self._keeps_zeros or bool(self._ever[edges].any())):
            return nothing
        seen = self.plan.seen(reader, weight)
        names = [self.plan.writers[i] for i in writers.tolist()]
        again = [i for i, name in enumerate(names) if name in self._written]
        counts = seen.clone()
        counts[again] = True
        share = self.chosen[:, edges]
        sets = self._chosen(share[:, counts])
        if not len(sets):
            return nothing
        share = share[sets]
        by = share[:, seen] @ self.plan.changes[writers[seen]].flatten(1)
        by = by.unflatten(1, self.plan.changes.shape[1:])
        for i in again:
            by = self._less_written(by, names[i], share[:, i], self.row_of[sets])
        return Moved(sets, by)

    def _less_written(
        self, by: torch.Tensor, writer: str, share: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """`by` of sets at `rows`, less a share of what `writer` has written there beyond clean."""
        where, difference = self._written[writer]
        at = torch.searchsorted(where, rows).clamp_max(len(where) - 1)
        (own,) = (where[at] == rows).nonzero(as_tuple=True)
        return by.index_add(0, own, share[own, None, None, None] * difference[at[own]], alpha=-1)

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
            [self.touched, self.touched.new_zeros(len(new), *self.touched.shape[1:])]
        )
        if m > len(self._differences):
            # Room for more than asked, so that rows are copied a few times at most.
            larger = self.plan.changes.new_empty(2 * m, *self.plan.changes.shape[1:])
            larger[:n] = self._differences[:n]
            self._differences = larger
        self._differences[n:m] = 0

    def seeing(self, weight: torch.Tensor | None, *moved: Moved) -> torch.Tensor:
        """(n,) rows that a reader has to be run for, ascending."""
        touched = self.touched if weight is None else self.touched & weight.any(1)
        rows = [self.row_of[each.sets] for each in moved]
        return torch.cat([touched.any(1).nonzero().flatten(), *rows]).unique()

    def read(self, clean: torch.Tensor, rows: torch.Tensor, moved: Moved) -> torch.Tensor:
        """(1 + n, batch, position, d_model) what a reader reads clean, and at `rows`."""
        x = clean + self._differences[rows]
        if len(moved.sets):
            x = x.index_add(0, torch.searchsorted(rows, self.row_of[moved.sets]), moved.by)
        return torch.cat([clean[None], x])

    def write(
        self, writer: str, rows: torch.Tensor, output: torch.Tensor, support: torch.Tensor
    ) -> None:
        """Add what a writer writes at `rows` beyond what it writes clean.

        Args:
            output: (1 + n, batch, position, d_model) clean, and at `rows`.
            support: (d_model,) where it writes at all.
        """
        difference = output[1:] - output[:1]
        self._differences.index_add_(0, rows, difference)
        self.touched[rows] |= support
        if writer in self.plan.begin:
            edges = self.plan.begin[writer]
            if self._keeps_zeros or bool(self.chosen[self.row_of >= 0][:, edges].any()):
                self._written[writer] = rows, difference
