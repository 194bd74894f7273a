"""Saved toy models come back as they were, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as save_safetensors

from groundtruth import files
from groundtruth.errors import HashMismatch, StoreError
from groundtruth.generators.polytopes import vertices
from groundtruth.generators.toy_certificate import CertificateError
from groundtruth.generators.toy_files import load_toy_model, save_toy_model
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_trained import toy_testbed
from groundtruth.generators.toy_training import ToyTraining, TrainedToy
from groundtruth.store import NewerSchemaError

JSON, TENSORS = "toy_model.json", "toy_model.safetensors"


def model(length: float = 1.1) -> TrainedToy:
    training = ToyTraining(ToyInputs(5, [0.1, 0.2, 0.3, 0.4, 0.5]), d=2, importance=0.5)
    W = length * vertices("pentagon").copy()
    return TrainedToy(training, 7, W, np.linspace(-0.2, 0.1, 5), 0.0125)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_toy_model(model(), tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, **changes: Any) -> None:
    """The JSON with other values, sealed again: as a foreign program would write it."""
    body = {**files.read_sealed(folder / JSON), **changes}
    (folder / JSON).write_bytes(files.seal({k: v for k, v in body.items() if v is not None}))


def test_a_model_comes_back_to_the_byte(folder):
    saved, loaded = model(), load_toy_model(folder)
    assert loaded.hash == saved.hash
    assert (loaded.training, loaded.seed, loaded.loss) == (saved.training, 7, 0.0125)
    assert loaded.W.tobytes() == saved.W.tobytes() and loaded.b.tobytes() == saved.b.tobytes()
    assert toy_testbed(loaded).hash == toy_testbed(saved).hash


def test_saving_replaces_what_was_there_and_leaves_no_other_file(folder):
    save_toy_model(model(1.12), folder)
    assert load_toy_model(folder).hash == model(1.12).hash
    assert sorted(p.name for p in folder.iterdir()) == [JSON, TENSORS]


def test_the_file_shows_the_certificate(folder):
    certificate = files.read_sealed(folder / JSON)["certificate"]
    assert certificate["passed"] is True
    assert [g["geometry"] for g in certificate["groups"]] == ["pentagon"]


def test_a_model_without_certificate_can_be_kept_but_the_file_cannot_claim_one(tmp_path):
    broken = TrainedToy(model().training, 7, np.ones((2, 5)), np.zeros(5), 1.0)
    save_toy_model(broken, tmp_path)
    rewrite(tmp_path, certificate={"passed": True})
    with pytest.raises(CertificateError):
        toy_testbed(load_toy_model(tmp_path))


def edit_json(folder: Path) -> None:
    path = folder / JSON
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))


def edit_tensors(folder: Path) -> None:
    path = folder / TENSORS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap_tensors(folder: Path) -> None:
    """Another model's weights, with their own hash."""
    save_toy_model(model(1.2), folder.parent / "other")
    other = files.read_sealed(folder.parent / "other" / JSON)
    (folder / TENSORS).write_bytes((folder.parent / "other" / TENSORS).read_bytes())
    rewrite(folder, tensors_sha256=other["tensors_sha256"])


def foreign_tensors(folder: Path) -> None:
    import hashlib

    data = save_safetensors({"V": np.zeros(2)})
    (folder / TENSORS).write_bytes(data)
    rewrite(folder, tensors_sha256=hashlib.sha256(data).hexdigest())


DAMAGE: list[tuple[Callable[[Path], Any], type[StoreError], str]] = [
    (edit_json, HashMismatch, r"toy_model\.json: its self_hash promises [0-9a-f]{12}"),
    (
        edit_tensors,
        HashMismatch,
        r"toy_model\.safetensors: tensors_sha256: expected [0-9a-f]{12}, got [0-9a-f]{12}\.",
    ),
    (
        swap_tensors,
        HashMismatch,
        r"toy_model\.json: hash: expected [0-9a-f]{12}, got [0-9a-f]{12}\. The toy model is",
    ),
    (
        lambda folder: rewrite(folder, seed=8),
        HashMismatch,
        r"toy_model\.json: hash: expected [0-9a-f]{12}, got [0-9a-f]{12}\. The toy model is",
    ),
    (
        lambda folder: rewrite(folder, schema=2),
        NewerSchemaError,
        r"toy_model\.json: schema: expected at most 1, got 2\. A newer version wrote it: upgrade",
    ),
    (
        lambda folder: rewrite(folder, schema="one"),
        StoreError,
        r"toy_model\.json: schema: expected a whole number from 1 to 1, got 'one'\.",
    ),
    (
        lambda folder: rewrite(folder, loss=None, colour="red"),
        StoreError,
        r"toy_model\.json: fields: expected .*, missing or unknown: colour, loss\.",
    ),
    (
        lambda folder: rewrite(folder, training={"inputs": {"n_features": 5}, "layers": 3}),
        StoreError,
        r"toy_model\.json: not a toy model \(.*layers",
    ),
    (
        lambda folder: rewrite(folder, training={"inputs": {"n_features": 4}}),
        StoreError,
        r"toy_model\.json: not a toy model \(W: expected shape \(2, 4\)",
    ),
    (
        foreign_tensors,
        StoreError,
        r"toy_model\.safetensors: expected tensors W and b \('W' is missing\)\.",
    ),
    (lambda folder: (folder / TENSORS).unlink(), StoreError, "cannot be read"),
    (lambda folder: (folder / JSON).unlink(), StoreError, "cannot be read"),
    (lambda folder: (folder / JSON).write_text("{"), StoreError, "not JSON, or cut short"),
]


@pytest.mark.parametrize(("damage", "kind", "message"), DAMAGE)
def test_what_was_altered_cut_short_or_foreign_is_refused_by_name(folder, damage, kind, message):
    damage(folder)
    with pytest.raises(kind, match=message) as error:
        load_toy_model(folder)
    assert type(error.value) is kind
