"""What is put in an activation's place, and where."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_weights import random_tokens, random_weights

from groundtruth.errors import InputError
from groundtruth.models.hooks import HookPoint
from groundtruth.models.interventions import add, mean_of, only, patch, set_to, zero
from groundtruth.models.transformer import Transformer

X = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
HEADS = torch.arange(2 * 3 * 2 * 4.0).reshape(2, 3, 2, 4)


def at(hook, x=X, site="blocks.0.hook_mlp_out"):
    point = HookPoint()
    point.name = site
    return hook(x, hook=point)


def test_over_the_whole_site():
    assert not at(zero).any()
    assert torch.equal(at(set_to(2)), torch.full_like(X, 2))
    assert torch.equal(at(set_to(np.arange(4))), torch.arange(4.0).expand_as(X))
    assert torch.equal(at(add([1, 0, 0, 0]))[..., 0], X[..., 0] + 1)
    assert torch.equal(at(patch(X + 1)), X + 1)
    assert torch.equal(at(mean_of(X)), X.mean(0).expand_as(X))


def test_means_count_what_is_no_padding():
    counted = np.array([[True, True, True], [True, False, False]])
    expected = torch.stack([X[:, 0].mean(0), X[0, 1], X[0, 2]])
    assert torch.allclose(at(mean_of(X, counted)), expected.expand_as(X))
    with pytest.raises(InputError) as error:
        mean_of(X, np.array([[True, False, True], [True, False, False]]))
    message = "counted: expected an entry at every position, got none at [1]."
    assert str(error.value) == message


def test_over_a_part():
    changed = at(only(zero, positions=[0, 2], neurons=1)) != X
    assert changed.nonzero().tolist() == [[0, 0, 1], [0, 2, 1], [1, 0, 1], [1, 2, 1]]
    own = torch.tensor([[False, True, False], [False, False, True]])
    changed = at(only(add(1), positions=own)) != X
    assert torch.equal(changed, own[..., None].expand_as(X))
    assert at(only(lambda x, hook: None)) is None


def test_over_heads():
    hooked = at(only(zero, heads=1, positions=0), HEADS, "blocks.0.attn.hook_z")
    assert torch.equal((hooked != HEADS)[:, 0, 1], torch.ones(2, 4, dtype=torch.bool))
    assert int((hooked != HEADS).sum()) == 8
    # At patterns, heads come before queries.
    pattern = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    hooked = at(only(zero, heads=2, positions=4), pattern, "blocks.0.attn.hook_pattern")
    assert not hooked[:, 2, 4].any()
    assert int((hooked != pattern).sum()) == 10
    with pytest.raises(InputError) as error:
        at(only(zero, heads=0))
    message = "blocks.0.hook_mlp_out: heads: expected a site with heads, such as attn.hook_z."
    assert str(error.value) == message


def test_a_subspace_is_interchanged_and_its_complement_kept():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((4, 2)))[0].T
    source = torch.tensor(rng.standard_normal(X.shape))
    x = torch.tensor(rng.standard_normal(X.shape))
    hooked = at(only(patch(source), basis=basis), x).numpy()
    rest = np.eye(4) - basis.T @ basis
    assert np.allclose(hooked @ basis.T, source.numpy() @ basis.T)
    assert np.allclose(hooked @ rest, x.numpy() @ rest)
    whole = at(only(patch(source), basis=np.eye(4)), x)
    assert torch.allclose(whole, source)


def test_a_basis_that_is_none_is_refused():
    with pytest.raises(InputError) as error:
        only(zero, basis=[[1.0, 1.0, 0.0]])
    assert str(error.value) == (
        "basis: expected orthonormal rows, got products off by 1. "
        "Make them so: torch.linalg.qr(basis.T).Q.T."
    )
    with pytest.raises(InputError) as error:
        only(zero, basis=np.eye(4)[:, :2])
    assert str(error.value) == "basis: expected shape (k, width), k <= width, got (4, 2)."
    with pytest.raises(InputError):
        only(zero, basis=[[np.nan, 1.0]])


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (only(zero, positions=3), "positions: expected whole numbers from 0 to 2, got 3."),
        (only(zero, positions=[0, -4]), "positions: expected whole numbers from 0 to 2"),
        (only(zero, positions=0.5), "positions: expected whole numbers from 0 to 2, got 0.5."),
        (only(zero, neurons=9), "neurons: expected whole numbers from 0 to 3, got 9."),
        (
            only(zero, positions=[True, False, True]),
            r"positions: expected numbers, or booleans of shape \(2, 3\), got \(3,\).",
        ),
        (only(zero, basis=[[1.0, 0.0]]), r"basis: expected width 4, got \(1, 2\)."),
        (set_to([1, 2]), r"value: expected what broadcasts to \(2, 3, 4\), got \(2,\)."),
        (add([1, 2]), r"vector: expected what broadcasts to \(2, 3, 4\), got \(2,\)."),
        (set_to(np.ones((1, 2, 3, 4))), "value: expected what broadcasts to"),
    ],
)
def test_what_the_site_does_not_have_is_refused(hook, message):
    with pytest.raises(InputError, match=f"^blocks.0.hook_mlp_out: {message}"):
        at(hook)


def test_no_positions_and_the_last_position_are_positions():
    assert torch.equal(at(only(zero, positions=[])), X)
    assert torch.equal(at(only(zero, positions=-1)), at(only(zero, positions=2)))
    with pytest.raises(InputError, match=r"counted: expected shape \(2, 3\), got \(3, 3\)."):
        mean_of(X, np.ones((3, 3)))


def test_patching_a_model_from_another_run_gives_the_other_run():
    rng = np.random.default_rng(0)
    weights = random_weights(rng, norm="rms")
    model = Transformer(weights, torch.float64)
    tokens, other = (random_tokens(rng, weights, [4, 4]) for _ in range(2))
    site = "blocks.0.hook_resid_post"
    outputs, cache = model.run_with_cache(other, site)
    patched = model.run_with_hooks(tokens, [(site, patch(cache[site]))])
    assert torch.equal(patched, outputs)
    with pytest.raises(InputError) as error:
        model.run_with_hooks(tokens[:, :3], [(site, patch(cache[site]))])
    assert str(error.value) == (
        "blocks.0.hook_resid_post: source: expected shape (2, 3, 6), got (2, 5, 6). "
        "Patch between batches of equal size and length."
    )
