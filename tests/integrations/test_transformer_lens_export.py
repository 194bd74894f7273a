"""Exported models give the same outputs in TransformerLens, and the same activations by name."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from groundtruth.adapters.transformer_lens import padding_hooks, to_transformer_lens
from groundtruth.errors import InputError
from groundtruth.models.transformer import Transformer

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.append(str(Path(__file__).resolve().parents[1] / "models"))
from random_weights import random_tokens, random_weights

pytestmark = pytest.mark.integration

SHAPES = {
    "heads of unequal width": {},
    "no blocks": {"heads": [], "d_mlp": []},
    "no attention in one block, no MLP in the other": {"heads": [[], [(2, 3)]], "d_mlp": [4, None]},
    "layer norm": {"norm": "layer", "heads": [[], [(2, 3)]], "d_mlp": [4, None]},
    "causal gelu": {"causal": True, "activation": "gelu", "norm": "layer"},
}


def case(**settings):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, **settings)
    return weights, random_tokens(rng, weights, [6, 3, 0])


def close(found, expected):
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max()) <= 1e-9 * (1 + float(expected.abs().max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_are_equal_with_padding(shape):
    weights, tokens = case(**SHAPES[shape])
    model = to_transformer_lens(weights, torch.float64)
    hooks = padding_hooks(model, tokens == weights.pad)
    found = model.run_with_hooks(torch.tensor(tokens), fwd_hooks=hooks)
    assert close(found, Transformer(weights, torch.float64)(tokens))


def test_rows_of_one_length_need_no_hooks():
    weights, tokens = case()
    model = to_transformer_lens(weights, torch.float64)
    outputs = Transformer(weights, torch.float64)(tokens[:1])
    assert close(model(torch.tensor(tokens[:1])), outputs)
    # And padding that is forgotten is seen.
    whole = Transformer(weights, torch.float64)(tokens)
    assert not close(model(torch.tensor(tokens)), whole)


def test_activations_have_the_same_names_and_values():
    weights, tokens = case(norm="layer")
    model = to_transformer_lens(weights, torch.float64)
    _, theirs = model.run_with_cache(torch.tensor(tokens[:1]))
    _, ours = Transformer(weights, torch.float64).run_with_cache(tokens[:1])
    assert set(ours) - set(theirs) == {f"blocks.{i}.attn.hook_result" for i in range(2)}
    for name in set(ours) & set(theirs):
        expected = ours[name]
        # Theirs is padded to the widest of the model, with heads of zeros.
        inside = theirs[name][tuple(slice(n) for n in expected.shape)]
        seen = expected.isfinite()
        assert close(inside[seen], expected[seen]), name


def test_rms_norms_are_equal_and_their_shift_is_refused():
    weights, tokens = case(norm="rms")
    with pytest.raises(InputError) as error:
        to_transformer_lens(weights)
    message = "weights: expected RMSNorms without a shift, got one that shifts."
    assert str(error.value) == message
    none = np.zeros(weights.d_model)

    def plain(norm):
        return replace(norm, shift=none)

    blocks = tuple(
        replace(b, norm_attention=plain(b.norm_attention), norm_mlp=plain(b.norm_mlp))
        for b in weights.blocks
    )
    weights = replace(weights, blocks=blocks, final_norm=plain(weights.final_norm))
    model = to_transformer_lens(weights, torch.float64)
    outputs = Transformer(weights, torch.float64)(tokens[:1])
    assert close(model(torch.tensor(tokens[:1])), outputs)


def test_norms_of_several_kinds_are_refused():
    weights, _ = case(norm="layer")
    with pytest.raises(InputError, match="expected norms of one kind and eps everywhere"):
        to_transformer_lens(replace(weights, final_norm=None))
