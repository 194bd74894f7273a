"""The guard puts back every watched state and names it; unwatched, each change would stay."""

from __future__ import annotations

import os
import random
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundtruth import guard


def _leave_in_a_removed_folder() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


def _numpy_state() -> tuple[bytes, int]:
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tobytes(), state[2]


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], Any]]] = {
    "python random state": (random.random, random.getstate),
    "numpy random state": (lambda: np.random.rand(), _numpy_state),  # noqa: NPY002
    "numpy error settings": (lambda: np.seterr(all="ignore"), np.geterr),
    "warning filters": (
        lambda: warnings.simplefilter("ignore"),
        lambda: list(warnings.filters),
    ),
    "working folder": (lambda: os.chdir("/"), Path.cwd),
    "environment variables": (
        lambda: os.environ.update(OMP_NUM_THREADS="7", GROUNDTRUTH_X="1"),
        lambda: dict(os.environ),
    ),
    "torch random state": (lambda: torch.rand(1), lambda: torch.get_rng_state().numpy().tobytes()),
    "torch default dtype": (
        lambda: torch.set_default_dtype(torch.float64),
        torch.get_default_dtype,
    ),
    "torch default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "torch gradient mode": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "torch thread count": (
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        torch.get_num_threads,
    ),
}


def test_every_watched_state_is_in_the_table() -> None:
    assert {entry[0] for entry in guard._watched()} == set(CHANGES)


@pytest.mark.parametrize("state", CHANGES)
def test_a_change_is_put_back_and_named(state: str) -> None:
    change, read = CHANGES[state]
    before = read()
    with guard.restored() as changed:
        change()
    assert changed == [state]
    assert read() == before


@pytest.mark.parametrize("state", CHANGES)
def test_without_its_entry_the_change_would_stay(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, read = CHANGES[state]
    watched = guard._watched()
    before = read()
    with guard.restored():  # cleans up after this test
        monkeypatch.setattr(guard, "_watched", lambda: [e for e in watched if e[0] != state])
        with guard.restored() as changed:
            change()
        assert changed == []
        assert read() != before
    assert read() == before


def test_states_are_put_back_when_the_code_raises() -> None:
    before = Path.cwd(), random.getstate()
    with pytest.raises(SystemExit), guard.restored() as changed:
        os.chdir("/")
        random.random()
        raise SystemExit(3)
    assert (Path.cwd(), random.getstate()) == before
    assert changed == ["python random state", "working folder"]


def test_a_working_folder_that_is_gone_is_left() -> None:
    before = Path.cwd()
    with guard.restored() as changed:
        _leave_in_a_removed_folder()
    assert changed == ["working folder"]
    assert Path.cwd() == before


def test_nothing_is_named_when_nothing_changes() -> None:
    with guard.restored() as changed:
        np.random.default_rng(0).random()
        torch.rand(2, generator=torch.Generator())
    assert changed == []


def test_a_first_import_is_no_doing_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = "import os, random\nos.environ['GROUNDTRUTH_Y'] = '1'\nrandom.random()\n"
    (tmp_path / "careless_module.py").write_text(text)
    (tmp_path / "careless_user.py").write_text("import careless_module\n")
    before = random.getstate()
    with guard.restored() as changed:
        import careless_user  # noqa: F401

        # A module may rely on what it sets, as long as the call lasts.
        assert os.environ["GROUNDTRUTH_Y"] == "1"
    assert changed == [] and random.getstate() == before
    assert "GROUNDTRUTH_Y" not in os.environ
    (tmp_path / "another_module.py").write_text(text)
    with guard.restored() as changed:
        import another_module  # noqa: F401

        random.random()
    assert changed == ["python random state"]
    (tmp_path / "third_module.py").write_text(text)
    with guard.restored() as changed:
        os.environ["GROUNDTRUTH_Z"] = "before an import that changes the same"
        import third_module  # noqa: F401
    assert changed == ["environment variables"]
    assert "GROUNDTRUTH_Z" not in os.environ and "GROUNDTRUTH_Y" not in os.environ
