"""The classical factorisations, each by a law of its own."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.errors import InputError
from groundtruth.generators.presets import BUILDERS
from groundtruth.methods.linear import dictionary_learning, ica, kmeans, nmf, pca
from groundtruth.testbed import ActivationSubject

# About 2.6 features at a time, so that short training recovers a good share.
SPARSER = {"law": "log-uniform", "low": 0.004, "high": 0.06}


@pytest.fixture(scope="module")
def world():
    return BUILDERS["sparse/small"](seed=0, firing=SPARSER)


def non_negative(k: int = 6, d: int = 10) -> tuple[ActivationSubject, np.ndarray]:
    rows = np.random.default_rng(0).random((k, d)) ** 3

    def draw(seed: int, block: int) -> np.ndarray:
        rng = np.random.default_rng([seed, block])
        codes = rng.random((1024, k)) * (rng.random((1024, k)) < 0.3)
        return (codes @ rows).astype(np.float32)

    return ActivationSubject(d, draw), rows


def independent(d: int = 8) -> tuple[ActivationSubject, np.ndarray]:
    mixing = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]

    def draw(seed: int, block: int) -> np.ndarray:
        rng = np.random.default_rng([seed, block])
        return (rng.laplace(size=(1024, d)) @ mixing + 2.0).astype(np.float32)

    return ActivationSubject(d, draw), mixing


def test_pca_rows_are_orthonormal_and_full_width_reconstructs(world):
    claim, x = pca(world.subject, seed=0, n_samples=5000), world.subject.sample(200, seed=5).numpy()
    assert np.allclose(claim.decoder @ claim.decoder.T, np.eye(32), atol=1e-5)
    assert claim.signed
    assert np.allclose(claim.encode(x) @ claim.decoder + claim.bias, x, atol=1e-4)


def test_pca_leaves_least_error_among_the_linear_ones(world):
    x = world.subject.sample(5000, seed=0).numpy()
    claim = pca(world.subject, seed=0, width=8, n_samples=5000)
    error = np.square(x - claim.encode(x) @ claim.decoder - claim.bias).sum()
    spectrum = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    assert error == pytest.approx(spectrum[8:].sum(), rel=1e-3)


def test_ica_finds_independent_directions_and_reconstructs():
    subject, mixing = independent()
    claim, x = ica(subject, seed=0), subject.sample(100, seed=3).numpy()
    rows = claim.decoder / np.linalg.norm(claim.decoder, axis=1, keepdims=True)
    assert np.abs(rows @ mixing.T).max(axis=0).min() > 0.98
    assert np.allclose(claim.encode(x) @ claim.decoder + claim.bias, x, atol=1e-3)
    assert claim.name == "FastICA"


def test_ica_leaves_out_what_does_not_vary():
    # One-hot groups sum to one: whitening divided by what is left of that after rounding.
    world = CompiledPreset("hist").build(max_length=4)
    claim = ica(world.subject, seed=0, n_samples=2000)
    truth = world.truth.features
    rank = np.linalg.matrix_rank(truth.covariance, tol=1e-6, hermitian=True)
    assert claim.decoder.shape == (rank, truth.d) and rank < truth.d
    x = world.subject.sample(100, seed=3).numpy()
    np.testing.assert_allclose(claim.encode(x) @ claim.decoder + claim.bias, x, atol=1e-3)


def test_ica_keeps_what_the_first_coordinate_does_not_show():
    # The first coordinate of a compiled model marks begin-of-sequence, which no activation is.
    world = CompiledPreset("reverse").build(max_length=5)
    x = world.sample(2000)[0].numpy()
    assert np.ptp(x[:, 0]) == 0
    claim = ica(world.subject, seed=0)
    assert claim.encode is not None
    found = claim.encode(x) @ claim.decoder + claim.bias
    # All that varies has a component, so that float32 rounding alone is left.
    assert np.abs(found - x).max() < 1e-4


def test_ica_that_does_not_converge_says_so_in_its_name(world):
    claim = ica(world.subject, seed=0, n_samples=500, max_iter=1)
    assert claim.name == "FastICA (not converged after 5 iterations)"


def test_kmeans_codes_are_one_hot_at_the_nearest_centre(world):
    claim = kmeans(world.subject, seed=0, width=20, n_samples=5000)
    x = world.subject.sample(300, seed=5).numpy()
    codes = claim.encode(x).toarray()
    assert np.array_equal(codes.sum(1), np.ones(300))
    distance = np.square(x[:, None] - claim.decoder).sum(2)
    assert np.array_equal(codes.argmax(1), distance.argmin(1))


def test_nmf_fits_non_negative_data_with_non_negative_parts():
    subject, _ = non_negative()
    claim, x = nmf(subject, seed=0, width=6, n_samples=4000), subject.sample(300, seed=1).numpy()
    codes = claim.encode(x)
    assert claim.decoder.min() >= 0
    assert codes.min() >= 0
    assert not claim.signed
    assert np.square(x - codes @ claim.decoder).sum() < 0.02 * np.square(x).sum()


def test_nmf_refuses_negative_activations_by_name(world):
    with pytest.raises(InputError, match=r"^subject: NMF needs non-negative activations, got a s"):
        nmf(world.subject, seed=0, n_samples=1000)


def test_dictionary_learning_is_sparse_non_negative_and_finds_most_features(world):
    # 0.80 to 0.84 over five seeds: it falls below 0.6 for fewer than one seed in 1e6.
    claim = dictionary_learning(world.subject, seed=0, width=128, n_samples=4000, n_passes=3)
    codes = claim.encode(world.subject.sample(500, seed=5).numpy()).toarray()
    assert not claim.signed
    assert codes.min() == 0
    assert (codes > 0).sum(1).max() == 3
    found = (world.truth.features.directions @ claim.decoder.T).max(1) > 0.9
    assert found.mean() > 0.6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "width: expected a whole number >= 1, or None for 4 d, got 0."),
        ({"l0": 129}, "l0: expected a number above 0 and at most the width 128, got 129."),
        ({"l0": 2.5}, "l0: expected a whole number, got 2.5."),
        ({"n_passes": 0}, "n_passes: expected a whole number >= 1, got 0."),
        ({"n_samples": 127}, "width: expected at most n_samples = 127, got 128."),
    ],
)
def test_dictionary_learning_refuses_bad_input(world, wrong, message):
    with pytest.raises(InputError) as caught:
        dictionary_learning(world.subject, seed=0, **wrong)
    assert str(caught.value) == message


@pytest.mark.parametrize("method", [pca, ica, kmeans, nmf, dictionary_learning])
def test_activations_that_are_not_finite_are_refused(method):
    subject = ActivationSubject(4, lambda seed, block: np.full((1024, 4), np.inf, np.float32))
    with pytest.raises(InputError, match=r"^activations: expected finite numbers, got inf at ind"):
        method(subject, seed=0, n_samples=100)


@pytest.mark.parametrize("method", [pca, ica])
def test_more_components_than_dimensions_are_refused(world, method):
    with pytest.raises(InputError, match=r"^width: expected at most d = 32, since components"):
        method(world.subject, seed=0, width=33)


@pytest.mark.parametrize("method", [pca, kmeans, partial(dictionary_learning, n_passes=1)])
def test_same_seed_same_rows_and_no_global_randomness(world, method):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, second = (method(world.subject, seed=2, n_samples=1500).decoder for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())
