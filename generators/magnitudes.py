"""Magnitude laws of a recipe: parameters over the features, in order or shuffled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.errors import UnknownName, reject
from groundtruth.magnitude import MagnitudeLaw


def magnitude(n_features: int, root: bytes, recipe: Mapping[str, Any]) -> MagnitudeLaw:
    """The magnitude law that `recipe` describes, in activation units."""
    given = recipe["magnitude"]
    over = {
        key: _over_features(n_features, key, value, seeds.generator(root, "magnitude", key))
        for key, value in given.items()
        if key != "law"
    }
    if "magnitude" in recipe.get("shuffle", ()):
        order = seeds.generator(root, "shuffle", "magnitude").permutation(n_features)
        over = {k: np.broadcast_to(v, n_features)[order] for k, v in over.items()}
    return MagnitudeLaw(given["law"], over, recipe["scale"])


def _over_features(n: int, name: str, value: Any, rng: np.random.Generator) -> Any:
    """A parameter as given, or as drawn by a law over the features."""
    if not isinstance(value, Mapping):
        return value
    given = dict(value)
    law = given.pop("law", None)
    try:
        if law == "linear":
            return np.linspace(given.pop("first"), given.pop("last"), n)
        if law == "folded-normal":
            return np.abs(given.pop("mean") + given.pop("std") * rng.standard_normal(n))
    except (KeyError, TypeError) as error:
        raise reject(f"magnitude.{name}", value, f"the parameters of its law ({error})") from None
    raise UnknownName(f"law of magnitude.{name} over the features", str(law), _LAWS)


_LAWS = ("linear", "folded-normal")
