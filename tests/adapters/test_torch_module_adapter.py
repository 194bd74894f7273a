"""Torch modules shaped like those of the libraries in use, without those libraries."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from groundtruth.adapters.torch_module import from_module
from groundtruth.errors import ExplanationError

D, K = 4, 6
W = torch.randn(K, D, generator=torch.Generator().manual_seed(0))
X = torch.randn(10, D, generator=torch.Generator().manual_seed(1))


class SaeLens(nn.Module):
    """W_dec (k, d), W_enc (d, k), b_dec."""

    def __init__(self) -> None:
        super().__init__()
        self.W_dec = nn.Parameter(W.clone())
        self.b_dec = nn.Parameter(torch.arange(D) / 4)

    def encode(self, x):
        return torch.relu((x - self.b_dec) @ self.W_dec.T)

    def decode(self, codes):
        return codes @ self.W_dec + self.b_dec


class DictionaryLearning(nn.Module):
    """nn.Linear decoder (d, k) without bias; a separate `bias`."""

    def __init__(self, k: int = K) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(D))
        self.encoder, self.decoder = nn.Linear(D, k), nn.Linear(k, D, bias=False)

    def encode(self, x):
        return torch.relu(self.encoder(x - self.bias))

    def decode(self, codes):
        return self.decoder(codes) + self.bias


class Sparsify(nn.Module):
    """encode gives an object; decode needs values and indices."""

    def __init__(self) -> None:
        super().__init__()
        self.W_dec, self.b_dec = nn.Parameter(W.clone()), nn.Parameter(torch.zeros(D))

    def encode(self, x):
        acts, indices = torch.relu(x @ self.W_dec.T).topk(2, dim=1)
        return SimpleNamespace(top_acts=acts, top_indices=indices)

    def decode(self, top_acts, top_indices):
        raise AssertionError("must not be called with codes")


class Overcomplete(nn.Module):
    """get_dictionary() and encode -> (pre_codes, codes)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(W.clone())

    def get_dictionary(self):
        return self.rows / self.rows.norm(dim=1, keepdim=True)

    def encode(self, x):
        pre = x @ self.rows.T
        return pre, torch.relu(pre)

    def decode(self, codes):
        return codes @ self.get_dictionary()


@pytest.mark.parametrize("kind", [SaeLens, DictionaryLearning, Overcomplete])
def test_codes_decoder_and_bias_give_the_module_s_own_reconstruction(kind):
    module = kind()
    claim = from_module(module, part=1 if kind is Overcomplete else None)
    codes = claim.encode(X)
    own = module.encode(X)
    own = own[1] if isinstance(own, tuple) else own
    assert torch.equal(codes, own.detach())
    assert not codes.requires_grad
    x_hat = codes.double() @ torch.tensor(claim.decoder) + torch.tensor(claim.bias)
    assert torch.allclose(x_hat.float(), module.decode(codes), atol=1e-5)
    assert claim.decode is None


def test_a_tuple_of_which_no_part_is_named_is_refused():
    with pytest.raises(
        ExplanationError, match=r"^encode: expected codes \(n, \d+\), got a tuple of 2"
    ):
        from_module(Overcomplete())


def test_a_bare_bias_of_a_square_module_may_be_the_encoder_s_and_is_not_taken():
    class Square(torch.nn.Module):
        W_dec = torch.eye(3)
        bias = torch.full((3,), -1.0)

        def encode(self, x):
            return torch.relu(x @ self.W_dec.T + self.bias)

    assert not from_module(Square()).bias.any()


def test_top_acts_and_indices_become_dense_codes():
    module = Sparsify()
    codes = from_module(module).encode(X)
    assert codes.shape == (10, K)
    dense = torch.relu(X @ W.T)
    assert torch.allclose(codes, dense * (dense >= dense.topk(2, dim=1).values[:, 1:]))


def test_a_square_linear_decoder_is_transposed():
    module = DictionaryLearning(k=D)
    claim = from_module(module)
    assert torch.allclose(torch.tensor(claim.decoder).float(), module.decoder.weight.detach().T)


def test_a_transposed_decoder_is_caught():
    class Transposed(SaeLens):
        def __init__(self):
            super().__init__()
            self.W_dec = nn.Parameter(W.T.clone())

        def encode(self, x):
            return torch.relu((x - self.b_dec) @ self.W_dec)

    with pytest.raises(ExplanationError) as caught:
        from_module(Transposed())
    assert str(caught.value) == (
        "Transposed: expected a decoder (k, d) with one row per latent, got (4, 6); but encode "
        "takes activations of width 4 and gives 6 codes: the decoder is transposed. Pass "
        "gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it is now."
    )


class Square(SaeLens):
    """k = d: a transposed decoder has the right shape."""

    def __init__(self):
        super().__init__()
        self.W_dec = nn.Parameter(W[:D].clone())


def test_a_square_transposed_decoder_is_told_by_decode():
    class Transposed(Square):
        def decode(self, codes):
            return codes @ self.W_dec.T + self.b_dec

    with pytest.raises(ExplanationError) as caught:
        from_module(Transposed())
    assert str(caught.value) == (
        "Transposed: expected a decoder (k, d) with one row per latent, got its transpose: k = d "
        "= 4, and decode(codes) is codes @ W.T + bias, not codes @ W + bias. Pass "
        "gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it is now."
    )
    assert from_module(Square()).k == D


def test_a_square_decoder_without_decode_is_taken_as_it_is():
    class Silent(Square):
        decode = None

    assert np.allclose(from_module(Silent()).decoder, W[:D].numpy())


def test_an_encode_that_fails_both_ways_says_how():
    class Broken(SaeLens):
        def encode(self, x):
            raise ValueError("no such layer")

    with pytest.raises(ExplanationError) as caught:
        from_module(Broken())
    assert str(caught.value) == (
        "Broken: encode failed on activations (3, 4): ValueError: no such layer"
    )


def test_a_decode_that_fails_says_how():
    class Broken(SaeLens):
        def decode(self, codes):
            raise ValueError("no such layer")

    with pytest.raises(ExplanationError) as caught:
        from_module(Broken())
    assert str(caught.value) == "Broken: decode failed on codes (3, 6): ValueError: no such layer"


def test_nan_weights_are_refused_by_name_and_infinite_thresholds_are_not():
    module = SaeLens()
    module.register_buffer("threshold", torch.tensor([0.0, torch.inf]))
    from_module(module)
    with torch.no_grad():
        module.b_dec[2] = torch.nan
    with pytest.raises(ExplanationError) as caught:
        from_module(module)
    assert str(caught.value) == (
        "SaeLens: expected finite weights, got 1 NaN in b_dec, first at (2,). Did training "
        "diverge? Lower its learning rate."
    )


def test_a_gated_bias_is_read_by_its_name():
    class Gated(DictionaryLearning):
        def __init__(self):
            super().__init__()
            self.decoder_bias = self.bias
            del self.bias

        def encode(self, x):
            return torch.relu(self.encoder(x - self.decoder_bias))

        def decode(self, codes):
            return self.decoder(codes) + self.decoder_bias

    claim = from_module(Gated())
    assert np.array_equal(claim.bias, np.ones(D))
    assert claim.decode is None


def test_training_flags_come_back_and_dropout_is_off_inside():
    class Noisy(SaeLens):
        def __init__(self):
            super().__init__()
            self.on, self.off = nn.Dropout(0.5), nn.Dropout(0.5).eval()

        def encode(self, x):
            assert not self.training
            assert not torch.is_grad_enabled()
            return self.off(self.on(super().encode(x)))

    module = Noisy().train()
    module.off.eval()
    claim = from_module(module)
    before = torch.get_rng_state()
    assert torch.equal(claim.encode(X), claim.encode(X))
    assert torch.equal(before, torch.get_rng_state())
    assert (module.training, module.on.training, module.off.training) == (True, True, False)


def test_training_flags_come_back_after_an_error():
    class Fails(SaeLens):
        broken = False

        def encode(self, x):
            if self.broken:
                raise KeyError("x")
            return super().encode(x)

    module = Fails().train()
    claim = from_module(module)
    module.broken = True
    with pytest.raises(KeyError):
        claim.encode(X)
    assert module.training


def test_a_decode_that_is_not_linear_is_claimed_too():
    class Doubled(SaeLens):
        def decode(self, codes):
            return 2 * super().decode(codes)

    module = Doubled()
    claim = from_module(module)
    codes = claim.encode(X)
    assert claim.decode is not None
    assert torch.equal(claim.decode(codes), module.decode(codes).detach())


def test_half_precision_linear_decoding_is_recognised():
    claim = from_module(SaeLens().to(torch.bfloat16))
    assert claim.decode is None
    assert claim.encode(X.to(torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(3, 2), "^Linear: expected W_dec .k, d., decoder.weight .d, k. or get_dictionar"),
        (nn.Sequential(), "^Sequential: expected W_dec"),
    ],
)
def test_a_module_without_a_decoder_is_refused(module, message):
    with pytest.raises(ExplanationError, match=message):
        from_module(module)


def test_a_module_without_encode_is_refused():
    module = nn.Module()
    module.W_dec = nn.Parameter(W)
    with pytest.raises(
        ExplanationError, match=r"^Module: expected a method encode\(x\), found non"
    ):
        from_module(module)


def test_codes_of_the_wrong_width_are_refused():
    class Short(SaeLens):
        def encode(self, x):
            return super().encode(x)[:, 1:]

    with pytest.raises(ExplanationError, match=r"expected codes \(3, 6\) .* got \(3, 5\)"):
        from_module(Short())
