"""Dictionaries of dictionary_learning (saprmarks), as they are, go through `gt.evaluate`.

The classes are the installed package's own; only its package __init__ is not run (see `part_of`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from planted_cases import (
    Weights,
    bed,
    check_forward,
    check_nan,
    check_oracle,
    check_shuffled,
    check_transposed,
    check_width,
    narrow,
    part_of,
    planted,
    shuffled,
)
from torch import nn

pytestmark = pytest.mark.integration

dictionary = part_of("dictionary_learning", "dictionary")
top_k = part_of("dictionary_learning", "trainers.top_k")
batch_top_k = part_of("dictionary_learning", "trainers.batch_top_k")
matryoshka = part_of("dictionary_learning", "trainers.matryoshka_batch_top_k")

LINEAR = ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE"]
PARAMETERS = ["JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"]


def make(kind: str, weights: Weights) -> Any:
    """A dictionary of `kind` that holds `weights`."""
    k, d = weights.W_dec.shape
    model = {
        "AutoEncoder": lambda: dictionary.AutoEncoder(d, k),
        "AutoEncoderNew": lambda: dictionary.AutoEncoderNew(d, k),
        "GatedAutoEncoder": lambda: dictionary.GatedAutoEncoder(d, k),
        "AutoEncoderTopK": lambda: top_k.AutoEncoderTopK(d, k, k=32),
        "BatchTopKSAE": lambda: batch_top_k.BatchTopKSAE(d, k, k=5),
        "JumpReluAutoEncoder": lambda: dictionary.JumpReluAutoEncoder(d, k),
        "MatryoshkaBatchTopKSAE": lambda: matryoshka.MatryoshkaBatchTopKSAE(
            d, k, k=5, group_sizes=[k // 2, k - k // 2]
        ),
    }[kind]()
    with torch.no_grad():
        _fill(kind, model, weights)
    return model


def _fill(kind: str, model: Any, weights: Weights) -> None:
    if kind in LINEAR:
        model.encoder.weight.copy_(weights.W_enc)
        model.decoder.weight.copy_(weights.W_dec.T)
    else:
        model.W_enc.copy_(weights.W_enc.T)
        model.W_dec.copy_(weights.W_dec)
    bias = {"AutoEncoder": "bias", "GatedAutoEncoder": "decoder_bias"}.get(kind, "b_dec")
    owner, name = (model.decoder, "bias") if kind == "AutoEncoderNew" else (model, bias)
    getattr(owner, name).copy_(weights.b_dec)
    if kind == "GatedAutoEncoder":
        model.gate_bias.copy_(weights.b_enc)
        model.mag_bias.copy_(weights.b_enc)
    elif kind in ("AutoEncoderNew", "JumpReluAutoEncoder"):  # these see x, not x - b_dec
        (model.encoder.bias if kind in LINEAR else model.b_enc).copy_(weights.uncentred)
    else:
        (model.encoder.bias if kind in LINEAR else model.b_enc).copy_(weights.b_enc)
    if hasattr(model, "threshold"):
        model.threshold.fill_(0.0)


@pytest.mark.parametrize("kind", LINEAR + PARAMETERS)
def test_codes_and_reconstruction_are_the_library_s_own(kind: str) -> None:
    model = make(kind, planted())
    x = bed().subject.sample(300)
    with torch.no_grad():
        check_forward(model, model.encode(x), model(x), x)


@pytest.mark.parametrize("kind", LINEAR + PARAMETERS)
def test_the_planted_dictionary_scores_as_the_oracle(kind: str) -> None:
    assert check_oracle(make(kind, planted())).flags == ()


@pytest.mark.parametrize("kind", ["AutoEncoder", "MatryoshkaBatchTopKSAE"])
def test_shuffled_rows_recover_nothing(kind: str) -> None:
    check_shuffled(make(kind, shuffled()))


@pytest.mark.parametrize("kind", ["AutoEncoder", "JumpReluAutoEncoder"])
def test_another_width_is_refused_with_both_widths(kind: str) -> None:
    check_width(make(kind, narrow()))


def test_transposed_decoders_are_refused() -> None:
    linear, parameters = (make(kind, planted()) for kind in ("AutoEncoder", "JumpReluAutoEncoder"))
    linear.decoder.weight = nn.Parameter(linear.decoder.weight.T.clone())
    check_transposed(linear)
    parameters.W_dec = nn.Parameter(parameters.W_dec.T.clone())
    check_transposed(parameters)


def test_nan_weights_are_refused_by_name() -> None:
    check_nan(make("AutoEncoder", planted()), "encoder.weight")


def test_what_from_pretrained_loads_is_what_was_saved(tmp_path: Path) -> None:
    saved = make("MatryoshkaBatchTopKSAE", planted())
    torch.save(saved.state_dict(), tmp_path / "ae.pt")
    model = matryoshka.MatryoshkaBatchTopKSAE.from_pretrained(tmp_path / "ae.pt")
    x = bed().subject.sample(100)
    with torch.no_grad():
        check_forward(model, saved.encode(x), saved(x), x)


def test_batch_topk_is_scored_by_its_threshold() -> None:
    model = make("BatchTopKSAE", planted())
    model.threshold.fill_(0.5)
    x = bed().subject.sample(300)
    with torch.no_grad():
        by_batch = model.encode(x, use_threshold=False)
        check_forward(model, model.encode(x, use_threshold=True), model(x), x)
    assert not torch.equal(by_batch, model.encode(x))
