"""How features fire together: trees, exclusive siblings, a Gaussian copula; with exact chances.

Every feature has an event, drawn to happen at its rate. It fires if its event happens, its parent
fires, and, in an exclusive group, if it is the one that is chosen. Events of features with
loadings are thresholded Gaussians with shared factors; given the factors, all events are
independent. So any chance is a product along paths, averaged over the factors: in closed form
where it can be, else by quasi-Monte Carlo with a standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from groundtruth import cache, hashing
from groundtruth.errors import InputError, reject

Choice = Literal["one", "race"]
_DEFAULT: Any = None  # an array that depends on the number of features takes its place

# Points of the average over the factors: independent scramblings, whose spread is the error.
_SCRAMBLINGS, _POINTS = 16, 1024
_CELLS = 1 << 21  # (point, feature) cells at a time: 8 MB of float32
_KEPT_FROM = 4096  # features, from which marginals are kept in the cache; seconds of work

_FIELDS = (
    ("parent", np.int64),
    ("rate", np.float64),
    ("exclusive", np.int64),
    ("present", np.float64),
    ("loadings", np.float64),
    ("scaled", np.bool_),
    ("reference", np.float64),
)


class Estimate(NamedTuple):
    """A chance with its standard error; the error is 0 where the value is a closed form."""

    value: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Structure:
    """The joint law of firing.

    Fields:
        parent: (n,) index of the parent, -1 for a root. A child fires only if its parent does.
        rate: (n,) P(event); for a member of a group with choice "one", P(it is the one), given
            that the group's parent fires.
        exclusive: (n,) group of siblings of which at most one fires, or -1.
        choice: in exclusive groups. "one": a member, or none, is chosen at the given rates.
            "race": events happen on their own, and one of those that happened stays, all equally
            likely; every member then fires less often than its rate says.
        present: (n,) P(the magnitude is not 0); a feature with magnitude 0 did not fire.
        loadings: (n, r) on standard normal factors, rows of length <= 1, zeros for features whose
            events are independent of all others; None if all are. The event is
            [loadings . eps + sqrt(1 - |loadings|^2) eta > Phi^-1(1 - rate)].
        scaled: (n,) whether the magnitude is multiplied by the parent's over `reference`.
        reference: (n,) what a parent's value is divided by when it scales a child.

    Raises:
        InputError: a cycle, a group that spans parents, chances above 1, loadings too long.
    """

    parent: np.ndarray
    rate: np.ndarray
    exclusive: np.ndarray
    choice: Choice = "one"
    present: np.ndarray = _DEFAULT
    loadings: np.ndarray = _DEFAULT
    scaled: np.ndarray = _DEFAULT
    reference: np.ndarray = _DEFAULT

    def __post_init__(self) -> None:
        n = len(self.rate)
        defaults = {
            "present": np.ones(n),
            "scaled": np.zeros(n, dtype=bool),
            "reference": np.ones(n),
            "loadings": np.zeros((n, 0)),
        }
        for name, kind in _FIELDS:
            value = getattr(self, name)
            array = np.array(defaults[name] if value is None else value, dtype=kind)
            if len(array) != n:
                raise reject(
                    f"structure.{name}", array.shape, f"one entry for each of {n} features"
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.choice not in ("one", "race"):
            raise reject("structure.choice", self.choice, '"one" or "race"')
        _check(self)

    @property
    def n_features(self) -> int:
        return len(self.rate)

    def arrays(self) -> dict[str, np.ndarray]:
        """All fields that are arrays, by name."""
        return {name: getattr(self, name) for name, _ in _FIELDS}

    @cached_property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Indices of the features by depth, roots first."""
        return tuple(np.flatnonzero(self.depth == level) for level in range(self.depth.max() + 1))

    @cached_property
    def depth(self) -> np.ndarray:
        """(n,) steps to the root."""
        return depths(self.parent)

    @cached_property
    def groups(self) -> tuple[np.ndarray, ...]:
        """Exclusive groups as arrays (m, b) of members, one array for each size b."""
        member = np.flatnonzero(self.exclusive >= 0)
        member = member[np.argsort(self.exclusive[member], kind="stable")]
        _, start, count = np.unique(self.exclusive[member], return_index=True, return_counts=True)
        return tuple(
            member[start[count == b][:, None] + np.arange(b)] for b in np.unique(count).tolist()
        )

    @cached_property
    def loaded(self) -> np.ndarray:
        """(n,) whether the event depends on the factors."""
        return np.asarray(self.loadings.any(axis=1))

    @cached_property
    def own(self) -> np.ndarray:
        """(n,) standard deviation of the part of the Gaussian that is the feature's alone."""
        return np.sqrt(np.maximum(1.0 - np.square(self.loadings).sum(axis=1), 1e-12))

    @cached_property
    def limit(self) -> np.ndarray:
        """(n,) value that the Gaussian has to exceed: Phi^-1(1 - rate)."""
        return -ndtri(self.rate)

    def path(self, feature: int) -> list[int]:
        """The feature, its parent, and so on to the root."""
        path = [int(feature)]
        while self.parent[path[-1]] >= 0:
            path.append(int(self.parent[path[-1]]))
        return path

    # --- chances ----------------------------------------------------------------------------

    @cached_property
    def marginal(self) -> Estimate:
        """(n,) P(feature fires)."""
        if not self._mixed.any():
            return Estimate(self._closed, np.zeros(self.n_features))
        if self.n_features < _KEPT_FROM:
            value, error = self._averages()
        else:
            described = {name: hashing.array_digest(array) for name, array in self.arrays().items()}
            kept = cache.cached(
                "marginals of a structure, 1",
                lambda: self._averages()._asdict(),
                description={**described, "choice": self.choice, "points": _POINTS},
            )
            value, error = kept["value"], kept["error"]
        mixed = self._mixed
        return Estimate(np.where(mixed, value, self._closed), np.where(mixed, error, 0.0))

    def joint(self, features: Iterable[int]) -> Estimate:
        """P(all of `features` fire); 0 if two of them exclude each other.

        Raises:
            InputError: an index that is none of a feature's.
        """
        features = list(features)
        for feature in features:
            if not 0 <= feature < self.n_features:
                raise reject("features", feature, f"indices from 0 to {self.n_features - 1}")
        needed = sorted({node for feature in features for node in self.path(feature)})
        groups = self.exclusive[needed]
        chosen = groups[groups >= 0]
        if len(set(chosen.tolist())) < len(chosen):
            return Estimate(np.zeros(()), np.zeros(()))
        # What else can matter: those that they race against.
        mates = np.flatnonzero(np.isin(self.exclusive, chosen))
        part = self._restricted(np.union1d(needed, mates).astype(np.int64))
        return part._all_of(np.flatnonzero(np.isin(np.union1d(needed, mates), needed)))

    def _all_of(self, nodes: np.ndarray) -> Estimate:
        """P(each of `nodes` is chosen where its parent fires)."""
        mixed = self.loaded.copy()
        if self.choice == "race":
            for members in self.groups:
                mixed[members] = self.loaded[members].any(axis=1, keepdims=True)
        alone, mixed = nodes[~mixed[nodes]], nodes[mixed[nodes]]
        constant = float(self._selected(self._unloaded[:, None].copy())[alone].prod())
        raced = self.choice == "race" and np.any(self.exclusive[mixed] >= 0)
        if len(mixed) <= 2 and not raced:
            value = constant * float(self.present[mixed].prod()) * _orthant(self, mixed)
            return Estimate(np.array(value), np.zeros(()))
        total = np.zeros(_SCRAMBLINGS)
        for replicate, points in self.points():
            total[replicate] += self._selected(self._events(points))[mixed].prod(axis=0).sum()
        return _averaged(constant * total / _POINTS)

    def _restricted(self, nodes: np.ndarray) -> Structure:
        """The joint law of `nodes` (sorted), which hold the parents of all of them."""
        place = np.full(self.n_features + 1, -1)
        place[nodes] = np.arange(len(nodes))
        fields = {name: getattr(self, name)[nodes] for name, _ in _FIELDS}
        return Structure(**{**fields, "parent": place[fields["parent"]]}, choice=self.choice)

    def _averages(self) -> Estimate:
        total = np.zeros((_SCRAMBLINGS, self.n_features))
        for replicate, points in self.points():
            total[replicate] += self.given(points).sum(axis=1, dtype=np.float64)
        return _averaged(total / _POINTS)

    def given(self, points: np.ndarray) -> np.ndarray:
        """(n, s) P(feature fires | factors), for points (s, r)."""
        chance = self._selected(self._events(points))
        for level in self.levels[1:]:
            chance[level] *= chance[self.parent[level]]
        return chance

    def points(self) -> Iterator[tuple[int, np.ndarray]]:
        """Standard normal factors (s, r) in pieces, with the scrambling that they belong to."""
        from scipy.stats import qmc

        rank = self.loadings.shape[1]
        step = int(max(1, min(_POINTS, _CELLS // self.n_features)))
        for replicate in range(_SCRAMBLINGS):
            unit = qmc.Sobol(rank, rng=np.random.default_rng(replicate)).random(_POINTS)
            normal = ndtri(np.clip(unit, 1e-12, 1 - 1e-12))
            if self.n_features >= _KEPT_FROM:
                normal = normal.astype(np.float32)
            for start in range(0, _POINTS, step):
                yield replicate, normal[start : start + step]

    def _events(self, points: np.ndarray) -> np.ndarray:
        """(n, s) P(event and magnitude not 0 | factors), in the precision of `points`."""
        kind = points.dtype
        if not self.loaded.any():
            return np.repeat(self._unloaded[:, None].astype(kind), len(points), axis=1)
        inner = (self.loadings / self.own[:, None]).astype(kind) @ points.T
        inner -= (self.limit / self.own)[:, None].astype(kind)
        chance = ndtr(inner, out=inner)
        chance *= self.present[:, None].astype(kind)
        return chance

    def _selected(self, event: np.ndarray) -> np.ndarray:
        """(n, s) P(it is chosen in its group, if it has one | parent fires, factors)."""
        if self.choice == "race":
            for members in self.groups:
                event[members] = winning(event[members])
        return event

    @cached_property
    def _unloaded(self) -> np.ndarray:
        return self.rate * self.present

    @cached_property
    def _closed(self) -> np.ndarray:
        """(n,) marginals where a path meets the factors at most once."""
        chance = self._selected(self._unloaded[:, None].copy())[:, 0]
        for level in self.levels[1:]:
            chance[level] *= chance[self.parent[level]]
        return chance

    @cached_property
    def _mixed(self) -> np.ndarray:
        """(n,) whether the marginal is an average over the factors of more than one chance."""
        met = self.loaded.astype(int)
        if self.choice == "race":
            for members in self.groups:
                several = self.loaded[members].any(axis=1, keepdims=True)
                met[members] = np.where(several, 2, met[members])
        for level in self.levels[1:]:
            met[level] += met[self.parent[level]]
        return met > 1

    # --- magnitudes -------------------------------------------------------------------------

    def scaled_moments(self, mean: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) first and second moment of each feature's value, given that it fires.

        Args:
            mean, second: (n,) moments of its own magnitude, given that it is not 0.

        Magnitudes are drawn independently of who fires, so a child's moments are products up the
        chain of parents that scale it.
        """
        first = np.broadcast_to(mean, self.n_features).astype(np.float64)
        square = np.broadcast_to(second, self.n_features).astype(np.float64)
        for level in self.levels[1:]:
            at = level[self.scaled[level]]
            above = self.parent[at]
            first[at] *= first[above] / self.reference[above]
            square[at] *= square[above] / self.reference[above] ** 2
        return first, square


_legendre = lru_cache(np.polynomial.legendre.leggauss)


def winning(event: np.ndarray) -> np.ndarray:
    """(m, b, s) P(member happens and wins an even race against those of its b that happened too).

    P = r_i integral over u in [0, 1] of prod_{j != i} (1 - r_j + r_j u): u^m integrates to
    1 / (m + 1), the chance against m rivals. Gauss-Legendre is exact for this polynomial.

    Args:
        event: (m, b, s) chances r that members happen.
    """
    nodes, weights = _legendre((event.shape[1] + 1) // 2)
    won = np.zeros_like(event)
    for u, weight in zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):
        term = 1.0 - event * (1.0 - u)
        share = term.prod(axis=1, keepdims=True)
        share *= weight
        won += share / term
    won *= event
    return won


def _orthant(structure: Structure, nodes: np.ndarray) -> float:
    """P(the events of at most two loaded features happen), from the normal distribution."""
    from scipy.stats import multivariate_normal

    if len(nodes) == 0:
        return 1.0
    if len(nodes) == 1:
        return float(structure.rate[nodes[0]])
    rho = float(structure.loadings[nodes[0]] @ structure.loadings[nodes[1]])
    upper = -structure.limit[nodes]
    covariance: Any = np.array([[1.0, rho], [rho, 1.0]])
    return float(multivariate_normal.cdf(upper, cov=covariance))


def _averaged(replicates: np.ndarray) -> Estimate:
    spread = replicates.std(axis=0, ddof=1) / np.sqrt(len(replicates))
    return Estimate(replicates.mean(axis=0), spread)


def depths(parent: np.ndarray) -> np.ndarray:
    """(n,) steps to the root, for parents (n,); InputError if following them never ends."""
    depth = np.zeros(len(parent), dtype=np.int64)
    above = parent.copy()
    for _ in range(len(parent) + 1):
        inside = above >= 0
        if not inside.any():
            return depth
        depth += inside
        above = np.where(inside, parent[above], -1)
    at = int(np.flatnonzero(above >= 0)[0])
    raise InputError(
        f"structure.parent: expected trees, got a cycle through feature {at}. Every chain of "
        "parents must end at a root, whose parent is -1."
    )


def _check(structure: Structure) -> None:
    n, parent = structure.n_features, structure.parent
    if np.any(parent < -1) or np.any(parent >= n):
        at = int(np.flatnonzero((parent < -1) | (parent >= n))[0])
        raise InputError(
            f"structure.parent: expected indices from -1 to {n - 1}, got {parent[at]} for feature "
            f"{at}."
        )
    depths(parent)
    for name in ("rate", "present"):
        value = getattr(structure, name)
        bad = np.flatnonzero(~((value >= 0) & (value <= 1)))
        if bad.size:
            raise InputError(
                f"structure.{name}: expected chances within [0, 1], got {value[bad[0]]:.6g} for "
                f"feature {bad[0]}."
            )
    for members in structure.groups:
        if members.shape[1] == 1:
            raise reject(
                "structure.exclusive", f"a group of one, feature {members[0, 0]}", "two or more"
            )
        mixed = np.flatnonzero((parent[members] != parent[members[:, :1]]).any(axis=1))
        if mixed.size:
            raise InputError(
                "structure.exclusive: expected the members of a group to have one parent, got "
                f"features {members[mixed[0]].tolist()} with parents "
                f"{parent[members[mixed[0]]].tolist()}."
            )
        total = structure.rate[members].sum(axis=1)
        full = np.flatnonzero(total > 1 + 1e-9)
        if structure.choice == "one" and full.size:
            raise InputError(
                f"structure.rate: expected exclusive features to have chances that sum to at most "
                f"1, got {total[full[0]]:.6g} for features {members[full[0]].tolist()}. Lower "
                "them, raise their parent's probability, or have fewer exclusive children."
            )
        if structure.choice == "one" and structure.loaded[members].any():
            raise InputError(
                "structure.loadings: expected none for members of an exclusive group with choice "
                f'"one", got some for one of {members[0].tolist()}.'
            )
    for name in ("loadings", "reference"):
        if not np.all(np.isfinite(getattr(structure, name))):
            raise reject(f"structure.{name}", getattr(structure, name), "finite numbers")
    long = np.flatnonzero(np.square(structure.loadings).sum(axis=1) > 1 + 1e-9)
    if long.size:
        raise InputError(
            "structure.loadings: expected rows of length <= 1, got "
            f"{np.linalg.norm(structure.loadings[long[0]]):.6g} for feature {long[0]}. Lower the "
            "scale of the correlation, or its rank."
        )
