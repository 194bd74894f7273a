"""Absorbers: latents that supply a silent parent's activity in its stead.

As in Karvonen et al., "SAEBench", 2025, https://arxiv.org/abs/2503.09532, with the planted activity
of the parent for the projection of x on a probe, and one absorber for up to three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from groundtruth.evaluators import counts
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.mains import Edges, mains
from groundtruth.evaluators.similarity import search_type

LEAST_COSINE = 0.025

_PARENTS = 256  # at a time: with 16,384 latents their cosines take 16 MB
_EVENTS = 1 << 15  # at a time
_LUCK = 16  # shuffled samples for each edge


@dataclass(frozen=True)
class Events:
    """Samples in which an edge's child is active (m,).

    Fields:
        edge: index of the edge.
        codes: index of the row of codes that is looked at.
        activity: a_p, that of the parent.
    """

    edge: np.ndarray
    codes: np.ndarray
    activity: np.ndarray

    def __getitem__(self, places: np.ndarray) -> Events:
        return Events(self.edge[places], self.codes[places], self.activity[places])


def shares(
    c: Comparison, edge: Edges, n_with_child: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Per edge: the share of the child's samples in which p's main latents are silent and another
    latent supplies at least `share` of a_p; and the same on shuffled samples, a few for each edge.

    NaN where there is no sample.
    """
    assert c.outputs.score is not None and c.outputs.positives is not None
    found, n_edges = mains(c), len(edge.child)
    natural, given = _natural(c, edge), _given(c, edge)
    order = np.random.default_rng(0).permutation(c.data.score.shape[0])
    lucky = _first(natural, _LUCK)
    lucky = Events(lucky.edge, order[lucky.codes], lucky.activity)

    def absorbed(events: Events, codes: sp.csr_array, fires: sp.csc_array) -> np.ndarray:
        """(n_edges,) events that count."""
        silent = events[_looked_up(fires.tocsr(), events.codes, edge.parent[events.edge]) == 0]
        supplied = _supplied(c, edge, silent, codes[:, c.live].tocsr(), share)
        return np.bincount(silent.edge[supplied], minlength=n_edges)

    hit = absorbed(natural, c.outputs.score, found.score)
    hit = hit + absorbed(given, c.outputs.positives, found.positives)
    by_luck = absorbed(lucky, c.outputs.score, found.score)
    n_lucky = np.bincount(lucky.edge, minlength=n_edges)
    with np.errstate(invalid="ignore", divide="ignore"):
        return hit / n_with_child, by_luck / n_lucky


def _natural(c: Comparison, edge: Edges) -> Events:
    active = counts.fired(c.data.score)[:, edge.child]
    at = np.repeat(np.arange(len(edge.child)), np.diff(active.indptr))
    return Events(at, active.indices, _looked_up(c.data.score, active.indices, edge.parent[at]))


def _given(c: Comparison, edge: Edges) -> Events:
    """The samples that were drawn given that the child fires."""
    of_child = np.full(c.truth.n_features, -1)
    of_child[edge.child] = np.arange(len(edge.child))
    rows = np.flatnonzero(of_child[c.data.forced] >= 0)
    at = of_child[c.data.forced[rows]]
    return Events(at, rows, _looked_up(c.data.positives, rows, edge.parent[at]))


def _first(events: Events, most: int) -> Events:
    """At most `most` events of each edge; `events` are sorted by edge."""
    place = np.arange(len(events.edge)) - np.searchsorted(events.edge, events.edge)
    return events[place < most]


def _looked_up(matrix: sp.csr_array, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """matrix[row[r], column[r]] for each r."""
    if len(row) == 0:
        return np.zeros(0)
    return np.asarray(matrix[row, column]).ravel()


def _supplied(
    c: Comparison, edge: Edges, events: Events, codes: sp.csr_array, share: float
) -> np.ndarray:
    """(m,) bool: whether one latent that is not a main one supplies `share` of a_p."""
    found = mains(c)
    out = np.zeros(len(events.edge), dtype=bool)
    kind = search_type(c.truth.directions, c.latents)
    latents = c.latents.astype(kind, copy=False)
    norms = np.linalg.norm(c.outputs.decoder[c.live], axis=1)
    parent = edge.parent[events.edge]
    parents = np.unique(parent)
    for start in range(0, len(parents), _PARENTS):
        some = parents[start : start + _PARENTS]
        cosine = (latents @ c.truth.directions[some].T.astype(kind)).astype(np.float64)
        cosine[np.abs(cosine) < LEAST_COSINE] = 0.0
        cosine[found.main[:, some].toarray() > 0] = 0.0
        here = np.flatnonzero((parent >= some[0]) & (parent <= some[-1]))
        for begin in range(0, len(here), _EVENTS):
            at = here[begin : begin + _EVENTS]
            rows = codes[events.codes[at]]
            event = np.repeat(np.arange(len(at)), np.diff(rows.indptr))
            column = np.searchsorted(some, parent[at])[event]
            wanted = events.activity[at][event].astype(np.float64)
            supply = rows.data * norms[rows.indices] * cosine[rows.indices, column]
            enough = (supply * np.sign(wanted) >= share * np.abs(wanted)) & (wanted != 0)
            out[at] = np.bincount(event[enough], minlength=len(at)) > 0
    return out
