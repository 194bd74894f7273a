"""Weights come back from a folder as they were, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from random_weights import cases, random_weights

from groundtruth.errors import HashMismatch, InputError, StoreError
from groundtruth.models import numpy_reference
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
    assert (config["model_type"], "id2label" in config) == ("groundtruth-transformer", False)
    assert (config["hidden_size"], config["num_attention_heads"]) == (6, [2, 1])
    assert (config["is_decoder"], config["hash"]) == (True, weights.hash)
    card = (tmp_path / "README.md").read_text()
    assert "# Reverse\n" in card and weights.hash in card


@pytest.mark.parametrize("causal", [False, True])
def test_the_card_runs_the_model_without_the_library(tmp_path, causal):
    weights = random_weights(np.random.default_rng(3), causal=causal)
    tokens = [f"t{k}" for k in range(weights.n_tokens)]
    save_weights(weights, tmp_path, tokens=tokens, labels=["x"] * weights.n_outputs)
    run = function_of(tmp_path / "README.md")
    ids = [k for k in range(weights.n_tokens) if k not in (weights.bos, weights.pad)][:3]
    expected = numpy_reference.forward(weights, np.array([[weights.bos, *ids]]))[0, 1:]
    np.testing.assert_allclose(run(tmp_path, [tokens[k] for k in ids]), expected, atol=1e-12)


def function_of(card):
    """What the last piece of code on the card defines."""
    scope = {}
    exec(card.read_text().split("```python\n")[-1].split("```")[0], scope)
    return scope["run"]


@pytest.mark.parametrize("changes", [{"norm": "layer"}, {"activation": "gelu"}, {"named": False}])
def test_a_card_that_would_run_it_wrong_does_not_try(tmp_path, changes):
    named = changes.pop("named", True)
    weights = random_weights(np.random.default_rng(3), **changes)
    tokens = [f"t{k}" for k in range(weights.n_tokens)] if named else None
    save_weights(weights, tmp_path, tokens=tokens)
    assert "Without the library" not in (tmp_path / "README.md").read_text()
    assert (tmp_path / "vocab.json").exists() == named


def test_names_that_do_not_fit_are_refused(tmp_path):
    weights = random_weights(np.random.default_rng(0))
    for names in (["a"] * weights.n_tokens, ["a"]):
        with pytest.raises(InputError, match=f"tokens.*expected {weights.n_tokens} different"):
            save_weights(weights, tmp_path, tokens=names)
    with pytest.raises(InputError, match=f"labels.*expected {weights.n_outputs} names"):
        save_weights(weights, tmp_path, labels=["x"])


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
