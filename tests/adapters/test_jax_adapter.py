"""jax needs no adapter: a jax decoder makes the encoder a jax function."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth import arrays
from groundtruth.adapters import as_explanation, as_method
from groundtruth.explanation import Dictionary
from groundtruth.generators.presets import BUILDERS

jax = pytest.importorskip("jax")


def jax_method(subject, *, seed):
    rows = jax.random.normal(jax.random.key(seed), (8, subject.d))

    @jax.jit
    def encode(x):
        return jax.nn.relu(x @ rows.T)

    return Dictionary(rows, encode)


def test_a_jax_decoder_and_encode_make_a_dictionary():
    subject = BUILDERS["sparse/small"](seed=0).subject
    claim = as_explanation(as_method(jax_method)(subject, seed=0))
    assert (claim.kind, claim.k, claim.d) == ("jax", 8, 32)
    x = subject.sample(5).numpy()
    codes = claim.encode(arrays.from_numpy(x, claim.kind))
    assert arrays.kind_of(codes) == "jax"
    expected = np.maximum(x @ claim.decoder.T, 0)
    assert np.allclose(arrays.to_numpy("codes", codes), expected, atol=1e-5)
