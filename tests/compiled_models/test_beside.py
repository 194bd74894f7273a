"""Several programs in one model: each is computed, and the output needs its own alone."""

from __future__ import annotations

import itertools

import pytest

from groundtruth.compiled_models import Program, SelectorWidth, compile_program, library
from groundtruth.compiled_models.batches import sampled_sequences
from groundtruth.compiled_models.compiled_files import load_compiled, save_compiled
from groundtruth.compiled_models.expressions import Select, tokens
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.errors import InputError, ProgramError, UnknownName

OTHERS = ("reverse", "shift_by")


@pytest.fixture(scope="module", params=["plain", "twin"])
def compiled(request):
    program = library.program("hist").beside(*map(library.example_program, OTHERS))
    made = compile_program(program, vocab="abc", max_length=5, closed=True, n_sequences=200)
    return made if request.param == "plain" else made.twin(superpose=0.9, decoys=2, seed=1)


def test_every_program_is_computed(compiled):
    batch = sampled_sequences(3, 5, 100, seed=0)
    drawn = [["abc"[k] for k in row[:n]] for row, n in zip(batch.ids.tolist(), batch.lengths)]
    assert compiled.run(drawn) == [library.program("hist")(s) for s in drawn]
    for name in OTHERS:
        program = library.example_program(name)
        output = program.names[program.output]
        assert compiled.run(drawn, of=output) == [program(s) for s in drawn]


def test_the_output_needs_none_of_the_others(compiled):
    truth = compiled.testbed.mechanisms
    needed = dict(zip([m.name for m in truth.mechanisms], truth.necessary.any(axis=1)))
    assert needed["hist"] and needed["tokens"]
    assert not needed["reverse"] and not needed["length"]


def test_what_two_programs_have_in_common_is_there_once():
    alone, other = library.program("hist"), library.program("reverse")
    both = alone.beside(other)
    assert set(both.expressions) == {*alone.expressions, *other.expressions}
    assert len(both.expressions) == len(set(both.expressions))
    assert both.beside(other).expressions == both.expressions
    assert "also: reverse" in str(both) and "also" not in str(alone)
    assert both("aab") == alone("aab")


def test_names_that_are_taken_say_whose_they_are():
    sort, unique = library.program("sort"), library.program("sort_unique")
    both = unique.beside(sort)
    assert {"target", "target of sort", "smaller of sort"} <= set(both.names.values())
    compiled = compile_program(both, vocab=(1, 2, 3), max_length=4, n_sequences=200)
    given = [[3, 1, 3, 2], [2, 1], [1, 1]]
    assert compiled.run(given) == [unique(s) for s in given]
    assert compiled.run(given, of="sort") == [sort(s) for s in given]
    target = compile_program(sort, vocab=(1, 2, 3), max_length=4).run(given, of="target")
    assert compiled.run(given, of="target of sort") == target


def test_any_two_programs_of_the_library_that_attend_alike_can_be_beside_one_another():
    programs = [library.example_program(name) for name in library.names()]
    for first, second in itertools.combinations(programs, 2):
        if first.causal == second.causal:
            both = first.beside(second)
            assert len(both.also) == (first.output is not second.output)


def test_what_cannot_be_beside_says_so():
    hist = library.program("hist")
    with pytest.raises(InputError, match="hist is; ioi is causal"):
        hist.beside(library.example_program("ioi"))
    with pytest.raises(InputError, match="expected programs, got 'reverse'"):
        hist.beside("reverse")  # type: ignore[arg-type]
    twice = Program(SelectorWidth(Select(tokens, tokens, "<="), name="hist"), name="rank")
    with pytest.raises(ProgramError, match="2 different expressions are called 'hist of rank'"):
        hist.beside(twice, Program(SelectorWidth(Select(tokens, tokens, "<"), name="hist"), "rank"))
    compiled = compile_program(hist, vocab="ab", max_length=3)
    with pytest.raises(UnknownName, match="reverse"):
        compiled.run(["ab"], of="reverse")


def test_it_is_saved_and_comes_back(tmp_path):
    testbed = CompiledPreset("hist").model(beside=["reverse"], max_length=4, n_inputs=50)
    save_compiled(testbed, tmp_path)
    again = load_compiled(tmp_path)
    assert again.hash == testbed.hash
    assert again.compiled.run(["abc"], of="reverse") == [["c", "b", "a"]]
