"""Values are what a table of weights can hold, and numbers are exact."""

from __future__ import annotations

from fractions import Fraction

import pytest

from groundtruth.compiled_models.values import (
    arranged,
    category,
    check_max_length,
    check_vocab,
    number,
    ordered,
)
from groundtruth.errors import InputError


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (None, None),
        (3, 3),
        (True, 1),
        (0.5, Fraction(1, 2)),
        (-0.0, 0),
        (2.0, 2),
        (Fraction(6, 3), 2),
        (Fraction(-1, 3), Fraction(-1, 3)),
    ],
)
def test_numbers_are_made_exact_and_whole_ones_are_int(given, exact):
    assert number(given) == exact
    assert type(number(given)) is type(exact)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a", "value: expected a number, got 'a'. Use kind=\"categorical\" for anything else."),
        ((1, 2), "expected a number"),
        (1 / 3, "expected an exact number, got 0.333.*. Return a Fraction: Fraction\\(1, 3\\)."),
        (0.1, "expected an exact number"),
        (float("inf"), "expected a finite number, got inf"),
        (float("nan"), "expected a finite number, got nan"),
        (10**400, "expected a number that float64 holds, got 1000"),
        (Fraction(1, 10**400), "expected a number that float64 holds, got Fraction"),
    ],
)
def test_what_is_no_exact_number_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        number(given)


@pytest.mark.parametrize("given", [None, True, 1, 0.25, Fraction(1, 3), "a", ("a", (1, None))])
def test_categories_are_kept_as_they_are(given):
    assert category(given) is given


@pytest.mark.parametrize("given", [[1], {1}, float("nan"), ("a", [1]), object(), len])
def test_what_cannot_be_a_category_is_refused(given):
    with pytest.raises(InputError, match="None, a truth value, number, string or tuple of these"):
        category(given)


def test_values_without_an_order_are_arranged_by_type_and_text():
    assert ordered([2, Fraction(1, 2), True]) and not ordered([1, "a"])
    assert arranged({2, Fraction(1, 2), -1}) == (-1, Fraction(1, 2), 2)
    assert arranged({"b", 2, "a", (1,)}) == (2, "a", "b", (1,))


@pytest.mark.parametrize(
    ("given", "tokens"),
    [("ba", ("b", "a")), ([2, 1], (2, 1)), ({"b", "a"}, ("a", "b")), (range(3), (0, 1, 2))],
)
def test_a_vocabulary_keeps_its_order_and_a_set_is_sorted(given, tokens):
    assert check_vocab(given) == tokens


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "vocab: expected at least one token, got ''. Pass for example vocab=\"abc\"."),
        (3, "at least one token, got 3"),
        ("aba", "each token once; 1 and True count as the same"),
        ([1, True], "each token once"),
        ([1, None], "tokens other than None"),
        ([[1]], "None, a truth value, number, string or tuple"),
    ],
)
def test_what_is_no_vocabulary_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        check_vocab(given)


@pytest.mark.parametrize("given", [0, -1, 2.0, True, "5", None])
def test_what_is_no_length_is_refused(given):
    with pytest.raises(InputError, match="max_length: expected a whole number >= 1, got"):
        check_max_length(given)
