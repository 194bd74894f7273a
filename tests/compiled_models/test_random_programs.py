"""Random programs have the size asked for, do something, and never come twice."""

from __future__ import annotations

from itertools import islice

import pytest

from groundtruth.compiled_models import (
    Indices,
    Map,
    Program,
    Select,
    SelectorWidth,
    Tokens,
    difficulty,
    indices,
    length,
    library,
    random_program,
    random_programs,
    tokens,
)
from groundtruth.compiled_models.random_programs import behaviour, useful
from groundtruth.errors import GroundtruthError, InputError

VOCAB = (0, 1, 2)


@pytest.mark.parametrize(
    ("size", "causal"), [(2, False), (3, True), (5, True), (9, False), (14, True)]
)
def test_programs_have_their_size_and_keep_the_promises(size, causal):
    found = list(islice(random_programs(size, seed=7, causal=causal), 10))
    for program in found:
        made = [e for e in program.expressions if not isinstance(e, (Tokens, Indices))]
        assert len(made) == size and program.causal is causal
        assert useful(program, VOCAB, 6)
        assert not difficulty(program, VOCAB).trivial
    assert len({behaviour(program, VOCAB, 4) for program in found}) == len(found)


def test_the_same_seed_gives_the_same_programs_and_another_others():
    first, again, other = (
        [str(program) for program in islice(random_programs(6, seed=seed), 5)] for seed in (1, 1, 2)
    )
    assert first == again
    assert not {text.split("\n", 1)[1] for text in first} & {
        text.split("\n", 1)[1] for text in other
    }


def test_programs_are_grown_over_strings_too():
    program = random_program(6, seed=0, vocab="abc", max_length=5)
    assert useful(program, "abc", 5)


def test_where_new_programs_run_out_it_says_so():
    with pytest.raises(GroundtruthError, match="no further program of 2 expressions"):
        for _ in random_programs(2, seed=0, vocab="a", max_length=1):
            pass


@pytest.mark.parametrize(
    "output",
    [
        tokens,
        Map(lambda x: x + 1, indices),
        length,
        Map(lambda x: 0, SelectorWidth(Select(tokens, tokens, "=="))),
        SelectorWidth(
            Select(tokens, Map(lambda x: 1, indices), "==") | Select(tokens, tokens, "true")
        ),
        Map(lambda x: x if x > 2 else None, SelectorWidth(Select(tokens, tokens, "=="))),
    ],
    ids=["identity", "pointwise", "length", "constant", "idle part", "mostly None"],
)
def test_programs_of_no_use_are_told(output):
    assert not useful(Program(output), VOCAB, 6)


def test_a_program_of_use_is_told():
    assert useful(library.program("hist"), VOCAB, 6)


@pytest.mark.parametrize("size", [1, 0, -3, 2.0, True, None])
def test_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(InputError, match="size: expected a whole number >= 2"):
        random_program(size, seed=0)


def test_behaviours_are_equal_however_they_are_computed():
    width = SelectorWidth(Select(tokens, tokens, "=="))
    roundabout = Map(lambda x: -x, Map(lambda x: -x, width))
    other = SelectorWidth(Select(tokens, tokens, "!="))
    one, same, different = (behaviour(Program(e), VOCAB, 4) for e in (width, roundabout, other))
    assert one == same != different
