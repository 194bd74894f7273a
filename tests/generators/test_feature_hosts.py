"""A planted network and the transformer that computes it are one function, edited or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.generators.feature_hosts import InputLaw, feature_host, site_of
from groundtruth.models import numpy_reference
from groundtruth.models.site_edits import read_site, run_edited
from groundtruth.models.transformer import Transformer
from groundtruth.planted_network import Layer, PlantedNetwork


def random_host(seed: int, cosine: float = 0.0, n: int = 4):
    """Two random layers over n brought features."""
    rng = np.random.default_rng(seed)
    layers = (
        Layer(rng.standard_normal((n, 3)), rng.standard_normal(3), rng.standard_normal((3, 2))),
        Layer(rng.standard_normal((n + 2, 2)), rng.standard_normal(2), rng.standard_normal((2, 1))),
    )
    network = PlantedNetwork(layers, rng.standard_normal((n + 3, 3)), rng.standard_normal(3))
    chances = np.tile([0.5, 0.3, 0.2], (n, 1))
    parent, copied = np.full(n, -1), np.zeros(n)
    parent[1], copied[1] = 0, 0.6
    law = InputLaw(np.array([0.0, 0.5, 2.0]), chances, parent, copied)
    names = [f"f{i}" for i in range(n + 3)]
    return feature_host(network, law, names, bytes([seed]), cosine)


@pytest.mark.parametrize("cosine", [0.0, 0.4])
@pytest.mark.parametrize("n", [2, 4, 12])
def test_the_model_computes_the_network(cosine, n):
    host = random_host(n, cosine, n)
    tokens = host.tokens(host.law.draw(np.random.default_rng(0), 50))
    host.certify(tokens)
    expected = host.network.outputs(host.brought(tokens))
    found = numpy_reference.forward(host.weights, tokens)[:, -1]
    assert np.abs(found - expected).max() < 1e-10
    single = Transformer(host.weights)(tokens)[:, -1].detach().numpy()
    assert np.abs(single - expected).max() < 1e-4


def test_a_model_that_computes_something_else_is_not_certified():
    host = random_host(0)
    tokens = host.tokens(host.law.draw(np.random.default_rng(0), 50))
    out = host.network.out.copy()
    out[0, 0] += 1e-6
    host = replace(host, network=replace(host.network, out=out))
    with pytest.raises(AssertionError, match="model and closed form differ by"):
        host.certify(tokens)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_editing_a_site_is_setting_features(level):
    host = random_host(1, 0.3)
    network, rng = host.network, np.random.default_rng(2)
    tokens = host.tokens(host.law.draw(rng, 20))
    codes = network.codes(host.brought(tokens), level)
    changed = codes + rng.standard_normal(codes.shape)
    model = Transformer(host.weights, torch.float64)
    x = read_site(model, site_of(level), tokens).numpy()
    assert np.abs(x @ host.readouts[:, : codes.shape[1]] - codes).max() < 1e-10
    edit = torch.tensor((changed - codes) @ host.directions[: codes.shape[1]])
    found = run_edited(model, site_of(level), tokens, lambda x: x + edit).numpy()
    assert np.abs(found - network.outputs(changed, level)).max() < 1e-10


def test_directions_have_their_cosine_and_readouts_read_them():
    host = random_host(0, 0.4)
    gram = host.directions @ host.directions.T
    assert np.allclose(gram, 0.4 + 0.6 * np.eye(7))
    assert np.allclose(host.directions @ host.readouts, np.eye(7))
    # What reads a feature is not what writes it.
    readout = host.readouts[:, 0] / np.linalg.norm(host.readouts[:, 0])
    assert readout @ host.directions[0] < 0.9


def test_the_law_is_what_is_drawn():
    law = random_host(0).law
    levels, chance = law.every()
    assert len(levels) == 81 and chance.sum() == pytest.approx(1)
    marginal = [chance[levels[:, 1] == level].sum() for level in range(3)]
    assert marginal == pytest.approx([0.5, 0.3, 0.2])
    magnitudes = law.magnitudes[levels]
    mean = chance @ magnitudes
    covariance = (magnitudes - mean).T * chance @ (magnitudes - mean)
    # A copy at chance .6 is a correlation of .6.
    assert covariance[0, 1] / covariance[0, 0] == pytest.approx(0.6)
    assert covariance[2, 0] == pytest.approx(0)
    # Chi-squared over 81 cells, of 50,000 draws; the limit is its 1e-6 quantile.
    n = 50_000
    drawn = law.draw(np.random.default_rng(0), n)
    counts = np.bincount(drawn @ 3 ** np.arange(4), minlength=81)
    expected = np.zeros(81)
    expected[levels @ 3 ** np.arange(4)] = n * chance
    assert ((counts - expected) ** 2 / expected).sum() < 153


def test_laws_and_networks_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="parent: expected one before feature 0"):
        InputLaw(np.array([0.0, 1.0]), np.full((2, 2), 0.5), np.array([1, -1]), np.zeros(2))
    with pytest.raises(InputError, match="magnitudes: expected increasing numbers from 0"):
        InputLaw(np.array([1.0, 2.0]), np.full((1, 2), 0.5), np.array([-1]), np.zeros(1))
    with pytest.raises(InputError, match="cosine: expected 0 or more, below 1, got 1"):
        random_host(0, 1)
