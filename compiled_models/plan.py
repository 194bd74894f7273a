"""The plan of a compiled model: its variables and what computes each, before there are weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.components import Component, Entries, Neurons
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import Expression, SOp
from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.rounding import sharpness
from groundtruth.compiled_models.values import Value

MOST_DIRECTIONS = 8_192
"""Directions of the residual stream beyond which a program is refused."""


@dataclass(frozen=True)
class Bound:
    """How far what is written can be off; the fields are those of `Variable`.
    `drift` is `total` if None."""

    error: float = 0.0
    total: float = 0.0
    active: int = 1
    drift: float | None = None
    stepwise: bool = False


@dataclass(frozen=True)
class Tolerance:
    """What a plan must bear beyond the rounding of a model whose directions are axes.

    Fields:
        blur: by the name of a variable and that of the expression whose parts read it, how far off
            each reading of a direction can be; a cleaned copy is of the variable itself.
        default: of those not named.
        stretch: how many times more an error of what heads compare can change their scores.
        shifted: names of variables whose directions are read by what the others are not.
        exact: names of variables that are read exactly, but where `blur` says otherwise.
        steps: whether sums of one-hot variables may be told apart by steps, which ask little of
            them but write large numbers that cancel; else gates are.
    """

    blur: Mapping[tuple[str, str], float] = field(default_factory=dict)
    default: float = 0.0
    stretch: float = 1.0
    shifted: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    steps: bool = True

    def of(self, name: str, reader: str) -> float:
        if name in self.exact:
            return self.blur.get((name, reader), 0.0)
        own = self.blur.get((name, name), 0.0)
        return max(own, self.blur.get((name, reader), self.default))


@dataclass
class Plan:
    """Variables in the order of their directions, and components, each after what it reads.

    Fields:
        reader: the name of what is planned.
        values: the variable of each s-op that is planned before, as `reader` sees it.
        clean: copies of variables in which all that should be 0 is exactly 0, and numbers are
            hardly off.
        sharp: the distance between scores that attention tells apart.
    """

    analysis: Analysis
    tolerance: Tolerance = field(default_factory=Tolerance)
    variables: list[Variable] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    reader: str = ""
    values: dict[SOp, Variable] = field(default_factory=dict)
    clean: dict[Variable, Variable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sharp = sharpness(self.analysis.max_length)

    def read_by(self, e: Expression) -> None:
        """Let `e` be what is planned next."""
        self.reader = self.analysis.program.names[e]
        seen = {variable.name: self.seen(variable) for variable in self.variables}
        self.values = {sop: seen[variable.name] for sop, variable in self.values.items()}

    def seen(self, variable: Variable) -> Variable:
        """The view of a variable for `reader`."""
        blur = self.tolerance.of(variable.name, self.reader)
        return variable.seen(blur, shifted=variable.name in self.tolerance.shifted)

    def is_clean(self, variable: Variable) -> bool:
        """Whether what should be 0 of it is read as exactly 0."""
        return not variable.blur and variable in self.clean.values()

    @property
    def n_keys(self) -> int:
        """The greatest number of keys besides begin-of-sequence."""
        return self.analysis.max_length

    @property
    def start(self) -> int:
        """The next free direction."""
        return self.variables[-1].directions.stop if self.variables else 1

    @property
    def numbers(self) -> int:
        """About how many numbers the weights are."""
        width = 0
        for part in self.components:
            if isinstance(part, Neurons):
                width += len(part.units)
            else:
                width += sum(min(term.wanted.shape) for term in part.terms) + len(
                    part.writes.labels
                )
        return 2 * width * self.start

    def value(self, e: SOp, bound: Bound, from_bos: Entries | None = None) -> Variable:
        """The variable that holds the value of `e`, on fresh directions.

        Raises:
            Problem: values cannot be told apart with so large an error.
        """
        domain = self.analysis.domains[e]
        name = self.analysis.program.names[e]
        labels = value_labels(domain)
        margin = decision_margin(domain)
        self.values[e] = self._carried(
            name, e, labels, domain, bound, margin, from_bos, domain.kind == "categorical"
        )
        return self.values[e]

    def on_the_way(
        self,
        e: SOp,
        part: str,
        labels: Sequence[Value],
        bound: Bound,
        margin: float,
        from_bos: Entries | None = None,
        *,
        one_hot: bool = False,
    ) -> Variable:
        """A variable that leads to the value of `e`."""
        name = f"{self.analysis.program.names[e]}.{part}"
        taken = {variable.name for variable in self.variables}
        taken |= set(self.analysis.program.names.values())
        k = 1
        while (numbered := name if k == 1 else f"{name}_{k}") in taken:
            k += 1
        return self._carried(numbered, e, tuple(labels), None, bound, margin, from_bos, one_hot)

    def layout(self) -> Layout:
        """The variables as they lie in the residual stream."""
        return Layout(tuple(self.variables))

    def _carried(
        self,
        name: str,
        e: SOp,
        labels: tuple[Value, ...],
        domain: Domain | None,
        bound: Bound,
        margin: float,
        from_bos: Entries | None,
        one_hot: bool,
    ) -> Variable:
        if not (bound.error < margin and (domain is None or not domain.none or bound.total < 0.5)):
            raise Problem(
                f"its values cannot be told apart in float32: they are off by up to "
                f"{bound.error:.1e}, and {margin:.1e} is too much; use a smaller max_length"
            )
        if self.start + len(labels) > MOST_DIRECTIONS:
            raise Problem(f"needs directions beyond {MOST_DIRECTIONS}")
        held = tuple((from_bos or {}).get(k, 0.0) for k in range(len(labels)))
        made = Variable(
            name,
            e,
            labels,
            self.start,
            domain,
            bound.error,
            bound.total,
            bound.active,
            margin,
            held,
            one_hot,
            bound.total if bound.drift is None else bound.drift,
            bound.stepwise,
        )
        self.variables.append(made)
        return self.seen(made)

    def __str__(self) -> str:
        return "\n".join([str(self.layout()), *map(str, self.components)])


def value_labels(domain: Domain) -> tuple[Value, ...]:
    """What the directions of an expression with this domain stand for."""
    first = ("number",) if domain.kind == "numerical" else domain.listed
    return (*first, None) if domain.none else tuple(first)


def decision_margin(domain: Domain) -> float:
    """Half the distance between the nearest two values, or between on and off."""
    if domain.kind == "categorical":
        return 0.5
    return float("inf") if domain.gap is None else float(domain.gap) / 2
