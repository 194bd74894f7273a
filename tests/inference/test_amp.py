"""Message passing is exact where it must be, beats least squares, and stays finite."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.inference import amp, nnls
from groundtruth.inference.amp import _denoise, _prior

# Log-normal magnitudes of spread 0.25, from four deviations below to four above.
DEVIATIONS = np.linspace(-4, 4, 33)
NODES = np.exp(0.25 * DEVIATIONS)
WEIGHTS = np.exp(-(DEVIATIONS**2) / 2) / np.exp(-(DEVIATIONS**2) / 2).sum()


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(n: int, n_features: int, width: int, p: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    dictionary = unit(rng.standard_normal((n_features, width)))
    codes = (rng.random((n, n_features)) < p) * np.exp(0.25 * rng.standard_normal((n, n_features)))
    return dictionary, codes, codes @ dictionary


def test_denoiser_is_bayes_rule() -> None:
    r, tau = np.array([-1.0, 0.2, 0.9, 3.0]), 0.4
    nodes, weights, p = np.array([0.5, 1.0, 2.0]), np.array([0.2, 0.5, 0.3]), 0.1
    magnitudes = np.concatenate([[0.0], nodes])
    joint = np.concatenate([[1 - p], p * weights]) * np.exp(
        -((r[:, None] - magnitudes) ** 2) / (2 * tau**2)
    )
    posterior = joint / joint.sum(axis=1, keepdims=True)
    mean = posterior @ magnitudes
    prior = _prior(np.full(4, p), nodes, weights, torch.zeros(4, 1))
    found = _denoise(torch.tensor(r[None], dtype=torch.float32), torch.tensor([[tau**2]]), prior)
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-6)
    np.testing.assert_allclose(found.firing[0], 1 - posterior[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.variance[0], posterior @ magnitudes**2 - mean**2, atol=1e-5)


def test_sparse_codes_without_noise_are_recovered() -> None:
    # Five of 400 features in 80 dimensions: far inside the phase transition.
    dictionary, codes, x = world(40, 400, 80, 0.0125)
    found = amp(x, dictionary, np.full(400, 0.0125), NODES, WEIGHTS)
    support = found.firing_probability.numpy() > 0.5
    assert (support == (codes > 0)).mean() > 0.9999
    np.testing.assert_allclose(found.mean[torch.from_numpy(support)], codes[support], atol=0.1)


def test_mean_beats_least_squares_past_the_transition() -> None:
    dictionary, codes, x = world(30, 800, 40, 0.01)
    found = amp(x, dictionary, np.full(800, 0.01), NODES, WEIGHTS).mean.numpy()
    other = nnls(x, dictionary).toarray()
    assert ((found - codes) ** 2).sum() < 0.8 * ((other - codes) ** 2).sum()


def test_shared_and_per_feature_magnitudes_agree() -> None:
    dictionary, _, x = world(5, 60, 20, 0.05)
    p = np.full(60, 0.05)
    shared = amp(x, dictionary, p, NODES, WEIGHTS)
    each = amp(x, dictionary, p, np.tile(NODES, (60, 1)), np.tile(WEIGHTS, (60, 1)))
    assert torch.equal(shared.mean, each.mean)
    assert torch.equal(shared.firing_probability, each.firing_probability)


def test_magnitudes_of_one_feature_decide_only_what_it_can_be() -> None:
    nodes = np.array([[1.0], [5.0]])
    x = np.array([[1.0, 0.0], [0.0, 5.0]])
    found = amp(x, np.eye(2), [0.3, 0.3], nodes, np.ones((2, 1)), noise=0.1)
    assert found.firing_probability.round().tolist() == [[1.0, 0.0], [0.0, 1.0]]


def hard_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    dictionary, _, x = world(6, 100, 20, 0.1)
    shifted = unit(rng.standard_normal((100, 20)) + 3)
    repeated = np.repeat(dictionary[:20], 5, axis=0)
    return {
        "zero samples": (np.zeros((3, 20)), dictionary),
        "huge samples": (1e6 * x, dictionary),
        "tiny samples": (1e-12 * x, dictionary),
        "common direction": (x, shifted),
        "repeated features": (x, repeated),
        "one feature": (x, dictionary[:1]),
        "outside the prior": (-x, dictionary),
    }


@pytest.mark.parametrize("name", hard_cases())
@pytest.mark.parametrize("damping", [0.0, 0.5])
@pytest.mark.parametrize("p", [1e-12, 0.1, 1 - 1e-9])
def test_results_are_finite_probabilities_and_within_the_magnitudes(
    name: str, damping: float, p: float
) -> None:
    x, dictionary = hard_cases()[name]
    found = amp(x, dictionary, np.full(len(dictionary), p), NODES, WEIGHTS, damping=damping)
    assert bool(torch.isfinite(found.mean).all())
    assert 0 <= float(found.mean.min()) <= float(found.mean.max()) <= NODES.max() + 1e-5
    firing = found.firing_probability
    assert 0 <= float(firing.min()) <= float(firing.max()) <= 1
    assert found.mean.dtype == firing.dtype == torch.float32
    assert found.mean.shape == firing.shape == (len(x), len(dictionary))


def test_blocks_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary, _, x = world(7, 60, 20, 0.05)
    whole = amp(x, dictionary, np.full(60, 0.05), NODES, WEIGHTS)
    module = importlib.import_module("groundtruth.inference.amp")  # its name is the function's
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", 120)
    parts = amp(x, dictionary, np.full(60, 0.05), NODES, WEIGHTS)
    assert torch.allclose(whole.mean, parts.mean, atol=1e-3)


def test_no_samples_give_no_rows() -> None:
    assert amp(np.empty((0, 2)), np.eye(2), [0.1, 0.1], [1.0], [1.0]).mean.shape == (0, 2)


def test_bad_priors_are_refused() -> None:
    x, dictionary = np.ones((1, 2)), np.eye(2)
    with pytest.raises(InputError, match=r"firing_probability: expected \(2,\) probabilities stri"):
        amp(x, dictionary, [0.1, 0.0], [1.0], [1.0])
    with pytest.raises(
        InputError, match=r"magnitude_nodes: expected shape \(Q,\) or \(2, Q\), got"
    ):
        amp(x, dictionary, [0.1, 0.1], np.ones((3, 1)), np.ones((3, 1)))
    with pytest.raises(InputError, match=r"magnitude_weights: expected shape \(1,\), got \(2,\)"):
        amp(x, dictionary, [0.1, 0.1], [1.0], [0.5, 0.5])
    with pytest.raises(InputError, match=r"magnitude_weights: expected weights of at least 0 that"):
        amp(x, dictionary, [0.1, 0.1], [1.0], [0.5])
    with pytest.raises(InputError, match=r"damping: expected a number from 0 to below 1\.0, got 1"):
        amp(x, dictionary, [0.1, 0.1], [1.0], [1.0], damping=1.0)
    with pytest.raises(InputError, match=r"noise: expected a number from 0 to below inf, got -1"):
        amp(x, dictionary, [0.1, 0.1], [1.0], [1.0], noise=-1.0)
