"""Redundancy: an s-op computed three times, with what most of the three say in its place.

Of three, any two are enough: whatever one of them is replaced by, zero, a mean or another input's
value, the other two outvote it. So none is singly active, each is in two of three minimal circuits,
and a method that patches one edge at a time sees none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from groundtruth.compiled_models.expressions import Expression, SOp, Vote


def voted(target: SOp, name: str) -> Vote:
    """What two of three copies of `target` say."""
    first, second, third = (replace(target, name=f"{name}.{number}") for number in (1, 2, 3))
    return Vote(first, second, third, name=name)


def rebuilt(
    expressions: Sequence[Expression],
    changed: Mapping[Expression, Expression],
    names: Mapping[Expression, str] | None = None,
) -> dict[Expression, Expression]:
    """Every one of `expressions` (each after its parents) made again of what is `changed`, and
    called what `names` says."""
    made = dict(changed)
    for expression in expressions:
        if expression not in made:
            held = {f.name: getattr(expression, f.name) for f in fields(expression) if f.init}
            new: dict[str, Any] = {k: made[v] for k, v in held.items() if isinstance(v, Expression)}
            if names is not None and expression in names:
                new["name"] = names[expression]
            same = all(held[k] is v for k, v in new.items())
            made[expression] = expression if same else replace(expression, **new)
    return made
