"""Manifolds of a recipe, and the sampler that adds them to a world of sparse features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from groundtruth import seeds
from groundtruth.errors import InputError, UnknownName, reject
from groundtruth.generators import firing
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.manifold import CHARTS, Manifold, Visits
from groundtruth.testbed import Sampler

_WORDS = ("chart", "count", "firing", "magnitude", "n_points", "dims")
MOST = 10_000
"""Manifolds of one entry: each is drawn by itself, at some microseconds a block."""
_SIZES = {"n_points": "points", "dims": "gaussian"}


@dataclass(frozen=True)
class ManifoldSampler:
    """Draws from `inner`, and adds what the manifolds write.

    Manifolds draw from a stream of their own, the generator jumped ahead by 2^128 numbers, so that
    where they fire is known without drawing the rest.
    """

    inner: Sampler
    manifolds: tuple[Manifold, ...]

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, sp.csr_array]:
        """x (n, d) float32 and codes (n, n_features) CSR float32 of the features."""
        visits = self.visits(rng, n)
        return self._added(visits, *self.inner.draw(rng, n))

    def draw_active(
        self, rng: np.random.Generator, features: np.ndarray
    ) -> tuple[np.ndarray, sp.csr_array]:
        """As `draw`, row r given that features[r] fires; manifolds do not depend on features."""
        visits = self.visits(rng, len(features))
        return self._added(visits, *self.inner.draw_active(rng, features))

    def visits(self, rng: np.random.Generator, n: int) -> tuple[Visits, ...]:
        """Where each manifold fires in what `draw` would give from a generator in this state."""
        own = np.random.Generator(rng.bit_generator.jumped())  # type: ignore[attr-defined]
        return tuple(manifold.draw(own, n) for manifold in self.manifolds)

    def _added(
        self, visits: tuple[Visits, ...], x: np.ndarray, codes: sp.csr_array
    ) -> tuple[np.ndarray, sp.csr_array]:
        for manifold, found in zip(self.manifolds, visits, strict=True):
            x[found.row] += manifold.contribution(found).astype(np.float32)
        return x, codes


def manifolds_of(
    given: Sequence[Mapping[str, Any]], root: bytes, directions: np.ndarray, scale: float
) -> tuple[Manifold, ...]:
    """The manifolds that a recipe lists, in random subspaces.

    Subspaces are drawn uniformly; where the features are orthonormal, orthogonal to them and to one
    another.

    Args:
        given: as checked by `listed`.
        directions: (n_features, d).
        scale: factor on every magnitude.
    """
    bases = _Bases(directions, seeds.generator(root, "manifolds"))
    made = []
    for number, entry in enumerate(given):
        sizes = {word: entry[word] for word in _SIZES if word in entry}
        rng = seeds.generator(root, "manifolds", number)
        fires = firing.firing_probability(entry["count"], rng, **entry["firing"])
        parameters = {word: value for word, value in entry["magnitude"].items() if word != "law"}
        magnitude = MagnitudeLaw(entry["magnitude"]["law"], parameters, scale)
        for q in fires:
            chart = CHARTS[entry["chart"]](**sizes)
            name = f"{chart.name}{len(made)}"
            fired = float(q * (1 - magnitude.zero_probability))
            made.append((name, chart, bases.take(chart.dims), fired, magnitude))
    return tuple(Manifold(*fields) for fields in made)


def listed(value: object) -> list[dict[str, Any]]:
    """The recipe's manifolds as plain JSON with every word present, or an error."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise reject("manifolds", value, 'a list such as [{"chart": "circle", "firing": 0.1}]')
    return [_entry(number, entry) for number, entry in enumerate(value)]


def _entry(number: int, entry: object) -> dict[str, Any]:
    where = f"manifolds[{number}]"
    if not isinstance(entry, Mapping) or "chart" not in entry:
        raise reject(where, entry, 'a mapping such as {"chart": "circle", "firing": 0.1}')
    for word in entry:
        if word not in _WORDS:
            raise UnknownName(f"word of {where}", str(word), _WORDS)
    chart, count = str(entry["chart"]), entry.get("count", 1)
    if chart not in CHARTS:
        raise UnknownName("chart", chart, CHARTS)
    whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
    if not whole or not 1 <= count <= MOST:
        raise reject(f"{where}.count", count, f"a whole number from 1 to {MOST:,}")
    sizes = {word: entry[word] for word in _SIZES if word in entry}
    if sizes.keys() != {word for word, of in _SIZES.items() if of == chart}:
        raise reject(where, dict(entry), '"n_points" for chart points alone, "dims" for gaussian')
    CHARTS[chart](**sizes)
    fires = _law(where, "firing", entry.get("firing", 0.1), "probability")
    magnitude = _law(where, "magnitude", entry.get("magnitude", 1.0), "value")
    parameters = {word: value for word, value in magnitude.items() if word != "law"}
    if any(value.ndim for value in MagnitudeLaw(magnitude["law"], parameters).parameters.values()):
        raise reject(f"{where}.magnitude", magnitude, "one number for each parameter")
    made = {"chart": chart, "count": int(count), **{k: int(v) for k, v in sizes.items()}}
    return {**made, "firing": fires, "magnitude": magnitude}


def _law(where: str, word: str, value: object, number: str) -> dict[str, Any]:
    """A law as plain JSON; a bare number is the parameter `number` of a constant one."""
    if isinstance(value, str):
        value = {"law": value}
    elif not isinstance(value, Mapping):
        value = {"law": "constant", number: value}
    if "law" not in value:
        raise reject(
            f"{where}.{word}", value, f'a number or a law: {{"law": ..., "{number}": ...}}'
        )
    return {key: np.asarray(given).tolist() for key, given in value.items()}


class _Bases:
    """Hands out subspaces of R^d."""

    def __init__(self, directions: np.ndarray, rng: np.random.Generator) -> None:
        n, self._d = directions.shape
        self._rng = rng
        gram = directions @ directions.T if n <= self._d else np.zeros((0, 0))
        orthonormal = n <= self._d and np.allclose(gram, np.eye(n), atol=1e-9)
        self._taken = directions if orthonormal else None

    def take(self, dims: int) -> np.ndarray:
        """(dims, d) orthonormal rows."""
        drawn = self._rng.standard_normal((dims, self._d))
        if self._taken is not None:
            if len(self._taken) + dims > self._d:
                raise InputError(
                    "manifolds: expected features and subspaces orthogonal to one another to fit "
                    f"in d = {self._d}, got {len(self._taken) + dims} dimensions or more. Raise d, "
                    'or take another dictionary than "orthonormal".'
                )
            for _ in range(2):  # once more, against rounding
                drawn = drawn - drawn @ self._taken.T @ self._taken
        if dims > self._d:
            raise InputError(
                f"manifolds: expected at most d = {self._d} dimensions, got {dims}. Raise d."
            )
        basis = np.linalg.qr(drawn.T)[0].T
        if self._taken is not None:
            self._taken = np.concatenate([self._taken, basis])
        return basis
