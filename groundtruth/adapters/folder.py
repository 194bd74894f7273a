"""Folders that outside libraries save, told apart by the name of their weights file."""

from __future__ import annotations

from pathlib import Path

from groundtruth.adapters import saelens, sparsify
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary


def from_folder(folder: str | Path) -> Dictionary:
    """What was saved in `folder` by SAELens or by sparsify claims, on the CPU.

    Raises:
        ExplanationError: no such folder, or neither kind of weights in it.
    """
    folder = Path(folder)
    for library in (saelens, sparsify):
        if (folder / library.WEIGHTS).is_file():
            return library.load(folder)
    found = "no such folder"
    if folder.is_dir():
        names = sorted(file.name for file in folder.iterdir())
        found = ", ".join(names[:5]) or "nothing"
    raise ExplanationError(
        f"{folder}: expected a folder with cfg.json and {saelens.WEIGHTS} (SAELens) or "
        f"{sparsify.WEIGHTS} (sparsify), found {found}. Load other files with their own library "
        "and pass the object."
    )
