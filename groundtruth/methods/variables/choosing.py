"""What the methods share: which site is taken, and how many dimensions a variable is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import reject
from groundtruth.variable_subject import VariableSubject

HELD_OUT = 0.25
"""Share of a draw that is not fitted, and decides between sites."""

Claim = Callable[[str, str], tuple[float, Subspace]]
"""(variable, site) -> how well it did on what was held out, and what is claimed there."""


def each_variable(subject: VariableSubject, site: str | None, claim: Claim, name: str) -> Alignment:
    """The claim at `site`, or at the site where it did best, the earliest of equals."""
    sites = subject.sites if site is None else (site,)
    found = {}
    for variable in subject.values:
        claims = [claim(variable, place) for place in sites]
        found[variable] = max(claims, key=lambda scored: scored[0])[1]
    return Alignment(found, name=name)


def dimensions(subject: VariableSubject, variable: str, dim: int | None, width: int) -> int:
    """`dim`, or one less than the variable has values, which tells them apart."""
    if dim is None:
        return min(width, max(1, len(subject.values[variable]) - 1))
    if not 1 <= dim <= width:
        raise reject("dim", dim, f"1 to {width}")
    return dim


def split(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of what is fitted, and of what is held out."""
    cut = n - int(n * HELD_OUT)
    return np.arange(cut), np.arange(cut, n)


def spanned(vectors: np.ndarray, most: int) -> np.ndarray:
    """(dim, width) orthonormal rows: the span of `vectors` (n, width), or its `most` largest
    dimensions.

    Raises:
        InputError: the vectors are all 0.
    """
    _, size, rows = np.linalg.svd(vectors, full_matrices=False)
    rank = int((size > 1e-9 * size[0]).sum()) if size[0] > 0 else 0
    if not rank:
        raise reject("vectors", "zeros alone", "a direction that tells values apart")
    return rows[: min(rank, most)]
