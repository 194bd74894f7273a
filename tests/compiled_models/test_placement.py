"""Components stand as early as what they read allows, heads before neurons in a block."""

from __future__ import annotations

import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.placement import Place
from groundtruth.errors import UnknownName


def compiled_example(name: str, max_length: int = 6):
    vocab, program = library.entry(name).vocab, library.example_program(name)
    return compile_program(program, vocab=vocab, max_length=max_length, n_sequences=64)


def test_places_of_reverse():
    placement = compiled_example("reverse").placement
    assert placement.find("tokens") is None
    assert placement.find("length.share") == Place(0, head=0)
    assert placement.find("length") == Place(0, neurons=range(11))
    assert placement.find("opposite") == Place(1, neurons=range(11))
    assert placement.find("reverse") == Place(2, head=0)
    with pytest.raises(UnknownName, match="Nearest: reverse"):
        placement.find("revers")


@pytest.mark.parametrize("name", library.names())
def test_what_is_read_was_written_in_an_earlier_half_block_and_no_sooner_than_needed(name):
    compiled = compiled_example(name)
    ready = dict.fromkeys(compiled.layout.variables, 0)
    for b, block in enumerate(compiled.placement.blocks):
        for half, parts in ((2 * b, block.heads), (2 * b + 1, block.neurons)):
            for part in parts:
                latest = max((ready[variable] for variable in part.reads), default=0)
                assert latest <= half <= latest + 1
            for part in parts:
                ready[part.writes] = half + 1
