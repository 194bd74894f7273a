"""The reference against closed forms, and the laws that every transformer keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from random_weights import cases, random_tokens, random_weights
from scipy.stats import norm as gaussian

from groundtruth.errors import InputError
from groundtruth.models import numpy_reference as reference
from groundtruth.models.weights import Block, Head, Norm, Weights


def mean_head(d: int) -> Head:
    """Attends uniformly and copies the whole residual vector."""
    none, bias = np.zeros((d, 0)), np.zeros(0)
    return Head(none, bias, none, bias, np.eye(d), np.zeros(d), np.eye(d))


def averaging(causal: bool) -> Weights:
    """Tokens bos, pad, 2, 3 one-hot; the only head adds the mean over visible keys."""
    eye = np.eye(4)
    block = Block((mean_head(4),), np.zeros(4), None)
    return Weights(eye, np.zeros((9, 4)), (block,), eye, np.zeros(4), bos=0, pad=1, causal=causal)


def test_uniform_attention_averages_what_is_visible():
    tokens = np.array([[0, 2, 3, 3], [0, 2, 1, 1]])
    outputs = reference.forward(averaging(causal=False), tokens)
    assert outputs[0, 1] == pytest.approx([1 / 4, 0, 1 / 4 + 1, 2 / 4])
    assert outputs[1, 1] == pytest.approx([1 / 2, 0, 1 / 2 + 1, 0])
    causal = reference.forward(averaging(causal=True), tokens)
    assert causal[0, 1] == pytest.approx([1 / 2, 0, 1 / 2 + 1, 0])
    assert causal[0, 3] == pytest.approx(outputs[0, 3])
    assert causal[0, 0] == pytest.approx([2, 0, 0, 0])


def test_the_formulas_of_activations_and_norms():
    x = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    assert reference.activate("relu", x).tolist() == [0, 0, 0, 1, 3]
    assert reference.activate("gelu", x) == pytest.approx(x * gaussian.cdf(x), abs=1e-12)
    ones, zeros = np.ones(4), np.zeros(4)
    x = np.array([1.0, 2.0, 3.0, 6.0])
    layer = reference.normalise(Norm(2 * ones, ones, eps=0.0), x)
    assert layer == pytest.approx(1 + 2 * (x - 3) / np.sqrt(14 / 4))
    rms = reference.normalise(Norm(ones, zeros, eps=0.5, center=False), x)
    assert rms == pytest.approx(x / np.sqrt(50 / 4 + 0.5))


def with_padding(tokens: np.ndarray, pad: int) -> np.ndarray:
    return np.concatenate([tokens, np.full((len(tokens), 1), pad)], axis=1)


@given(case=cases())
def test_padding_changes_nothing_where_tokens_are_and_leaves_no_nan(case):
    weights, tokens = case
    tokens = tokens[:, : weights.n_positions - 1]
    outputs = reference.forward(weights, tokens)
    padded = reference.forward(weights, with_padding(tokens, weights.pad))
    assert np.isfinite(padded).all()
    real = tokens != weights.pad
    assert np.allclose(padded[:, :-1][real], outputs[real], rtol=1e-9, atol=1e-9)


@given(case=cases())
def test_causal_outputs_do_not_change_with_what_follows(case):
    weights, tokens = case
    if not weights.causal or tokens.shape[1] == 1:
        return
    outputs = reference.forward(weights, tokens)
    prefix = reference.forward(weights, tokens[:, :-1])
    assert np.allclose(outputs[:, :-1], prefix, rtol=1e-9, atol=1e-9)


def test_the_laws_catch_a_forgotten_mask(monkeypatch):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, causal=True)
    tokens = random_tokens(rng, weights, [3, 3])
    causal = reference.visible_keys(weights, tokens)

    def no_padding(weights, tokens):
        return np.ones((*tokens.shape, tokens.shape[1]), dtype=bool)

    def no_causality(weights, tokens):
        return np.repeat((tokens != weights.pad)[:, None, :], tokens.shape[1], axis=1)

    assert not np.array_equal(causal, no_causality(weights, tokens))
    for broken, law in (
        (no_padding, test_padding_changes_nothing_where_tokens_are_and_leaves_no_nan),
        (no_causality, test_causal_outputs_do_not_change_with_what_follows),
    ):
        monkeypatch.setattr(reference, "visible_keys", broken)
        with pytest.raises(AssertionError):
            law()


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([0, 2], "tokens: expected shape (batch, position), neither 0, got (2,)."),
        ([[0.0, 2.0]], "tokens: expected whole numbers, got float64."),
        ([[0] + [2] * 9], "tokens: expected at most 9 positions, got 10."),
        ([[0, 4]], "tokens: expected ids from 0 to 3, got 0 to 4."),
        (
            [[0, 2], [2, 3]],
            "tokens: expected the begin-of-sequence id 0 at position 0, got [0, 2].",
        ),
    ],
)
def test_tokens_that_are_none_are_refused(tokens, message):
    with pytest.raises(InputError) as error:
        reference.forward(averaging(causal=False), np.array(tokens))
    assert str(error.value) == message
