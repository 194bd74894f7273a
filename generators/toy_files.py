"""Trained toy models in a folder.

    toy_model.safetensors   W and b, written first
    toy_model.json          {"schema", "training", "seed", "loss", "certificate", "hash",
                            "tensors_sha256", "self_hash"}

The JSON is sealed and holds the hash of the tensors, so what is cut short or altered is refused.
The certificate is kept for readers; a testbed is never made on its word, but examines the weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from groundtruth import files
from groundtruth.errors import GroundtruthError, HashMismatch, StoreError
from groundtruth.generators.toy_examination import examine
from groundtruth.generators.toy_training import ToyTraining, TrainedToy
from groundtruth.store import NewerSchemaError

SCHEMA = 1
_JSON, _TENSORS = "toy_model.json", "toy_model.safetensors"
_TENSOR_LIMIT = 2**30
_FIELDS = {"schema", "training", "seed", "loss", "certificate", "hash", "tensors_sha256"}


def save_toy_model(trained: TrainedToy, folder: str | Path) -> None:
    """Write the model, its training and its certificate, passed or not, to `folder`.

    A model that is already there is replaced.

    Raises:
        StoreError: the files cannot be written.
    """
    packed = save_safetensors({"W": trained.W, "b": trained.b})
    sealed = files.seal(
        {
            "schema": SCHEMA,
            "training": trained.training.description(),
            "seed": trained.seed,
            "loss": trained.loss,
            "certificate": examine(trained).description(),
            "hash": trained.hash,
            "tensors_sha256": hashlib.sha256(packed).hexdigest(),
        }
    )
    home = Path(folder)
    files.write_in_order([(home / _TENSORS, packed), (home / _JSON, sealed)])


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
    path = Path(folder) / _JSON
    body = files.read_sealed(path)
    _check_schema(path, body.get("schema"))
    if set(body) != _FIELDS:
        wrong = ", ".join(sorted(set(body) ^ _FIELDS))
        raise StoreError(
            f"{files.shown(path)}: fields: expected {', '.join(sorted(_FIELDS))}, missing or "
            f"unknown: {wrong}."
        )
    W, b = _tensors(Path(folder) / _TENSORS, body["tensors_sha256"])
    try:
        training = ToyTraining.from_description(body["training"])
        trained = TrainedToy(training, body["seed"], W, b, body["loss"])
    except (TypeError, KeyError, GroundtruthError) as error:
        raise StoreError(f"{files.shown(path)}: not a toy model ({error}).") from error
    if trained.hash != body["hash"]:
        raise HashMismatch(
            f"{files.shown(path)}: hash: expected {body['hash'][:12]}, got {trained.hash[:12]} "
            "from training, seed and weights. Save the model again."
        )
    return trained


def _check_schema(path: Path, schema: Any) -> None:
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise StoreError(
            f"{files.shown(path)}: schema: expected a whole number from 1 to {SCHEMA}, got "
            f"{schema!r}."
        )
    if schema > SCHEMA:
        raise NewerSchemaError(
            f"{files.shown(path)}: schema: expected at most {SCHEMA}, got {schema}. A newer "
            "version wrote it: upgrade groundtruth."
        )


def _tensors(path: Path, sha256: str) -> tuple[Any, Any]:
    data = files.read_bytes(path, _TENSOR_LIMIT)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise HashMismatch(
            f"{files.shown(path)}: tensors_sha256: expected {sha256[:12]}, got {found[:12]}. The "
            "file was altered or cut short after it was written."
        )
    try:
        held = load_safetensors(data)
        return held["W"], held["b"]
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"{files.shown(path)}: expected tensors W and b ({error}).") from error
