"""The sparse family: streams of x = scale (sum_i a_i d_i + bias + noise) with planted d_i.

`sparse` builds any member; `presets.py` names those that people compare on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError, reject
from groundtruth.generators import dictionaries, firing
from groundtruth.generators.sampling import SparseSampler
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.testbed import Recipe, Testbed
from groundtruth.truth import FeatureTruth, Truth


def sparse(
    *,
    seed: int = 0,
    name: str = "sparse",
    source: str = "",
    n_features: int = 128,
    d: int = 32,
    firing: Mapping[str, Any] | str = "constant",
    magnitude: Mapping[str, Any] | str = "log-normal",
    dictionary: Mapping[str, Any] | str = "sphere",
    noise: float = 0.0,
    bias: float = 0.0,
    scale: float = 1.0,
    rotate: bool = False,
) -> Testbed:
    """A world of independent sparse features.

    x = scale (sum_i a_i d_i + bias u + noise e), with u a random unit vector, e ~ N(0, I_d),
    a_i = m_i with probability p_i and 0 otherwise, m_i from the magnitude law. The truth is
    stated in activation units: `scale` is folded into magnitudes, bias and noise.

    Args:
        seed: of the world: directions, probabilities, and all streams.
        n_features, d: sizes.
        firing: {"law": name, ...}: constant(probability), log-uniform(low, high),
            zipf(exponent, first), linear(first, last), given(values).
        magnitude: {"law": name, ...}: constant(value), uniform(low, high),
            log-normal(mu, sigma), rectified-normal(mean, std), exponential(mean).
        dictionary: {"law": name, ...}: sphere, orthonormal, simplex, equiangular,
            low-coherence(n_steps), given(directions).
        noise: standard deviation per dimension, before `scale`.
        bias: length of the constant offset, before `scale`.
        scale: factor on everything, > 0.
        rotate: apply one random rotation to directions and bias.

    Returns:
        Testbed of truth class "analytic".

    Raises:
        InputError, UnknownName: a parameter that is out of range or has no such law.

    Example:
        >>> world = sparse(n_features=6, d=3, dictionary="equiangular")
        >>> bool(np.isclose(world.truth.features.coherence, 5 ** -0.5))
        True
    """
    recipe = Recipe(
        name,
        {
            "n_features": _size("n_features", n_features),
            "d": _size("d", d),
            "firing": _law("firing", firing, {"law": "constant", "probability": 0.03}),
            "magnitude": _law("magnitude", magnitude, {"law": "log-normal"}),
            "dictionary": _law("dictionary", dictionary, {"law": "sphere"}),
            "noise": _number("noise", noise, positive=False),
            "bias": _number("bias", bias, positive=False),
            "scale": _number("scale", scale, positive=True),
            "rotate": bool(rotate),
        },
        seeds.check_seed(seed),
    )
    return from_recipe(recipe, source=source)


def from_recipe(recipe: Recipe, *, source: str = "") -> Testbed:
    """The testbed that `recipe` describes."""
    p = recipe.parameters
    root = seeds.root_of(recipe.name, recipe.seed)
    fires = firing.firing_probability(
        p["n_features"], seeds.generator(root, "firing"), **p["firing"]
    )
    directions = dictionaries.dictionary(
        p["n_features"], p["d"], seeds.generator(root, "dictionary"), **p["dictionary"]
    )
    offset = dictionaries.sphere(1, p["d"], seeds.generator(root, "bias"))[0] * p["bias"]
    if p["rotate"]:
        rotation = dictionaries.random_rotation(p["d"], seeds.generator(root, "rotation"))
        directions, offset = directions @ rotation, offset @ rotation
    law_name = p["magnitude"]["law"]
    law = MagnitudeLaw(
        law_name, {k: v for k, v in p["magnitude"].items() if k != "law"}, p["scale"]
    )
    if np.any(law.mean < 1e-33) or np.any(law.second_moment > 1e66):
        raise InputError(
            f"scale, magnitude: expected mean magnitudes between 1e-33 and 1e33, got "
            f"{np.min(law.mean):.3g} to {np.max(law.mean):.3g}. Activations are float32, which "
            "holds nothing beyond."
        )
    # A rectified magnitude may be 0; then nothing fired, and the exact marginal says so.
    exact = fires * (1.0 - law.zero_probability)
    features = FeatureTruth(
        directions=dictionaries.unit_rows(directions),
        firing_probability=exact,
        magnitude=law,
        bias=p["scale"] * offset,
        noise=p["scale"] * p["noise"],
    )
    if np.all(exact == 0):
        raise InputError(
            "firing: every feature has probability 0, so the world is constant. Raise it."
        )
    return Testbed(
        recipe.name, recipe, Truth(features), SparseSampler(features, fires), root, source=source
    )


def _law(name: str, value: object, default: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, str):
        return dict(default) if value == default["law"] else {"law": value}
    if not isinstance(value, Mapping) or "law" not in value:
        raise reject(name, value, 'a law, such as {"law": "constant", ...}')
    return {str(k): np.asarray(v).tolist() if k != "law" else v for k, v in value.items()}


def _size(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise reject(name, value, "a whole number >= 1")
    return int(value)


def _number(name: str, value: object, *, positive: bool) -> float:
    least = "> 0" if positive else ">= 0"
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise reject(name, value, f"a number {least}")
    number = float(value)
    if not np.isfinite(number) or number < 0 or (positive and number == 0):
        raise reject(name, value, f"a finite number {least}")
    return number
