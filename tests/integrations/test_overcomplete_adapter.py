"""Models of overcomplete (KempnerInstitute), as they are, go through `gt.evaluate`.

The classes are the installed package's own; only its package __init__ is not run (see `part_of`).
"""

from __future__ import annotations

import copy
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
    part_of,
    planted,
    shuffled,
)
from torch import nn

import groundtruth as gt
from groundtruth.adapters import as_explanation, as_method, is_method
from groundtruth.errors import ExplanationError

pytestmark = pytest.mark.integration

sae = part_of("overcomplete", "sae")
optimization = part_of("overcomplete", "optimization")

KINDS = ["SAE", "TopKSAE", "JumpSAE", "BatchTopKSAE"]


class Encoder(nn.Module):
    """What overcomplete asks of an encoder: (pre-codes, codes)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.linear = nn.Linear(*weights.W_enc.T.shape)
        with torch.no_grad():
            self.linear.weight.copy_(weights.W_enc)
            self.linear.bias.copy_(weights.uncentred)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pre = self.linear(x)
        return pre, torch.relu(pre)


def make(kind: str, weights: Weights, **extra: Any) -> Any:
    """An autoencoder of `kind` that holds `weights`, but for the bias, which it has not."""
    k, d = weights.W_dec.shape
    given = {"TopKSAE": {"top_k": 32}, "BatchTopKSAE": {"top_k": 5}}.get(kind, {}) | extra
    model = getattr(sae, kind)(d, k, encoder_module=Encoder(weights), **given)
    with torch.no_grad():
        model.dictionary._weights.copy_(weights.W_dec)
    if kind == "JumpSAE":
        model.thresholds.data.fill_(-12.0)  # their logarithms
    if kind == "BatchTopKSAE":
        model.running_threshold = torch.tensor(1e-6)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_codes_and_reconstruction_are_the_library_s_own(kind: str, training: bool) -> None:
    model, x = make(kind, planted()).train(training), bed().subject.sample(300)
    own = copy.deepcopy(make(kind, planted())).eval()
    with torch.no_grad():
        _, codes, x_hat = own(x)
        check_forward(model, codes, x_hat, x)
    assert model.training is training


@pytest.mark.parametrize("kind", KINDS)
def test_the_planted_dictionary_scores_as_the_oracle(kind: str) -> None:
    assert check_oracle(make(kind, planted())).flags == ()


def test_the_default_encoder_is_read_with_the_averages_it_has_stored() -> None:
    model = sae.TopKSAE(32, 128, top_k=5)
    model(bed().subject.sample(512))  # moves the running averages of its batch norm
    x = bed().subject.sample(100, seed=1)
    claim = as_explanation(model)
    with torch.no_grad():
        assert torch.equal(claim.encode(x), model.eval().encode(x)[1])


def test_shuffled_rows_recover_nothing() -> None:
    check_shuffled(make("TopKSAE", shuffled()))


def test_another_width_is_refused_with_both_widths() -> None:
    check_width(make("JumpSAE", narrow()))


def test_a_transposed_decoder_is_refused() -> None:
    model = make("SAE", planted())
    model.dictionary._weights = nn.Parameter(model.dictionary._weights.T.clone())
    check_transposed(model)


def test_nan_weights_are_refused_by_name() -> None:
    check_nan(make("SAE", planted()), "encoder.linear.weight")


def test_a_batchtopk_that_never_trained_is_refused() -> None:
    model = make("BatchTopKSAE", planted())
    model.running_threshold = None
    with pytest.raises(ExplanationError) as caught:
        as_explanation(model)
    assert str(caught.value) == (
        "BatchTopKSAE: encode failed on activations (3, 32): AssertionError: Running threshold is "
        "not initialized."
    )


@pytest.mark.parametrize("kind", ["MpSAE", "OMPSAE"])
def test_pursuit_keeps_its_dropout_and_is_scored_without(kind: str) -> None:
    model = getattr(sae, kind)(32, 128, k=5, dropout=0.5)
    claim, x = as_explanation(model), bed().subject.sample(100)
    codes = claim.encode(x)
    assert claim.signed is (kind == "MpSAE")
    assert model.dropout == 0.5 and model.training
    with torch.no_grad():
        own = model.eval().encode(x)[1]
    # The library scales its rows to length 1 on each eval(): once more, up to rounding.
    assert torch.allclose(codes, own, atol=1e-4)


def test_a_fitted_semi_nmf_gives_its_dictionary_and_repeatable_codes() -> None:
    x = bed().subject.sample(500)
    for solver in ("mu", "pgd"):
        model = optimization.SemiNMF(40, solver=solver)
        model.fit(x, max_iter=20)
        claim = as_explanation(model)
        codes = claim.encode(x[:100])
        assert np.array_equal(claim.decoder, model.get_dictionary().numpy().astype(float))
        assert torch.equal(codes, claim.encode(x[:100]))
        # Codes are the library's: they reconstruct as its own, from another start, do.
        own = model.decode(model.encode(x[:100]))
        error = (codes @ model.D - x[:100]).norm() / (own - x[:100]).norm()
        assert error == pytest.approx(1, abs=0.3)


def test_a_fitted_nmf_is_read_and_takes_no_negative_activations() -> None:
    model = optimization.NMF(12)
    model.fit(bed().subject.sample(200).abs(), max_iter=20)
    claim = as_explanation(model)
    assert (claim.encode(bed().subject.sample(10).abs()) >= 0).all()
    with pytest.raises(gt.GroundtruthError, match="Input tensor must be non-negative"):
        gt.evaluate(bed(), model, scoring=SMALL)


def test_convex_nmf_claims_its_dictionary_alone() -> None:
    model = optimization.ConvexNMF(40)
    model.fit(bed().subject.sample(200), max_iter=10)
    claim = as_explanation(model)
    assert claim.encode is None
    assert np.array_equal(claim.decoder, model.get_dictionary().numpy().astype(float))


def test_wrappers_of_scikit_learn_are_read_as_what_they_hold() -> None:
    x = bed().subject.sample(2000)
    for kind in ("SkPCA", "SkICA"):
        model = getattr(optimization, kind)(8)
        model.fit(x)
        claim = as_explanation(model)
        assert claim.name == kind
        codes = claim.encode(x.numpy())
        expected = model.model.inverse_transform(codes)
        assert np.allclose(codes @ claim.decoder + claim.bias, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["SemiNMF", "SkKMeans"])
def test_an_unfitted_factorisation_is_a_method_that_its_seed_decides(kind: str) -> None:
    model = getattr(optimization, kind)(40)
    assert is_method(model)
    method = as_method(model)
    state = torch.get_rng_state()
    small = type(method)(method.model, n_samples=500)
    first, again, other = (small(bed().subject, seed=s).decoder for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
    assert not model.fitted
    with pytest.raises(ExplanationError) as caught:
        as_explanation(model)
    assert str(caught.value) == (
        f"{kind}: expected a fitted model, got an unfitted one. Call .fit(x) first, or pass it "
        "where a method is expected."
    )


def test_autoencoders_are_no_methods() -> None:
    assert not is_method(make("SAE", planted()))
