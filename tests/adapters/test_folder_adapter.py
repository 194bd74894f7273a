"""Folders are told apart by their weights file, whether or not the library is installed."""

from __future__ import annotations

import sys

import pytest

import groundtruth as gt
from groundtruth.adapters import saelens
from groundtruth.errors import ExplanationError, InputError


def test_a_folder_of_neither_library_is_refused(tmp_path):
    (tmp_path / "ae.pt").touch()
    (tmp_path / "config.json").touch()
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate("sparse/orthonormal", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected a folder with cfg.json and sae_weights.safetensors (SAELens) or "
        "sae.safetensors (sparsify), found ae.pt, config.json. Load other files with their own "
        "library and pass the object."
    )


@pytest.mark.parametrize(("make", "found"), [(True, "nothing"), (False, "no such folder")])
def test_an_empty_or_missing_folder_is_refused(tmp_path, make, found):
    folder = tmp_path / "sae"
    if make:
        folder.mkdir()
    with pytest.raises(ExplanationError, match=f"found {found}. Load other files"):
        gt.evaluate("sparse/orthonormal", folder)


def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch):
    (tmp_path / "cfg.json").write_text("{}")
    (tmp_path / "sae_weights.safetensors").touch()
    monkeypatch.setitem(sys.modules, "sae_lens", None)  # import then fails as if it were missing
    with pytest.raises(InputError) as caught:
        saelens.load(tmp_path)
    assert str(caught.value) == (
        "sae_lens: expected SAELens to be installed, but importing it raised: import of sae_lens "
        'halted; None in sys.modules. Install it with pip install "groundtruth[saelens]".'
    )
