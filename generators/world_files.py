"""Worlds of activations in a folder, ready for a model hub.

    world.safetensors   the truth's arrays, float64
    world.json          recipe, laws and content hash; see `bundle.py`
    README.md           the card: what is planted, how to load it

A loaded world does not depend on the libraries' random streams for its truth. Its samples do; the
content hash covers the first block of them, and loading checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from groundtruth import hashing, seeds
from groundtruth.bundle import Bundle
from groundtruth.errors import reject
from groundtruth.generators.manifolds import ManifoldSampler
from groundtruth.generators.sampling import SparseSampler
from groundtruth.generators.sparse import sampler_of
from groundtruth.generators.structured import StructuredSampler
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.manifold import of_description
from groundtruth.structure import Structure
from groundtruth.testbed import Recipe, Testbed
from groundtruth.truth import FeatureTruth, Truth

BUNDLE = Bundle(
    "world",
    "world",
    1,
    frozenset(
        {
            "name",
            "source",
            "truth_class",
            "recipe",
            "magnitude",
            "scale",
            "noise",
            "signed",
            "names",
            "site",
            "choice",
            "parts",
            "manifolds",
            "hash",
        }
    ),
    frozenset({"directions", "firing_probability", "bias"}),
)


def save_testbed(testbed: Testbed, folder: str | Path) -> None:
    """Write a world to `folder`: truth, recipe, content hash, and a card.

    The folder can be pushed to a model hub as it is. A world that is there is replaced.

    Raises:
        InputError: a testbed whose sampler is not ours.
        StoreError: the files cannot be written.
    """
    if not isinstance(testbed, Testbed):
        raise reject("testbed", testbed, "a testbed", 'Build it: gt.build("sparse/small", seed=0).')
    truth = testbed.truth.features
    tensors = {name: getattr(truth, name) for name in sorted(BUNDLE.tensors)}
    sampler = testbed.sampler
    if isinstance(sampler, ManifoldSampler):
        sampler = sampler.inner
    if isinstance(sampler, SparseSampler):
        tensors["fires"] = sampler.fires
    elif not isinstance(sampler, StructuredSampler):
        raise reject("testbed", testbed, "a world of sparse features", "Save its recipe instead.")
    law = truth.magnitude
    tensors |= {f"magnitude.{name}": value for name, value in law.parameters.items()}
    if truth.structure is not None:
        tensors |= {f"structure.{k}": v for k, v in truth.structure.arrays().items()}
    tensors |= {f"manifold.{m.name}": m.basis for m in truth.manifolds}
    body = {
        "name": testbed.name,
        "source": testbed.source,
        "truth_class": testbed.truth_class,
        "recipe": hashing.jsonable(testbed.recipe.description()),
        "magnitude": law.name,
        "scale": float(law.scale),
        "noise": float(truth.noise),
        "signed": bool(truth.signed),
        "names": list(truth.names),
        "site": truth.site,
        "choice": None if truth.structure is None else truth.structure.choice,
        "parts": list(truth.parts),
        "manifolds": [m.description() for m in truth.manifolds],
        "hash": testbed.hash,
    }
    BUNDLE.write(Path(folder), body, tensors, {"README.md": _card(testbed).encode()})


def load_testbed(folder: str | Path) -> Testbed:
    """The world that `save_testbed` wrote to `folder`.

    Raises:
        HashMismatch: a file was altered, or this version of the libraries draws other samples.
        NewerSchemaError: a later version wrote it.
        StoreError: a file is missing, damaged or foreign.

    Example:
        >>> import tempfile
        >>> import groundtruth as gt
        >>> folder = tempfile.mkdtemp()
        >>> world = gt.build("failure/tree", seed=3)
        >>> save_testbed(world, folder)
        >>> load_testbed(folder).hash == world.hash
        True
    """
    return BUNDLE.load(folder, _testbed)


def _testbed(body: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Testbed:
    parameters = _part(tensors, "magnitude.")
    structure, bases = None, _part(tensors, "manifold.")
    if body["choice"] is not None:
        structure = Structure(choice=body["choice"], **_part(tensors, "structure."))
    truth = FeatureTruth(
        tensors["directions"],
        tensors["firing_probability"],
        bias=tensors["bias"],
        magnitude=MagnitudeLaw(body["magnitude"], parameters, body["scale"]),
        noise=body["noise"],
        signed=body["signed"],
        names=tuple(body["names"]),
        site=body["site"],
        structure=structure,
        parts=tuple(body["parts"]),
        manifolds=tuple(of_description(m, bases[m["name"]]) for m in body["manifolds"]),
    )
    recipe = Recipe(**body["recipe"])
    return Testbed(
        body["name"],
        recipe,
        Truth(truth),
        sampler_of(truth, tensors.get("fires", truth.firing_probability)),
        seeds.root_of(recipe.name, recipe.seed),
        truth_class=body["truth_class"],
        source=body["source"],
    )


def _part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _card(testbed: Testbed) -> str:
    truth = testbed.truth.features
    return f"""---
library_name: groundtruth
tags:
- interpretability
- synthetic
- sparse-autoencoder
---

# {testbed.name}, seed {testbed.recipe.seed}

A world of activations with a planted dictionary: {truth.n_features:,} features in {truth.d}
dimensions, {truth.expected_l0:.3g} active at a time. Truth class: {testbed.truth_class}.
{f"Source: {testbed.source}." if testbed.source else ""}

    import groundtruth as gt
    world = gt.load_testbed("this folder")
    report = gt.evaluate(world, my_sae)

Content hash: `{testbed.hash}`. Loading checks it.
"""
