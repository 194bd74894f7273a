"""Active entries: the selections agree with brute force, the slopes with dense products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.methods.support import (
    Support,
    above,
    decode_at,
    largest,
    largest_per_row,
    pre_at,
    products,
    relu_codes,
)


def table(n: int, k: int, seed: int) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def entries(support: Support) -> set[tuple[int, int]]:
    return set(zip(support.rows.tolist(), support.cols.tolist()))


def check_layout(support: Support) -> None:
    n, k = support.shape
    assert torch.equal(support.flat, support.rows * k + support.cols)
    assert torch.equal(support.flat, support.flat.sort().values)
    assert torch.equal(support.starts.diff(), torch.bincount(support.rows, minlength=n))
    order, starts = support.by_column
    assert torch.equal(support.cols[order], support.cols.sort().values)
    assert torch.equal(starts.diff(), torch.bincount(support.cols, minlength=k))


sizes = {"n": st.integers(1, 6), "k": st.integers(1, 700), "seed": st.integers(0, 99)}


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), **sizes)
def test_the_largest_of_each_row_are_those_of_a_full_sort(n, k, seed, count):
    pre = table(n, k, seed)
    found = largest_per_row(pre, count)
    check_layout(found)
    order = pre.argsort(dim=1, descending=True)[:, :count]
    wanted = {(i, int(j)) for i in range(n) for j in order[i] if pre[i, j] > 0}
    assert entries(found) == wanted


@pytest.mark.parametrize("k", [640, 700])
def test_ties_with_the_smallest_of_a_row_all_stay(k):
    pre = torch.zeros(3, k)
    pre[0, 5:25] = 1.0
    pre[1, ::2] = 0.5
    pre[1, 3] = 2.0
    found = largest_per_row(pre, 10)
    assert torch.equal(found.starts.diff(), torch.tensor([20, k // 2 + 1, 0]))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 200), guess=st.floats(0.0, 3.0), **sizes)
def test_the_largest_of_a_batch_do_not_depend_on_the_guess(n, k, seed, count, guess):
    pre = table(n, k, seed)
    found, least = largest(pre, count, guess)
    check_layout(found)
    values = pre[pre > 0].sort(descending=True).values[:count]
    assert torch.equal(pre.view(-1)[found.flat].sort(descending=True).values, values)
    assert least == (values[-1].item() if len(values) else 0.0)


@pytest.mark.parametrize("shape", [(), (7,), (5, 1)])
def test_above_compares_with_a_number_columns_or_rows(shape):
    pre, least = table(5, 7, 0), torch.rand(shape, generator=torch.Generator().manual_seed(1))
    found = above(pre, least if shape else float(least))
    check_layout(found)
    assert entries(found) == {tuple(at) for at in (pre > least).nonzero().tolist()}


def test_the_route_of_other_devices_gives_the_same_entries(monkeypatch):
    pre = table(9, 700, 3)
    here = [largest_per_row(pre, 12), largest(pre, 50)[0], above(pre, 0.3)]

    class Elsewhere(torch.Tensor):
        @property
        def device(self):  # pyright: ignore[reportIncompatibleVariableOverride]
            return torch.device("meta")

    there = pre.as_subclass(Elsewhere)
    other = [largest_per_row(there, 12), largest(there, 50)[0], above(there, 0.3)]
    for a, b in zip(here, other):
        assert a.flat.tolist() == b.flat.tolist()
        assert a.starts.tolist() == b.starts.tolist()
        assert a.by_column[0].tolist() == b.by_column[0].tolist()
        assert a.by_column[1].tolist() == b.by_column[1].tolist()


@pytest.mark.parametrize("mkl", [True, False])
def test_sparse_products_have_the_values_and_slopes_of_dense_ones(monkeypatch, mkl):
    if not mkl:
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 5, generator=generator)
    weights = [torch.randn(s, generator=generator).requires_grad_() for s in ((7, 5), (7,), (7, 5))]
    W_enc, b_enc, W_dec = weights
    pre = torch.nn.functional.linear(x, W_enc, b_enc)
    chosen = (pre > 0.5) & (torch.arange(9)[:, None] != 4)  # row 4 is empty
    target = torch.randn(9, 5, generator=generator)

    def slopes(x_hat):
        return torch.autograd.grad((x_hat - target).square().sum(), weights, retain_graph=True)

    support = above(torch.where(chosen, 1.0, -1.0), 0.0)
    values = pre_at(support, pre.detach(), x, W_enc, b_enc)
    sparse_x = decode_at(support, values, W_dec)
    dense_x = (pre * chosen) @ W_dec
    assert torch.allclose(sparse_x, dense_x, atol=1e-5)
    for got, want in zip(slopes(sparse_x), slopes(dense_x)):
        assert torch.allclose(got, want, atol=1e-4)
    assert torch.allclose(
        products(support, target, W_dec.detach()),
        (target @ W_dec.detach().T)[chosen],
        atol=1e-5,
    )


def test_dense_relu_codes_have_the_slopes_of_autograd_and_can_be_taken_every_step():
    x, target = table(9, 5, 0), table(9, 7, 1)
    held = torch.empty(9, 7)
    for step in range(2):
        W, b = table(7, 5, 2 + step).requires_grad_(), table(1, 7, 4)[0].requires_grad_()
        with torch.no_grad():
            torch.addmm(b, x, W.T, out=held)
        got = relu_codes(held, x, W, b)
        want = torch.nn.functional.linear(x, W, b).relu()
        assert torch.equal(got, want)
        for a, c in zip(*(torch.autograd.grad((z * target).sum(), (W, b)) for z in (got, want))):
            assert torch.allclose(a, c, atol=1e-5)


def test_empty_codes_decode_to_zero():
    support = above(torch.full((3, 4), -1.0), 0.0)
    assert len(support.flat) == 0
    W = table(4, 2, 0).requires_grad_()
    out = decode_at(support, torch.zeros(0, requires_grad=True), W)
    assert torch.equal(out, torch.zeros(3, 2))
    out.sum().backward()
    assert W.grad is not None
    assert not W.grad.any()


def test_numpy_and_torch_agree_on_what_a_guess_above_every_entry_means():
    pre = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    found, least = largest(pre, 2, guess=10.0)
    assert entries(found) == {(0, 1), (1, 0)}
    assert least == np.float32(2.0)
