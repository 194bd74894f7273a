"""Models are given back as they were, and what was wrong is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_weights import random_tokens, random_weights

from groundtruth.errors import MethodError
from groundtruth.models.guard import check_clean, fingerprint, guarded
from groundtruth.models.transformer import Transformer


def case() -> tuple[Transformer, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = random_weights(rng)
    return Transformer(weights), random_tokens(rng, weights, [4, 2])


def leave_hook(model, tokens):
    model.hook_points["blocks.0.hook_mlp_out"].register_forward_hook(lambda m, i, x: 0 * x)


def leave_pre_hook(model, tokens):
    model.blocks[1].register_forward_pre_hook(lambda m, i, k: None, with_kwargs=True)


def leave_backward_hook(model, tokens):
    model.blocks[1].register_full_backward_hook(lambda m, i, o: None)


def leave_tensor_hook(model, tokens):
    model.W_E.register_hook(lambda gradient: 2 * gradient)


def replace_forward(model, tokens):
    model.ln_final.forward = lambda x: 2 * x


def train(model, tokens):
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    model(tokens).square().sum().backward()
    optimiser.step()


def change_one_bit(model, tokens):
    with torch.no_grad():
        model.blocks[0].attn.W_QKV[0, 0] *= 1 + 2**-23


def behave(model, tokens):
    model.run_with_cache(tokens)
    model(tokens).sum().backward()
    model.eval()
    model.W_E.requires_grad_(False)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (leave_hook, "hooks left at blocks.0.hook_mlp_out"),
        (leave_pre_hook, "hooks left at blocks.1"),
        (leave_backward_hook, "hooks left at blocks.1"),
        (leave_tensor_hook, "hooks left at the model"),
        (replace_forward, "hooks left at ln_final"),
        (train, "weights changed"),
        (change_one_bit, "weights changed"),
        (behave, "nothing left behind"),
    ],
)
def test_what_a_method_leaves_is_said_and_undone(method, said):
    model, tokens = case()
    clean, before = model(tokens).detach(), fingerprint(model)
    with guarded(model) as damage:
        method(model, tokens)
    assert (str(damage), bool(damage)) == (said, said != "nothing left behind")
    assert torch.equal(model(tokens), clean)
    assert fingerprint(model) == before
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert check_clean(model) == ()


def test_a_method_that_raises_is_cleaned_up_after():
    model, tokens = case()
    clean = model(tokens).detach()
    with pytest.raises(ZeroDivisionError), guarded(model) as damage:
        leave_hook(model, tokens)
        train(model, tokens)
        raise ZeroDivisionError
    assert damage.hooks and damage.weights_changed
    assert torch.equal(model(tokens), clean)


def test_a_model_of_other_parts_is_refused():
    model, _ = case()
    with pytest.raises(MethodError) as error, guarded(model):
        model.blocks[0].mlp.adapter = torch.nn.Linear(6, 6, bias=False)
    assert str(error.value) == (
        "the method changed which parameters the model has (blocks.0.mlp.adapter.weight). "
        "Give it a copy, and build this model anew."
    )


def test_the_specimens_do_harm():
    for method in (leave_hook, replace_forward, train):
        model, tokens = case()
        clean = model(tokens).detach()
        method(model, tokens)
        assert not torch.allclose(model(tokens), clean, rtol=1e-3)


def test_fingerprints_tell_dtypes_and_names_apart():
    weights = random_weights(np.random.default_rng(0))
    prints = [fingerprint(Transformer(weights, t)) for t in (torch.float32, torch.float64)]
    assert prints[0] != prints[1]
    assert fingerprint(Transformer(weights)) == prints[0]
