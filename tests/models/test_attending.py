"""Attention is the same whichever way its arrays lie in memory."""

from __future__ import annotations

import pytest
import torch

from groundtruth.models import attending
from groundtruth.models.attending import (
    as_rows,
    averaged,
    from_rows,
    scores_of,
    softmax,
)
from groundtruth.models.layers import affine

SHAPE = (5, 2, 7, 3)  # batch, head, position, width


def batch_last(x: torch.Tensor) -> torch.Tensor:
    """The same numbers, with the batch last in memory."""
    return x.permute(1, 3, 2, 0).contiguous().permute(3, 0, 2, 1)


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return averaged(softmax(scores_of(q, k)), v)


@pytest.mark.parametrize("most_products", [0, attending.MOST_PRODUCTS])
def test_layouts_agree_and_have_the_same_gradients(monkeypatch, most_products):
    monkeypatch.setattr(attending, "MOST_PRODUCTS", most_products)
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(3)]
    q, k, v = given
    expected = (q @ k.transpose(-1, -2)).softmax(-1) @ v
    for arranged in (batch_last, torch.clone):
        inputs = [arranged(x).requires_grad_() for x in given]
        found = attention(*inputs)
        torch.testing.assert_close(found, expected)
        grads = torch.autograd.grad(found.square().sum(), inputs)
        plain = [x.clone().requires_grad_() for x in given]
        out = (plain[0] @ plain[1].transpose(-1, -2)).softmax(-1) @ plain[2]
        for grad, wanted in zip(grads, torch.autograd.grad(out.square().sum(), plain)):
            torch.testing.assert_close(grad, wanted)


def test_a_key_that_is_hidden_has_no_share():
    scores = torch.zeros(4, 1, 3, 3)
    scores[..., 2] = -torch.inf
    for arranged in (batch_last, torch.clone):
        pattern = softmax(arranged(scores))
        assert pattern[..., 2].eq(0).all() and pattern[..., :2].eq(0.5).all()


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 4, 6, 3), (1, 1, 3), (0, 6, 3)])
def test_affine_maps_of_any_layout(shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    reverse = tuple(range(x.ndim))[::-1]
    layouts = (x, x.movedim(-1, 0).contiguous().movedim(0, -1), x.permute(reverse).contiguous())
    for arranged in (*layouts[:2], layouts[2].permute(reverse)):
        found = affine(arranged, weight, bias)
        assert found.shape == (*shape[:-1], 5)
        torch.testing.assert_close(found, x @ weight + bias)


@pytest.mark.parametrize("length", [1, 5, attending.SHORT - 1, attending.SHORT, 20])
def test_runs_side_by_side_are_the_same_memory(length):
    x = attending.arranged(torch.arange(6.0 * length * 3).reshape(6, length, 3))
    rows = as_rows(x, 2)
    assert rows.shape[0] == 3 and rows.shape[2] == 2
    assert rows.data_ptr() == x.data_ptr()
    torch.testing.assert_close(from_rows(rows, length), x, rtol=0, atol=0)
    # A run of the batch at a time.
    torch.testing.assert_close(from_rows(rows[:, :, 1:], length), x[3:], rtol=0, atol=0)
