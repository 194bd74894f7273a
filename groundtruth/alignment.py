"""What a method claims of causal variables. `Alignment`: a subspace of a site for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError, UnknownName

_ORTHONORMAL = 1e-4  # what float32 decompositions keep

Decode = Callable[[np.ndarray], Sequence[Any]]
"""Activations (n, width) -> n values of the variable."""

Map = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Subspace:
    """Where one variable is said to be.

    Fields:
        site: a hook site with one vector at each position.
        basis: (dim, width) orthonormal rows; numpy, torch or jax.
        positions: at which positions it is, 0 being begin-of-sequence; None: where the variable is.
        decode: reads the variable's value off activations where the variable is; None: that is not
            claimed.
        featurizer: an invertible map and its inverse, torch (..., width) -> (..., width); the basis
            is then of what the map gives. None: the activations themselves. A map that is free
            enough finds any variable in any model, so such a claim is scored beside what the same
            method claims of an untrained model.

    Raises:
        ExplanationError: rows that are not orthonormal or not finite, no rows, no positions, or
            some below 0.

    Example:
        >>> Subspace("blocks.0.hook_resid_post", [[1.0, 1.0]])
        Traceback (most recent call last):
        groundtruth.errors.ExplanationError: basis at blocks.0.hook_resid_post: expected \
orthonormal rows, got products off by 1. Make them so: np.linalg.qr(basis.T)[0].T, which spans the \
same.
    """

    site: str
    basis: Any
    positions: tuple[int, ...] | None = None
    decode: Decode | None = None
    featurizer: tuple[Map, Map] | None = None

    def __post_init__(self) -> None:
        where = f"basis at {self.site}"
        given = self.basis if arrays.kind_of(self.basis) is not None else np.array(self.basis)
        rows = np.array(arrays.to_numpy(where, given), dtype=np.float64)
        if rows.ndim != 2 or 0 in rows.shape or rows.shape[0] > rows.shape[1]:
            hint = "Is it transposed? Pass basis.T." if rows.ndim == 2 and rows.size else ""
            raise ExplanationError(
                f"{where}: expected shape (dim, width), dim <= width, got {rows.shape}. {hint}"
            )
        arrays.check_finite(where, rows)
        error = np.abs(rows @ rows.T - np.eye(len(rows))).max()
        if error > _ORTHONORMAL:
            raise ExplanationError(
                f"{where}: expected orthonormal rows, got products off by {error:.3g}. Make them "
                "so: np.linalg.qr(basis.T)[0].T, which spans the same."
            )
        if self.positions is not None:
            _check_positions(self.site, self.positions)
        if self.decode is not None and not callable(self.decode):
            raise ExplanationError(
                f"decode at {self.site}: expected a function or None, got {self.decode!r}."
            )
        rows.setflags(write=False)
        object.__setattr__(self, "basis", rows)

    @property
    def dim(self) -> int:
        return len(self.basis)


def _check_positions(site: str, positions: Sequence[Any]) -> None:
    whole = all(isinstance(p, (int, np.integer)) and p >= 0 for p in positions)
    if not whole or not len(positions):
        raise ExplanationError(
            f"positions at {site}: expected whole numbers from 0 on, got {positions}. Pass None "
            "for where the variable is."
        )


class Alignment:
    """Claimed subspaces by variable; a variable that is not named is not claimed.

    Args:
        subspaces: variable -> where it is.
        name: shown in tables.

    Raises:
        ExplanationError: nothing is claimed, or something other than a `Subspace`.

    Example:
        >>> claim = Alignment({"length": Subspace("blocks.0.hook_resid_post", np.eye(8)[:3])})
        >>> claim["length"].dim, list(claim.subspaces)
        (3, ['length'])
    """

    def __init__(self, subspaces: Mapping[str, Subspace], *, name: str | None = None) -> None:
        if not subspaces:
            raise ExplanationError("an alignment: expected a subspace for a variable, got none.")
        for variable, subspace in subspaces.items():
            if not isinstance(subspace, Subspace):
                raise ExplanationError(
                    f"{variable}: expected a Subspace, got {type(subspace).__name__}. "
                    "Pass Subspace(site, basis)."
                )
        self.subspaces, self.name = MappingProxyType(dict(subspaces)), name

    def __getitem__(self, variable: str) -> Subspace:
        """Where `variable` is.

        Raises:
            UnknownName: it is not claimed.
        """
        if variable not in self.subspaces:
            raise UnknownName("variable of this alignment", variable, self.subspaces)
        return self.subspaces[variable]

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        dims = ", ".join(f"{v}: {s.dim} at {s.site}" for v, s in self.subspaces.items())
        return f"Alignment({label}{dims})"
