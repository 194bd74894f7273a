"""Training finds what theory predicts.

Every training here is a fixed function of its seed. Tolerances are several times the spread over
seeds that was measured when they were set: dimensionalities of the pentagon within 0.0017 of 2/5,
norms within 0.003, biases within 0.003.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth import seeds
from groundtruth.errors import Diverged, InputError, UnknownName
from groundtruth.generators.polytopes import cosines, feature_dimensionality, vertices
from groundtruth.generators.toy_certificate import CertificateError
from groundtruth.generators.toy_examination import certify
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_model import ToyModel
from groundtruth.generators.toy_training import (
    HELD_OUT_BATCHES,
    ToyTraining,
    TrainedToy,
    train_toy_model,
)

PENTAGON = ToyTraining(ToyInputs(5, 0.05), d=2)
FALLING = 0.7 ** np.arange(20)
SHORT = ToyTraining(ToyInputs(3, 0.2), d=2, n_steps=50, n_starts=2)


@pytest.fixture(scope="module")
def pentagon() -> TrainedToy:
    return train_toy_model(PENTAGON, seed=0)


def check_pentagon(model: TrainedToy) -> None:
    """Raise unless dimensionalities, lengths and biases are those of the published pentagon."""
    assert np.abs(feature_dimensionality(model.W) - 0.4).max() < 5e-3
    assert np.abs(np.linalg.norm(model.W, axis=0) - 1.134).max() < 5e-3
    assert np.abs(model.b + 0.245).max() < 6e-3


def check_kept(model: TrainedToy, expected: float, error: float) -> None:
    """Raise unless |W|_F^2, about the number of features that are represented, is as expected."""
    assert abs((model.W.astype(np.float64) ** 2).sum() - expected) < error


def test_five_sparse_features_in_two_dimensions_train_to_a_pentagon(pentagon):
    check_pentagon(pentagon)
    certificate = certify(pentagon)
    assert [g.geometry for g in certificate.groups] == ["pentagon"]
    assert len(certificate.represented) == 5


def test_a_tenth_of_the_training_is_no_pentagon_and_gets_no_certificate():
    model = train_toy_model(ToyTraining(ToyInputs(5, 0.05), d=2, n_steps=400), seed=0)
    with pytest.raises(AssertionError):
        check_pentagon(model)
    with pytest.raises(CertificateError):
        certify(model)


def test_a_hand_written_pentagon_of_the_trained_size_has_the_trained_loss(pentagon):
    x = torch.from_numpy(PENTAGON.inputs.draw(np.random.default_rng(1), 200_000))
    # Features in the trained order around the circle, so that the same samples interfere.
    around = np.argsort(np.arctan2(pentagon.W[1], pentagon.W[0]))
    unit = vertices("pentagon")[:, np.argsort(around)]

    def loss(model: ToyModel) -> float:
        return float((model(x) - x).detach().square().sum(dim=1).mean())

    trained = loss(pentagon.model)
    assert loss(ToyModel(1.1335 * unit, np.full(5, -0.245))) == pytest.approx(trained, rel=1e-3)
    assert loss(ToyModel(unit)) > 1.1 * trained
    # A sample's loss has standard deviation 0.067: five standard errors of the two means, which
    # is less than one false alarm in a million seeds.
    error = 0.067 * (1 / 65_536 + 1 / 200_000) ** 0.5
    assert pentagon.loss == pytest.approx(trained, abs=5 * error)


def test_a_dense_model_keeps_as_many_features_as_it_has_dimensions():
    training = ToyTraining(ToyInputs(20, 1.0), d=5, importance=FALLING, n_steps=1000, n_starts=1)
    check_kept(train_toy_model(training, seed=0), 5, 0.05)


def test_at_a_tenth_density_five_dimensions_hold_nine_features():
    training = ToyTraining(ToyInputs(20, 0.1), d=5, importance=FALLING, n_steps=2000)
    model = train_toy_model(training, seed=0)
    check_kept(model, 9, 0.15)
    with pytest.raises(AssertionError):
        check_kept(model, 5, 0.05)
    certificate = certify(model)
    assert sorted(g.geometry for g in certificate.groups) == ["dedicated"] + ["digon"] * 4
    assert certificate.represented == tuple(f"f{i}" for i in range(9))
    assert certificate.left_out_length < 0.05


@pytest.mark.parametrize("importance", [1.0, FALLING], ids=["equal", "falling"])
def test_a_linear_model_keeps_exactly_its_dimensions_however_sparse(importance):
    training = ToyTraining(
        ToyInputs(20, 0.05),
        d=5,
        importance=importance,
        activation="linear",
        n_steps=1000,
        n_starts=1,
    )
    model = train_toy_model(training, seed=0)
    check_kept(model, 5, 0.02)
    certify(model)
    # The best linear model leaves the variance of the features of least importance.
    floor = np.sort(np.broadcast_to(importance, 20))[:15].sum() * (0.05 / 3 - 0.05**2 / 4)
    # (x_i - p/2)^2 has 5.8 times its mean as standard deviation. Over 65,536 samples and 15
    # features, weighted by importance, that is 1 % of the sum at most: five standard errors.
    assert model.loss == pytest.approx(floor, rel=0.05)


def trained_pairs(kind: str) -> TrainedToy:
    """Two pairs, (0, 1) and (2, 3). A third of the starts or so find the best of the three ways
    in which four features can form two digons."""
    inputs = ToyInputs(4, 0.1, **{kind: [(0, 1), (2, 3)]})
    return train_toy_model(ToyTraining(inputs, d=2, n_steps=1500, n_starts=8), seed=0)


@pytest.fixture(scope="module")
def correlated() -> TrainedToy:
    return trained_pairs("correlated")


@pytest.fixture(scope="module")
def anticorrelated() -> TrainedToy:
    return trained_pairs("anticorrelated")


def check_pairs(model: TrainedToy, within: float, across: float) -> None:
    """Raise unless both pairs have the cosine `within`, and each feature its least cosine with
    the other pair at `across`."""
    cosine = cosines(model.W)
    assert cosine[[0, 2], [1, 3]] == pytest.approx(within, abs=0.05)
    least = np.concatenate([cosine[:2, 2:].min(axis=1), cosine[2:, :2].min(axis=1)])
    assert least == pytest.approx(across, abs=0.05)


def test_correlated_features_are_orthogonal_and_antipodal_to_the_other_pair(correlated):
    check_pairs(correlated, within=0, across=-1)
    certify(correlated)


def test_anticorrelated_features_are_antipodal_and_orthogonal_to_the_other_pair(anticorrelated):
    check_pairs(anticorrelated, within=-1, across=0)
    # Members of a pair never meet, and the pairs do not interfere: nothing is lost.
    assert anticorrelated.loss < 1e-5


def test_the_pair_checks_catch_one_another_s_models(correlated, anticorrelated):
    with pytest.raises(AssertionError):
        check_pairs(anticorrelated, within=0, across=-1)
    with pytest.raises(AssertionError):
        check_pairs(correlated, within=-1, across=0)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (train_toy_model(SHORT, seed=s) for s in (0, 0, 1))
    assert first.W.tobytes() == again.W.tobytes() and first.b.tobytes() == again.b.tobytes()
    assert first.hash == again.hash != other.hash


def test_more_starts_lower_the_loss_or_leave_it():
    losses = [
        train_toy_model(ToyTraining(ToyInputs(2, 0.2), d=1, n_steps=300, n_starts=n), seed=3).loss
        for n in (1, 2, 8)
    ]
    # The first starts are the same ones, to the rounding of products of other shapes.
    assert losses[1] <= losses[0] * (1 + 1e-4) and losses[2] <= losses[1] * (1 + 1e-4)
    assert losses[2] < 0.5 * losses[0]


def test_starts_batches_and_held_out_samples_have_streams_of_their_own(monkeypatch):
    used: list[tuple] = []
    generator = seeds.generator

    def recorded(root: bytes, *path: str | int) -> np.random.Generator:
        used.append((root, *path))
        return generator(root, *path)

    monkeypatch.setattr(seeds, "generator", recorded)
    train_toy_model(SHORT, seed=0)
    assert len(set(used)) == len(used) == 2 + 50 + HELD_OUT_BATCHES
    assert {path[1] for path in used} == {"start", "train", "held-out"}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_global_random_state_and_thread_count_are_left_alone(n_threads):
    held = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        train_toy_model(SHORT, seed=0)
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(held)


def test_weights_are_read_only_and_the_model_is_a_fresh_one():
    trained = train_toy_model(SHORT, seed=0)
    assert trained.W.dtype == np.float32 and not trained.W.flags.writeable
    model = trained.model
    with torch.no_grad():
        model.W.zero_()
    assert np.array_equal(trained.model.W.detach().numpy(), trained.W)


def test_weights_of_other_shapes_and_seeds_below_zero_are_refused():
    with pytest.raises(InputError, match=r"^W: expected shape \(2, 3\) with finite entries, got"):
        TrainedToy(SHORT, 0, np.zeros((3, 2)), np.zeros(3), 0.0)
    with pytest.raises(InputError, match=r"^seed: expected a non-negative whole number"):
        TrainedToy(SHORT, -1, np.zeros((2, 3)), np.zeros(3), 0.0)


def test_training_that_runs_away_is_an_error():
    with pytest.raises(Diverged) as error:
        train_toy_model(ToyTraining(ToyInputs(3, 0.5), d=2, lr=1e15, n_steps=20), seed=0)
    assert str(error.value) == (
        "Toy model: expected a finite loss after 20 steps, got NaN or infinity. Lower the learning "
        "rate: lr=3.3e+14."
    )


def test_the_rate_falls_along_a_cosine_to_zero():
    training = ToyTraining(ToyInputs(2), lr=2.0, n_steps=4)
    assert [training.rate(step) for step in range(5)] == pytest.approx(
        [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0]
    )


def test_a_description_makes_the_same_training_again():
    inputs = ToyInputs(4, 0.1, anticorrelated=[(0, 1)])
    training = ToyTraining(inputs, d=3, importance=[1, 0.5, 0.25, 0.1], activation="linear")
    again = ToyTraining.from_description(training.description())
    assert again == training
    assert again.description() == training.description()


REFUSALS = [
    ({"inputs": 5}, "inputs: expected ToyInputs, got 5. Pass for example ToyInputs(5, 0.05)."),
    ({"d": 0}, "d: expected a whole number >= 1, got 0."),
    ({"n_steps": 1.5}, "n_steps: expected a whole number >= 1, got 1.5."),
    ({"importance": [1, 2]}, "importance: expected a number or 3 finite numbers, got [1, 2]."),
    ({"importance": 0}, "importance: expected numbers > 0, got 0."),
    ({"lr": 0.0}, "lr: expected a finite number > 0, got 0.0."),
    ({"weight_decay": -1}, "weight_decay: expected a finite number >= 0, got -1."),
]


@pytest.mark.parametrize(("change", "message"), REFUSALS)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(InputError) as error:
        ToyTraining(**{"inputs": ToyInputs(3), **change})
    assert str(error.value) == message


def test_unknown_activations_are_answered_with_the_known_ones():
    with pytest.raises(UnknownName) as error:
        ToyTraining(ToyInputs(3), activation="gelu")
    assert str(error.value) == "No activation is called 'gelu'. Nearest: relu."
