"""Main latents: those that together detect a parent where none of its children is active.

They are chosen on `select`, among the live latents of cosine >= 0.5 with the parent: the one of
highest F1, then others as long as firing of any raises F1 by JUMP. Samples in which a child is
active are left out of that F1, or a latent that stands for parent and child at once could pass
for one of the parent's own, and absorption would hide itself. Where `select` never shows the
parent alone, its nearest latent is taken.

The jump of F1 is that of Karvonen et al., "SAEBench", 2025, https://arxiv.org/abs/2503.09532, where
probes choose the main latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from groundtruth.errors import Undefined
from groundtruth.evaluators import counts
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.correlations import INDEPENDENT
from groundtruth.evaluators.once import once
from groundtruth.truth import FeatureTruth

JUMP = 0.03
MOST_MAINS = 4
_CANDIDATES = 8


@dataclass(frozen=True)
class Edges:
    """The planted edges (n_edges,): each child with its parent, which can fire without it."""

    child: np.ndarray
    parent: np.ndarray


@dataclass(frozen=True)
class Mains:
    """Main latents of all parents, and where at least one of them fires.

    Fields:
        main: (n_live, n_features) CSC bool.
        score, positives: (n, n_features) CSC, 1 where a main latent of the feature fires.
    """

    main: sp.csc_array
    score: sp.csc_array
    positives: sp.csc_array

    @property
    def exists(self) -> np.ndarray:
        """(n_features,) bool."""
        return np.diff(self.main.indptr) > 0


def edges(truth: FeatureTruth) -> Edges:
    """All planted edges.

    Raises:
        Undefined: there is none.
    """
    if truth.population is not None:
        raise Undefined("no hierarchy of features is planted: they fire as the model computes")
    if truth.structure is None:
        raise Undefined(INDEPENDENT)
    parent = _parents(truth)
    child = np.flatnonzero(parent >= 0)
    if len(child) == 0:
        raise Undefined("no feature has a planted parent that can fire without it")
    return Edges(child, parent[child])


def _parents(truth: FeatureTruth) -> np.ndarray:
    """(n_features,) the parent, or -1. A feature that fires whenever its parent does has none: no
    firing tells the two apart."""
    assert truth.structure is not None
    parent, p = truth.structure.parent, truth.firing_probability
    return np.where((parent >= 0) & (p < p[parent]), parent, -1)


def alone(codes: sp.csr_array, truth: FeatureTruth) -> sp.csc_array:
    """(n, n_features) 1 where a feature fires and none of its children does."""
    row = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
    above = _parents(truth)[codes.indices]
    has = above >= 0
    ones = np.ones(int(has.sum()), dtype=np.int32)
    busy = sp.csr_array((ones, (row[has], above[has])), shape=codes.shape)
    active = counts.fired(codes)
    out = sp.csc_array(active - active.multiply(busy > 0))
    out.eliminate_zeros()
    return out


@once
def mains(c: Comparison) -> Mains:
    """The main latents of the parents of this world; one pass over the firings of each part."""
    c.need_codes()
    c.need_live()
    out = c.outputs
    assert out.score is not None and out.positives is not None
    truth, latent = _chosen(c)
    shape = (len(c.live), c.truth.n_features)
    main = sp.csc_array((np.ones(len(truth), dtype=np.int32), (latent, truth)), shape=shape)
    return Mains(main, _any(out.score[:, c.live], main), _any(out.positives[:, c.live], main))


def _any(codes: sp.csr_array, main: sp.csc_array) -> sp.csc_array:
    """(n, n_features) 1 where one of the feature's main latents fires."""
    return counts.fired(sp.csr_array(counts.fired(codes).tocsr() @ main.tocsr()))


def _chosen(c: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (parent, live latent), the latent being one of the parent's main ones."""
    assert c.outputs.select is not None
    parents = np.unique(edges(c.truth).parent)
    near = np.isin(c.similarity.edge_truth, parents)
    truth, latent = c.similarity.edge_truth[near], c.similarity.edge_latent[near]
    single = alone(c.data.select, c.truth)
    active, fires = counts.fired(c.data.select), counts.fired(c.outputs.select[:, c.live])
    hit = counts.overlaps(single, fires, truth, latent)
    false = np.diff(fires.indptr)[latent] - counts.overlaps(active, fires, truth, latent)
    n_alone = np.diff(single.indptr)[truth]
    value = np.where(n_alone > 0, _f1(hit, false, n_alone), c.similarity.edge_cosine[near])
    order = np.lexsort((latent, -value, truth))
    order = order[value[order] > 0]
    truth, latent, value, n_alone = (part[order] for part in (truth, latent, value, n_alone))
    place = np.arange(len(truth)) - np.searchsorted(truth, truth)
    chosen = place == 0
    # Where the first detects nearly all, no other can raise F1 enough.
    for start in np.flatnonzero(chosen & (value <= 1 - JUMP) & (n_alone > 0)):
        stop = np.searchsorted(truth, truth[start], side="right")
        listed = latent[start : min(stop, start + _CANDIDATES)]
        kept = _joined(single, active, fires, int(truth[start]), listed)
        chosen[start : start + len(listed)] = kept
    return truth[chosen], latent[chosen]


def _joined(
    single: sp.csc_array, active: sp.csc_array, fires: sp.csc_array, parent: int, listed: np.ndarray
) -> np.ndarray:
    """Which of the listed latents, best first, are the parent's main ones."""
    alone_rows = single[:, [parent]].toarray().ravel() > 0
    silent = active[:, [parent]].toarray().ravel() == 0
    fired = fires[:, listed].toarray() > 0
    kept = np.zeros(len(listed), dtype=bool)
    joint, best = np.zeros(len(silent), dtype=bool), -JUMP
    while kept.sum() < MOST_MAINS and not kept.all():
        union = fired | joint[:, None]
        f1 = _f1(union[alone_rows].sum(axis=0), union[silent].sum(axis=0), alone_rows.sum())
        f1[kept] = -1
        if f1.max() < best + JUMP:
            break
        at = int(f1.argmax())
        kept[at], joint, best = True, union[:, at], f1[at]
    return kept


def _f1(hit: np.ndarray, false: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return 2 * hit / np.maximum(1, hit + false + wanted)
