"""What the plan says is carried is what weights join; constants are what no input changes."""

from __future__ import annotations

import itertools

import pytest

from groundtruth.compiled_models import Constant, compile_program, library, random_programs
from groundtruth.compiled_models.wiring import carried, constants
from groundtruth.errors import ProgramError
from groundtruth.models import graph
from groundtruth.structural_edges import structural_edges


def joined(compiled) -> set[graph.Edge]:
    weights = compiled.weights
    return set(structural_edges(weights, graph.edges(weights, "qkv")))


@pytest.mark.parametrize("closed", [False, True])
def test_edges_that_carry_something_are_those_with_weights(closed):
    for name in library.names():
        program, vocab = library.example_program(name), library.entry(name).vocab
        compiled = compile_program(program, vocab=vocab, max_length=4, closed=closed, n_sequences=1)
        assert set(carried(compiled)) == joined(compiled), name


def test_so_they_are_of_random_programs():
    tried = 0
    for size, causal in itertools.product((3, 6, 9), (False, True)):
        for program in itertools.islice(random_programs(size, seed=5, causal=causal), 4):
            try:
                compiled = compile_program(program, vocab=(0, 1, 2), max_length=5, n_sequences=1)
            except ProgramError:
                continue
            assert set(carried(compiled)) == joined(compiled), str(program)
            tried += 1
    assert tried > 15


def test_an_edge_names_what_it_carries_in_the_order_of_the_computation():
    compiled = compile_program(library.program("reverse"), vocab="ab", max_length=3)
    found = carried(compiled)
    assert [*found] == sorted(
        found, key=lambda edge: graph.edges(compiled.weights, "qkv").index(edge)
    )
    assert found[graph.Edge("pos_embed", "a2.h0.k")] == ("indices",)
    assert found[graph.Edge("embed", "a2.h0.k")] == ("begin-of-sequence",)
    assert found[graph.Edge("embed", "a2.h0.v")] == ("tokens",)
    assert constants(compiled) == {"begin-of-sequence"}


def test_constants_of_the_program_are_constant():
    compiled = compile_program(library.program("count", "a"), vocab="ab", max_length=3)
    named = {
        compiled.program.names[e] for e in compiled.program.expressions if isinstance(e, Constant)
    }
    assert constants(compiled) >= named | {"begin-of-sequence"}
