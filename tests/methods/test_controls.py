"""The controls know nothing, and say exactly as much as they were asked to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.generators.sparse import sparse
from groundtruth.methods.controls import data_rows, random_directions
from groundtruth.testbed import ActivationSubject

BOTH = pytest.mark.parametrize("method", [random_directions, data_rows])


@pytest.fixture(scope="module")
def subject():
    return sparse(seed=0, n_features=150, d=48, bias=0.5, noise=0.01).subject


@BOTH
@pytest.mark.parametrize("l0", [1, 7.5, 150])
def test_mean_l0_on_the_training_sample_is_the_asked_one(subject, method, l0):
    claim = method(subject, seed=0, l0=l0, n_samples=4096)
    codes = claim.encode(subject.sample(4096, seed=0))
    assert codes.shape == (4096, 192)
    # Ties and float32 rounding at the threshold may move a few entries of a million.
    assert (codes > 0).sum().item() / 4096 == pytest.approx(l0, rel=2e-3)


@BOTH
def test_rows_are_unit_and_follow_the_seed(subject, method):
    first, again, other = (method(subject, seed=s).decoder for s in (0, 0, 1))
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_random_rows_are_uniform_on_the_sphere(subject):
    rows = random_directions(subject, seed=0, width=20_000, n_samples=16).decoder
    # Entries of a uniform unit vector have mean 0 and variance 1/d; 6 standard errors.
    assert np.abs(rows.mean(0)).max() < 6 / np.sqrt(48 * 20_000)
    assert np.abs(np.square(rows).mean(0) * 48 - 1).max() < 6 * np.sqrt(2 / 20_000)


def test_data_rows_are_centred_training_activations_without_repeats(subject):
    rows = data_rows(subject, seed=3, width=50).decoder
    x = subject.sample(4096, seed=3)
    x = x - x.mean(0)
    cosines = rows @ (x / x.norm(dim=1, keepdim=True)).numpy().T
    assert (cosines.max(1) > 1 - 1e-5).all()
    assert len(set(cosines.argmax(1))) == 50


@BOTH
def test_global_randomness_is_untouched(subject, method):
    before = torch.get_rng_state()
    method(subject, seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_constant_activations_have_no_rows_to_take():
    still = ActivationSubject(4, lambda seed, block: np.ones((1024, 4), np.float32))
    with pytest.raises(InputError, match=r"^width: expected at most 0, the samples that diff"):
        data_rows(still, seed=0)


@BOTH
def test_width_and_l0_out_of_range_are_refused(subject, method):
    with pytest.raises(InputError, match=r"^width: expected a whole number"):
        method(subject, seed=0, width=0)
    with pytest.raises(InputError, match=r"^l0: expected a number above 0"):
        method(subject, seed=0, l0=-1)
