"""The torch form: equal to the reference, readable and editable at every site, trainable."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from random_weights import cases, random_tokens, random_weights

from groundtruth.errors import InputError, UnknownName
from groundtruth.models import numpy_reference as reference
from groundtruth.models.interventions import zero
from groundtruth.models.transformer import Transformer


def close(found, expected, tolerance=1e-9):
    return np.abs(found - expected).max() <= tolerance * (1 + np.abs(expected).max())


def small(dtype=torch.float64, **settings):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, norm="layer", **settings)
    return weights, random_tokens(rng, weights, [6, 3, 0]), Transformer(weights, dtype)


@given(case=cases())
def test_torch_is_the_reference_to_round_off(case):
    weights, tokens = case
    found = Transformer(weights, torch.float64)(tokens).detach().numpy()
    assert close(found, reference.forward(weights, tokens))


@given(case=cases())
def test_reading_every_site_changes_nothing(case):
    # With a hook at every site the tensors are laid out; without, they are not.
    weights, tokens = case
    model = Transformer(weights, torch.float64)
    outputs, cache = model.run_with_cache(tokens)
    assert list(cache) == list(model.hook_points)
    assert close(outputs.detach().numpy(), model(tokens).detach().numpy(), 1e-12)


@given(case=cases())
def test_weights_come_back(case):
    weights, tokens = case
    back = Transformer(weights, torch.float64).to_weights()
    assert np.array_equal(reference.forward(back, tokens), reference.forward(weights, tokens))
    assert back.components == weights.components


def test_single_precision_is_the_default_and_close():
    weights, tokens, _ = small()
    outputs = Transformer(weights)(tokens)
    assert outputs.dtype == torch.float32
    # A few hundred products per output in float32, through scores of size 10.
    assert close(outputs.detach().numpy(), reference.forward(weights, tokens), 1e-4)


def test_sites_have_their_names_and_shapes():
    _, tokens, model = small()
    _, cache = model.run_with_cache(tokens)
    batch, position = tokens.shape
    residual = (batch, position, 6)
    expected = {
        "hook_embed": residual,
        "hook_pos_embed": residual,
        "ln_final.hook_scale": (batch, position, 1),
        "ln_final.hook_normalized": residual,
    }
    for i, (n, d_head, d_value) in enumerate([(2, 3, 2), (1, 1, 4)]):
        block = {
            "hook_resid_pre": residual,
            "ln1.hook_scale": (batch, position, 1),
            "ln1.hook_normalized": residual,
            "attn.hook_q": (batch, position, n, d_head),
            "attn.hook_k": (batch, position, n, d_head),
            "attn.hook_v": (batch, position, n, d_value),
            "attn.hook_attn_scores": (batch, n, position, position),
            "attn.hook_pattern": (batch, n, position, position),
            "attn.hook_z": (batch, position, n, d_value),
            "attn.hook_result": (batch, position, n, 6),
            "hook_attn_out": residual,
            "hook_resid_mid": residual,
            "ln2.hook_scale": (batch, position, 1),
            "ln2.hook_normalized": residual,
            "mlp.hook_pre": (batch, position, 5),
            "mlp.hook_post": (batch, position, 5),
            "hook_mlp_out": residual,
            "hook_resid_post": residual,
        }
        expected |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    assert {name: tuple(value.shape) for name, value in cache.items()} == expected


def test_sites_hold_what_the_formulas_say():
    weights, tokens, model = small(heads=[[(3, 2), (1, 4), (3, 2)]], d_mlp=[5])
    _, cache = model.run_with_cache(tokens)
    block = weights.blocks[0]
    x = weights.W_E[tokens] + weights.W_pos
    read = reference.normalise(block.norm_attention, x)
    visible = reference.visible_keys(weights, tokens)
    for h, head in enumerate(block.heads):
        q = read @ head.W_Q + head.b_Q
        found = cache["blocks.0.attn.hook_q"][:, :, h].numpy()
        assert close(found[..., : q.shape[-1]], q)
        assert not found[..., q.shape[-1] :].any()
        scores = np.where(visible, q @ (read @ head.W_K + head.b_K).swapaxes(1, 2), -np.inf)
        pattern = cache["blocks.0.attn.hook_pattern"][:, h].numpy()
        assert close(pattern, reference.softmax(scores))
        result = cache["blocks.0.attn.hook_result"][:, :, h].numpy()
        assert close(result, reference.head_result(head, read, visible))
    mid = x + reference.attention(block, read, visible)
    assert close(cache["blocks.0.hook_resid_mid"].numpy(), mid)
    assert block.mlp is not None
    hidden = reference.normalise(block.norm_mlp, mid) @ block.mlp.W_in + block.mlp.b_in
    assert close(cache["blocks.0.mlp.hook_pre"].numpy(), hidden)
    assert close(cache["blocks.0.mlp.hook_post"].numpy(), np.maximum(hidden, 0))


def test_every_site_can_be_edited():
    _, tokens, model = small(heads=[[(3, 2), (1, 4)]], d_mlp=[5])
    clean = model(tokens)
    _, cache = model.run_with_cache(tokens)
    rng = np.random.default_rng(1)
    for name, activation in cache.items():
        # Softmax does not see a constant; noise changes scores as well.
        noise = torch.tensor(rng.standard_normal(activation.shape))
        edited = model.run_with_hooks(tokens, [(name, lambda x, hook, n=noise: x + n)])
        assert not torch.allclose(edited, clean), name
        kept = model.run_with_hooks(tokens, [(name, lambda x, hook: x.clone())])
        assert torch.allclose(kept, clean, rtol=1e-9), name
    assert torch.equal(model(tokens), clean)


def test_what_the_heads_write_adds_up():
    weights, tokens, model = small(heads=[[(3, 2), (1, 4), (3, 2)]], d_mlp=[None])
    _, cache = model.run_with_cache(tokens, ["blocks.0.attn.hook_result", "blocks.0.hook_attn_out"])
    results, out = cache.values()
    assert close((results.sum(2) + torch.tensor(weights.blocks[0].b_O)).numpy(), out.numpy())


def test_hooks_run_in_order_and_know_their_site():
    _, tokens, model = small()
    seen = []

    def note(x, hook):
        seen.append((hook.name, float(x.abs().sum())))

    site = "blocks.1.hook_resid_pre"
    model.run_with_hooks(tokens, [(site, zero), (site, note)])
    assert seen == [(site, 0.0)]


def test_hooks_are_taken_off_after_an_error():
    _, tokens, model = small()
    clean = model(tokens)

    def fail(x, hook):
        raise ZeroDivisionError

    hooks = [("hook_embed", zero), ("blocks.0.attn.hook_pattern", fail)]
    with pytest.raises(ZeroDivisionError):
        model.run_with_hooks(tokens, hooks)
    assert not any(point.hooked for point in model.hook_points.values())
    assert torch.equal(model(tokens), clean)


def test_an_unknown_site_attaches_nothing():
    _, tokens, model = small()
    with pytest.raises(UnknownName, match=r"Nearest: blocks\.0\.hook_resid_pre"):
        model.run_with_hooks(tokens, [("hook_embed", zero), ("blocks.0.resid_pre", zero)])
    with pytest.raises(UnknownName):
        model.run_with_cache(tokens, "hook_embedding")
    assert not any(point.hooked for point in model.hook_points.values())


def test_a_filter_is_a_name_names_or_a_function():
    _, tokens, model = small()
    for names, expected in (
        ("hook_embed", ["hook_embed"]),
        (["hook_pos_embed", "hook_embed"], ["hook_embed", "hook_pos_embed"]),
        (lambda name: name.endswith("hook_z"), [f"blocks.{i}.attn.hook_z" for i in (0, 1)]),
        ([], []),
    ):
        assert list(model.run_with_cache(tokens, names)[1]) == expected


def test_a_model_without_parts_has_no_sites_for_them():
    weights = random_weights(np.random.default_rng(0), heads=[[]], d_mlp=[None])
    model = Transformer(weights)
    names = [f"blocks.0.hook_resid_{place}" for place in ("pre", "mid", "post")]
    assert list(model.hook_points) == ["hook_embed", "hook_pos_embed", *names]


def test_every_parameter_has_a_gradient():
    _, tokens, model = small(causal=True, activation="gelu")
    loss = (model(tokens)[torch.tensor(tokens) != model.pad] ** 2).sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
        assert parameter.grad.any(), name


def test_gradients_flow_through_hooks():
    _, tokens, model = small()
    share = torch.ones((), dtype=torch.float64, requires_grad=True)
    model.run_with_hooks(
        tokens, [("blocks.0.hook_mlp_out", lambda x, hook: share * x)]
    ).sum().backward()
    assert share.grad is not None and share.grad.abs() > 0


def test_a_copy_has_its_own_hook_points():
    _, tokens, model = small()
    other = copy.deepcopy(model)
    clean = model(tokens)
    with other.hooks([("hook_embed", zero)]):
        assert torch.equal(model(tokens), clean)
        assert not torch.equal(other(tokens), clean)


def test_tokens_are_checked():
    _, _, model = small()
    with pytest.raises(InputError, match="begin-of-sequence id 0"):
        model([[1, 2]])
    with pytest.raises(InputError, match="at most 7 positions, got 8"):
        model(torch.zeros(1, 8, dtype=torch.int32))
