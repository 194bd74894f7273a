"""Drawn programs shrink to the least that shows a failure."""

from __future__ import annotations

from hypothesis import find, given

from groundtruth.compiled_models import (
    Aggregate,
    Indices,
    LinearSequenceMap,
    Select,
    SelectorNot,
    SelectorWidth,
    SequenceMap,
    Tokens,
    problems,
)
from groundtruth.testing import programs


def size(program) -> int:
    return len([e for e in program.expressions if not isinstance(e, (Tokens, Indices))])


def holds(kind):
    return lambda program: any(isinstance(e, kind) for e in program.expressions)


def test_programs_shrink_to_the_tokens():
    smallest = find(programs(), lambda program: True)
    assert isinstance(smallest.output, Tokens) and not smallest.causal


def test_each_primitive_is_drawn_and_shrinks_to_little_more_than_itself():
    for kind, most in ((SelectorWidth, 2), (Aggregate, 2), (SequenceMap, 1), (SelectorNot, 3)):
        assert size(find(programs(), holds(kind))) <= most
    assert size(find(programs(), holds(LinearSequenceMap))) == 3


def test_a_failure_shrinks_to_the_least_program_that_shows_it():
    def reads_a_width(program) -> bool:
        return any(
            isinstance(e, Select) and any(isinstance(p, SelectorWidth) for p in e.parents)
            for e in program.expressions
        )

    # A width, the selector that it counts, a selector that reads it, and what uses that.
    assert size(find(programs(), reads_a_width)) == 4


@given(programs(vocab="ab", max_length=4, max_size=5, causal=True))
def test_sizes_vocabulary_and_direction_are_those_asked_for(program):
    assert size(program) <= 5 and program.causal
    assert problems(program, "ab", 4) == problems(program, "ab", 4, closed=True) == []
