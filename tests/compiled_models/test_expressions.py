"""Expressions are immutable, compared by identity, and refuse what they cannot be made of."""

from __future__ import annotations

import dataclasses

import pytest

from groundtruth.compiled_models import (
    Aggregate,
    Constant,
    LinearSequenceMap,
    Map,
    Select,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SequenceMap,
    everything,
    indices,
    length,
    numerical,
    tokens,
)
from groundtruth.errors import InputError, UnknownName

SAME = Select(tokens, tokens, "==")


def test_expressions_are_equal_to_themselves_only():
    def made():
        return Map(str, tokens, name="same")

    first, second = made(), made()
    assert first == first and first != second
    assert len({first, second, first}) == 2


def test_expressions_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tokens.name = "words"  # type: ignore[misc]


def test_operators_on_selectors_make_composites():
    other = Select(indices, indices, "<")
    assert isinstance(SAME & other, SelectorAnd)
    assert (SAME | other).parents == (SAME, other)
    assert isinstance(SAME | other, SelectorOr)
    assert isinstance(~SAME, SelectorNot)


def test_kinds_follow_from_what_is_computed():
    number = numerical(tokens)
    assert (tokens.kind, indices.kind, length.kind) == ("categorical",) * 3
    assert SelectorWidth(SAME, "numerical").kind == "numerical"
    assert LinearSequenceMap(number, number, 1, -1).kind == "numerical"
    assert Aggregate(SAME, number, "mean").kind == "numerical"
    assert Aggregate(SAME, tokens, "max").kind == "categorical"
    assert Aggregate(SAME, number, "max").kind == "numerical"


def test_an_expression_prints_in_a_word():
    assert repr(length) == "<selector_width length>"
    assert repr(SAME) == "<select>"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Map(str, SAME),
            "argument: expected an s-op, got the selector <select>. Turn it into values with "
            "SelectorWidth or Aggregate.",
        ),
        (
            lambda: Map(str, 3),
            "argument: expected an s-op, got 3. A fixed value is Constant\\(value\\).",
        ),
        (lambda: Map(tokens, tokens), "function: expected a function of values, got <tokens"),
        (lambda: Map("x", tokens), "function: expected a function of values, got 'x'"),
        (lambda: SequenceMap(max, tokens, SAME), "second: expected an s-op, got the selector"),
        (
            lambda: SelectorWidth(tokens),
            "selector: expected a selector, got <tokens tokens>. Make one with "
            "Select\\(keys, queries, predicate\\).",
        ),
        (lambda: Aggregate(tokens, tokens, "only"), "selector: expected a selector"),
        (lambda: SAME & tokens, "second: expected a selector"),
        (lambda: Constant(None), "constant: expected a value; None is the absence of one"),
        (lambda: Constant([1]), "value: expected None, a truth value"),
        (lambda: Constant("a", "numerical"), "value: expected a number, got 'a'"),
        (
            lambda: LinearSequenceMap(length, length, 0.5, 1),
            "first_factor: expected a whole number or a Fraction, got 0.5",
        ),
        (lambda: Map(str, tokens, name=""), "name: expected a string that is not empty, or None"),
        (lambda: Map(str, tokens, name="a\nb"), "name: expected a printable string, or None"),
    ],
)
def test_what_an_expression_cannot_be_made_of_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Select(tokens, tokens, "True"),
            "No comparison is called 'True'. Nearest: true.",
        ),
        (
            lambda: Aggregate(everything, tokens, "average"),  # type: ignore[arg-type]
            "No way to aggregate is called 'average'. Known: max, mean, min, only, sum.",
        ),
        (
            lambda: Map(str, tokens, "numeric"),  # type: ignore[arg-type]
            "No kind is called 'numeric'. Nearest: numerical.",
        ),
    ],
)
def test_misspelt_words_get_the_nearest(make, message):
    with pytest.raises(UnknownName) as caught:
        make()
    assert str(caught.value) == message
