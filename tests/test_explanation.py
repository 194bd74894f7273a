"""A `Dictionary` takes rows from anywhere, keeps its own copy, and refuses what it cannot mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary

ROWS = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])


def encode(x: np.ndarray) -> np.ndarray:
    return x @ ROWS.T.astype(x.dtype)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Dictionary(encode),
            "decoder: expected an array (k, d), got a function. Pass the directions as decoder= "
            "and the function as encode=.",
        ),
        (
            lambda: Dictionary(ROWS[0]),
            "decoder: expected shape (k, d), got (2,). One row per latent.",
        ),
        (
            lambda: Dictionary(ROWS[:, :0]),
            "decoder: expected shape (k, d), got (3, 0). One row per latent.",
        ),
        (
            lambda: Dictionary(ROWS[:0]),
            "decoder: expected at least one latent, got k = 0. An empty dictionary claims nothing; "
            "return the rows that the method did learn.",
        ),
        (
            lambda: Dictionary(ROWS, bias=np.zeros(3)),
            "bias: expected shape (2,), got (3,).",
        ),
        (
            lambda: Dictionary(ROWS, bias=[0.0, np.inf]),
            "bias: expected finite numbers, got 1 NaN or infinite, first at (1,).",
        ),
        (
            lambda: Dictionary(ROWS, ROWS),
            "encode: expected a function or None, got ndarray. Pass for example encode=sae.encode.",
        ),
        (
            lambda: Dictionary(ROWS, encode, decode=ROWS),
            "decode: expected a function or None, got ndarray. Pass for example decode=sae.decode.",
        ),
        (
            lambda: Dictionary(ROWS, unit_norm=True),
            "decoder: declared unit_norm=True, but row 1 has norm 2 (2 of 3 rows). Divide the "
            "rows by their norms (and multiply the codes), or drop unit_norm.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ExplanationError) as caught:
        make()
    assert str(caught.value) == message


def test_rows_of_any_length_are_fine_unless_declared_unit() -> None:
    assert Dictionary(ROWS).k == 3
    assert Dictionary(ROWS / np.linalg.norm(ROWS, axis=1)[:, None], unit_norm=True).d == 2


def test_the_decoder_is_a_read_only_copy() -> None:
    given = ROWS.copy()
    claim = Dictionary(given, bias=given[0])
    given[:] = 7
    np.testing.assert_array_equal(claim.decoder, ROWS)
    np.testing.assert_array_equal(claim.bias, ROWS[0])
    with pytest.raises(ValueError, match="read-only"):
        claim.decoder[0, 0] = 1


def test_check_width_guesses_a_transposed_decoder() -> None:
    claim = Dictionary(ROWS)
    claim.check_width(2)
    with pytest.raises(ExplanationError) as caught:
        claim.check_width(3)
    assert str(caught.value) == (
        "decoder: expected shape (k, 3) for this testbed, got (3, 2). The decoder looks "
        "transposed: pass decoder=W.T."
    )
    with pytest.raises(ExplanationError) as caught:
        claim.check_width(5)
    assert str(caught.value) == (
        "decoder: expected shape (k, 5) for this testbed, got (3, 2). Was it made for another "
        "testbed?"
    )


def test_repr_shows_name_and_sizes() -> None:
    assert repr(Dictionary(ROWS, name="mine")) == "Dictionary('mine', k=3, d=2, signed=False)"
    assert repr(Dictionary(ROWS, signed=True)) == "Dictionary(k=3, d=2, signed=True)"
