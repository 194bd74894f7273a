"""The JAX form: equal to the reference, pure, differentiable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_weights import random_tokens, random_weights

from groundtruth.errors import InputError
from groundtruth.models import numpy_reference
from groundtruth.models.transformer import Transformer

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


def small(**settings):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, **settings)
    return weights, random_tokens(rng, weights, [5, 3]), jax_forward.to_jax(weights)


def test_a_forgotten_padding_mask_is_seen():
    weights, tokens, _ = small()
    hidden = jax_forward.to_jax(replace(weights, pad=weights.n_tokens - 2))
    expected = numpy_reference.forward(weights, tokens)
    assert np.abs(np.asarray(jax_forward.forward(hidden, tokens)) - expected).max() > 0.1


def test_gradients_are_those_of_torch():
    weights, tokens, parameters = small(norm="layer", activation="gelu")

    def loss(parameters):
        return (jax_forward.forward(parameters, tokens) ** 2).mean()

    gradient = jax.grad(loss)(parameters)
    model = Transformer(weights)
    (model(tokens) ** 2).mean().backward()
    block = model.each_block()[1]
    assert block.attn is not None
    for found, parameter in (
        (gradient.W_E, model.W_E),
        (gradient.blocks[1].W_QKV, block.attn.W_QKV),
        (gradient.blocks[1].mlp.W_out, block.mlp.W_out),
        (gradient.final_norm.scale, model.ln_final.scale),
    ):
        expected = parameter.grad.numpy()
        # Gradients pass through a few thousand float32 products.
        assert np.abs(np.asarray(found) - expected).max() <= 1e-3 * (1 + np.abs(expected).max())


def test_it_runs_inside_other_transformations():
    weights, tokens, parameters = small()
    each = jax.vmap(lambda row: jax_forward.forward(parameters, row[None])[0])(tokens)
    assert np.allclose(each, jax_forward.forward(parameters, tokens), atol=1e-4)
    assert jax.jit(jax_forward.forward)(parameters, tokens).shape == (2, 6, weights.n_outputs)


def test_tokens_are_checked():
    _, _, parameters = small()
    with pytest.raises(InputError, match="begin-of-sequence id 0"):
        jax_forward.forward(parameters, [[1, 2]])
    # jax itself would take the last embedding for it.
    with pytest.raises(InputError, match="ids from 0 to 4"):
        jax_forward.forward(parameters, [[0, 7]])
