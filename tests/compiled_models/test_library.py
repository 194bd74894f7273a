"""Every program of the library does what its specification says, on all short sequences."""

from __future__ import annotations

import itertools

import pytest

from groundtruth.compiled_models import (
    BatchInterpreter,
    analyse,
    every_sequence,
    indices,
    library,
    n_sequences,
    problems,
    tokens,
)
from groundtruth.compiled_models.expressions import everything
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.programs.entries import Family, by_name
from groundtruth.compiled_models.random_programs import behaviour
from groundtruth.errors import InputError, ProgramError, UnknownName

TRACRS = {
    "length",
    "reverse",
    "pair_balance",
    "shuffle_dyck",
    "shuffle_dyck2",
    "hist",
    "sort_unique",
    "sort",
    "sort_freq",
    "frac_prevs",
    "shift_by",
    "detect_pattern",
    "count_less_freq",
    "count",
    "nary_map",
}
TRIVIAL = {"nary_map", "vowels", "square"}
"""With the parameters of their examples: kept as controls, and said so on their cards."""

NAMES = library.names()


def up_to(n_tokens: int, most: int) -> int:
    """The greatest length at which there are at most `most` sequences."""
    return max(k for k in range(1, 9) if n_sequences(n_tokens, k) <= most)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_what_program_and_specification_give(name):
    entry = library.entry(name)
    sequence, expected = entry.example
    assert library.example_program(name)(sequence) == list(expected)
    assert entry.specification(list(sequence), *entry.arguments) == list(expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_interpreter_gives_the_specification(name):
    entry, program = library.entry(name), library.example_program(name)
    for n in range(1, up_to(len(entry.vocab), 130) + 1):
        for sequence in itertools.product(entry.vocab, repeat=n):
            expected = entry.specification(list(sequence), *entry.arguments)
            assert program(sequence) == expected, sequence


@pytest.mark.parametrize("name", NAMES)
def test_the_vectorised_interpreter_gives_the_specification(name):
    entry, program = library.entry(name), library.example_program(name)
    longest = up_to(len(entry.vocab), 1_400)
    interpreter = BatchInterpreter(analyse(program, entry.vocab, longest))
    for batch in every_sequence(len(entry.vocab), longest):
        outputs = interpreter.output(batch).lists(batch.lengths)
        for row, output in zip(batch.ids.tolist(), outputs):
            sequence = [entry.vocab[k] for k in row]
            assert output == entry.specification(sequence, *entry.arguments), sequence


def test_a_wrong_specification_would_be_noticed():
    entry = library.entry("induction")
    wrong = [s for s in itertools.product("abc", repeat=3) if entry.specification(list(s)) != s[1:]]
    assert wrong


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_program_has_problems_at_length_20(name, closed):
    entry, program = library.entry(name), library.example_program(name)
    assert problems(program, entry.vocab, 20, closed=closed) == []


def test_everything_of_tracr_is_there_and_much_more():
    assert set(NAMES) >= TRACRS
    assert len(set(NAMES) - TRIVIAL) >= 60


def test_cards_say_which_programs_are_trivial():
    cards = {name: library.card(name) for name in NAMES}
    assert {name for name, card in cards.items() if card.trivial} == TRIVIAL
    assert all(card.attention or card.trivial for card in cards.values())
    dyck = cards["shuffle_dyck2"]
    assert (dyck.attention, dyck.attention_depth) == (7, 2)


def test_no_two_programs_do_the_same():
    seen: dict[object, str] = {}
    for name in NAMES:
        vocab = library.entry(name).vocab
        what = (vocab, behaviour(library.example_program(name), vocab, 4))
        assert what not in seen, (name, seen[what])
        seen[what] = name


def test_every_entry_says_what_it_is():
    for name in NAMES:
        entry = library.entry(name)
        assert entry.summary.endswith((".", "?")) or ":" in entry.summary, name
        assert entry.family in entry.build.__module__


# --- parameters ------------------------------------------------------------------------------


def test_parameters_change_the_program():
    assert library.program("count_mod", "a", modulus=2)("aaa") == [1, 1, 1]
    assert library.program("shift_by", -1)("abc") == ["b", "c", None]
    assert library.program("shuffle_dyck", ["()", "{}", "[]"])("({)[}]") == [True] * 6
    assert library.program("polynomial", degree=2)([2, 1, 0, 3, 9]) == [7] * 5
    assert library.program("class_share", members="xy")("xa")[0] * 2 == 1
    assert library.program("pronoun", {"Kim": "they"})(["Kim", "?"]) == [None, "they"]


def test_pairs_of_brackets_may_share_a_token():
    dyck = library.program("shuffle_dyck", ["()", "(]"])
    assert dyck("()") == [False] * 2
    assert dyck("(])") == [True] * 3
    assert library.program("pair_balance", "(", "(")("((") == [0, 0]


def test_a_negative_offset_looks_ahead():
    specified = library.entry("rotation_match").specification(list("aab"), -1)
    assert specified == library.program("rotation_match", -1)("aab") == [True, False, None]


def test_nary_maps_take_any_number_of_s_ops():
    assert library.program("nary_map", str, tokens)([1, 2]) == ["1", "2"]
    four = named("sum", lambda *x: sum(x))
    assert library.program("nary_map", four, tokens, tokens, tokens, indices)([1, 2]) == [3, 7]
    with pytest.raises(ProgramError, match="takes categorical s-ops"):
        average = library.program("average").output
        library.program("nary_map", max, tokens, average)


@pytest.mark.parametrize(
    ("name", "arguments", "parameters", "message"),
    [
        ("frac_prevs", (), {}, "program 'frac_prevs' takes token: missing a required argument"),
        ("reverse", (3,), {}, "program 'reverse' takes nothing: too many positional arguments"),
        ("shuffle_dyck", ([],), {}, "pairs: expected pairs of an open and a close token"),
        ("shuffle_dyck", (["("],), {}, "pairs: expected pairs of an open and a close token"),
        ("shuffle_dyck", (["()", "()"],), {}, "pairs: expected each pair once"),
        ("shuffle_dyck", (5,), {}, "program 'shuffle_dyck' takes pairs: 'int' object"),
        ("detect_pattern", ("",), {}, "pattern: expected at least one token"),
        ("detect_pattern", (None,), {}, "program 'detect_pattern' takes pattern: object of type"),
        ("count", (["a"],), {}, "program 'count' takes token: unhashable"),
        ("polynomial", (-1,), {}, "degree: expected a whole number >= 0, got -1"),
        ("nary_map", (max,), {}, "arguments: expected at least one s-op"),
        ("nary_map", (max, everything), {}, "argument: expected an s-op, got the selector"),
        ("count_mod", ("a",), {"modulus": 0}, "modulus: expected a whole number >= 2, got 0"),
    ],
)
def test_parameters_that_make_no_program_are_refused(name, arguments, parameters, message):
    with pytest.raises(InputError, match=message):
        library.program(name, *arguments, **parameters)


def test_misspelt_names_get_the_nearest():
    with pytest.raises(UnknownName) as caught:
        library.program("revers")
    assert str(caught.value).startswith("No program is called 'revers'. Nearest: reverse")
    with pytest.raises(UnknownName) as caught:
        library.program("count_mod", "a", modulo=2)
    assert str(caught.value) == "No parameter of count_mod is called 'modulo'. Nearest: modulus."


def test_two_entries_cannot_have_one_name():
    first, second = Family("first"), Family("second")
    for family in (first, second):
        family.add("same", list, vocab="a", example=("a", "a"))(lambda: tokens)
    with pytest.raises(InputError, match="Two programs of the library are called 'same'"):
        by_name((first, second))
