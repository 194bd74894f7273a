"""Samples in which a given feature fires: what that forces, and what it says about the factors."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from groundtruth.errors import GroundtruthError
from groundtruth.structure import Structure, winning

# Proposals per row and round; and rounds after which a feature counts as one that never fires.
_TRIES, _ROUNDS = 16, 20_000


class Forced:
    """One feature per row that fires, with its ancestors; their exclusive siblings do not."""

    def __init__(self, structure: Structure, features: np.ndarray) -> None:
        self.structure = structure
        paths = path_table(structure)[features]
        row, step = np.nonzero(paths >= 0)
        self._row, self._node = row, paths[row, step]
        n = structure.n_features
        self._keys = np.sort(self._row * n + self._node)
        grouped = structure.exclusive[self._node] >= 0
        self._n_groups = int(structure.exclusive.max(initial=-1)) + 1
        self._blocked = np.sort(
            self._row[grouped] * self._n_groups + structure.exclusive[self._node[grouped]]
        )

    def holds(self, row: np.ndarray, feature: np.ndarray) -> np.ndarray:
        """Whether each (row, feature) is forced to fire."""
        return _member(row * self.structure.n_features + feature, self._keys)

    def events(self, row: np.ndarray, feature: np.ndarray, happens: np.ndarray) -> np.ndarray:
        """What happens: the forced do, their exclusive siblings do not, others as drawn."""
        group = self.structure.exclusive[feature]
        blocked = (group >= 0) & _member(row * self._n_groups + group, self._blocked)
        return self.holds(row, feature) | (happens & ~blocked)

    def roots(self, row: np.ndarray, feature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Root events (rows, features), with the forced ones added and the blocked left out."""
        own = self.structure.parent[self._node] < 0
        drawn = self.events(row, feature, np.ones(len(row), dtype=bool))
        drawn &= ~self.holds(row, feature)
        return (
            np.concatenate([row[drawn], self._row[own]]),
            np.concatenate([feature[drawn], self._node[own]]),
        )


def _member(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return known[at] == keys


def path_table(structure: Structure) -> np.ndarray:
    """(n, depth) the feature, its parent and so on; -1 after the root."""
    table = np.full((structure.n_features, len(structure.levels)), -1, dtype=np.int64)
    table[:, 0] = np.arange(structure.n_features)
    for step in range(1, table.shape[1]):
        before = table[:, step - 1]
        table[:, step] = np.where(before >= 0, structure.parent[before], -1)
    return table


def factors_given(
    rng: np.random.Generator, structure: Structure, features: np.ndarray
) -> np.ndarray:
    """Factors (n, r), row by row from their law given that features[row] fires.

    Proposed from the law given the event of the path's rarest loaded feature (exact, since the
    factors and its Gaussian are jointly normal), accepted with the chance of all else on the path.
    """
    return _Paths(structure, features).draw(rng)


class _Paths:
    def __init__(self, structure: Structure, features: np.ndarray) -> None:
        self.structure, self.features = structure, features
        paths = path_table(structure)[features]
        loaded = (paths >= 0) & structure.loaded[paths]
        rarity = np.where(loaded, structure.rate[paths], np.inf)
        self.paths = paths
        self.any = loaded.any(axis=1)
        self.pivot = paths[np.arange(len(paths)), rarity.argmin(axis=1)]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        structure = self.structure
        out = rng.standard_normal((len(self.features), structure.loadings.shape[1]))
        left = np.flatnonzero(self.any | self._raced)
        for _ in range(_ROUNDS):
            if not len(left):
                return out
            rows = np.repeat(left, _TRIES)
            proposed = self._proposed(rng, rows)
            taken = rng.random(len(rows)) < self._chance(rows, proposed)
            taken = taken.reshape(-1, _TRIES)
            first, done = taken.argmax(axis=1), taken.any(axis=1)
            kept = np.arange(len(left)) * _TRIES + first
            out[left[done]] = proposed[kept[done]]
            left = left[~done]
        raise GroundtruthError(
            f"feature {self.features[left[0]]}: expected a feature that fires now and then, got "
            f"none among {_TRIES * _ROUNDS:,} draws of the correlated factors. Raise its "
            "probability, or lower the scale of the correlation."
        )

    def _proposed(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """Factors given that the Gaussian of each row's pivot exceeds its limit."""
        structure, pivot = self.structure, self.pivot[rows]
        factors = rng.standard_normal((len(rows), structure.loadings.shape[1]))
        loadings = structure.loadings[pivot]
        gaussian = np.einsum("ij,ij->i", loadings, factors)
        gaussian += structure.own[pivot] * rng.standard_normal(len(rows))
        rate = structure.rate[pivot]
        above = -ndtri(np.maximum(rate * (1.0 - rng.random(len(rows))), 1e-300))
        shift = np.where(self.any[rows], above - gaussian, 0.0)
        return factors + loadings * shift[:, None]

    def _chance(self, rows: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """P(all on the path are chosen | factors) over P(the pivot's event | factors)."""
        structure, chance = self.structure, np.ones(len(rows))
        for node in self.paths[rows].T:
            on = np.flatnonzero(node >= 0)
            at, known = node[on], factors[on]
            event = self._event(at, known)
            is_pivot = self.any[rows[on]] & (at == self.pivot[rows[on]])
            chance[on] *= np.where(is_pivot | ~structure.loaded[at], 1.0, event)
            if structure.choice == "race":
                chance[on] *= self._won(at, known)
        return chance

    def _event(self, nodes: np.ndarray, factors: np.ndarray) -> np.ndarray:
        structure = self.structure
        inner = np.einsum("ij,ij->i", structure.loadings[nodes], factors)
        return ndtr((inner - structure.limit[nodes]) / structure.own[nodes])

    def _won(self, nodes: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """P(the node wins its race | it takes part, factors); 1 outside groups."""
        structure, out = self.structure, np.ones(len(nodes))
        for members, group, place in self._seats:
            on = np.flatnonzero(group[nodes] >= 0)
            rivals = members[group[nodes[on]]]  # (m, b), the node among them
            flat = self._event(rivals.ravel(), np.repeat(factors[on], rivals.shape[1], axis=0))
            events = flat.reshape(rivals.shape) * structure.present[rivals]
            own = np.arange(len(on)), place[nodes[on]]
            out[on] = winning(events[:, :, None])[:, :, 0][own] / np.maximum(events[own], 1e-300)
        return out

    @cached_property
    def _raced(self) -> np.ndarray:
        """(n,) whether a race on the path depends on the factors."""
        structure = self.structure
        if structure.choice != "race":
            return np.zeros(len(self.features), dtype=bool)
        touched = np.zeros(structure.n_features, dtype=bool)
        for members in structure.groups:
            touched[members] = structure.loaded[members].any(axis=1, keepdims=True)
        return np.asarray(((self.paths >= 0) & touched[self.paths]).any(axis=1))

    @cached_property
    def _seats(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For groups of one size: members (m, b), and of each feature its group among these (-1
        for none) and its place in it."""
        seats = []
        for members in self.structure.groups:
            group = np.full(self.structure.n_features, -1)
            place = np.zeros(self.structure.n_features, dtype=np.int64)
            group[members] = np.arange(len(members))[:, None]
            place[members] = np.arange(members.shape[1])
            seats.append((members, group, place))
        return seats
