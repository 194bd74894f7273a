"""Worlds of trained models: their samples are the model's own h, and none comes uncertified."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.generators.polytopes import feature_dimensionality, vertices
from groundtruth.generators.toy_certificate import CertificateError
from groundtruth.generators.toy_examination import certify
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_presets import TRAINED
from groundtruth.generators.toy_trained import toy_testbed, trained_toy
from groundtruth.generators.toy_training import ToyTraining, TrainedToy
from groundtruth.generators.toy_worlds import toy_weights

P = [0.3, 0.1, 0.2, 0.25, 0.05, 0.15, 0.1]
WITH_TWO_LEFT_OUT = np.insert(
    1.1 * vertices("pentagon"), [1, 4], [[0.003, 0.0], [0.0, 0.004]], axis=1
)


def model(W: np.ndarray, probability: list[float] | float = 0.1, **sets: list) -> TrainedToy:
    """As if W had been trained."""
    d, n = W.shape
    training = ToyTraining(ToyInputs(n, probability, **sets), d=d)
    return TrainedToy(training, 4, W, np.zeros(n), 0.0)


def hidden(trained: TrainedToy, x: np.ndarray) -> np.ndarray:
    return trained.model.run_with_cache(torch.tensor(x, dtype=torch.float32))[1][
        "hook_hidden"
    ].numpy()


@pytest.fixture(scope="module")
def world():
    return TRAINED[0].build(seed=0, n_steps=2500)


def test_the_named_trained_world_is_a_pentagon(world):
    truth = world.truth.features
    assert (world.name, world.truth_class, truth.site) == ("toy/trained", "trained", "hook_hidden")
    assert (truth.n_features, truth.d) == (5, 2)
    assert feature_dimensionality(toy_weights(world)) == pytest.approx(0.4, abs=5e-3)


def test_its_recipe_builds_it_again(world):
    again = TRAINED[0].build(seed=world.recipe.seed, **world.recipe.parameters)
    assert again.hash == world.hash
    assert again.recipe.description() == world.recipe.description()


def test_samples_are_the_hidden_vectors_of_the_model():
    trained = model(1.1 * vertices("square-antiprism"))
    world = toy_testbed(trained)
    x, codes = world.sample(3000)
    inputs = codes.toarray() / np.linalg.norm(trained.W, axis=0)
    assert 0 < inputs.max() <= 1 + 1e-6
    # Sums of eight float32 products.
    assert x.numpy() == pytest.approx(hidden(trained, inputs), abs=1e-5)
    wrong = hidden(model(1.2 * vertices("square-antiprism")), inputs)
    assert x.numpy() != pytest.approx(wrong, abs=1e-5)


def test_features_that_are_left_out_keep_their_names_from_the_others_and_move_h_little():
    trained = model(WITH_TWO_LEFT_OUT, P)
    world = toy_testbed(trained)
    assert world.truth.features.names == ("f0", "f2", "f3", "f4", "f6")
    assert world.truth.features.firing_probability.tolist() == [0.3, 0.2, 0.25, 0.05, 0.1]
    x, codes = world.sample(500)
    inputs = np.ones((500, 7))
    inputs[:, [0, 2, 3, 4, 6]] = codes.toarray() / np.linalg.norm(
        trained.W[:, [0, 2, 3, 4, 6]], axis=0
    )
    difference = np.linalg.norm(hidden(trained, inputs) - x.numpy(), axis=1)
    assert difference == pytest.approx(0.005, abs=1e-5)  # 0.003 and 0.004 at a right angle
    assert difference.max() <= certify(trained).left_out_length


def test_another_seed_or_other_weights_make_another_world():
    base = toy_testbed(model(1.1 * vertices("pentagon")))
    turned = toy_testbed(model(1.1 * vertices("pentagon")[::-1].copy()))
    assert base.hash != turned.hash
    assert base.hash == toy_testbed(model(1.1 * vertices("pentagon"))).hash


def test_a_model_that_is_not_what_theory_predicts_has_no_truth():
    with pytest.raises(CertificateError):
        toy_testbed(model(1.1 * np.random.default_rng(0).standard_normal((2, 5))))
    with pytest.raises(CertificateError):
        trained_toy(seed=0, n_steps=50)


def test_features_in_sets_fire_so_in_the_testbed():
    square = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]])  # 0 and 1 orthogonal, each against one
    world = toy_testbed(model(square, correlated=[(0, 1), (2, 3)]))
    truth = world.truth.features
    assert truth.coactivation(0, 1) == pytest.approx(truth.firing_probability[0])
    assert truth.coactivation(0, 2) == pytest.approx(truth.firing_probability[0] ** 2)
    assert [c.name for c in truth.equivalence_classes] == ["always_coactive"] * 2
    assert world.recipe.parameters["correlated"] == [[0, 1], [2, 3]]


def test_correlated_features_that_are_not_orthogonal_have_no_certificate():
    digons = np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])
    with pytest.raises(CertificateError, match=r"correlated_cosine: .* got 1 "):
        toy_testbed(model(digons, correlated=[(0, 1), (2, 3)]))


def test_a_set_goes_on_with_the_members_that_are_represented():
    W = np.array([[1.0, -1, 0.0, 0.0], [0, 0, 0, 1.0]])
    world = toy_testbed(model(W, anticorrelated=[(0, 1, 2)]))
    truth = world.truth.features
    p = model(W, anticorrelated=[(0, 1, 2)]).training.inputs.firing_probability
    assert truth.names == ("f0", "f1", "f3")
    assert truth.firing_probability == pytest.approx(p[[0, 1, 3]])
    assert truth.coactivation(0, 1) == 0
