"""The sparse family: streams of x = scale (sum_i a_i d_i + bias + noise) with planted d_i.

`sparse` builds any member; `presets.py` names those that people compare on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError, UnknownName, reject
from groundtruth.generators import dictionaries, firing, magnitudes, structures
from groundtruth.generators.manifolds import ManifoldSampler, listed, manifolds_of
from groundtruth.generators.pairs import parts_of
from groundtruth.generators.sampling import SparseSampler
from groundtruth.generators.structured import StructuredSampler
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.structure import Structure
from groundtruth.testbed import Recipe, Sampler, Testbed
from groundtruth.truth import FeatureTruth, Truth

SHUFFLED = ("firing", "hierarchy", "magnitude")
"""What can be shuffled over the features."""


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
    hierarchy: Mapping[str, Any] | None = None,
    correlation: Mapping[str, Any] | None = None,
    exclusive: Sequence[Sequence[int]] = (),
    together: Sequence[Sequence[int]] = (),
    signed: bool = False,
    shuffle: Sequence[str] | str = (),
    manifolds: Sequence[Mapping[str, Any]] = (),
) -> Testbed:
    """A world of sparse features, independent or structured.

    x = scale (sum_i a_i d_i + bias u + noise e), with u a random unit vector, e ~ N(0, I_d),
    a_i = m_i with probability p_i and 0 otherwise, m_i from the magnitude law. The truth is
    stated in activation units: `scale` is folded into magnitudes, bias and noise.

    Features fire independently unless one of `hierarchy`, `correlation`, `exclusive` or `together`
    says otherwise; they compose. What comes out is in `truth.features.structure`.

    Args:
        seed: of the world: directions, probabilities, and all streams.
        n_features, d: sizes.
        firing: {"law": name, ...}: constant(probability), log-uniform(low, high),
            zipf(exponent, first), zipf-range(exponent, high, low), linear(first, last),
            given(values).
        magnitude: {"law": name, ...}: constant(value), uniform(low, high),
            log-normal(mu, sigma), rectified-normal(mean, std), exponential(mean). A parameter is a
            number, one per feature, or {"law": "linear", "first": ..., "last": ...} or
            {"law": "folded-normal", "mean": ..., "std": ...} over the features.
        dictionary: {"law": name, ...}: sphere, orthonormal, simplex, equiangular,
            low-coherence(n_steps), orthogonalised(n_steps, lr), given(directions);
            pair(shared, rescaled, rotated, first_only, second_only) and lifetimes(n_layers,
            lives, turn) over several spaces side by side.
        noise: standard deviation per dimension, before `scale`.
        bias: length of the constant offset, before `scale`.
        scale: factor on everything, > 0.
        rotate: apply one random rotation to directions and bias.
        hierarchy: trees, in which a child fires only if its parent does. Regular ones, numbered
            level by level from feature 0: {"roots", "branching", "depth", "exclusive": share of
            parents of whose children at most one fires (1)}; or {"parents": one index per feature,
            -1 for a root, "exclusive": groups of siblings}. With "scale_children": True a child's
            magnitude is multiplied by its parent's over its mean. "law" is "exact_marginals" (every
            feature fires with exactly the probability that `firing` gives it) or "as_published"
            (SAELens: a first-order compensation, clamped; features then fire more or less often
            than configured, and the truth says how often).
        correlation: a Gaussian copula. {"law": "low-rank", "rank", "scale"}: factors with
            N(0, scale^2) loadings; {"law": "full", "matrix"}: correlations of the Gaussians. Under
            "exact_marginals" children only depend on their parents.
        exclusive: groups of roots of which at most one fires.
        together: groups of features that always fire together, as often as their first.
        signed: each firing has a random sign.
        shuffle: what is not in the order of the features but shuffled over them: any of "firing",
            "magnitude", "hierarchy". Directions never depend on the order.
        manifolds: features of several dimensions beside the others, each firing independently:
            {"chart": "circle", "sphere", "torus", "interval", "points" (with "n_points") or
            "gaussian" (with "dims"); "count" (1); "firing" (0.1): a probability, or a law over
            `count` manifolds; "magnitude" (1): a number, or a law as above}. Their subspaces are
            random, and orthogonal to the features and one another in an orthonormal dictionary.

    Returns:
        Testbed of truth class "analytic".

    Raises:
        InputError, UnknownName: a parameter that is out of range or has no such law.
        MemoryRefused: directions that would not fit, before they are made.

    Example:
        >>> world = sparse(n_features=6, d=3, dictionary="equiangular")
        >>> bool(np.isclose(world.truth.features.coherence, 5 ** -0.5))
        True
    """
    structured = {
        "hierarchy": None if hierarchy is None else _plain("hierarchy", hierarchy),
        "correlation": None if correlation is None else _plain("correlation", correlation),
        "exclusive": _groups("exclusive", exclusive),
        "together": _groups("together", together),
        "signed": _flag("signed", signed),
        "shuffle": _shuffled(shuffle),
        "manifolds": listed(manifolds),
    }
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
            **{key: value for key, value in structured.items() if value},
        },
        seeds.check_seed(seed),
    )
    return from_recipe(recipe, source=source)


def from_recipe(recipe: Recipe, *, source: str = "") -> Testbed:
    """The testbed that `recipe` describes."""
    p = recipe.parameters
    # Rows as drawn, as the law scales them and as the truth keeps them; names and probabilities.
    dictionaries.check_memory(p["n_features"], p["d"], p["n_features"] * (3 * p["d"] + 32))
    root = seeds.root_of(recipe.name, recipe.seed)
    fires = firing.firing_probability(
        p["n_features"], seeds.generator(root, "firing"), **p["firing"]
    )
    if "firing" in p.get("shuffle", ()):
        fires = seeds.generator(root, "shuffle", "firing").permutation(fires)
    directions = dictionaries.dictionary(
        p["n_features"], p["d"], seeds.generator(root, "dictionary"), **p["dictionary"]
    )
    offset = dictionaries.sphere(1, p["d"], seeds.generator(root, "bias"))[0] * p["bias"]
    if p["rotate"]:
        rotation = dictionaries.random_rotation(p["d"], seeds.generator(root, "rotation"))
        directions, offset = directions @ rotation, offset @ rotation
    directions = dictionaries.unit_rows(directions)
    directions.setflags(write=False)
    law = magnitudes.magnitude(p["n_features"], root, p)
    if np.any(law.mean < 1e-33) or np.any(law.second_moment > 1e66):
        raise InputError(
            f"scale, magnitude: expected mean magnitudes between 1e-33 and 1e33, got "
            f"{np.min(law.mean):.3g} to {np.max(law.mean):.3g}. Activations are float32, which "
            "holds nothing beyond."
        )
    structure = None
    # A rectified magnitude may be 0; then nothing fired, and the exact marginal says so.
    exact = fires * (1.0 - law.zero_probability)
    if any(key in p for key in ("hierarchy", "correlation", "exclusive", "together", "signed")):
        structure = _structure(p, root, fires, law)
        exact = structure.marginal.value
    features = FeatureTruth(
        directions=directions,
        firing_probability=exact,
        magnitude=law,
        bias=p["scale"] * offset,
        noise=p["scale"] * p["noise"],
        signed=p.get("signed", False),
        structure=structure,
        parts=parts_of(p["d"], p["dictionary"]),
        manifolds=manifolds_of(p.get("manifolds", ()), root, directions, p["scale"]),
    )
    if np.all(exact == 0):
        raise InputError(
            "firing: every feature has probability 0, so the world is constant. Raise it."
        )
    sampler = sampler_of(features, fires)
    return Testbed(recipe.name, recipe, Truth(features), sampler, root, source=source)


def sampler_of(truth: FeatureTruth, fires: np.ndarray) -> Sampler:
    """The sampler of `truth`; `fires` as in `SparseSampler`, which a structure does not need."""
    structured = truth.structure is not None
    inner = StructuredSampler(truth) if structured else SparseSampler(truth, fires)
    return ManifoldSampler(inner, truth.manifolds) if truth.manifolds else inner


def _structure(p: dict[str, Any], root: bytes, fires: np.ndarray, law: MagnitudeLaw) -> Structure:
    n = p["n_features"]
    places = None
    if "hierarchy" in p.get("shuffle", ()):
        places = seeds.generator(root, "shuffle", "hierarchy").permutation(n)
    return structures.structure_of(
        fires,
        np.broadcast_to(1.0 - law.zero_probability, n),
        law,
        seeds.generator(root, "structure"),
        hierarchy=p.get("hierarchy"),
        correlation=p.get("correlation"),
        exclusive=p.get("exclusive", ()),
        together=p.get("together", ()),
        places=places,
    )


def _law(name: str, value: object, default: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, str):
        return dict(default) if value == default["law"] else {"law": value}
    if not isinstance(value, Mapping) or "law" not in value:
        raise reject(name, value, 'a law, such as {"law": "constant", ...}')
    return {
        str(k): v if k == "law" else dict(v) if isinstance(v, Mapping) else np.asarray(v).tolist()
        for k, v in value.items()
    }


def _plain(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise reject(name, value, "a mapping, or None")
    return {
        str(k): v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v
        for k, v in value.items()
    }


def _groups(name: str, value: object) -> list[list[int]]:
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        raise reject(name, value, "groups of feature indices, such as [[0, 1], [4, 5, 6]]")
    return [np.asarray(group).tolist() for group in value]


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise reject(name, value, "True or False")
    return bool(value)


def _shuffled(value: object) -> list[str]:
    if not isinstance(value, (str, Sequence)):
        raise reject("shuffle", value, f"names among {', '.join(SHUFFLED)}")
    names = [value] if isinstance(value, str) else list(value)
    for name in names:
        if name not in SHUFFLED:
            raise UnknownName("what to shuffle", str(name), SHUFFLED)
    return sorted(set(names))


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
