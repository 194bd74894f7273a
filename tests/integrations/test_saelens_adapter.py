"""Autoencoders of SAELens, as they are or from their folder, go through `gt.evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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
from saelens_cases import sae_lens, world
from torch import nn

import groundtruth as gt
from groundtruth.adapters import as_explanation, saelens
from groundtruth.errors import ExplanationError

pytestmark = pytest.mark.integration

INFERENCE = ["Standard", "TopK", "JumpReLU", "Gated"]
TRAINING = [*INFERENCE, "BatchTopK", "MatryoshkaBatchTopK"]
CASES = [(kind, False) for kind in INFERENCE] + [(kind, True) for kind in TRAINING]
EXTRA: dict[str, dict[str, Any]] = {
    "TopK": {"k": 32},
    "BatchTopK": {"k": 5},
    "MatryoshkaBatchTopK": {"k": 5, "matryoshka_widths": [64, 128]},
}


def make(kind: str, weights: Weights, *, training: bool = False, **extra: Any) -> Any:
    """An autoencoder of `kind` that holds `weights`; its decoder rows need not be unit vectors."""
    k, d = weights.W_dec.shape
    stem = f"{kind}TrainingSAE" if training else f"{kind}SAE"
    extra = EXTRA.get(kind, {}) | {"d_in": d, "d_sae": k} | extra
    sae = getattr(sae_lens, stem)(getattr(sae_lens, f"{stem}Config")(**extra))
    with torch.no_grad():
        sae.W_enc.copy_(weights.W_enc.T)
        sae.W_dec.copy_(weights.W_dec)
        sae.b_dec.copy_(weights.b_dec)
        for name in ("b_gate", "b_mag") if kind == "Gated" else ("b_enc",):
            getattr(sae, name).copy_(weights.b_enc)
        if hasattr(sae, "threshold"):
            sae.threshold.fill_(0)
    return sae


@pytest.mark.parametrize(("kind", "training"), [case for case in CASES if "Batch" not in case[0]])
def test_codes_and_reconstruction_are_the_library_s_own(kind: str, training: bool) -> None:
    sae, x = make(kind, planted(), training=training), bed().subject.sample(300)
    with torch.no_grad():
        claim, codes = as_explanation(sae), sae.encode(x)
        # Where norms are folded in, codes differ by rounding.
        assert torch.allclose(claim.encode(x), codes, atol=1e-5)
        check_forward(sae, claim.encode(x), sae(x), x)


@pytest.mark.parametrize(("kind", "training"), CASES)
def test_the_planted_dictionary_scores_as_the_oracle(kind: str, training: bool) -> None:
    sae = make(kind, planted(), training=training).train(training)
    weights = {name: value.clone() for name, value in sae.state_dict().items()}
    state = torch.get_rng_state()
    assert check_oracle(sae).flags == ()
    assert sae.training is training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, weights[name]) for name, value in sae.state_dict().items())


def test_topk_training_with_long_rows_is_scored_with_its_norms_folded_in() -> None:
    right = planted()
    lengths = torch.linspace(0.5, 2, 128)[:, None]
    long = Weights(
        right.W_enc / lengths, right.b_enc / lengths[:, 0], right.W_dec * lengths, right.b_dec
    )
    sae, x = make("TopK", long, training=True), bed().subject.sample(300)
    claim = as_explanation(sae)
    assert np.allclose(np.linalg.norm(claim.decoder, axis=1), 1, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(claim.encode(x), sae.encode(x), atol=1e-5)
        check_forward(sae, claim.encode(x), sae(x), x)
    check_oracle(sae)


@pytest.mark.parametrize("kind", ["BatchTopK", "MatryoshkaBatchTopK"])
def test_batchtopk_is_scored_by_the_threshold_that_saelens_saves(kind: str, tmp_path: Path) -> None:
    sae, x = make(kind, planted(), training=True).train(), bed().subject.sample(300)
    sae.topk_threshold.fill_(0.4)
    sae.save_inference_model(tmp_path)
    saved = sae_lens.SAE.load_from_disk(tmp_path)
    assert type(saved).__name__ == "JumpReLUSAE"
    with torch.no_grad():
        check_forward(sae, saved.encode(x), saved(x), x)
        assert not torch.equal(sae.encode(x), saved.encode(x))
    report = gt.evaluate(bed(), sae, scoring=SMALL, metrics="recon.l0")
    assert report.flags == ()
    assert report["recon.l0"].value != pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("how", ["layer_norm", "constant_norm_rescale"])
def test_normalised_activations_are_reconstructed_in_their_own_scale(how: str) -> None:
    # A world with a bias: no activation is zero, which cannot be scaled to a norm.
    sae = make("Standard", narrow(), normalize_activations=how)
    report = gt.evaluate(world(d=24), sae, scoring=SMALL, metrics="recon.ev_total")
    x = torch.from_numpy(report.comparison.data.x)
    with torch.no_grad():
        error = (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert report["recon.ev_total"].value == pytest.approx(1 - float(error), abs=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_absolute_topk_has_signed_codes(training: bool) -> None:
    sae, x = make("AbsTopK", planted(), training=training, k=5), bed().subject.sample(100)
    claim = as_explanation(sae)
    assert claim.signed
    with torch.no_grad():
        assert torch.allclose(claim.encode(x), sae.encode(x), atol=1e-5)
    assert (claim.encode(x) < 0).any()


def test_matching_pursuit_is_read() -> None:
    sae = sae_lens.MatchingPursuitSAE(sae_lens.MatchingPursuitSAEConfig(d_in=32, d_sae=128))
    with torch.no_grad():
        sae.W_dec.copy_(planted().W_dec)
        x = bed().subject.sample(50)
        check_forward(sae, sae.encode(x), sae(x), x)


def test_shuffled_rows_recover_nothing() -> None:
    check_shuffled(make("TopK", shuffled(), training=True))


@pytest.mark.parametrize("training", [False, True])
def test_another_width_is_refused_with_both_widths(training: bool) -> None:
    check_width(make("JumpReLU", narrow(), training=training))


def test_a_transposed_decoder_is_refused() -> None:
    sae = make("Standard", planted())
    sae.W_dec = nn.Parameter(sae.W_dec.T.clone())
    check_transposed(sae)


def test_a_square_transposed_decoder_is_told_by_its_decode() -> None:
    right = planted()
    square = Weights(right.W_enc[:32], right.b_enc[:32], right.W_dec[:32], right.b_dec)

    class Transposed(sae_lens.StandardSAE):
        def decode(self, feature_acts: torch.Tensor) -> torch.Tensor:
            return feature_acts @ self.W_dec.T + self.b_dec

    right_way = make("Standard", square)
    sae = Transposed(right_way.cfg)
    sae.load_state_dict(right_way.state_dict())
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate(bed(), sae, scoring=SMALL)
    assert str(caught.value) == (
        "Transposed: expected a decoder (k, d) with one row per latent, got its transpose: "
        "k = d = 32, and decode(codes) is codes @ W.T + bias, not codes @ W + bias. Pass "
        "gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it is now."
    )
    assert as_explanation(right_way).k == 32


@pytest.mark.parametrize("training", [False, True])
def test_nan_weights_are_refused_by_name(training: bool) -> None:
    check_nan(make("JumpReLU", planted(), training=training), "W_enc")


def test_what_does_not_explain_its_own_input_is_refused() -> None:
    config = sae_lens.TranscoderConfig(d_in=32, d_sae=64, d_out=32, apply_b_dec_to_input=False)
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate(bed(), sae_lens.Transcoder(config), scoring=SMALL)
    assert str(caught.value) == (
        "Transcoder: expected an autoencoder, got a transcoder: it explains other activations "
        "than it reads. Pass gt.Dictionary(decoder=W, encode=encode) if they are the same."
    )


@pytest.mark.parametrize(("kind", "training"), CASES)
def test_a_folder_is_read_as_what_was_saved(kind: str, training: bool, tmp_path: Path) -> None:
    sae, x = make(kind, planted(), training=training), bed().subject.sample(100)
    sae.save_model(tmp_path)
    first, second = saelens.load(tmp_path), saelens.from_saelens(sae)
    assert first.name == type(sae).__name__
    assert torch.equal(first.encode(x), second.encode(x))
    assert np.array_equal(first.decoder, second.decoder)


def test_a_folder_is_a_claim(tmp_path: Path) -> None:
    make("BatchTopK", planted(), training=True).save_inference_model(tmp_path)
    check_oracle(tmp_path)
    check_oracle(str(tmp_path))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExplanationError) as caught:
        saelens.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected a folder saved by SAELens, but it has no cfg.json and no "
        "sae_weights.safetensors. Write one with sae.save_model(folder)."
    )
