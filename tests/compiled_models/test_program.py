"""Programs are named, ordered, printed, and refused with all reasons at once."""

from __future__ import annotations

import pickle

import pytest

from groundtruth.compiled_models import (
    Aggregate,
    Constant,
    LinearSequenceMap,
    Map,
    Program,
    Select,
    SelectorWidth,
    SequenceMap,
    everything,
    indices,
    length,
    library,
    numerical,
    tokens,
)
from groundtruth.errors import InputError, ProgramError, UnknownName


def test_every_expression_comes_once_and_after_its_parents():
    for name in library.names():
        program = library.example_program(name)
        seen = set()
        for expression in program.expressions:
            assert expression not in seen
            assert seen.issuperset(expression.parents)
            seen.add(expression)
        assert program.expressions[-1] is program.output


def test_expressions_without_a_name_are_numbered_around_those_that_have_one():
    first = Map(str, tokens)
    taken = Map(str, tokens, name="map_2")
    second = Map(str, tokens)
    pair = SequenceMap(max, SequenceMap(max, first, taken), second)
    names = Program(pair).names
    assert [names[e] for e in (first, taken, second)] == ["map_1", "map_2", "map_3"]
    assert names[pair] == "sequence_map_2"


def test_names_do_not_depend_on_what_was_made_before():
    texts = {str(Program(SelectorWidth(Select(tokens, indices, "<")))) for _ in range(3)}
    assert len(texts) == 1


def test_a_program_prints_as_text():
    assert str(library.program("pair_balance", "(", ")")) == "\n".join(
        [
            "pair_balance: bidirectional, 10 expressions",
            "    indices",
            "    up_to_here = select(indices, indices, key <= query)",
            "    tokens",
            "    is_( = map(x == '(', tokens)",
            "    map_1 = map(int(x), is_(, default=0, numerical)",
            "    opens_() = aggregate(up_to_here, map_1, mean)",
            "    is_) = map(x == ')', tokens)",
            "    map_2 = map(int(x), is_), default=0, numerical)",
            "    closes_() = aggregate(up_to_here, map_2, mean)",
            "    pair_balance = linear_sequence_map(1 * opens_(), -1 * closes_())",
            "output: pair_balance, numerical",
        ]
    )


def test_a_lambda_is_printed_as_such():
    program = Program(Map(lambda x: x, tokens, name="same"), causal=True)
    assert str(program).splitlines() == [
        "program: causal, 2 expressions",
        "    tokens",
        "    same = map(lambda, tokens)",
        "output: same, categorical",
    ]


def test_the_graph_names_the_parents():
    program = library.program("hist")
    graph = program.graph()
    assert [(node.name, node.parents) for node in graph] == [
        ("tokens", ()),
        ("same_token", ("tokens", "tokens")),
        ("hist", ("same_token",)),
    ]
    assert graph[-1].expression is program["hist"] is program.output


def test_expressions_are_found_by_name():
    program = library.program("reverse")
    assert program["length"] is length
    with pytest.raises(UnknownName, match=r"is called 'oposite'\. Nearest: opposite"):
        program["oposite"]


def test_all_that_is_wrong_is_said_at_once():
    number = numerical(tokens, name="number")
    wrong = [
        Aggregate(everything, tokens, "mean", name="averaged"),
        Aggregate(everything, number, "only", name="copied"),
        SequenceMap(lambda x: x, number, tokens, name="paired"),
        Aggregate(everything, number, "mean", "none", name="defaulted"),
        Map(lambda x, y: x, tokens, name="twice"),
        Map(str, tokens, name="twice"),
        SelectorWidth(Select(number, tokens, lambda key: True, name="chosen"), name="width"),
    ]
    together = wrong[0]
    for each in wrong[1:]:
        together = LinearSequenceMap(together, each, 1, 1)
    with pytest.raises(ProgramError) as caught:
        Program(together, "bad")
    assert list(caught.value.reasons) == [
        "2 different expressions are called 'twice'; give each a name of its own",
        "averaged: 'mean' takes numerical values, tokens is categorical; average numerical(...) of "
        'it, or copy it with "only"',
        "copied: 'only' takes categorical values, number is numerical; copy categorical(...) of "
        'it, or use "mean"',
        "paired: its function lambda cannot be called with 2 arguments",
        "paired: takes categorical s-ops, number is numerical; wrap it in categorical()",
        "linear_sequence_map_2: takes numerical s-ops, paired is categorical; wrap it in "
        "numerical()",
        "defaulted: its default is no numerical value: value: expected a number, got 'none'. Use "
        'kind="categorical" for anything else.',
        "twice: its function lambda cannot be called with 1 argument",
        "linear_sequence_map_4: takes numerical s-ops, twice is categorical; wrap it in "
        "numerical()",
        "linear_sequence_map_5: takes numerical s-ops, twice is categorical; wrap it in "
        "numerical()",
        "chosen: its function lambda cannot be called with 2 arguments",
        "chosen: takes categorical s-ops, number is numerical; wrap it in categorical()",
        "linear_sequence_map_6: takes numerical s-ops, width is categorical; wrap it in "
        "numerical()",
    ]
    assert str(caught.value).startswith("program 'bad' is not well formed: (1) 2 different")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.reasons) == (str(caught.value), caught.value.reasons)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Program(everything), "output: expected an s-op, got <select everything>. Turn a"),
        (lambda: Program(tokens, name=3), "name: expected a string, got 3"),
        (lambda: Program(tokens, causal=1), "causal: expected True or False, got 1"),
    ],
)
def test_what_is_no_program_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_chain_longer_than_the_recursion_limit_is_a_program():
    chain = Constant(0)
    for _ in range(2_000):
        chain = Map(lambda x: x + 1, chain)
    assert Program(chain)("a") == [2_000]
