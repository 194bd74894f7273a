"""The transcoder: the linear map in closed form, patterns that are no filters, and its limits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth.errors import InputError
from groundtruth.methods import transcoder
from groundtruth.testbed import BLOCK, ActivationSubject

MAP = np.random.default_rng(0).standard_normal((4, 3))
NOISE = 0.5


def linear_subject() -> ActivationSubject:
    """x_1 ~ N(1, I), x_2 = x_1 MAP + noise."""

    def draw(seed: int, block: int) -> np.ndarray:
        rng = np.random.default_rng([seed, block])
        first = rng.standard_normal((BLOCK, 4)) + 1
        second = first @ MAP + NOISE * rng.standard_normal((BLOCK, 3))
        return np.concatenate([first, second], axis=1).astype(np.float32)

    return ActivationSubject(7, draw)


@cache
def pair() -> gt.Testbed:
    return gt.build("pair/models", seed=0)


@cache
def claim() -> gt.Dictionary:
    return transcoder(pair().subject, seed=0, width=48, l0=2.4, n_samples=200_000)


def cosines(rows: np.ndarray) -> np.ndarray:
    """(n_features,) largest cosine of each feature of `pair` with a row."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (pair().truth.features.directions @ unit.T).max(axis=1)


def test_without_a_penalty_it_learns_the_least_squares_map():
    """For normal activations nothing predicts x_2 better than the linear map, whose error is
    3 NOISE^2; by Stein's lemma the mean slope of the best predictor is the map."""
    subject = linear_subject()
    found = transcoder(subject, seed=0, parts=(4, 3), width=16, l1=0.0, n_samples=100_000)
    x = subject.sample(20_000, seed=9)
    x_hat = found.encode(x).double().numpy() @ found.decoder + found.bias
    error = np.square(x.numpy() - x_hat)[:, 4:].sum(axis=1).mean()
    # 20,000 samples know the error to 0.6 %; the fit adds less than 1 %.
    assert error == pytest.approx(3 * NOISE**2, rel=0.025)
    sae = found.encode.__self__
    seen = x[:4000].clone().requires_grad_()
    written = sae.pre(seen).relu() @ sae.W_dec
    slope = [torch.autograd.grad(w.sum(), seen, retain_graph=True)[0].mean(0) for w in written.T]
    np.testing.assert_allclose(torch.stack(slope, 1)[:4], MAP, atol=0.05)
    assert not torch.stack(slope, 1)[4:].any()


def test_codes_are_a_function_of_the_first_part_alone():
    x = pair().subject.sample(200, seed=3)
    other = x.clone()
    other[:, 32:] = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(claim().encode(x), claim().encode(other))
    other[:, :32] += 1
    assert not torch.equal(claim().encode(x), claim().encode(other))


def test_patterns_are_the_least_squares_fit_of_the_first_part():
    x = pair().subject.sample(20_000, seed=0)
    codes = claim().encode(x).double().numpy()
    left = x[:, :32].numpy() - (codes @ claim().decoder[:, :32] + claim().bias[:32])
    assert np.abs(codes.T @ left).max() < 1e-3 * np.abs(codes.T @ x[:, :32].numpy()).max()
    assert np.abs(left.mean(axis=0)).max() < 1e-4


def test_features_of_both_parts_are_found_and_those_of_one_are_not():
    best = cosines(claim().decoder)
    shared, rotated, exclusive = best[:24], best[32:40], best[40:]
    assert min(shared.min(), rotated.min()) > 0.9
    assert exclusive.max() < 0.9


def test_encoder_rows_are_filters_and_not_where_a_feature_lives():
    rows = np.concatenate([claim().encode.__self__.W_enc, claim().decoder[:, 32:]], axis=1)
    assert (cosines(rows)[:24] > 0.9).mean() < 0.2 < (cosines(claim().decoder)[:24] > 0.9).mean()


def test_of_a_rescaled_feature_the_pattern_has_alpha_and_the_filter_its_inverse():
    alphas = np.array([0.3, 0.5, 1.0, 2.0])
    world = gt.build(
        "pair/models",
        n_features=4,
        magnitude={"law": "constant", "value": 1.0},
        dictionary={"law": "pair", "rescaled": alphas.tolist()},
    )
    found = transcoder(world.subject, seed=0, width=8, l1=0.03, n_samples=200_000)
    truth = world.truth.features.directions
    rows = found.decoder / np.linalg.norm(found.decoder, axis=1, keepdims=True)
    cosine = truth @ rows.T
    assert cosine.max(axis=1).min() > 0.99
    latent, first = cosine.argmax(axis=1), truth[:, :32]
    pattern = np.linalg.norm(found.decoder[latent, :32], axis=1)  # beside a second part of 1
    np.testing.assert_allclose(pattern, alphas, rtol=0.06)
    unit = first / np.linalg.norm(first, axis=1, keepdims=True)
    gain = np.einsum("kd,kd->k", found.encode.__self__.W_enc.numpy()[latent], unit)
    np.testing.assert_allclose(gain, 1 / alphas, rtol=0.1)


def test_it_trains_to_the_same_bytes_and_shows_itself_on_the_way():
    seen: list[gt.Dictionary] = []

    def run(**hooks: object) -> bytes:
        found = transcoder(pair().subject, seed=3, width=20, n_samples=4000, **hooks)
        return found.decoder.tobytes()

    first = run(watch=lambda n, dictionary: seen.append(dictionary), watch_at=(2000,))
    assert run() == first
    assert [dictionary.d for dictionary in seen] == [64]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parts": (10, 20)}, "parts: expected widths >= 1 that sum to 64, got (10, 20)."),
        (
            {"parts": (16, 16, 32)},
            "parts: expected two widths: of what is read, and of what is written, got "
            "(16, 16, 32).",
        ),
        ({"tied": True}, "tied: expected False: encoder and decoder are of different parts"),
        ({"dead": "resample"}, 'dead: expected "auxiliary" or "none", got \'resample\'.'),
        ({"l0": 2, "l1": 0.1}, "l1: expected None when l0 is given"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(given, message):
    with pytest.raises(InputError) as caught:
        transcoder(pair().subject, seed=0, n_samples=1000, **given)
    assert str(caught.value).startswith(message)
