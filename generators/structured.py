"""The sampler of structured worlds: children are drawn only under parents that fire.

Roots first: independent ones by cells, correlated ones by a scan of their Gaussians, exclusive ones
by their group. Then one level of the trees after the other. Only what fires is held, but for the
scan, whose cost grows with the correlated roots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from groundtruth.generators.cells import BernoulliCells
from groundtruth.generators.forcing import Forced, factors_given
from groundtruth.generators.sampling import activations
from groundtruth.generators.scan import Scan, normal_cdf
from groundtruth.slabs import Slabs
from groundtruth.structure import Structure
from groundtruth.truth import FeatureTruth

_PAIRS = 4096


class Firings(NamedTuple):
    """What fires: rows, features and values, all (m,)."""

    row: np.ndarray
    feature: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class StructuredSampler:
    """Draws from x = a D + bias + noise, where a follows the truth's structure."""

    truth: FeatureTruth

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, sp.csr_array]:
        """x (n, d) float32 and codes (n, n_features) CSR float32, indices sorted."""
        rank = self._plan.structure.loadings.shape[1]
        factors = rng.standard_normal((n, rank), dtype=np.float32)
        return self._finish(rng, n, self._trees(rng, n, factors, None))

    def draw_active(
        self, rng: np.random.Generator, features: np.ndarray
    ) -> tuple[np.ndarray, sp.csr_array]:
        """As `draw`, one row for each entry of `features`, given that this feature fires.

        Its ancestors then fire too, their exclusive siblings do not, and the factors follow their
        law given that.
        """
        structure = self._plan.structure
        factors = factors_given(rng, structure, features).astype(np.float32)
        firings = self._trees(rng, len(features), factors, Forced(structure, features))
        return self._finish(rng, len(features), firings)

    @cached_property
    def _plan(self) -> _Plan:
        assert self.truth.structure is not None
        return _Plan(self.truth.structure)

    @cached_property
    def _directions(self) -> Slabs:
        return Slabs(self.truth.directions)

    # --- trees ------------------------------------------------------------------------------

    def _trees(
        self, rng: np.random.Generator, n: int, factors: np.ndarray, forced: Forced | None
    ) -> Firings:
        plan = self._plan
        row, feature = _roots(plan, rng, n, factors)
        if forced is not None:
            row, feature = forced.roots(row, feature)
        contest = row * len(plan.leader) + plan.root_leader[feature]
        kept, value = self._settled(rng, row, feature, contest, forced)
        level = Firings(row[kept], feature[kept], value)
        found = [level]
        for _ in plan.structure.levels[1:]:
            level = self._children(rng, level, factors, forced)
            found.append(level)
        return Firings(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _children(
        self, rng: np.random.Generator, parents: Firings, factors: np.ndarray, forced: Forced | None
    ) -> Firings:
        """The children that fire under `parents`."""
        plan, structure = self._plan, self._plan.structure
        count = plan.n_children[parents.feature]
        begin = np.cumsum(count) - count
        entry = np.repeat(np.arange(len(count)), count)
        at = np.arange(len(entry)) + (plan.first_child[parents.feature] - begin)[entry]
        child, row = plan.children[at], parents.row[entry]
        u = rng.random(len(child))
        loaded = structure.loaded[child]
        if loaded.all():
            happens = u < self._chance(factors, row, child)
        else:
            # Members of a group with choice "one" share a uniform; each has its part of [0, 1).
            shared = u[begin[entry] + plan.leader[child]] if structure.choice == "one" else u
            happens = (shared >= plan.low[child]) & (shared < plan.high[child])
            some = np.flatnonzero(loaded)
            if len(some):
                happens[some] = u[some] < self._chance(factors, row[some], child[some])
        if forced is not None:
            happens = forced.events(row, child, happens)
        fired = np.flatnonzero(happens)
        contest = begin[entry[fired]] + plan.leader[child[fired]]
        kept, value = self._settled(rng, row[fired], child[fired], contest, forced)
        fired = fired[kept]
        parent = entry[fired]
        scale = parents.value[parent] / structure.reference[parents.feature[parent]]
        value = np.where(structure.scaled[child[fired]], value * scale, value)
        return Firings(row[fired], child[fired], value)

    def _chance(self, factors: np.ndarray, row: np.ndarray, feature: np.ndarray) -> np.ndarray:
        """(m,) P(event of feature[r] | factors[row[r]]), of loaded features."""
        plan, inner = self._plan, np.empty(len(row), dtype=np.float32)
        # A few at a time: megabytes that are taken and given back cost more than the products.
        for start in range(0, len(row), _PAIRS):
            some = slice(start, start + _PAIRS)
            given, weights = factors.take(row[some], axis=0), plan.weights.take(feature[some], 0)
            np.einsum("ij,ij->i", given, weights, out=inner[some])
        return normal_cdf(inner - plan.offset[feature])

    def _settled(
        self,
        rng: np.random.Generator,
        row: np.ndarray,
        feature: np.ndarray,
        contest: np.ndarray,
        forced: Forced | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which events end in a firing (indices), and the values.

        A magnitude of 0 is none, except that of a forced one, which is drawn again; of those that
        race in one `contest` one stays.
        """
        law = self.truth.magnitude
        value = law.draw(rng, feature)
        held = np.zeros(len(row), dtype=bool) if forced is None else forced.holds(row, feature)
        zero = np.flatnonzero(held & (value == 0))
        while len(zero):
            value[zero] = law.draw(rng, feature[zero])
            zero = zero[value[zero] == 0]
        kept = np.flatnonzero(value)
        structure = self._plan.structure
        if structure.choice == "race":
            racing = structure.exclusive[feature[kept]] >= 0
            if racing.any():
                luck = np.where(held[kept], -1.0, rng.random(len(kept)))
                lost = _losers(contest[kept[racing]], luck[racing])
                kept = np.delete(kept, np.flatnonzero(racing)[lost])
        return kept, value[kept]

    def _finish(
        self, rng: np.random.Generator, n: int, firings: Firings
    ) -> tuple[np.ndarray, sp.csr_array]:
        truth = self.truth
        kind = np.int32 if n * truth.n_features < 2**31 else np.int64
        # Each level is in order by itself, which a stable sort makes use of.
        key = (firings.row * truth.n_features + firings.feature).astype(kind)
        order = np.argsort(key, kind="stable")
        row, feature = firings.row[order], firings.feature[order]
        value = firings.value[order].astype(np.float32)
        if truth.signed:
            value *= rng.choice(np.array([-1, 1], dtype=np.float32), len(value))
        start = np.searchsorted(row, np.arange(n + 1))
        codes = sp.csr_array((value, feature.astype(np.int32), start), (n, truth.n_features))
        codes.has_sorted_indices = True
        return activations(truth, self._directions, codes, rng), codes


class _Plan:
    """What every draw needs of a structure, laid out once."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        n, parent, group = structure.n_features, structure.parent, structure.exclusive
        # Children by parent, members of a group side by side.
        self.children = np.lexsort((np.arange(n), group, parent))
        self.children = self.children[parent[self.children] >= 0]
        self.n_children = np.bincount(parent[parent >= 0], minlength=n)
        self.first_child = np.cumsum(self.n_children) - self.n_children
        place = np.zeros(n, dtype=np.int64)
        place[self.children] = (
            np.arange(len(self.children)) - self.first_child[parent[self.children]]
        )
        # Who speaks for a feature where one of several is chosen: itself, or its group's first.
        self.leader, self.root_leader = place.copy(), np.arange(n)
        self.low, self.high = np.zeros(n), structure.rate.copy()
        self.grouped: list[tuple[np.ndarray, np.ndarray]] = []
        for members in structure.groups:
            self.leader[members] = place[members].min(axis=1, keepdims=True)
            self.root_leader[members] = members[:, :1]
            if structure.choice == "one":
                upto = np.cumsum(structure.rate[members], axis=1)
                self.high[members], self.low[members] = upto, upto - structure.rate[members]
                on_top = parent[members[:, 0]] < 0
                if on_top.any():
                    self.grouped.append((members[on_top], upto[on_top]))
        self.weights = (structure.loadings / structure.own[:, None]).astype(np.float32)
        self.offset = np.clip(structure.limit / structure.own, -1e6, 1e6).astype(np.float32)
        root = parent < 0
        chosen = (group >= 0) & (structure.choice == "one")
        self.alone = np.flatnonzero(root & ~structure.loaded & ~chosen)
        self.cells = BernoulliCells(structure.rate[self.alone])
        self.correlated = np.flatnonzero(root & structure.loaded)
        self.scan = Scan(
            structure.loadings[self.correlated],
            structure.own[self.correlated],
            structure.limit[self.correlated],
        )


def _roots(
    plan: _Plan, rng: np.random.Generator, n: int, factors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and features of the roots whose event happens."""
    cells = plan.cells.draw(rng, n).astype(np.int64)
    row = cells // max(1, len(plan.alone))
    rows, features = [row], [plan.alone[cells - row * len(plan.alone)]]
    if len(plan.correlated):
        row, column = plan.scan.draw(rng, factors)
        rows.append(row)
        features.append(plan.correlated[column])
    for members, upto in plan.grouped:
        # One uniform tells which member of a group is the one, or that none is.
        place = (rng.random((n, len(upto), 1)) >= upto).sum(axis=2)
        row, group = np.nonzero(place < members.shape[1])
        rows.append(row)
        features.append(members[group, place[row, group]])
    return np.concatenate(rows), np.concatenate(features)


def _losers(contest: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """Indices of all but the one of least luck in each contest."""
    order = np.arange(len(contest))
    if np.any(contest[1:] < contest[:-1]):
        order = np.argsort(contest, kind="stable")
    sorted_contest, sorted_luck = contest[order], luck[order]
    start = np.flatnonzero(np.concatenate([[True], sorted_contest[1:] != sorted_contest[:-1]]))
    size = np.diff(np.append(start, len(contest)))
    several = np.repeat(size > 1, size)
    least = np.repeat(np.minimum.reduceat(sorted_luck, start), size)
    return order[several & (sorted_luck > least)]
