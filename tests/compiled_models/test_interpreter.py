"""The plain interpreter, row by row of the table in the package's docstring."""

from __future__ import annotations

from fractions import Fraction

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
    numerical,
    tokens,
)
from groundtruth.compiled_models.expressions import COMPARISONS
from groundtruth.errors import InputError

EVEN = Map(lambda x: None if x % 2 else x, tokens, name="even")  # None where the token is odd


def run(output, sequence, *, causal=False):
    return Program(output, causal=causal)(sequence)


def test_leaves():
    assert run(tokens, "ab") == ["a", "b"]
    assert run(indices, "ab") == [0, 1]
    assert run(Constant("x"), "ab") == ["x", "x"]
    assert run(length, "abc") == [3, 3, 3]
    assert run(length, "abc", causal=True) == [1, 2, 3]


def test_a_map_never_sees_none_and_may_return_it():
    assert run(Map(lambda x: x + 1, EVEN), [2, 1]) == [3, None]
    assert run(Map(lambda x: x + 1, EVEN, default=0), [2, 1]) == [3, 0]


def test_pairs_with_none_are_none():
    assert run(SequenceMap(lambda x, y: (x, y), EVEN, tokens), [2, 1]) == [(2, 2), None]
    half = LinearSequenceMap(numerical(EVEN), numerical(tokens), Fraction(1, 2), -1)
    assert run(half, [2, 1]) == [-1, None]


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_pair_with_none_is_not_chosen_whatever_the_predicate(comparison):
    chosen = SelectorWidth(Select(EVEN, tokens, comparison))
    left_out = SelectorWidth(Select(tokens, EVEN, comparison))
    assert run(chosen, [1, 3]) == [0, 0]
    assert run(left_out, [1, 3]) == [0, 0]


def test_a_function_is_called_as_key_and_query():
    width = SelectorWidth(Select(tokens, indices, lambda key, query: key == query + 5))
    assert run(width, [6, 7, 5]) == [1, 1, 1]
    assert run(SelectorWidth(Select(tokens, indices, ">")), [0, 1, 2]) == [2, 1, 0]


def test_not_chooses_what_none_left_out():
    width = SelectorWidth(~Select(EVEN, EVEN, "=="))
    assert run(width, [2, 1]) == [1, 2]


def test_composites_are_pair_by_pair():
    less, more = Select(tokens, tokens, "<"), Select(tokens, tokens, ">")
    assert run(SelectorWidth(less | more), [1, 2, 2]) == [2, 1, 1]
    assert run(SelectorWidth(less & more), [1, 2, 2]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", 3), ("sum", 6), ("max", 4), ("min", 2)],
)
def test_positions_that_are_none_are_not_among_the_chosen(how, expected):
    assert run(Aggregate(everything, numerical(EVEN), how), [2, 1, 4]) == [expected] * 3


@pytest.mark.parametrize("how", ["mean", "sum", "max", "min"])
def test_an_aggregate_of_nothing_is_its_default(how):
    never = Select(tokens, tokens, "false")
    assert run(Aggregate(never, numerical(tokens), how), [1]) == [None]
    assert run(Aggregate(never, numerical(tokens), how, 7), [1]) == [7]
    assert run(Aggregate(everything, numerical(EVEN), how, 7), [1, 3]) == [7, 7]


def test_only_is_the_shared_value_or_none():
    shared = Aggregate(everything, EVEN, "only", "nothing")
    assert run(shared, [2, 1, 2]) == [2, 2, 2]
    assert run(shared, [2, 4]) == [None, None]
    assert run(shared, [1, 3]) == ["nothing", "nothing"]


def test_means_are_exact():
    mean = Aggregate(everything, numerical(tokens), "mean")
    assert run(mean, [1, -1, 1]) == [Fraction(1, 3)] * 3
    assert type(run(mean, [1, 3])[0]) is int


def test_a_causal_program_cuts_after_not():
    width = SelectorWidth(~Select(tokens, tokens, "=="))
    assert run(width, "aab") == [1, 1, 2]
    assert run(width, "aab", causal=True) == [0, 0, 2]


def test_the_empty_sequence_has_no_positions():
    assert run(Aggregate(everything, tokens, "only"), "") == []


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (["a", None], "sequence: expected tokens other than None"),
        (5, "sequence: expected a string, list or tuple of tokens, got 5"),
        ([[1]], "value: expected None, a truth value"),
    ],
)
def test_what_is_no_sequence_is_refused(sequence, message):
    with pytest.raises(InputError, match=message):
        run(tokens, sequence)


def test_results_that_are_no_values_are_refused():
    with pytest.raises(InputError, match=r"expected an exact number, got 0\.333"):
        run(Map(lambda x: x / 3, tokens, "numerical"), [1])
    with pytest.raises(InputError, match="None, a truth value, number, string or tuple"):
        run(Map(lambda x: [x], tokens), [1])
