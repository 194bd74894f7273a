"""Weights come back from a folder as they were, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from random_weights import cases, random_weights

from groundtruth.errors import HashMismatch, StoreError
from groundtruth.models.model_files import load_weights, save_weights


@given(case=cases())
def test_weights_come_back(case, tmp_path_factory):
    weights, _ = case
    folder = tmp_path_factory.mktemp("model")
    save_weights(weights, folder)
    back = load_weights(folder)
    assert back.hash == weights.hash
    assert back.settings() == weights.settings()
    arrays = back.arrays()
    assert list(arrays) == list(weights.arrays())
    assert all(np.array_equal(arrays[k], v) for k, v in weights.arrays().items())


def test_the_folder_says_what_it_is(tmp_path):
    weights = random_weights(np.random.default_rng(0), causal=True)
    save_weights(weights, tmp_path, "Reverse")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["README.md", "config.json", "model.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["hidden_size"], config["num_attention_heads"]) == (6, [2, 1])
    assert (config["is_decoder"], config["hash"]) == (True, weights.hash)
    card = (tmp_path / "README.md").read_text()
    assert "# Reverse\n" in card and weights.hash in card


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_what_was_altered_does_not_load(name, tmp_path):
    save_weights(random_weights(np.random.default_rng(0)), tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises((HashMismatch, StoreError)):
        load_weights(tmp_path)


def test_hashes_tell_models_apart():
    rng = np.random.default_rng(0)
    one = random_weights(rng, norm="layer")
    others = [
        random_weights(np.random.default_rng(0), norm="rms"),
        random_weights(np.random.default_rng(0), norm="layer", causal=True),
        random_weights(np.random.default_rng(0)),
        random_weights(rng, norm="layer"),
    ]
    assert len({one.hash, *(other.hash for other in others)}) == 5
    assert random_weights(np.random.default_rng(0), norm="layer").hash == one.hash
