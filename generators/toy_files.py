"""Trained toy models in a folder.

    toy_model.safetensors   W and b
    toy_model.json          training, seed, loss, certificate and hash; see `bundle.py`

The certificate is kept for readers; a testbed is never made on its word, but examines the weights.
"""

from __future__ import annotations

from pathlib import Path

from groundtruth.bundle import Body, Bundle, Tensors
from groundtruth.generators.toy_examination import examine
from groundtruth.generators.toy_training import ToyTraining, TrainedToy

BUNDLE = Bundle(
    "toy_model",
    "toy model",
    1,
    frozenset({"training", "seed", "loss", "certificate", "hash"}),
    frozenset({"W", "b"}),
)


def save_toy_model(trained: TrainedToy, folder: str | Path) -> None:
    """Write the model, its training and its certificate, passed or not, to `folder`.

    A model that is already there is replaced.

    Raises:
        StoreError: the files cannot be written.
    """
    body = {
        "training": trained.training.description(),
        "seed": trained.seed,
        "loss": trained.loss,
        "certificate": examine(trained).description(),
        "hash": trained.hash,
    }
    BUNDLE.write(Path(folder), body, {"W": trained.W, "b": trained.b})


def load_toy_model(folder: str | Path) -> TrainedToy:
    """The model that `save_toy_model` wrote to `folder`.

    Raises:
        HashMismatch: a file was altered after it was written.
        NewerSchemaError: a later version wrote it.
        StoreError: a file is missing, damaged or foreign.

    Example:
        >>> import tempfile
        >>> from groundtruth.generators.toy_inputs import ToyInputs
        >>> trained = TrainedToy(ToyTraining(ToyInputs(2), d=1), 0, [[1.0, -1.0]], [0.0, 0.0], 0.1)
        >>> folder = tempfile.mkdtemp()
        >>> save_toy_model(trained, folder)
        >>> load_toy_model(folder).hash == trained.hash
        True
    """
    return BUNDLE.load(folder, _trained)


def _trained(body: Body, tensors: Tensors) -> TrainedToy:
    training = ToyTraining.from_description(body["training"])
    return TrainedToy(training, body["seed"], tensors["W"], tensors["b"], body["loss"])
