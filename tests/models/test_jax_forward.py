"""The JAX form: equal to the reference, pure, differentiable."""

from __future__ import annotations

import numpy as np
import pytest
from random_weights import random_tokens, random_weights

from groundtruth.models import numpy_reference

jax = pytest.importorskip("jax")
from groundtruth.models import jax_forward  # noqa: E402

SHAPES = {
    "heads of unequal width": {},
    "no blocks": {"heads": [], "d_mlp": []},
    "an empty block": {"heads": [[]], "d_mlp": [None]},
    "no heads": {"heads": [[], []], "d_mlp": [3, 4]},
    "no MLP": {"heads": [[(2, 2)], [(0, 1), (2, 0)]], "d_mlp": [None, None]},
    "layer norm, causal": {"norm": "layer", "causal": True},
    "RMS norm, gelu": {"norm": "rms", "activation": "gelu"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_jax_is_the_reference_to_round_off(shape):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, **SHAPES[shape])
    tokens = random_tokens(rng, weights, [5, 3, 0, 6])
    expected = numpy_reference.forward(weights, tokens)
    found = jax_forward.forward(jax_forward.to_jax(weights), tokens)
    assert found.dtype == "float32"
    # A few hundred products per output in float32, through scores of size 10.
    assert np.abs(np.asarray(found) - expected).max() <= 1e-4 * (1 + np.abs(expected).max())
