"""What the residual stream of a compiled model carries: variables, each on directions of its own.

Direction 0 says that a position is begin-of-sequence. Directions are written once and never reused,
so the last residual vector holds every expression of the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from groundtruth.compiled_models.domains import Domain, repr_of
from groundtruth.compiled_models.expressions import SOp
from groundtruth.compiled_models.values import Value
from groundtruth.errors import UnknownName

BOS = 0
"""The direction that is 1 at begin-of-sequence and 0 elsewhere."""


@dataclass(frozen=True, eq=False)
class Variable:
    """Something that the residual stream carries, on the directions from `start` on.

    Fields:
        name: of the expression; of something on the way to it, with a dot and what that is.
        expression: which s-op it is, or is on the way to.
        labels: what each direction stands for. Of a categorical expression its values, in the
            order of their codes, with None last; of a numerical one "number", and None for the flag
            that is 1 where it is None. The number is then 0.
        domain: of the expression where this is its value; None for what is on the way.
        error: how far a direction can be from what it should be: of a categorical variable, of any
            of its directions; of a numerical one, of the number.
        total: the sum of that over the directions of a categorical variable; of a numerical one,
            how far the flag can be off.
        active: how many directions can be other than 0 at once.
        margin: how large `error` may be for the values to be told apart.
        at_bos: what each direction holds at begin-of-sequence.
        one_hot: whether just one direction is 1 and the others 0, but for `error`.
        drift: how far the sum of the directions of a one-hot variable can be from 1.
        stepwise: whether all that is off is weight moved between neighbouring directions.
        blur: how much of `error` is added by reading it, each time anew; of a view for one reader.
            0 where each direction is an axis of the residual stream; see `twins.py`.

    Two are equal that have one name: a variable and its views.
    """

    name: str
    expression: SOp
    labels: tuple[Value, ...]
    start: int
    domain: Domain | None
    error: float
    total: float
    active: int
    margin: float
    at_bos: tuple[float, ...]
    one_hot: bool
    drift: float
    stepwise: bool
    blur: float = 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variable) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def seen(self, blur: float, *, shifted: bool) -> Variable:
        """The view of this for a reader whose every reading of a direction is off by `blur`.

        Args:
            shifted: whether a direction is read by what the others are not; see `codes.py`.
        """
        if not blur:
            return self
        n = len(self.labels)
        more = self.drift if shifted else 0.0
        error, total = self.error + more + blur, self.total + more + n * blur
        return replace(self, error=error, total=total, active=n, blur=blur)

    @property
    def directions(self) -> range:
        return range(self.start, self.start + len(self.labels))

    @property
    def span(self) -> slice:
        """The same, to index arrays with."""
        return slice(self.directions.start, self.directions.stop)

    @property
    def numerical(self) -> bool:
        """Whether its first direction holds the number itself."""
        return self.expression.kind == "numerical" and self.labels[0] == "number"

    @property
    def none(self) -> int | None:
        """The direction of None, if it can be None."""
        return self.directions[-1] if self.labels[-1] is None else None

    def direction(self, code: int) -> int:
        """Where the value with this code is, of a categorical variable."""
        return self.start + code

    def held(self, direction: int) -> float:
        """What one of its directions holds at begin-of-sequence."""
        return self.at_bos[direction - self.start]

    def __str__(self) -> str:
        shown = [repr_of(label) for label in self.labels]
        if len(shown) > 8:
            shown = [*shown[:3], "...", shown[-1]]
        last = self.directions[-1]
        where = f"{self.start}" if last == self.start else f"{self.start} to {last}"
        return f"{where}: {self.name} = {', '.join(shown)}; error {self.error:.1e}"


@dataclass(frozen=True)
class Layout:
    """Which directions of the residual stream carry what.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> layout = compile_program(library.program("hist"), vocab="ab", max_length=3).layout
        >>> layout["hist"].directions, layout["hist"].labels
        (range(4, 7), (1, 2, 3))
    """

    variables: tuple[Variable, ...]

    @property
    def d_model(self) -> int:
        return 1 + sum(len(variable.labels) for variable in self.variables)

    def at(self, direction: int) -> Variable:
        """The variable that a direction, other than `BOS`, is of."""
        return self._by_direction[direction - 1]

    @cached_property
    def _by_name(self) -> dict[str, Variable]:
        return {variable.name: variable for variable in self.variables}

    @cached_property
    def _by_direction(self) -> tuple[Variable, ...]:
        return tuple(variable for variable in self.variables for _ in variable.labels)

    def __getitem__(self, name: str) -> Variable:
        """The variable called `name`.

        Raises:
            UnknownName: there is none.
        """
        if name not in self._by_name:
            raise UnknownName("variable", name, self._by_name)
        return self._by_name[name]

    def values(self) -> Iterator[Variable]:
        """Those that are the values of expressions."""
        return (variable for variable in self.variables if variable.domain is not None)

    def __str__(self) -> str:
        return "\n".join([f"{BOS}: begin-of-sequence", *map(str, self.variables)])
