"""A program as a causal model: set any of its variables at any positions, read all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundtruth.compiled_models.expressions import Expression, Selector
from groundtruth.compiled_models.interpreter import Rows, evaluate
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Value
from groundtruth.errors import reject


@dataclass(frozen=True)
class CausalModel:
    """The expressions of a program as variables, one per position.

    The value of a selector at a position is the row of that query: for each key position whether
    it is chosen, before what the program cannot see is cut.

    Example:
        >>> from groundtruth.compiled_models import library
        >>> model = CausalModel(library.program("reverse"))
        >>> model.run("abc")["opposite"]
        [2, 1, 0]
        >>> model.run("abc", {"opposite": {0: 1}})["reverse"]
        ['b', 'b', 'a']
        >>> model.run("abc", {"length": model.take("length", "abcde", [0, 1])})["opposite"]
        [4, 3, 0]
    """

    program: Program

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of all expressions, each after its parents."""
        return tuple(self.program.names.values())

    def parents(self, name: str) -> tuple[str, ...]:
        """What the variable is computed from."""
        return tuple(self.program.names[parent] for parent in self.program[name].parents)

    def run(
        self,
        sequence: Sequence[Value],
        interventions: Mapping[str, Mapping[int, Any]] | None = None,
    ) -> dict[str, Rows]:
        """The value of each variable at each position of `sequence`.

        Args:
            interventions: name -> position -> the value that replaces what the variable would be.

        Raises:
            UnknownName: no variable has the name.
            InputError: a position that the sequence does not have; a row of a selector that does
                not have one truth value for each position.
        """
        given = {self.program[name]: values for name, values in (interventions or {}).items()}
        for expression, values in given.items():
            _check_given(self.program.names[expression], expression, values, len(sequence))
        found = self._evaluated(sequence, given)
        return {self.program.names[expression]: rows for expression, rows in found.items()}

    def take(
        self, name: str, source: Sequence[Value], positions: Iterable[int] | None = None
    ) -> dict[int, Any]:
        """The values of a variable on another input, as an intervention on it.

        Args:
            source: the input that they come from.
            positions: where; everywhere if None.
        """
        rows = self._evaluated(source, {})[self.program[name]]
        places = range(len(source)) if positions is None else list(positions)
        for place in places:
            _check_position(name, place, len(source))
        return {place: rows[place] for place in places}

    def _evaluated(
        self, sequence: Sequence[Value], given: Mapping[Expression, Mapping[int, Any]]
    ) -> dict[Expression, Rows]:
        program = self.program
        return evaluate(program.expressions, sequence, causal=program.causal, interventions=given)


def _check_position(name: str, position: object, n: int) -> None:
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < n:
        raise reject(f"position of {name}", position, f"an index of the sequence, 0 to {n - 1}")


def _check_given(name: str, expression: Expression, values: Mapping[int, Any], n: int) -> None:
    for position, value in values.items():
        _check_position(name, position, n)
        row = isinstance(value, (list, tuple)) and all(isinstance(chosen, bool) for chosen in value)
        if isinstance(expression, Selector) and not (row and len(value) == n):
            raise reject(f"row {position} of {name}", value, f"{n} truth values, one for each key")
