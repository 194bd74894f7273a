"""Features of more than one dimension: a firing writes a point of a manifold into a subspace.

x gains b phi(c) U where the manifold fires: b > 0 from its magnitude law, c a uniform point of its
chart, phi(c) (dims,) with E |phi|^2 = 1, and U (dims, d) orthonormal. The subspace is what
activations tell; its axes are a convention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from groundtruth.errors import InputError, reject
from groundtruth.magnitude import MagnitudeLaw

TURN = 2 * math.pi


class Chart(Protocol):
    """Points of a manifold: how they are drawn, where they lie, how far apart they are.

    Coordinates are arrays (n, n_coordinates), points (n, dims).
    """

    @property
    def name(self) -> str: ...
    @property
    def dims(self) -> int:
        """Dimensions of the subspace that the points span."""
        ...

    @property
    def mean(self) -> np.ndarray:
        """(dims,) E[phi(c)]."""
        ...

    @property
    def chance(self) -> float:
        """E distance(c, g) for the best constant guess g, c uniform."""
        ...

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """(n, n_coordinates) uniform on the manifold."""
        ...

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """(n, dims) phi(c); E[phi phi^T] = I / dims."""
        ...

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Coordinates of the points of the manifold nearest to any `points` (n, dims)."""
        ...

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(n,) geodesic distance between coordinates."""
        ...


@dataclass(frozen=True)
class Circle:
    """An angle in [0, 2 pi), at (cos, sin); distances in radians."""

    name = "circle"
    dims = 2
    chance = math.pi / 2

    @property
    def mean(self) -> np.ndarray:
        return np.zeros(2)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(0, TURN, (n, 1))

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        return np.concatenate([np.cos(coordinates), np.sin(coordinates)], axis=1)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        return np.mod(np.arctan2(points[:, 1:], points[:, :1]), TURN)

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return _apart(one, other)[:, 0]


@dataclass(frozen=True)
class Sphere:
    """Colatitude in [0, pi] and longitude in [0, 2 pi), uniform by area; distances in radians."""

    name = "sphere"
    dims = 3
    chance = math.pi / 2

    @property
    def mean(self) -> np.ndarray:
        return np.zeros(3)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        height, longitude = rng.uniform(-1, 1, n), rng.uniform(0, TURN, n)
        return np.stack([np.arccos(height), longitude], axis=1)

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        colatitude, longitude = coordinates.T
        ring = np.sin(colatitude)
        return np.stack(
            [ring * np.cos(longitude), ring * np.sin(longitude), np.cos(colatitude)], axis=1
        )

    def nearest(self, points: np.ndarray) -> np.ndarray:
        x, y, z = points.T
        return np.stack([np.arctan2(np.hypot(x, y), z), np.mod(np.arctan2(y, x), TURN)], axis=1)

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        chord = np.linalg.norm(self.points(one) - self.points(other), axis=1)
        return 2 * np.arcsin(np.clip(chord / 2, 0, 1))


@dataclass(frozen=True)
class Torus:
    """Two angles, each on a circle of radius 1/sqrt 2; distance is the flat one, in radians."""

    name = "torus"
    dims = 4
    # E hypot(u, v), u and v uniform on [0, pi].
    chance = math.pi * (math.sqrt(2) + math.asinh(1)) / 3

    @property
    def mean(self) -> np.ndarray:
        return np.zeros(4)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(0, TURN, (n, 2))

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        return np.concatenate([np.cos(coordinates), np.sin(coordinates)], axis=1) / math.sqrt(2)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        return np.mod(np.arctan2(points[:, 2:], points[:, :2]), TURN)

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.linalg.norm(_apart(one, other), axis=1)


@dataclass(frozen=True)
class Interval:
    """A number t in [0, 1], on the half circle (cos pi t, sin pi t); distance |t - t'|."""

    name = "interval"
    dims = 2
    chance = 0.25

    @property
    def mean(self) -> np.ndarray:
        return np.array([0.0, 2 / math.pi])

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(0, 1, (n, 1))

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        return Circle().points(math.pi * coordinates)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        turned = np.arctan2(points[:, 1:], points[:, :1])
        # Below the half circle the nearer end counts.
        return np.where(turned >= 0, turned / math.pi, np.where(turned > -math.pi / 2, 0.0, 1.0))

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.abs(one - other)[:, 0]


@dataclass(frozen=True)
class Points:
    """One of `n_points` >= 3 points evenly on a circle, by number; distances in radians."""

    n_points: int
    name = "points"
    dims = 2

    def __post_init__(self) -> None:
        _check_whole("manifolds.n_points", self.n_points, 3)

    @property
    def mean(self) -> np.ndarray:
        return np.zeros(2)

    @property
    def chance(self) -> float:
        every = np.arange(self.n_points)[:, None]
        return float(self.distance(every, np.zeros_like(every)).mean())

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.integers(0, self.n_points, (n, 1)).astype(np.float64)

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        return Circle().points(coordinates * (TURN / self.n_points))

    def nearest(self, points: np.ndarray) -> np.ndarray:
        return np.rint(Circle().nearest(points) * (self.n_points / TURN)) % self.n_points

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        step = TURN / self.n_points
        return _apart(one * step, other * step)[:, 0]


@dataclass(frozen=True)
class Gaussian:
    """A normal vector of `dims` >= 2 coordinates, each of variance 1 / dims: no axis is special."""

    dims: int
    name = "gaussian"

    def __post_init__(self) -> None:
        _check_whole("manifolds.dims", self.dims, 2)

    @property
    def mean(self) -> np.ndarray:
        return np.zeros(self.dims)

    @property
    def chance(self) -> float:
        half = self.dims / 2
        return math.exp(math.lgamma(half + 0.5) - math.lgamma(half)) / math.sqrt(half)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.standard_normal((n, self.dims)) / math.sqrt(self.dims)

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        return coordinates

    def nearest(self, points: np.ndarray) -> np.ndarray:
        return points

    def distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.linalg.norm(one - other, axis=1)


CHARTS = {
    "circle": Circle,
    "sphere": Sphere,
    "torus": Torus,
    "interval": Interval,
    "points": Points,
    "gaussian": Gaussian,
}


class Visits(NamedTuple):
    """Where one manifold fires in n samples.

    Fields:
        row: (m,) samples, ascending.
        magnitude: (m,) b.
        coordinates: (m, n_coordinates) c.
    """

    row: np.ndarray
    magnitude: np.ndarray
    coordinates: np.ndarray


@dataclass(frozen=True)
class Manifold:
    """A planted feature of several dimensions.

    Fields:
        name: unique in its world.
        chart: the shape, and the law of its points.
        basis: (dims, d) orthonormal rows U.
        firing_probability: q, independent of everything else.
        magnitude: the law of b, one for all, in activation units.

    Raises:
        InputError: a basis that is not orthonormal or of the wrong shape, q outside (0, 1].
    """

    name: str
    chart: Chart
    basis: np.ndarray
    firing_probability: float
    magnitude: MagnitudeLaw

    def __post_init__(self) -> None:
        basis = np.array(self.basis, dtype=np.float64)
        if basis.ndim != 2 or len(basis) != self.chart.dims:
            raise reject(f"manifold {self.name}: basis", basis.shape, f"({self.chart.dims}, d)")
        if not np.allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-9):
            raise InputError(
                f"manifold {self.name}: expected a basis of orthonormal rows, got "
                f"{np.abs(basis @ basis.T - np.eye(len(basis))).max():.3g} off. Take the Q of a QR."
            )
        q = self.firing_probability
        if not 0 < q <= 1:
            raise reject(f"manifold {self.name}: firing_probability", q, "a number in (0, 1]")
        self.magnitude.check_features(1)
        basis.setflags(write=False)
        object.__setattr__(self, "basis", basis)

    @property
    def mean(self) -> np.ndarray:
        """(d,) its part of E[x]."""
        size = self.firing_probability * float(self.magnitude.mean)
        return size * self.chart.mean @ self.basis

    @property
    def covariance(self) -> np.ndarray:
        """(d, d) its part of Cov(x): q E[b^2] U^T U / dims - mean mean^T."""
        second = self.firing_probability * float(self.magnitude.second_moment)
        return second / self.chart.dims * self.basis.T @ self.basis - np.outer(self.mean, self.mean)

    def draw(self, rng: np.random.Generator, n: int) -> Visits:
        """Where it fires in n samples, and at which points."""
        row = np.flatnonzero(rng.random(n) < self.firing_probability)
        magnitude = self.magnitude.draw(rng, np.zeros(len(row), dtype=np.int64))
        coordinates = self.chart.draw(rng, len(row))
        fires = magnitude > 0  # of a rectified law
        return Visits(row[fires], np.asarray(magnitude)[fires], coordinates[fires])

    def contribution(self, visits: Visits) -> np.ndarray:
        """(m, d) what the visits add to their samples."""
        return (visits.magnitude[:, None] * self.chart.points(visits.coordinates)) @ self.basis

    def axis_codes(self, visits: Visits, n: int) -> sp.csr_array:
        """(n, 2 dims) non-negative codes on the rows U, then -U, that write the visits."""
        value = visits.magnitude[:, None] * self.chart.points(visits.coordinates)
        both = np.concatenate([np.maximum(value, 0), np.maximum(-value, 0)], axis=1)
        compact = sp.csr_array(both.astype(np.float32))
        out = sp.csr_array((n, both.shape[1]), dtype=np.float32)
        count = np.zeros(n, dtype=np.int64)
        count[visits.row] = np.diff(compact.indptr)
        out.indptr = np.concatenate([[0], np.cumsum(count)])
        out.data, out.indices = compact.data, compact.indices
        return out

    def axis_prior(self, n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
        """How the codes of `axis_codes` are spread: P(code > 0), and quantiles given that.

        From 8,192 visits of a fixed seed; a summary for solvers, not a source of moments.

        Returns:
            (2 dims,) chances and (2 dims, n_nodes) nodes of equal probability.
        """
        rng = np.random.default_rng(0)
        value = self.magnitude.draw(rng, np.zeros(8192, dtype=np.int64))[:, None]
        value = value * self.chart.points(self.chart.draw(rng, 8192))
        both = np.concatenate([value, -value], axis=1)
        u = (np.arange(n_nodes) + 0.5) / n_nodes
        chance = self.firing_probability * (both > 1e-9).mean(axis=0)
        nodes = [np.quantile(v[v > 1e-9], u) if np.any(v > 1e-9) else u + 1 for v in both.T]
        return chance, np.array(nodes)

    def description(self) -> dict[str, Any]:
        """Plain JSON of everything but the basis; `of_description` makes it again."""
        sizes = {key: getattr(self.chart, key) for key in ("n_points",) if hasattr(self.chart, key)}
        if isinstance(self.chart, Gaussian):
            sizes["dims"] = self.chart.dims
        return {
            "name": self.name,
            "chart": self.chart.name,
            **sizes,
            "firing_probability": float(self.firing_probability),
            "magnitude": self.magnitude.description(),
            "scale": float(self.magnitude.scale),
        }


def of_description(description: dict[str, Any], basis: np.ndarray) -> Manifold:
    """The manifold of `Manifold.description` and its basis."""
    sizes = {k: description[k] for k in ("n_points", "dims") if k in description}
    law = dict(description["magnitude"])
    return Manifold(
        description["name"],
        CHARTS[description["chart"]](**sizes),
        basis,
        description["firing_probability"],
        MagnitudeLaw(law.pop("law"), law, description["scale"]),
    )


def joined(blocks: Sequence[Visits], starts: Sequence[int]) -> Visits:
    """The visits of several blocks as one, block i beginning at row starts[i]."""
    rows = [visits.row + start for visits, start in zip(blocks, starts, strict=True)]
    return Visits(
        np.concatenate(rows),
        np.concatenate([visits.magnitude for visits in blocks]),
        np.concatenate([visits.coordinates for visits in blocks]),
    )


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance between angles, the short way round."""
    gap = np.mod(np.abs(one - other), TURN)
    return np.minimum(gap, TURN - gap)


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise reject(name, value, f"a whole number >= {least}")
