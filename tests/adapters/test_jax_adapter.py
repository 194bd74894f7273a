"""jax functions, by their arrays alone and without copies by DLPack."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth import arrays
from groundtruth.adapters import as_explanation, as_method
from groundtruth.adapters.jax import from_jax, to_jax, to_torch
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary
from groundtruth.generators.presets import BUILDERS

jax = pytest.importorskip("jax")

SMALL = gt.Scoring(n_select=1024, n_score=2048, n_positives=20)


def jax_method(subject, *, seed):
    rows = jax.random.normal(jax.random.key(seed), (8, subject.d))

    @jax.jit
    def encode(x):
        return jax.nn.relu(x @ rows.T)

    return Dictionary(rows, encode)


def test_a_jax_decoder_and_encode_make_a_dictionary():
    subject = BUILDERS["sparse/small"](seed=0).subject
    claim = as_explanation(as_method(jax_method)(subject, seed=0))
    assert (claim.kind, claim.k, claim.d) == ("jax", 8, 32)
    x = subject.sample(5).numpy()
    codes = claim.encode(arrays.from_numpy(x, claim.kind))
    assert arrays.kind_of(codes) == "jax"
    expected = np.maximum(x @ claim.decoder.T, 0)
    assert np.allclose(arrays.to_numpy("codes", codes), expected, atol=1e-5)


def test_activations_and_codes_change_hands_in_place():
    seen = []

    def keep(x):
        seen.append(x)
        return x

    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    claim = from_jax(keep, np.eye(32, dtype=np.float32))
    codes = claim.encode(x)
    # One buffer all the way: torch to jax, through the function, jax to torch.
    assert seen[-1].unsafe_buffer_pointer() == x.data_ptr() == codes.data_ptr()


def test_views_share_memory_both_ways():
    x = torch.arange(64.0).reshape(8, 8)
    assert to_jax(x).unsafe_buffer_pointer() == x.data_ptr()
    array = jax.numpy.arange(64.0).reshape(8, 8)
    assert to_torch(array).data_ptr() == array.unsafe_buffer_pointer()
    assert np.array_equal(to_torch(to_jax(x)), x)


def test_a_copy_would_be_seen():
    x = torch.arange(64.0).reshape(8, 8)
    assert jax.numpy.array(x.numpy(), copy=True).unsafe_buffer_pointer() != x.data_ptr()


def test_memory_that_jax_cannot_take_is_copied_right():
    x = torch.arange(66.0)[1:65].reshape(8, 8)  # begins 4 bytes past an aligned address
    assert np.array_equal(np.asarray(to_jax(x)), x.numpy())
    assert np.array_equal(np.asarray(to_jax(x.T)), x.T.numpy())


def test_a_jitted_function_scores_as_the_same_function_in_numpy():
    truth = gt.build("sparse/small", seed=0).truth.features
    W = jax.numpy.asarray(truth.directions, dtype=jax.numpy.float32)

    @jax.jit
    def encode(x):
        return jax.nn.relu((x - truth.bias) @ W.T - 0.5)

    rows = truth.directions.astype(np.float32)
    numpy_twin = Dictionary(rows, lambda x: np.maximum((x - truth.bias) @ rows.T - 0.5, 0))
    names = ["recover.recall", "act.f1", "recon.l0"]
    reports = [
        gt.evaluate("sparse/small", claim, scoring=SMALL, metrics=names)
        for claim in ((encode, W), from_jax(encode, W), numpy_twin)
    ]
    for name in names:
        first, second, third = (report[name].value for report in reports)
        assert first == second == pytest.approx(third, rel=1e-3)
    assert reports[0]["recover.recall"].value == reports[0]["recover.recall"].ceiling == 1


def test_a_decode_that_is_not_linear_is_claimed_too():
    W = np.eye(4, dtype=np.float32)
    claim = from_jax(lambda x: x, W, decode=lambda codes: codes**2)
    assert claim.decode is not None
    assert torch.equal(claim.decode(torch.full((2, 4), 3.0)), torch.full((2, 4), 9.0))
    assert from_jax(lambda x: x, W, decode=lambda codes: codes @ W).decode is None


def test_a_transposed_decoder_is_refused():
    W = np.ones((6, 4), dtype=np.float32)

    def encode(x):
        return x @ W.T

    with pytest.raises(ExplanationError) as caught:
        from_jax(encode, W.T)
    assert str(caught.value) == (
        "encode: expected a decoder (k, d) with one row per latent, got (4, 6); but encode takes "
        "activations of width 4 and gives 6 codes: the decoder is transposed. Pass "
        "gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it is now."
    )
