"""Norms on a twin: within what is proven of them, and nothing without their ballast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.certificate import Disagreement, Readout, certified
from groundtruth.compiled_models.norms import RELATIVE
from groundtruth.compiled_models.twin_bounds import Held
from groundtruth.errors import InputError, ProgramError


@pytest.fixture(scope="module", params=["layer", "rms"])
def twin(request):
    hist = compile_program(library.program("hist"), vocab="abc", max_length=6, n_sequences=64)
    return hist.twin(norm=request.param, decoys=2, n_sequences=500)


def test_every_block_and_the_outputs_are_normed(twin):
    weights = twin.weights
    norms = [weights.final_norm, weights.blocks[0].norm_attention, weights.blocks[0].norm_mlp]
    assert [norm.center for norm in norms] == [twin.request.norm == "layer"] * 3
    assert twin.run(["aba", "c"]) == [[2, 1, 2], [1]]


def test_a_normalised_number_is_off_by_no_more_than_is_proven(twin):
    tokens = twin.testbed.subject.tokens(200)
    sites = ["hook_resid_pre", "ln1.hook_normalized", "hook_resid_mid", "ln2.hook_normalized"]
    _, cache = twin.model.run_with_cache(tokens, [f"blocks.0.{site}" for site in sites])
    held = [cache[f"blocks.0.{site}"].double().numpy() for site in sites]
    block, basis = twin.weights.blocks[0], twin.coding.basis
    for before, after, norm in zip(held[::2], held[1::2], (block.norm_attention, block.norm_mlp)):
        off = (after * np.float32(norm.scale) - before) @ basis.T
        assert np.abs(off).max() <= RELATIVE * np.linalg.norm(before @ basis.T, axis=-1).max()


def test_the_mean_that_is_taken_off_is_not_read(twin):
    if twin.request.norm == "layer":
        ones = np.ones(twin.weights.d_model)
        assert np.abs(twin.coding.basis @ ones).max() < 1e-12
        assert abs(twin.coding.ballast @ ones) < 1e-9
        # Where begin-of-sequence is not, nothing is written on its pair.
        pair = np.flatnonzero(twin.coding.basis[0])
        assert len(pair) == 2
        assert not twin.weights.W_E[: len("abc"), pair].any()


def test_without_ballast_the_norm_is_seen(twin):
    light = replace(twin.weights, W_E=twin.weights.W_E - 0.999 * twin.coding.ballast)
    held = {m.name: Held(m.bound, m.margin) for m in twin.certificate.margins}
    readout = Readout(twin.coding, held)
    with pytest.raises(Disagreement, match="hist"):
        certified(twin.analysis, twin.layout, light, n=100, seed=0, readout=readout)


def test_the_model_agrees_with_torch_on_what_a_norm_is(twin):
    x = torch.randn(5, twin.weights.d_model) + torch.tensor(twin.coding.ballast).float()
    norm, module = twin.weights.final_norm, twin.model.ln_final
    scale = torch.tensor(norm.scale).float()
    if norm.center:
        expected = torch.nn.functional.layer_norm(x, x.shape[-1:], scale, eps=norm.eps)
    else:
        expected = torch.nn.functional.rms_norm(x, x.shape[-1:], scale, eps=norm.eps)
    # The mean of numbers of size C is off by C units, in either.
    assert torch.allclose(module(x), expected, atol=2e-3, rtol=1e-5)


def test_what_cannot_be_is_refused():
    hist = compile_program(library.program("hist"), vocab="abc", max_length=6, n_sequences=64)
    with pytest.raises(InputError, match='norm: expected "layer", "rms" or None'):
        hist.twin(norm="batch")
    balance = compile_program(
        library.example_program("shuffle_dyck2"),
        vocab=library.entry("shuffle_dyck2").vocab,
        max_length=6,
        n_sequences=64,
    )
    with pytest.raises(ProgramError, match="cannot be told apart in float32"):
        balance.twin(norm="rms")
