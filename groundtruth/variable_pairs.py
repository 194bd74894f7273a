"""Interchange of a variable between pairs of inputs: what is asked, and what a model answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundtruth.alignment import Subspace
from groundtruth.errors import ExplanationError, InputError
from groundtruth.models.hooks import Hook, HookPoint
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
        arrays = {name: getattr(self, name)[rows] for name in ARRAYS}
        return Pairs(self.variable, **arrays, cases=tuple(self.cases[i] for i in rows))


ARRAYS = ("base", "source", "where", "expected", "before", "counted")


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


def activations_at(model: Transformer, tokens: np.ndarray, site: str) -> torch.Tensor:
    """(n, position, width) at a site, without gradient.

    Raises:
        UnknownName: no such site.
        InputError: a site without one vector for each position.
    """
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, site)
    if cache[site].ndim != 3:
        raise InputError(
            f"{site}: expected a site of shape (batch, position, width), got "
            f"{tuple(cache[site].shape)}. Take one without heads, such as blocks.0.hook_resid_post."
        )
    return cache[site]


def patched_outputs(
    model: Transformer,
    pairs: Pairs,
    site: str,
    source: torch.Tensor,
    edit: Edit,
    positions: Sequence[int] | None = None,
    also: Sequence[tuple[str, Hook]] = (),
) -> torch.Tensor:
    """Outputs (n, position, n_outputs) on the bases, with `edit` made at a site.

    Args:
        source: (n, position, width) activations there on the sources.
        positions: where it is made; None: where the variable is interchanged.
        also: (site, fn) pairs that run after it.
    """
    where = pairs.where
    if positions is not None:
        where = np.zeros_like(pairs.where)
        where[:, [position for position in positions if position < where.shape[1]]] = True
    at = torch.as_tensor(where, device=source.device)[..., None]

    def hook(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        return torch.where(at, edit(activation, source), activation)

    return model.run_with_hooks(pairs.base, [(site, hook), *also])


def interchanging(basis: Any) -> Edit:
    """x + (source - x) V'V for orthonormal rows V (dim, width): what is in their span is taken."""

    def edit(x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        given = basis.copy() if isinstance(basis, np.ndarray) else basis
        rows = torch.as_tensor(given, dtype=x.dtype, device=x.device)
        return x + (source - x) @ rows.T @ rows

    return edit


def claimed_edit(claim: Subspace) -> Edit:
    """The interchange that a claim says.

    Raises:
        ExplanationError: when it is made; its featurizer fails, or gives other shapes.
    """
    interchanged = interchanging(claim.basis)
    if claim.featurizer is None:
        return interchanged
    to, back = claim.featurizer

    def edit(x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        try:
            found = back(interchanged(to(x), to(source)))
        except Exception as error:
            raise ExplanationError(
                f"featurizer at {claim.site}: expected a map of tensors of shape {tuple(x.shape)} "
                f"and its inverse, got {type(error).__name__}: {error}."
            ) from error
        if found.shape != x.shape:
            raise ExplanationError(
                f"featurizer at {claim.site}: expected shape {tuple(x.shape)} back, got "
                f"{tuple(found.shape)}."
            )
        return found

    return edit


def site_width(model: Transformer, site: str) -> int:
    """How many numbers stand at a position of `site`.

    Raises:
        UnknownName, InputError: as `activations_at`.
    """
    return activations_at(model, np.array([[model.bos]]), site).shape[-1]


def check_width(claim: Subspace, width: int) -> None:
    """Raise for a basis that is not as wide as its site."""
    if claim.basis.shape[1] != width:
        raise ExplanationError(
            f"basis at {claim.site}: expected rows of width {width}, got {claim.basis.shape[1]}. "
            "Was it made for another site or model?"
        )


def are_right(
    model: Transformer,
    pairs: Pairs,
    answers: Answers,
    claim: Subspace,
    also: Sequence[tuple[str, Hook]] = (),
) -> np.ndarray:
    """(n,) whether the model answers as the causal model does, if what is claimed is interchanged.

    Raises:
        ExplanationError: a basis that is not as wide as the site, positions that the model has not.
        UnknownName: no such site.
    """
    source = activations_at(model, pairs.source, claim.site)
    check_width(claim, source.shape[-1])
    if claim.positions is not None and max(claim.positions) >= model.n_positions:
        raise ExplanationError(
            f"positions at {claim.site}: expected 0 to {model.n_positions - 1}, which the model "
            f"has, got {claim.positions}."
        )
    with torch.no_grad():
        outputs = patched_outputs(
            model, pairs, claim.site, source, claimed_edit(claim), claim.positions, also
        )
        return pairs.right(answers.scores(outputs).argmax(-1).cpu().numpy())
