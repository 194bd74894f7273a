"""What a value analysis has found so far. The rules that add to it are in `pointwise_domains.py`
and `attention_domains.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from groundtruth.compiled_models.choices import Local
from groundtruth.compiled_models.domains import MOST_VALUES, Domain, listed
from groundtruth.compiled_models.expressions import Aggregate, Expression, SOp
from groundtruth.compiled_models.functions import function_text
from groundtruth.compiled_models.outcomes import Sums
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Value, explain

MOST_ENTRIES = 1_000_000
"""Entries of the table of a function of two s-ops, and of a predicate."""


class Problem(Exception):
    """Why an expression cannot be used with the sequences at hand."""


@dataclass
class Findings:
    """The state of one analysis; the fields that `Analysis` has too are described there.

    Fields:
        local: of a local s-op, the code of its value by token, length - 1 and index.
        joint: of an s-op that is an average or sum under one selector, that Aggregate.
        sums: what sums of an s-op's values are known.
    """

    program: Program
    vocab: tuple[Value, ...]
    max_length: int
    closed: bool
    domains: dict[SOp, Domain] = field(default_factory=dict)
    local: dict[SOp, Local] = field(default_factory=dict)
    tables: dict[Expression, np.ndarray] = field(default_factory=dict)
    counts: dict[Expression, tuple[int, int]] = field(default_factory=dict)
    joint: dict[SOp, Aggregate] = field(default_factory=dict)
    sums: dict[SOp, Sums] = field(default_factory=dict)

    @cached_property
    def places(self) -> np.ndarray:
        """Token, length - 1 and index of each entry of a local table."""
        return np.indices((len(self.vocab), self.max_length, self.max_length))

    def name(self, expression: Expression) -> str:
        return self.program.names[expression]

    def tabulate(self, e: SOp, values: Sequence[Value], which: np.ndarray) -> None:
        """`e` is local: values[which], where `which` is indexed as a local table is."""
        used = np.unique(which[self.inside]).tolist()
        self.domains[e] = listed(e.kind, distinct(e, (values[k] for k in used)), exact=True)
        if not self.closed:
            code = np.array([self.domains[e].code.get(value, -1) for value in values])
            self.local[e] = np.where(self.inside, code[which], -1)

    @cached_property
    def inside(self) -> np.ndarray:
        """Which entries of a local table are of a position: index < length."""
        return self.places[2] <= self.places[1]


def distinct(e: SOp, values: Iterable[Value]) -> set[Value]:
    """The set of `values` of `e`, which must not hold both 1 and True, or the like."""
    if e.kind == "numerical":
        found = set(values)
    else:
        seen: dict[Value, Value] = {}
        for value in values:
            if repr(seen.setdefault(value, value)) != repr(value):
                raise Problem(
                    f"has the values {seen[value]!r} and {value!r}, which Python takes for equal"
                )
        found = set(seen)
    if len(found) > MOST_VALUES:
        raise Problem(f"has {len(found)} values, more than {MOST_VALUES}")
    return found


def failure(function: Callable[..., Value], given: tuple[Value, ...], error: Exception) -> Problem:
    """What to say where a function of values raised."""
    shown = ", ".join(map(repr, given))
    return Problem(f"its function {function_text(function)} fails on {shown}: {explain(error)}")
