"""A training run on disk, from which it goes on as if nothing had happened."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from groundtruth.errors import InputError, StoreError

FORMAT = 1
_DAMAGE = (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError)


def write_checkpoint(
    path: str | Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    run: dict[str, Any],
    progress: tuple[int, float, int],
) -> None:
    """Save weights, optimiser and progress; an interruption leaves the old file or the new one.

    Args:
        run: plain JSON on which the training that goes on must agree.
        progress: steps done, the loss above which training has diverged, samples last watched.

    Raises:
        StoreError: the file cannot be written.
    """
    path = Path(path)
    state = {
        "format": FORMAT,
        "run": run,
        "progress": list(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, part)
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{path.name}: the checkpoint cannot be written: {error}") from error


def read_checkpoint(
    path: str | Path, model: Any, optimizer: torch.optim.Optimizer, run: dict[str, Any]
) -> tuple[int, float, int]:
    """Put the saved state into `model` and `optimizer`.

    Returns:
        Progress, as it was given to `write_checkpoint`.

    Raises:
        StoreError: the file is damaged.
        InputError: it belongs to a run with other settings; which ones differ.
    """
    path = Path(path)
    state = _loaded(path, run["device"])
    held, (done, highest, watched) = state["run"], state["progress"]
    other = [key for key in run if held.get(key) != run[key]]
    if other:
        key = other[0]
        raise InputError(
            f"checkpoint {path.name}: expected a run with {key}={run[key]!r}, got one with "
            f"{held.get(key)!r}. Delete it to begin again, or name another file."
        )
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"checkpoint {path.name}: expected the weights of this model, got others: {error}. "
            "Delete it to begin again, or name another file."
        ) from error
    return int(done), float(highest), int(watched)


def is_damaged(path: str | Path) -> bool:
    """Whether `path` is there, but is no checkpoint of this version."""
    try:
        return Path(path).exists() and not _loaded(Path(path), None)
    except StoreError:
        return True


def _loaded(path: Path, device: str | None) -> dict[str, Any]:
    try:
        state = torch.load(path, weights_only=True, map_location=device or "cpu")
        if state["format"] != FORMAT or len(state["progress"]) != 3 or not state["run"]:
            raise KeyError("format")
    except (OSError, ValueError, *_DAMAGE) as error:
        raise StoreError(
            f"{path.name}: expected a checkpoint of this version, got a damaged or foreign file "
            f"({type(error).__name__}). Delete it to begin again."
        ) from error
    return state
