"""Worlds of trained toy models: no certificate, no truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundtruth.generators.toy_examination import certify
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_training import ToyTraining, TrainedToy, train_toy_model
from groundtruth.generators.toy_worlds import SOURCE, toy_world
from groundtruth.testbed import Recipe, Testbed


def trained_toy(
    *,
    seed: int = 0,
    name: str = "toy/trained",
    source: str = SOURCE,
    n_features: int = 5,
    probability: float | Sequence[float] = 0.05,
    d: int = 2,
    importance: float | Sequence[float] = 1.0,
    activation: str = "relu",
    n_steps: int = 4000,
    batch_size: int = 1024,
    lr: float = 5e-3,
    weight_decay: float = 1e-2,
    n_starts: int = 4,
    correlated: Sequence[Sequence[int]] = (),
    anticorrelated: Sequence[Sequence[int]] = (),
) -> Testbed:
    """The world of a toy model that is trained, and certified, when it is built.

    Args: those of `ToyInputs` and `ToyTraining`.

    Raises:
        CertificateError: the model is not what theory predicts.
    """
    training = ToyTraining(
        ToyInputs(n_features, probability, correlated, anticorrelated),
        d=d,
        importance=importance,
        activation=activation,
        n_steps=n_steps,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        n_starts=n_starts,
    )
    return toy_testbed(train_toy_model(training, seed=seed), name=name, source=source)


def toy_testbed(trained: TrainedToy, *, name: str = "toy/trained", source: str = SOURCE) -> Testbed:
    """The world of h = W x of a trained model, once its certificate passes.

    Features are the columns of W that are represented, under their names in the model ("f0" is the
    first). The others are left out: the certificate lists them, and bounds by how much the model's
    own h differs from the testbed's activations.

    Args:
        trained: trained or loaded.

    Returns:
        Testbed of truth class "trained". Its recipe trains again; the weights of another machine
        may differ in their last digits, and then so does the hash.

    Raises:
        CertificateError: as `certify`.
    """
    certificate = certify(trained)
    kept = [trained.names.index(name) for name in certificate.represented]
    description = trained.training.description()
    fields = {k: v for k, v in description.items() if k != "inputs"}
    own = {k: v for k, v in description["inputs"].items() if v != []}  # no sets: not named
    recipe = Recipe(name, {**own, **fields}, trained.seed)
    return toy_world(
        recipe,
        trained.W.astype(np.float64)[:, kept],
        trained.training.inputs.only(kept),
        names=certificate.represented,
        truth_class="trained",
        source=source,
    )
