"""Worlds of toy models: activations h = W x with sparse x, and their exact truth.

a_i, the code of feature i, is |W_i| x_i: it fires with probability p_i and is then uniform on
(0, |W_i|]; features fire independently, in correlated sets or in anticorrelated ones.
`polytope` writes W by hand; `toy_trained.py` takes it from a trained model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError, reject
from groundtruth.generators.dictionaries import random_rotation
from groundtruth.generators.polytopes import tegum_product, vertices
from groundtruth.generators.sampling import SparseSampler
from groundtruth.generators.structured import StructuredSampler
from groundtruth.generators.toy_inputs import ToyInputs, per_feature
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.testbed import Recipe, Testbed
from groundtruth.truth import FeatureTruth, Truth

SITE = "hook_hidden"
SOURCE = (
    'Elhage et al., "Toy Models of Superposition", 2022, '
    "https://transformer-circuits.pub/2022/toy_model/index.html"
)

Part = str | Mapping[str, Any]


def polytope(
    *,
    seed: int = 0,
    name: str = "toy/polytope",
    source: str = SOURCE,
    geometry: Part | Sequence[Part] = "pentagon",
    probability: float | Sequence[float] = 0.05,
    norm: float | Sequence[float] = 1.0,
    rotate: bool = True,
    correlated: Sequence[Sequence[int]] = (),
    anticorrelated: Sequence[Sequence[int]] = (),
) -> Testbed:
    """A world in a hand-written geometry of superposition.

    h = W x, with x_i = 0 or, with probability p_i, uniform on (0, 1], independently but for sets;
    column W_i is norm_i times a vertex of the geometry.

    Args:
        seed: of the rotation and of all streams.
        geometry: a name of `polytopes.GEOMETRIES`; {"name": ..., parameters}; or a list of these,
            which are put into orthogonal subspaces.
        probability, correlated, anticorrelated: as in `ToyInputs`.
        norm: |W_i|, a number or one per feature, from 1e-16 to 1e16.
        rotate: apply one random rotation to all of h.

    Returns:
        Testbed of truth class "analytic". `toy_weights` gives its W.

    Raises:
        InputError, UnknownName: a parameter out of range or no such geometry.

    Example:
        >>> world = polytope(geometry=["pentagon", "digon"], seed=1)
        >>> world.truth.features.directions.shape
        (7, 3)
    """
    parts = _parts(geometry)
    W = tegum_product([vertices(**part) for part in parts])
    n = W.shape[1]
    norms = per_feature("norm", norm, n)
    # Activations are float32; their squares have to fit as well.
    if min(norms) < 1e-16 or max(norms) > 1e16:
        raise reject("norm", norm, "numbers between 1e-16 and 1e16")
    inputs = ToyInputs(n, probability, correlated, anticorrelated)
    sets = {"correlated": inputs.correlated, "anticorrelated": inputs.anticorrelated}
    parameters = {
        "geometry": parts,
        "probability": np.asarray(inputs.probability).tolist(),
        "norm": list(norms),
        "rotate": bool(rotate),
        # Left out where there are none: a recipe from before there were any is the same.
        **{key: [list(members) for members in value] for key, value in sets.items() if value},
    }
    recipe = Recipe(name, parameters, seeds.check_seed(seed))
    if rotate:
        root = seeds.root_of(name, recipe.seed)
        W = random_rotation(W.shape[0], seeds.generator(root, "rotation")) @ W
    return toy_world(recipe, W * norms, inputs, source=source)


def toy_weights(testbed: Testbed) -> np.ndarray:
    """W (d, n_features) of a toy world: its directions times their lengths.

    Example:
        >>> toy_weights(polytope(geometry="digon", norm=[1.0, 0.5], rotate=False)).tolist()
        [[1.0, -0.5]]
    """
    truth = testbed.truth.features
    if truth.site != SITE or truth.magnitude.name != "uniform":
        raise reject("testbed", testbed, "a toy world, such as 'toy/pentagon'")
    return truth.directions.T * truth.magnitude.parameters["high"]


def toy_world(
    recipe: Recipe,
    W: np.ndarray,
    inputs: ToyInputs,
    *,
    names: tuple[str, ...] = (),
    truth_class: str = "analytic",
    source: str,
) -> Testbed:
    """The testbed of h = W x, for W (d, n_features) without zero columns and the law of x."""
    if not inputs.firing_probability.any():
        raise InputError(
            "probability: every feature has probability 0, so the world is constant. Raise it."
        )
    norms = np.linalg.norm(W, axis=0)
    features = FeatureTruth(
        directions=(W / norms).T,
        firing_probability=inputs.firing_probability,
        magnitude=MagnitudeLaw("uniform", {"low": 0.0, "high": norms}),
        bias=np.zeros(W.shape[0]),
        names=names,
        site=SITE,
        structure=inputs.structure,
    )
    independent = SparseSampler(features, features.firing_probability)
    return Testbed(
        recipe.name,
        recipe,
        Truth(features),
        independent if features.structure is None else StructuredSampler(features),
        seeds.root_of(recipe.name, recipe.seed),
        truth_class=truth_class,
        source=source,
    )


def _parts(geometry: Any) -> list[dict[str, Any]]:
    """The geometry as a list of {"name": ..., parameters}."""
    single = isinstance(geometry, (str, Mapping))
    parts = [geometry] if single else geometry
    expected = 'a name, {"name": ..., parameters}, or a list of these'
    if not isinstance(parts, Sequence) or not len(parts):
        raise reject("geometry", geometry, expected)
    named = [{"name": part} if isinstance(part, str) else part for part in parts]
    if not all(isinstance(part, Mapping) and "name" in part for part in named):
        raise reject("geometry", geometry, expected)
    return [dict(part) for part in named]
