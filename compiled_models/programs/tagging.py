"""Programs that tag tokens: by class, by word, by context."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    everything,
    indices,
    tokens,
)
from groundtruth.compiled_models.functions import among, equals, lookup, named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import (
    earlier,
    flagged,
    is_token,
    shifted,
    up_to_here,
    where,
)
from groundtruth.compiled_models.values import Value

TAGGING = Family("tagging")


@TAGGING.add(
    "vowels",
    lambda s: [x in list("aeiou") for x in s],
    vocab="abe",
    example=("abe", (True, False, True)),
)
def vowels() -> SOp:
    """Whether the token is a vowel. A function of the token alone: trivial."""
    return Map(among("aeiou"), tokens, name="vowels")


@TAGGING.add(
    "class_share",
    lambda s, members=("a", "e"): [Fraction(sum(x in members for x in s), len(s))] * len(s),
    vocab="abe",
    example=("aeb", (Fraction(2, 3),) * 3),
)
def class_share(members: Sequence[Value] = ("a", "e")) -> SOp:
    """The fraction of tokens that are among `members`."""
    inside = Map(among(members), tokens, name="inside")
    return Aggregate(everything, flagged(inside), "mean", name="class_share")


@TAGGING.add(
    "flag_spam",
    lambda s, words=("buy", "free"): [2 * sum(x in words for x in s) >= len(s)] * len(s),
    vocab=("buy", "free", "hello"),
    example=(("hello", "buy"), (True, True)),
)
def flag_spam(words: Sequence[Value] = ("buy", "free")) -> SOp:
    """Whether at least half of the tokens are among `words`."""
    inside = Map(among(words), tokens, name="inside")
    share = Aggregate(everything, flagged(inside), "mean", name="share")
    return Map(named("x >= 1/2", lambda x: x >= Fraction(1, 2)), share, name="flag_spam")


# --- words -----------------------------------------------------------------------------------


@TAGGING.add(
    "word_index",
    lambda s, separator=" ": [s[:i].count(separator) for i in range(len(s))],
    vocab="ab ",
    example=("ab a", (0, 0, 0, 1)),
)
def word_index(separator: Value = " ") -> SOp:
    """How many separators stand before the token."""
    return SelectorWidth(where(is_token(separator)) & earlier, name="word_index")


def _word_positions(sequence: list[Value], separator: Value = " ") -> list[Value]:
    out, start = [], 0
    for i, token in enumerate(sequence):
        out.append(i - start)
        start = i + 1 if token == separator else start
    return out


@TAGGING.add("position_in_word", _word_positions, vocab="ab ", example=("ab a", (0, 1, 2, 0)))
def position_in_word(separator: Value = " ") -> SOp:
    """How many tokens of its word stand before the token."""
    before = where(is_token(separator)) & earlier
    last = Aggregate(before, indices, "max", default=-1, name="last_separator")
    apart = named("i - j - 1", lambda i, j: i - j - 1)
    return SequenceMap(apart, indices, last, name="position_in_word")


def _word_lengths(sequence: list[Value], separator: Value = " ") -> list[Value]:
    cuts = [-1, *(i for i, x in enumerate(sequence) if x == separator), len(sequence)]
    out: list[Value] = [0] * len(sequence)
    for left, right in pairwise(cuts):
        out[left + 1 : right] = [right - left - 1] * (right - left - 1)
    return out


@TAGGING.add("word_length", _word_lengths, vocab="ab ", example=("ab a", (2, 2, 0, 1)))
def word_length(separator: Value = " ") -> SOp:
    """The length of the token's word; 0 at a separator."""
    marks = is_token(separator)
    number = SelectorWidth(where(marks) & earlier, name="word_index")
    inside = named("None if x else y", lambda x, y: None if x else y)
    word = SequenceMap(inside, marks, number, name="word")
    return SelectorWidth(Select(word, word, "==", name="same_word"), name="word_length")


def _initials_specification(sequence: list[Value], separator: Value = " ") -> list[Value]:
    previous = [separator, *sequence]
    found = [x for p, x in zip(previous, sequence) if p == separator and x != separator]
    return found + [None] * (len(sequence) - len(found))


@TAGGING.add(
    "initials",
    _initials_specification,
    vocab="ab ",
    example=("ba ab", ("b", "a", None, None, None)),
)
def initials(separator: Value = " ") -> SOp:
    """The first token of each word, one after the other, then None."""
    previous = shifted(tokens, 1, name="previous")
    begins = Map(equals(separator), previous, default=True, name="after_separator")
    is_first = named(f"y and x != {separator!r}", lambda x, y: y and x != separator)
    firsts = where(SequenceMap(is_first, tokens, begins, name="is_initial"), name="firsts")
    target = SelectorWidth(earlier & firsts, name="target")
    moved = Select(target, indices, "==", name="moved")
    return Aggregate(moved & firsts, tokens, "only", name="initials")


# --- context ---------------------------------------------------------------------------------


@TAGGING.add(
    "sentence_starts",
    lambda s, stop=".": [i == 0 or s[i - 1] == stop for i in range(len(s))],
    vocab="ab.",
    example=("ab.a", (True, False, False, True)),
)
def sentence_starts(stop: Value = ".") -> SOp:
    """Whether the token is the first or follows `stop`."""
    previous = shifted(tokens, 1, name="previous")
    return Map(equals(stop), previous, default=True, name="sentence_starts")


def _titles(sequence: list[Value], titles: Sequence[Value] = ("dr", "mrs")) -> list[Value]:
    previous = [None, *sequence]
    return [
        "title" if x in titles else "name" if p in titles else "other"
        for p, x in zip(previous, sequence)
    ]


@TAGGING.add(
    "title_tags",
    _titles,
    vocab=("dr", "mrs", "ann"),
    example=(("mrs", "ann", "ann"), ("title", "name", "other")),
)
def title_tags(titles: Sequence[Value] = ("dr", "mrs")) -> SOp:
    """ "title" for one of `titles`, "name" for what follows one, else "other"."""
    previous = shifted(tokens, 1, name="previous")
    after = Map(among(titles), previous, default=False, name="after_title")
    tag = named(
        "title, name or other", lambda x, y: "title" if x in titles else "name" if y else "other"
    )
    return SequenceMap(tag, tokens, after, name="title_tags")


_POLARITY = {"good": 1, "bad": -1}


def _polarities(sequence: list[Value]) -> list[int]:
    signs = [-1 if p == "not" else 1 for p in [None, *sequence]]
    return [sign * _POLARITY.get(x, 0) for sign, x in zip(signs, sequence)]


def _negated() -> SOp:
    previous = shifted(tokens, 1, name="previous")
    sign = Map(lookup({"not": -1}, 1), previous, default=1, name="sign")
    polarity = Map(lookup(_POLARITY, 0), tokens, name="polarity")
    times = named("x * y", lambda x, y: x * y)
    return SequenceMap(times, sign, polarity, "numerical", name="negated_polarity")


@TAGGING.add(
    "negated_polarity",
    _polarities,
    vocab=("good", "bad", "not"),
    example=(("not", "good", "bad"), (0, -1, -1)),
)
def negated_polarity() -> SOp:
    """1 for "good", -1 for "bad", 0 for others; the opposite after "not"."""
    return _negated()


def _sentiment_specification(sequence: list[Value]) -> list[Value]:
    score = sum(_polarities(sequence))
    return ["+" if score > 0 else "-" if score < 0 else "0"] * len(sequence)


@TAGGING.add(
    "sentiment",
    _sentiment_specification,
    vocab=("good", "bad", "not"),
    example=(("not", "good", "bad"), ("-", "-", "-")),
)
def sentiment() -> SOp:
    """The sign of the sum of the polarities, which "not" turns around."""
    score = Aggregate(everything, _negated(), "sum", name="score")
    sign = named("+, - or 0", lambda x: "+" if x > 0 else "-" if x < 0 else "0")
    return Map(sign, score, name="sentiment")


@TAGGING.add(
    "in_quotes",
    lambda s, mark='"': [s[:i].count(mark) % 2 == 1 and x != mark for i, x in enumerate(s)],
    vocab='ab"',
    example=('a"b"', (False, False, True, False)),
)
def in_quotes(mark: Value = '"') -> SOp:
    """Whether the token stands between an odd and an even `mark`."""
    before = SelectorWidth(where(is_token(mark)) & earlier, name="marks_before")
    inside = named(f"y % 2 == 1 and x != {mark!r}", lambda x, y: y % 2 == 1 and x != mark)
    return SequenceMap(inside, tokens, before, name="in_quotes")


@TAGGING.add(
    "after_marker",
    lambda s, marker="#": [marker in s[: i + 1] for i in range(len(s))],
    vocab="ab#",
    example=("a#b", (False, True, True)),
)
def after_marker(marker: Value = "#") -> SOp:
    """Whether `marker` has occurred: a comment's tokens."""
    found = SelectorWidth(where(is_token(marker)) & up_to_here, name="markers")
    return Map(named("x > 0", lambda x: x > 0), found, name="after_marker")
