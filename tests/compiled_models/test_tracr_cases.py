"""Our library on Tracr's own cases: inputs and outputs of its `compiler/test_cases.py`.

Left out are those of sorts by other keys than the tokens, which our library does not take.

Source: https://github.com/google-deepmind/tracr, read at 9ce2b8c
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from groundtruth.compiled_models import (
    BatchInterpreter,
    Program,
    analyse,
    encode,
    indices,
    length,
    library,
    tokens,
)


def fractions(text: str) -> list[Fraction]:
    return [Fraction(part) for part in text.split()]


CASES = [
    ("frac_prevs", ["l"], "helo", "hello", fractions("0 0 1/3 1/2 2/5")),
    ("frac_prevs", ["("], "abc()", "a()b(c))", fractions("0 1/2 1/3 1/4 2/5 2/6 2/7 2/8")),
    ("frac_prevs", [")"], "abc()", "a()b(c))", fractions("0 0 1/3 1/4 1/5 1/6 2/7 3/8")),
    ("shift_by", [1], "abcd", "abcd", [None, "a", "b", "c"]),
    ("shift_by", [2], "abcd", "abcd", [None, None, "a", "b"]),
    ("detect_pattern", ["a"], "abcd", "bacd", [False, True, False, False]),
    ("detect_pattern", ["ab"], "ab", "aaba", [None, False, True, False]),
    ("detect_pattern", ["ab"], "ab", "abaa", [None, True, False, False]),
    ("detect_pattern", ["ab"], "ab", "aaaa", [None, False, False, False]),
    ("detect_pattern", ["abc"], "abc", "abcabc", [None, None, True, False, False, True]),
    ("reverse", [], "abcd", "abcd", list("dcba")),
    ("reverse", [], "abcd", "abc", list("cba")),
    ("reverse", [], "abcd", "ad", list("da")),
    ("reverse", [], "abcd", "c", ["c"]),
    ("length", [], "abcd", "abc", [3, 3, 3]),
    ("length", [], "abcd", "ad", [2, 2]),
    ("length", [], "abcd", "c", [1]),
    ("pair_balance", ["(", ")"], "abc()", "a()b(c))", fractions("0 1/2 0 0 1/5 1/6 0 -1/8")),
    ("shuffle_dyck", [["()", "{}"]], "(){}", "({)}", [1] * 4),
    ("shuffle_dyck", [["()", "{}"]], "(){}", "(){)}", [0] * 5),
    ("shuffle_dyck", [["()", "{}"]], "(){}", "{}(", [0] * 3),
    ("shuffle_dyck", [["()", "{}", "[]"]], "(){}[]", "({)[}]", [1] * 6),
    ("shuffle_dyck", [["()", "{}", "[]"]], "(){}[]", "(){)}", [0] * 5),
    ("shuffle_dyck", [["()", "{}", "[]"]], "(){}[]", "{}[(]", [0] * 5),
    ("shuffle_dyck2", [], "(){}", "({)}", [1] * 4),
    ("hist", [], "abcd", "abac", [2, 1, 2, 1]),
    ("sort_unique", [], (1, 2, 3, 4), (2, 4, 3, 1), [1, 2, 3, 4]),
    ("sort", [], (1, 2, 3, 4), (2, 4, 3, 1), [1, 2, 3, 4]),
    ("sort", [], (1, 2, 3, 4), (2, 4, 1, 2), [1, 2, 2, 4]),
    ("sort_freq", [], (1, 2, 3, 4), (2, 4, 2, 1), [2, 2, 4, 1]),
    ("count_less_freq", [2], "abcd", "aaabbc", [3] * 6),
    ("count_less_freq", [2], "abcd", "aacbbc", [6] * 6),
    ("count", ["a"], "abc", "aaabbc", [3] * 6),
    ("count", ["a"], "abc", "cabc", [1] * 4),
    ("count", ["a"], "abc", "bbc", [0] * 3),
    (
        "nary_map",
        [lambda x, y, z: x + y - z, tokens, tokens, indices],
        (1, 2, 3),
        (1, 2, 3),
        [2, 3, 4],
    ),
    (
        "nary_map",
        [lambda x, y, z: Fraction(x * y, z), indices, indices, tokens],
        (1, 2, 3),
        (1, 2, 3),
        fractions("0 1/2 4/3"),
    ),
]


@pytest.mark.parametrize(("name", "arguments", "vocab", "sequence", "expected"), CASES)
def test_tracrs_cases_hold(name, arguments, vocab, sequence, expected):
    program = library.program(name, *arguments)
    assert program(sequence) == expected
    interpreter = BatchInterpreter(analyse(program, vocab, len(sequence)))
    batch = encode([sequence], vocab)
    assert interpreter.output(batch).lists(batch.lengths) == [expected]


def test_a_width_of_everything_counts_up_in_a_causal_program():
    assert Program(length, causal=True)("abcd") == [1, 2, 3, 4]
