"""A joint law of codes as a list of all that can be drawn, with weights: every chance is a sum.

It is what a `Structure` is for features that fire by no simple law, as those of a model do that
computes: some fire exactly when others do, and which ones can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from groundtruth.errors import InputError, reject

_NO_LENGTH = 1e-10  # of a vector of unit codes, squared: float32 activations make 1e-14 of nothing
_NO_SHARE = 1e-6  # of a feature in a dependence


@dataclass(frozen=True)
class Population:
    """Codes with the probability of each row.

    Fields:
        codes: (n_rows, n_features) CSR float64, none negative.
        weights: (n_rows,) probabilities, which sum to 1.
        groups: sets of features of which exactly one fires in every row, always at the same value.

    Raises:
        InputError: any of that does not hold.

    Example:
        >>> coin = Population(sp.csr_array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.25, 0.75]))
        >>> coin.firing_probability.tolist(), coin.joint([0, 1])
        ([0.25, 0.75], 0.0)
    """

    codes: sp.csr_array
    weights: np.ndarray
    groups: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        codes = sp.csr_array(self.codes, dtype=np.float64, copy=True)
        codes.eliminate_zeros()
        codes.sort_indices()
        weights = np.array(self.weights, dtype=np.float64)
        if weights.shape != codes.shape[:1] or not (weights >= 0).all():
            raise reject("population.weights", weights.shape, f"{codes.shape[0]} chances >= 0")
        if abs(float(weights.sum()) - 1) > 1e-9:
            raise reject("population.weights", float(weights.sum()), "chances that sum to 1")
        if not (np.isfinite(codes.data).all() and (codes.data > 0).all()):
            raise InputError("population.codes: expected finite numbers, none below 0.")
        for array in (codes.data, codes.indices, codes.indptr, weights):
            array.setflags(write=False)
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "weights", weights)
        for group in self.groups:
            self._check_group(np.asarray(group))

    def _check_group(self, group: np.ndarray) -> None:
        firing = np.asarray((self.codes[:, group] > 0).sum(axis=1)).ravel()
        if (firing != 1).any():
            raise InputError(
                f"population.groups: expected exactly one of {group.tolist()} to fire in every "
                f"row, got another number in {int((firing != 1).sum())} rows."
            )
        if not self.fixed[group].all():
            raise InputError(f"population.groups: expected one value of each of {group.tolist()}.")

    @property
    def n_features(self) -> int:
        return self.codes.shape[1]

    @cached_property
    def firing_probability(self) -> np.ndarray:
        """(n_features,) P(a_i != 0), exact."""
        return np.minimum(self._mean(0), 1.0)  # rounding aside, chances sum to 1

    @cached_property
    def magnitude(self) -> ListedMagnitude:
        """The law of each feature's value given that it fires."""
        return ListedMagnitude(self)

    @cached_property
    def fixed(self) -> np.ndarray:
        """(n_features,) whether it has one value whenever it fires."""
        first, second = self.magnitude.mean, self.magnitude.second_moment
        return second - first**2 <= 1e-12 * second

    @cached_property
    def second_moments(self) -> sp.csr_array:
        """(n_features, n_features) E[a_i a_j]."""
        return sp.csr_array(self.codes.T @ self._weighted(self.codes))

    def joint(self, features: Iterable[int]) -> float:
        """P(all of `features` fire)."""
        fires = np.ones(len(self.weights), dtype=bool)
        for feature in features:
            if not 0 <= feature < self.n_features:
                raise reject("features", feature, f"indices from 0 to {self.n_features - 1}")
            fires &= (self.codes[:, [feature]] > 0).toarray().ravel()
        return float(self.weights[fires].sum())

    def correlation(self) -> np.ndarray:
        """(n_features, n_features) of codes; 0 where one does not vary."""
        mean = self._mean(1)
        covariance = self.second_moments.toarray() - np.outer(mean, mean)
        variance = np.diag(covariance)
        varies = variance > 1e-12 * np.diag(self.second_moments.toarray())
        scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
        return covariance * np.outer(scale, scale)

    def span(self, members: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(r, d) orthonormal rows that span what the codes of `members` write by `directions`; a
        single row points where they do."""
        part = self.codes[:, members]
        moment = directions[members].T @ (part.T @ self._weighted(part)) @ directions[members]
        size, rows = np.linalg.eigh(moment)
        rows = rows.T[size > 1e-12 * size[-1]][::-1]
        mean = (self.weights @ part) @ directions[members]
        return rows * np.sign(rows @ mean) if len(rows) == 1 else rows

    def dependent(self) -> list[np.ndarray]:
        """Sets of features whose codes c_i depend linearly: sum_i u_i c_i = 0 in every row.

        Adding u_i v to each direction d_i then changes no activation, whatever v is.
        """
        moments = self.second_moments.toarray()
        fires = np.flatnonzero(np.diag(moments) > 0)
        scale = 1 / np.sqrt(np.diag(moments)[fires])
        size, vectors = np.linalg.eigh(moments[np.ix_(fires, fires)] * np.outer(scale, scale))
        null = vectors[:, size < _NO_LENGTH]
        linked = np.abs(null @ null.T) > _NO_SHARE
        n, label = connected_components(sp.csr_array(linked), directed=False)
        sets = [fires[label == k] for k in range(n)]
        return [members for members in sets if len(members) > 1]

    def together(self) -> list[np.ndarray]:
        """Sets of two or more features that fire in the same rows."""
        by_column = sp.csc_array(self.codes[self.weights > 0])
        found: dict[bytes, list[int]] = {}
        for feature in range(self.n_features):
            rows = by_column.indices[by_column.indptr[feature] : by_column.indptr[feature + 1]]
            if len(rows):
                found.setdefault(np.sort(rows).tobytes(), []).append(feature)
        return [np.array(members) for members in found.values() if len(members) > 1]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that decides the law, by name."""
        held = {f"population.group{k}": np.asarray(g) for k, g in enumerate(self.groups)}
        return {
            "population.values": self.codes.data,
            "population.features": self.codes.indices.astype(np.int64),
            "population.rows": self.codes.indptr.astype(np.int64),
            "population.weights": self.weights,
            **held,
        }

    def _mean(self, power: int) -> np.ndarray:
        powered = self.codes.copy()
        powered.data = powered.data**power
        return np.asarray(self.weights @ powered)

    def _weighted(self, codes: Any) -> Any:
        return sp.csr_array(codes.multiply(self.weights[:, None]))


@dataclass(frozen=True)
class ListedMagnitude:
    """The magnitudes of a population: what `MagnitudeLaw` is for laws that have a name."""

    population: Population
    name = "listed"
    scale = 1.0

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def check_features(self, n_features: int) -> None:
        """Raise unless there is one law for each feature."""
        if self.population.n_features != n_features:
            raise reject("magnitude", self.population.n_features, f"{n_features} features")

    def draw(self, rng: np.random.Generator, features: np.ndarray) -> np.ndarray:
        """One magnitude (n,) for each feature index in `features` (n,)."""
        out = np.zeros(len(features))
        for feature in np.unique(features):
            at = np.flatnonzero(features == feature)
            out[at] = self._quantile(int(feature), rng.random(len(at)))
        return out

    @property
    def zero_probability(self) -> np.ndarray:
        """0: no magnitude is."""
        return np.zeros(())

    @cached_property
    def mean(self) -> np.ndarray:
        """(n_features,) E[m]."""
        return self._moment(1)

    @cached_property
    def second_moment(self) -> np.ndarray:
        """(n_features,) E[m^2]."""
        return self._moment(2)

    def nodes(self, n_nodes: int = 9) -> tuple[np.ndarray, np.ndarray]:
        """As of `MagnitudeLaw`: quantiles (n_features, n_nodes) at (q + 1/2) / n_nodes."""
        u = (np.arange(n_nodes) + 0.5) / n_nodes
        found = [self._quantile(feature, u) for feature in range(self.population.n_features)]
        return np.array(found), np.full(n_nodes, 1.0 / n_nodes)

    def description(self) -> dict[str, Any]:
        """Plain JSON; the numbers are the population's."""
        return {"law": self.name}

    def _moment(self, power: int) -> np.ndarray:
        p = self.population.firing_probability
        return np.where(p > 0, self.population._mean(power) / np.where(p > 0, p, 1.0), 1.0)

    def _quantile(self, feature: int, u: np.ndarray) -> np.ndarray:
        values, upto = self._sorted(feature)
        if len(values) == 0:
            return np.ones(len(u))
        return values[np.minimum(np.searchsorted(upto, u * upto[-1]), len(values) - 1)]

    def _sorted(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The feature's values in order, and the chance of each or less."""
        column = sp.coo_array(self.population.codes[:, [feature]])
        weights = self.population.weights[column.coords[0]]
        order = np.argsort(column.data, kind="stable")
        return column.data[order], np.cumsum(weights[order])
