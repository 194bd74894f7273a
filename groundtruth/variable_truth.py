"""Causal variables of a model: where the value of each is carried, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from groundtruth import arrays
from groundtruth.errors import InputError, UnknownName, reject

_CELLS = 1 << 22  # distances between points that are looked at at a time


class Executable(Protocol):
    """A causal model that can be run with any of its variables set."""

    def run(
        self,
        sequence: Sequence[Any],
        interventions: Mapping[str, Mapping[int, Any]] | None = None,
    ) -> Mapping[str, Sequence[Any]]:
        """The value of each variable at each position; see `interventions` for what is set."""
        ...

    def take(
        self, name: str, source: Sequence[Any], positions: Iterable[int] | None = None
    ) -> dict[int, Any]:
        """The values of a variable on another input, as an intervention on it."""
        ...


@dataclass(frozen=True)
class CausalVariable:
    """A variable with one value at each position, carried by a subspace of the residual stream.

    Fields:
        name: in the causal model.
        site: the hook site from which on it is there. It stays: the same subspace carries it at
            every later site of the residual stream.
        basis: (k, d_model) orthonormal rows that span the subspace.
        values: all that it can be, None included; None if they are too many to be listed. The
            coordinates are then the number, and 1 where it is None.
        points: (n_values, k) the coordinates that stand for each value; (0, k) if not listed.
    """

    name: str
    site: str
    basis: np.ndarray
    values: tuple[Any, ...] | None
    points: np.ndarray

    def __post_init__(self) -> None:
        for field in ("basis", "points"):
            array = arrays.to_numpy(f"{self.name}.{field}", getattr(self, field))
            array = np.array(array, dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, field, array)
        k = len(self.basis)
        if self.basis.ndim != 2 or np.abs(self.basis @ self.basis.T - np.eye(k)).max() > 1e-9:
            raise reject(f"{self.name}.basis", self.basis.shape, "orthonormal rows (k, d_model)")
        expected = (len(self.values or ()), k)
        if self.points.shape != expected:
            raise reject(f"{self.name}.points", self.points.shape, f"shape {expected}")

    def encode(self, values: Iterable[Any]) -> np.ndarray:
        """(n, d_model) what the residual stream carries where the variable has these values.

        Raises:
            InputError: what is no value of the variable.
        """
        places = []
        for value in values:
            if value not in self._place:
                known = "one of its values" if self.values is None else f"one of {self.values!r}"
                raise reject(f"value of {self.name}", value, known)
            places.append(self._place[value])
        return self.points[places] @ self.basis

    def decode(self, residual: np.ndarray) -> list[Any]:
        """The values whose points are nearest to residual vectors (n, d_model).

        Raises:
            InputError: the values are not listed.
        """
        if self.values is None:
            raise InputError(f"{self.name}: its values are not listed; read residual @ basis.T.")
        at = residual @ self.basis.T
        size = (self.points**2).sum(axis=1)
        step = max(1, _CELLS // max(1, len(self.points)))
        nearest = [
            (size - 2 * at[start : start + step] @ self.points.T).argmin(axis=1)
            for start in range(0, len(at), step)
        ]
        return [self.values[k] for k in np.concatenate([*nearest, np.empty(0, int)]).tolist()]

    @cached_property
    def _place(self) -> dict[Any, int]:
        return {value: k for k, value in enumerate(self.values or ())}


@dataclass(frozen=True)
class VariableTruth:
    """The causal variables of a model.

    Fields:
        variables: in the order of the computation.
        causal_model: what each variable follows from, and what follows from it.
        first_position: of the residual stream, where position 0 of the causal model is.

    Raises:
        InputError: two variables with one name, or subspaces that overlap.
    """

    variables: tuple[CausalVariable, ...]
    causal_model: Executable
    first_position: int = 1

    def __post_init__(self) -> None:
        if len({variable.name for variable in self.variables}) != len(self.variables):
            raise InputError("variables: expected different names.")
        rows = np.concatenate([variable.basis for variable in self.variables])
        if np.abs(rows @ rows.T - np.eye(len(rows))).max() > 1e-9:
            raise InputError("variables: expected subspaces at right angles to one another.")

    def __getitem__(self, name: str) -> CausalVariable:
        """The variable called `name`.

        Raises:
            UnknownName: there is none.
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise UnknownName("variable", name, [variable.name for variable in self.variables])

    def __str__(self) -> str:
        return "\n".join(
            f"{v.name}: {len(v.basis)} dimensions from {v.site} on" for v in self.variables
        )
