"""Sparse coders of sparsify (EleutherAI), as they are, go through `gt.evaluate`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from planted_cases import (
    SMALL,
    Weights,
    bed,
    check_forward,
    check_nan,
    check_oracle,
    check_shuffled,
    check_transposed,
    check_width,
    narrow,
    planted,
    shuffled,
)
from torch import nn

import groundtruth as gt
from groundtruth.adapters import sparsify as adapter
from groundtruth.errors import ExplanationError

with warnings.catch_warnings():
    # What its own dependencies deprecate, while it is imported, is not ours to mend.
    warnings.simplefilter("ignore")
    import sparsify

pytestmark = pytest.mark.integration


def make(weights: Weights, **config: Any) -> Any:
    """A sparse coder that holds `weights`."""
    k, d = weights.W_dec.shape
    settings = sparsify.SparseCoderConfig(num_latents=k, **({"k": 32} | config))
    coder = sparsify.SparseCoder(d, settings)
    with torch.no_grad():
        coder.encoder.weight.copy_(weights.W_enc)
        coder.encoder.bias.copy_(weights.b_enc)
        coder.W_dec.copy_(weights.W_dec)
        coder.b_dec.copy_(weights.b_dec)
    return coder


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
def test_codes_and_reconstruction_are_the_library_s_own(activation: str) -> None:
    coder = make(planted(), activation=activation)
    x = bed().subject.sample(300)
    with torch.no_grad():
        own = coder.encode(x)
        codes = torch.zeros(300, 128).scatter(1, own.top_indices, own.top_acts)
        check_forward(coder, codes, coder(x).sae_out, x)


def test_the_planted_dictionary_scores_as_the_oracle() -> None:
    assert check_oracle(make(planted())).flags == ()


def test_shuffled_rows_recover_nothing() -> None:
    check_shuffled(make(shuffled()))


def test_another_width_is_refused_with_both_widths() -> None:
    check_width(make(narrow()))


def test_a_transposed_decoder_is_refused() -> None:
    coder = make(planted())
    coder.W_dec = nn.Parameter(coder.W_dec.T.clone())
    check_transposed(coder)


def test_nan_weights_are_refused_by_name() -> None:
    check_nan(make(planted()), "encoder.weight")


@pytest.mark.parametrize(
    ("config", "kind"),
    [({"transcode": True}, "a transcoder"), ({"skip_connection": True}, "a skip connection")],
)
def test_what_does_not_explain_its_own_input_is_refused(config: Any, kind: str) -> None:
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate(bed(), make(planted(), **config), scoring=SMALL)
    assert str(caught.value) == (
        "SparseCoder: expected an autoencoder whose codes explain the activations it reads, got "
        f"{kind}. Pass gt.Dictionary(decoder=W, encode=encode) if that is what you claim."
    )


def test_a_folder_is_read_as_what_was_saved(tmp_path: Path) -> None:
    coder = make(planted())
    coder.save_to_disk(tmp_path)
    check_oracle(tmp_path)
    check_oracle(str(tmp_path))
    x = bed().subject.sample(50)
    assert torch.equal(adapter.load(tmp_path).encode(x), adapter.from_sparsify(coder).encode(x))


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    make(planted()).save_to_disk(tmp_path)
    (tmp_path / "cfg.json").unlink()
    with pytest.raises(ExplanationError) as caught:
        adapter.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected a folder saved by sparsify, but it has no cfg.json. "
        "Write one with coder.save_to_disk(folder)."
    )
