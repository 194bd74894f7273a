"""Pairs of an encoder and a decoder, as a tuple or on an object, in numpy, torch and jax."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth.adapters.attributes import bias_of, decoder_of
from groundtruth.adapters.pair import from_object, from_pair, is_encoder_decoder
from groundtruth.errors import ExplanationError

SMALL = gt.Scoring(n_select=1024, n_score=2048, n_positives=20)
D = np.random.default_rng(0).standard_normal((6, 4))
X = np.random.default_rng(1).standard_normal((10, 4))
TRANSPOSED = (
    "{name}: expected a decoder (k, d) with one row per latent, got (4, 6); but encode takes "
    "activations of width 4 and gives 6 codes: the decoder is transposed. Pass "
    "gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it is now."
)


def encode(x):
    return np.maximum(x @ D.T, 0)


class Coder:
    """What a small library of one's own may look like."""

    def __init__(self, decoder=D, bias=None):
        self.decoder = decoder
        self.b_dec = np.zeros(4) if bias is None else bias

    def encode(self, x):
        return encode(x - self.b_dec)

    def decode(self, codes):
        return codes @ self.decoder + self.b_dec


def test_a_tuple_gives_its_codes_decoder_and_bias():
    claim = from_pair((encode, D, np.arange(4.0)))
    assert np.array_equal(claim.encode(X), encode(X))
    assert np.array_equal(claim.decoder, D)
    assert np.array_equal(claim.bias, np.arange(4.0))
    assert claim.decode is None and not claim.signed


def test_an_object_gives_its_codes_decoder_and_bias():
    coder = Coder(bias=np.arange(4.0))
    claim = from_object(coder)
    assert claim.name == "Coder"
    assert np.array_equal(claim.encode(X), coder.encode(X))
    codes = claim.encode(X)
    assert np.allclose(codes @ claim.decoder + claim.bias, coder.decode(codes))
    assert claim.decode is None


def test_a_decode_that_is_not_linear_is_claimed_too():
    class Squared(Coder):
        def decode(self, codes):
            return super().decode(codes) ** 2

    coder = Squared()
    claim = from_object(coder)
    assert claim.decode is not None
    assert np.array_equal(claim.decode(encode(X)), coder.decode(encode(X)))


def test_signed_codes_are_said_by_the_object():
    coder = Coder()
    coder.signed = True
    assert from_object(coder).signed


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (SimpleNamespace(W_dec=D, decoder=D[:2]), D),
        (SimpleNamespace(get_dictionary=lambda: D), D),
        (SimpleNamespace(decoder=SimpleNamespace(weight=D.T)), D),
        (SimpleNamespace(decoder=D), D),
        (SimpleNamespace(components_=D), D),
        (SimpleNamespace(decoder="linear"), None),
        (SimpleNamespace(), None),
    ],
    ids=["W_dec", "get_dictionary", "weight", "decoder", "components_", "a string", "none"],
)
def test_decoders_are_found_by_name(holder, expected):
    found = decoder_of(holder)
    assert found is expected or np.array_equal(found, expected)


def test_a_bias_of_another_shape_is_none():
    assert bias_of(SimpleNamespace(b_dec=np.zeros(5), bias=np.ones(4)), 4).sum() == 4
    assert bias_of(SimpleNamespace(b_dec=np.zeros(5)), 4) is None


def test_classes_and_strings_are_no_pairs():
    assert not is_encoder_decoder(type("Held", (), {"encode": encode, "W_dec": D}))
    assert not is_encoder_decoder("text")


def test_two_functions_are_refused_with_the_fix():
    with pytest.raises(ExplanationError) as caught:
        from_pair((encode, lambda codes: codes @ D))
    assert str(caught.value) == (
        "pair: expected (encode, decoder) or (encode, decoder, bias), a function and arrays "
        "(k, d) and (d,), got (function, function). The directions claimed cannot be read off a "
        "function: pass the decoder as an array."
    )


def test_transposed_decoders_are_refused():
    with pytest.raises(ExplanationError) as caught:
        from_pair((encode, D.T))
    assert str(caught.value) == TRANSPOSED.format(name="pair")
    with pytest.raises(ExplanationError) as caught:
        from_object(Coder(decoder=D.T.copy()))
    assert str(caught.value) == TRANSPOSED.format(name="Coder")


def test_a_torch_function_on_a_numpy_decoder_is_fed_tensors():
    truth = gt.build("sparse/orthonormal", seed=0).truth.features
    W = torch.tensor(truth.directions).float()
    pair = (lambda x: torch.relu(torch.nn.functional.linear(x, W)), truth.directions)
    report = gt.evaluate("sparse/orthonormal", pair, scoring=SMALL, metrics="recover.recall")
    assert report["recover.recall"].value == 1


@pytest.mark.parametrize("kind", ["tuple", "object"])
def test_the_planted_dictionary_scores_as_the_oracle_and_shuffled_as_chance(kind):
    truth = gt.build("sparse/orthonormal", seed=0).truth.features
    rows = truth.directions.astype(np.float32)

    class Planted(Coder):
        def encode(self, x):
            return np.maximum((x - truth.bias) @ rows.T, 0) * ((x - truth.bias) @ rows.T > 1e-3)

    for decoder, joint in ((rows, 1), (np.roll(rows, 1, 0), 0)):
        coder = Planted(decoder, truth.bias)
        claim = coder if kind == "object" else (coder.encode, decoder, truth.bias)
        wanted = {"metrics": ["recover.joint", "recover.recall"], "scoring": SMALL}
        report = gt.evaluate("sparse/orthonormal", claim, **wanted)
        assert report["recover.joint"].value == joint
        assert report["recover.recall"].value == report["recover.joint"].ceiling == 1


def test_another_width_is_refused_with_both_widths():
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate("sparse/small", Coder(), scoring=SMALL)
    assert str(caught.value) == (
        "decoder: expected shape (k, 32) for this testbed, got (6, 4). "
        "Was it made for another testbed?"
    )


def test_a_nan_decoder_is_refused():
    bad = D.copy()
    bad[1, 2] = np.nan
    with pytest.raises(ExplanationError) as caught:
        from_pair((encode, bad))
    assert str(caught.value) == (
        "decoder: expected finite numbers, got 1 NaN or infinite, first at (1, 2)."
    )
