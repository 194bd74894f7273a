"""sparsify (EleutherAI): trained sparse coders and their folders as dictionaries."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from groundtruth.adapters.torch_module import from_module
from groundtruth.errors import ExplanationError, InputError
from groundtruth.explanation import Dictionary

WEIGHTS = "sae.safetensors"


def from_sparsify(coder: Any, *, name: str | None = None) -> Dictionary:
    """What a `SparseCoder` claims: `W_dec`, `b_dec`, and the top activations of `encode`,
    put at their indices.

    Args:
        coder: trained, with its decoder.
        name: shown in tables; None is the class name.

    Raises:
        ExplanationError: a transcoder, or a skip connection, whose reconstruction does not come
            from the codes alone; or weights that cannot be scored.
    """
    name = type(coder).__name__ if name is None else name
    if coder.cfg.transcode or coder.W_skip is not None:
        kind = "a transcoder" if coder.cfg.transcode else "a skip connection"
        raise ExplanationError(
            f"{name}: expected an autoencoder whose codes explain the activations it reads, got "
            f"{kind}. Pass gt.Dictionary(decoder=W, encode=encode) if that is what you claim."
        )
    return from_module(coder, name=name)


def load(folder: str | Path, *, device: str = "cpu") -> Dictionary:
    """What a sparse coder saved by sparsify claims.

    Args:
        folder: holds `cfg.json` and `sae.safetensors`.

    Raises:
        ExplanationError: a file is missing, or see `from_sparsify`.
        InputError: sparsify is not installed.
    """
    folder = Path(folder)
    missing = [file for file in ("cfg.json", WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise ExplanationError(
            f"{folder}: expected a folder saved by sparsify, but it has no "
            f"{' and no '.join(missing)}. Write one with coder.save_to_disk(folder)."
        )
    try:
        library: Any = importlib.import_module("sparsify")
    except ImportError as error:
        raise InputError(
            f"sparsify: expected it to be installed, but importing it raised: {error}. "
            "Install it with pip install eai-sparsify."
        ) from error
    return from_sparsify(library.SparseCoder.load_from_disk(folder, device=device))
