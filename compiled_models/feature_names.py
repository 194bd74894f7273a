"""What directions stand for and what neurons detect, in words."""

from __future__ import annotations

import math

from groundtruth.compiled_models.components import Unit
from groundtruth.compiled_models.domains import repr_of
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.values import Value

_SHOWN = 4  # terms of a sum, and values of one variable


def named(variable: Variable, label: Value) -> str:
    """What a direction of a variable stands for, such as hist=2; of a number its name."""
    if variable.domain is None:
        return f"{variable.name}[{label}]"
    if variable.numerical and label is not None:
        return variable.name
    return f"{variable.name}={repr_of(label)}"


def any_of(names: list[str]) -> str:
    """Where one of these is."""
    rest = len(names) - _SHOWN
    return " or ".join([*names[:_SHOWN], f"{rest} more"] if rest > 0 else names)


def detected(unit: Unit, layout: Layout) -> str:
    """Where a hidden neuron is above 0: a combination of values, or a sum on one side of a number.

    Example, a gate, and the lower half of a step:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> layout = compile_program(library.program("hist"), vocab="ab", max_length=3).layout
        >>> detected(Unit({1: 1.25, 5: 1.25}, -1.5, {}), layout)
        "tokens='a' and hist=2"
        >>> detected(Unit({3: -8.0}, 3.0, {}), layout)
        'hist.share[1 / (width + 1)] < 0.375'
    """
    reads = {direction: weight for direction, weight in unit.reads.items() if weight}
    if not reads:
        return "always"
    weights = list(reads.values())
    if len(set(weights)) == 1 and all(_on_or_off(layout, direction) for direction in reads):
        return _combined(layout, list(reads), -unit.bias / weights[0], weights[0] > 0)
    names = [_named_at(layout, direction) for direction in reads]
    if len(reads) == 1:
        sign = ">" if weights[0] > 0 else "<"
        return f"{names[0]} {sign} {-unit.bias / weights[0]:.6g}"
    terms = [f"{weight:+g} {name}" for weight, name in zip(weights, names)]
    rest = [f"and {len(terms) - _SHOWN} more"] if len(terms) > _SHOWN else []
    return f"{' '.join([*terms[:_SHOWN], *rest])} > {-unit.bias:g}"


def _combined(layout: Layout, directions: list[int], limit: float, above: bool) -> str:
    """That more than `limit` of the directions hold 1, or fewer."""
    by_variable: dict[Variable, list[str]] = {}
    for direction in directions:
        by_variable.setdefault(layout.at(direction), []).append(_named_at(layout, direction))
    several = len(by_variable) > 1
    parts = [any_of(names) for names in by_variable.values()]
    if several:
        parts = [f"({part})" if " or " in part else part for part in parts]
    if not above:
        return f"fewer than {math.ceil(limit)} of {', '.join(parts)}"
    least = math.floor(limit) + 1
    if least == len(parts):
        return " and ".join(parts)
    return f"{least} of {', '.join(parts)}"


def _on_or_off(layout: Layout, direction: int) -> bool:
    variable = layout.at(direction)
    return variable.one_hot or direction == variable.none


def _named_at(layout: Layout, direction: int) -> str:
    variable = layout.at(direction)
    return named(variable, variable.labels[direction - variable.start])
