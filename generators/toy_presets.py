"""Named toy worlds: one for each hand-written geometry, a product of three, and a trained one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from groundtruth.errors import UnknownName
from groundtruth.generators.toy_trained import trained_toy
from groundtruth.generators.toy_worlds import SOURCE, polytope
from groundtruth.testbed import Testbed

_GIVEN = {"seed", "name", "source"}


@dataclass(frozen=True)
class ToyPreset:
    """A named toy world: what it is, where it comes from, and the parameters of its builder."""

    name: str
    summary: str
    source: str
    version: int
    builder: Callable[..., Testbed]
    parameters: dict[str, Any] = field(default_factory=dict)

    def build(self, /, *, seed: int = 0, **changes: Any) -> Testbed:
        """The world at `seed`, with any parameter of the builder changed by name."""
        known = set(inspect.signature(self.builder).parameters) - _GIVEN
        for key in changes:
            if key not in known:
                raise UnknownName(f"parameter of {self.name}", key, known)
        parameters = {**self.parameters, **changes}
        return self.builder(seed=seed, name=self.name, source=self.source, **parameters)


def _geometry(name: str, summary: str) -> ToyPreset:
    return ToyPreset(f"toy/{name}", summary, SOURCE, 1, polytope, {"geometry": name})


POLYTOPES: tuple[ToyPreset, ...] = (
    _geometry("dedicated", "1 feature in 1 dimension: no superposition."),
    _geometry("digon", "2 features in 1 dimension, antipodal: D = 1/2."),
    _geometry("triangle", "3 features in 2 dimensions, a triangle: D = 2/3."),
    _geometry("square", "4 features in 2 dimensions, two digons: D = 1/2."),
    _geometry("pentagon", "5 features in 2 dimensions, a regular pentagon: D = 2/5."),
    _geometry("hexagon", "6 features in 2 dimensions, a regular hexagon: D = 1/3."),
    _geometry("tetrahedron", "4 features in 3 dimensions, a tetrahedron: D = 3/4."),
    _geometry("octahedron", "6 features in 3 dimensions, three digons: D = 1/2."),
    _geometry(
        "triangular-bipyramid",
        "5 features in 3 dimensions, a triangle and a digon: D = 2/3 and 1/2.",
    ),
    _geometry(
        "pentagonal-bipyramid",
        "7 features in 3 dimensions, a pentagon and a digon: D = 2/5 and 1/2.",
    ),
    _geometry("square-antiprism", "8 features in 3 dimensions, a square antiprism: D = 3/8."),
    _geometry("5-cell", "5 features in 4 dimensions, a regular simplex: D = 4/5."),
    _geometry("icosahedron", "12 features in 3 dimensions, an icosahedron: D = 1/4."),
    _geometry(
        "icosahedron-axes",
        "6 features in 3 dimensions, one vertex of each antipodal pair of an icosahedron: "
        "D = 1/2, every |cosine| 1/sqrt(5).",
    ),
    ToyPreset(
        "toy/polytope",
        "11 features in 6 dimensions: a pentagon, a tetrahedron and a digon, orthogonal to one "
        "another; or any other product of geometries.",
        SOURCE,
        1,
        polytope,
        {"geometry": ["pentagon", "tetrahedron", "digon"]},
    ),
)


def _pairs(kind: str, placed: str) -> ToyPreset:
    """Two pairs of features: the smallest model in which sets show in the geometry."""
    return ToyPreset(
        f"toy/trained-{kind}",
        f"4 features in 2 dimensions, placed by training; of either {kind} pair the members are "
        f"{placed}.",
        SOURCE,
        1,
        trained_toy,
        {
            "n_features": 4,
            "d": 2,
            "probability": 0.1,
            "n_starts": 8,
            kind: [[0, 1], [2, 3]],
        },
    )


TRAINED: tuple[ToyPreset, ...] = (
    ToyPreset(
        "toy/trained",
        "5 features in 2 dimensions, placed by training a toy model; certified as a pentagon.",
        SOURCE,
        1,
        trained_toy,
        {"n_features": 5, "d": 2, "probability": 0.05},
    ),
    _pairs("correlated", "orthogonal, each antipodal to one of the other pair"),
    _pairs("anticorrelated", "antipodal, orthogonal to the other pair"),
)
"""Built by training, which takes seconds."""

PRESETS: tuple[ToyPreset, ...] = POLYTOPES + TRAINED
