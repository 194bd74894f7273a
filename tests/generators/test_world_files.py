"""Worlds in a folder: what is loaded is what was saved, and nothing altered loads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import groundtruth as gt
from groundtruth import files
from groundtruth.errors import HashMismatch, InputError, StoreError
from groundtruth.generators.world_files import load_testbed, save_testbed
from groundtruth.store import NewerSchemaError

TREES = {"law": "as_published", "roots": 1, "branching": 4, "depth": 3}
WORLDS = {
    "plain": ("sparse/zipf", {"n_features": 20, "d": 8}),
    "rectified": ("sparse/small", {"n_features": 9, "d": 4, "magnitude": "rectified-normal"}),
    "structured": ("synthsaebench-1k", {"n_features": 100, "d": 16, "hierarchy": TREES}),
    "signed groups": (
        "sparse/small",
        {"n_features": 9, "d": 4, "signed": True, "together": [[0, 1]]},
    ),
    "toy": ("toy/pentagon", {}),
    "manifolds": ("manifold/mixture", {"n_features": 9}),
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> gt.Testbed:
    name, changes = WORLDS[request.param]
    return gt.build(name, seed=2, **changes)


def test_a_loaded_world_is_the_saved_one(world, tmp_path):
    save_testbed(world, tmp_path)
    loaded = load_testbed(tmp_path)
    assert loaded.hash == world.hash
    assert loaded.recipe == world.recipe and loaded.truth_class == world.truth_class
    for stream, block in (("train", 5), ("score", 1)):
        x, codes = world.block(stream, 0, block)
        again, other = loaded.block(stream, 0, block)
        assert np.array_equal(x, again) and (codes != other).nnz == 0
    for found, other in zip(world.coordinates(500), loaded.coordinates(500), strict=True):
        assert np.array_equal(found.coordinates, other.coordinates)
    features = np.zeros(5, dtype=int)
    assert np.array_equal(
        world.active_block("score", 0, features)[0], loaded.active_block("score", 0, features)[0]
    )


def test_a_saved_world_is_replaced(tmp_path):
    for seed in (0, 1):
        save_testbed(gt.build("toy/digon", seed=seed), tmp_path)
    assert load_testbed(tmp_path).recipe.seed == 1


def test_the_folder_has_a_card_that_names_world_and_hash(world, tmp_path):
    save_testbed(world, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: groundtruth\n")
    assert world.hash in card and world.name in card
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "world.json",
        "world.safetensors",
    ]
    assert load_file(tmp_path / "world.safetensors")["directions"].dtype == np.float64


def altered(tmp_path, **changes: object) -> None:
    body = json.loads((tmp_path / "world.json").read_text())
    body.pop("self_hash")
    (tmp_path / "world.json").write_bytes(files.seal({**body, **changes}))


def test_altered_tensors_are_refused(tmp_path):
    save_testbed(gt.build("toy/digon", seed=0), tmp_path)
    path = tmp_path / "world.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(HashMismatch, match="tensors_sha256: expected "):
        load_testbed(tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"schema": 2}, NewerSchemaError, "schema: expected at most 1, got 2. A newer version"),
        ({"schema": "1"}, StoreError, "schema: expected a whole number from 1 to 1, got '1'."),
        ({"extra": 1}, StoreError, "missing or unknown: extra."),
        ({"noise": -1.0}, StoreError, "not a world (truth.noise: expected a finite number >= 0"),
        ({"scale": 2.0}, HashMismatch, "hash: expected "),
        ({"names": ["a"]}, StoreError, "not a world (truth.names: expected 2 different names"),
    ],
)
def test_an_altered_description_is_refused(tmp_path, changes, error, message):
    save_testbed(gt.build("toy/digon", seed=0), tmp_path)
    altered(tmp_path, **changes)
    with pytest.raises(error) as caught:
        load_testbed(tmp_path)
    assert message in str(caught.value)


def test_what_is_no_testbed_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        save_testbed("sparse/small", tmp_path)  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "testbed: expected a testbed, got 'sparse/small'. Build it: gt.build(\"sparse/small\", "
        "seed=0)."
    )


def test_a_folder_without_a_world_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"world\.json"):
        load_testbed(tmp_path)


def test_an_edit_without_a_new_seal_is_refused(tmp_path):
    save_testbed(gt.build("toy/digon", seed=0), tmp_path)
    path = tmp_path / "world.json"
    path.write_text(
        path.read_text().replace('"seed": 0', '"seed": 1').replace('"seed":0', '"seed":1')
    )
    with pytest.raises(StoreError):
        load_testbed(tmp_path)
