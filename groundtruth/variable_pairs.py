"""Interchange of a variable between pairs of inputs: what is asked, and what a model answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundtruth.errors import InputError
from groundtruth.models.hooks import HookPoint
from groundtruth.models.transformer import Transformer

Edit = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Activations (..., width) on the base and on the source -> what replaces those on the base."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the outputs at a position can say.

    Fields:
        values: of the output variable.
        points: (n_values, n_outputs) the outputs that say each.
    """

    values: tuple[Any, ...]
    points: np.ndarray

    def scores(self, outputs: torch.Tensor) -> torch.Tensor:
        """(..., n_values) -|outputs - point|^2 over the least squared distance of two points.

        Differentiable; the largest is the answer. Of one-hot points it is the output itself, but
        for what all values share.
        """
        points = torch.tensor(self.points, dtype=outputs.dtype, device=outputs.device)
        return -(outputs[..., None, :] - points).square().sum(-1) / self._gap

    @cached_property
    def _gap(self) -> float:
        square = ((self.points[:, None] - self.points) ** 2).sum(-1)
        return float(square[~np.eye(len(square), dtype=bool)].min())


@dataclass(frozen=True, eq=False)
class Pairs:
    """Bases and sources, where one variable is interchanged, and what a causal model then says.

    Fields:
        variable: its name.
        base, source: (n, position) token ids.
        where: (n, position) at which positions of the model it is interchanged.
        expected: (n, position) answers after the interchange, as numbers of values.
        before: (n, position) answers on the base as it is.
        counted: (n, position) whose answers count.
        cases: base, source and the places of the interchange, in words of the causal model.
    """

    variable: str
    base: np.ndarray
    source: np.ndarray
    where: np.ndarray
    expected: np.ndarray
    before: np.ndarray
    counted: np.ndarray
    cases: tuple[tuple[Sequence[Any], Sequence[Any], Sequence[int]], ...]

    def __len__(self) -> int:
        return len(self.base)

    @property
    def discriminating(self) -> np.ndarray:
        """(n,) whether the interchange changes an answer that counts."""
        return ((self.expected != self.before) & self.counted).any(1)

    def right(self, answers: np.ndarray) -> np.ndarray:
        """(n,) whether all of `answers` (n, position) that count are as expected."""
        return ((answers == self.expected) | ~self.counted).all(1)

    def take(self, rows: np.ndarray) -> Pairs:
        """Some of them."""
        parts = [getattr(self, name)[rows] for name in _ARRAYS]
        return Pairs(self.variable, *parts, tuple(self.cases[i] for i in rows))


_ARRAYS = ("base", "source", "where", "expected", "before", "counted")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Inputs with the value of a variable at each position.

    Fields:
        tokens: (n, position) ids.
        there: (n, position) where the variable has a value.
        labels: (n, position) which of its values, as a number; anything where it has none.
    """

    tokens: np.ndarray
    there: np.ndarray
    labels: np.ndarray


def patched_outputs(
    model: Transformer,
    pairs: Pairs,
    site: str,
    edit: Edit,
    positions: Sequence[int] | None = None,
) -> torch.Tensor:
    """Outputs (n, position, n_outputs) on the bases, with `edit` made at a site.

    Args:
        positions: where it is made; None: where the variable is interchanged.

    Raises:
        UnknownName: no such site.
        InputError: a site without one vector for each position.
    """
    with torch.no_grad():
        _, cache = model.run_with_cache(pairs.source, site)
    source = cache[site]
    if source.ndim != 3:
        raise InputError(
            f"{site}: expected a site of shape (batch, position, width), got {tuple(source.shape)}."
            " Take one without heads, such as blocks.0.hook_resid_post."
        )
    where = np.zeros_like(pairs.where)
    if positions is None:
        where = pairs.where
    else:
        where[:, [position for position in positions if position < where.shape[1]]] = True
    at = torch.as_tensor(where, device=source.device)[..., None]

    def hook(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        return torch.where(at, edit(activation, source), activation)

    return model.run_with_hooks(pairs.base, [(site, hook)])


def interchanging(basis: Any) -> Edit:
    """x + (source - x) V'V for orthonormal rows V (dim, width): what is in their span is taken."""

    def edit(x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        given = basis.copy() if isinstance(basis, np.ndarray) else basis
        rows = torch.as_tensor(given, dtype=x.dtype, device=x.device)
        return x + (source - x) @ rows.T @ rows

    return edit


def is_right(
    model: Transformer,
    pairs: Pairs,
    answers: Answers,
    site: str,
    edit: Edit,
    positions: Sequence[int] | None = None,
) -> np.ndarray:
    """(n,) whether the model answers as the causal model does."""
    with torch.no_grad():
        outputs = patched_outputs(model, pairs, site, edit, positions)
        return pairs.right(answers.scores(outputs).argmax(-1).cpu().numpy())
