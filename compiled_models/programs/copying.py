"""Programs that move tokens: induction, copies, rearrangements."""

from __future__ import annotations

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Map,
    Select,
    SequenceMap,
    SOp,
    indices,
    length,
    tokens,
)
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import fetched, is_token, kept, shifted, where
from groundtruth.compiled_models.values import Value

COPYING = Family("copying")


def _followers(sequence: list[Value], i: int) -> list[Value]:
    """What followed the earlier occurrences of the token at i, the latest first."""
    return [sequence[j] for j in range(i, 0, -1) if sequence[j - 1] == sequence[i]]


def _after_same() -> Select:
    """Chooses the positions after an occurrence of the query's token."""
    previous = shifted(tokens, 1, name="previous_token")
    return Select(previous, tokens, "==", name="after_same")


@COPYING.add(
    "induction",
    lambda s: [(_followers(s, i) or [None])[0] for i in range(len(s))],
    vocab="abc",
    example=("abcab", (None, None, None, "b", "c")),
    causal=True,
)
def induction() -> SOp:
    """What followed the latest earlier occurrence of the token; None if there is none.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022,
    https://transformer-circuits.pub/2022/in-context-learning-and-induction-heads
    """
    latest = Aggregate(_after_same(), indices, "max", name="latest")
    return fetched(tokens, latest, name="induction")


def _agreed(sequence: list[Value]) -> list[Value]:
    found = [set(_followers(sequence, i)) for i in range(len(sequence))]
    return [followers.pop() if len(followers) == 1 else None for followers in found]


@COPYING.add(
    "induction_agreed",
    _agreed,
    vocab="abc",
    example=("abaca", (None, None, "b", None, None)),
    causal=True,
)
def induction_agreed() -> SOp:
    """What followed all earlier occurrences of the token; None if these differ or are none."""
    return Aggregate(_after_same(), tokens, "only", name="induction_agreed")


@COPYING.add("copy_first", lambda s: s[:1] * len(s), vocab="abc", example=("bca", "bbb"))
def copy_first() -> SOp:
    """The first token, at each position."""
    return fetched(tokens, Constant(0), name="copy_first")


@COPYING.add("copy_last", lambda s: s[-1:] * len(s), vocab="abc", example=("bca", "aaa"))
def copy_last() -> SOp:
    """The last token, at each position."""
    last = Map(named("n - 1", lambda n: n - 1), length, name="last_index")
    return fetched(tokens, last, name="copy_last")


@COPYING.add(
    "rotate",
    lambda s, offset=1: [s[(i - offset) % len(s)] for i in range(len(s))],
    vocab="abc",
    example=("abc", "cab"),
)
def rotate(offset: int = 1) -> SOp:
    """The input, rotated to the right by `offset`."""
    turned = named(f"(i - {offset}) % n", lambda i, n: (i - offset) % n)
    return fetched(tokens, SequenceMap(turned, indices, length, name="source"), name="rotate")


def _swap_specification(sequence: list[Value]) -> list[Value]:
    out = list(sequence)
    for i in range(0, len(out) - 1, 2):
        out[i], out[i + 1] = out[i + 1], out[i]
    return out


@COPYING.add("swap_pairs", _swap_specification, vocab="abc", example=("abcab", "baacb"))
def swap_pairs() -> SOp:
    """Each two neighbours swapped; a last one without a partner stays."""
    partner = named("i ^ 1 if i ^ 1 < n else i", lambda i, n: i ^ 1 if i ^ 1 < n else i)
    return fetched(tokens, SequenceMap(partner, indices, length, name="source"), name="swap_pairs")


@COPYING.add(
    "mirror",
    lambda s: [s[min(i, len(s) - 1 - i)] for i in range(len(s))],
    vocab="abc",
    example=("abcca", "abcba"),
)
def mirror() -> SOp:
    """The first half, then the first half from back to front: a palindrome."""
    inner = named("min(i, n - 1 - i)", lambda i, n: min(i, n - 1 - i))
    return fetched(tokens, SequenceMap(inner, indices, length, name="source"), name="mirror")


@COPYING.add(
    "spread",
    lambda s, blank="_": [blank if i % 2 else s[i // 2] for i in range(len(s))],
    vocab="abc",
    example=("abca", "a_b_"),
)
def spread(blank: Value = "_") -> SOp:
    """The first half with `blank` after each token."""
    half = Map(named("i // 2", lambda i: i // 2), indices, name="source")
    spaced = named(f"{blank!r} if i % 2 else x", lambda x, i: blank if i % 2 else x)
    return SequenceMap(spaced, fetched(tokens, half, name="doubled"), indices, name="spread")


def _interleave_specification(sequence: list[Value]) -> list[Value]:
    half = (len(sequence) + 1) // 2
    first, second = sequence[:half], sequence[half:]
    out = [None] * len(sequence)
    out[0::2], out[1::2] = first, second
    return out


@COPYING.add("interleave", _interleave_specification, vocab="abc", example=("aabbc", "abacb"))
def interleave() -> SOp:
    """The first half and the second by turns, like a shuffle of cards."""
    turn = named(
        "i // 2 + (n + 1) // 2 if i % 2 else i // 2",
        lambda i, n: i // 2 + ((n + 1) // 2 if i % 2 else 0),
    )
    return fetched(tokens, SequenceMap(turn, indices, length, name="source"), name="interleave")


@COPYING.add(
    "first_half",
    lambda s: [x if 2 * i < len(s) else None for i, x in enumerate(s)],
    vocab="abc",
    example=("abcab", ("a", "b", "c", None, None)),
)
def first_half() -> SOp:
    """The tokens of the first half, the middle one included; None in the second."""
    inside = SequenceMap(named("2 * i < n", lambda i, n: 2 * i < n), indices, length, name="inside")
    return kept(tokens, inside, name="first_half")


def _prefix_specification(sequence: list[Value], separator: Value, step: int) -> list[Value]:
    if separator not in sequence:
        return [None] * len(sequence)
    at = sequence.index(separator)
    source = [(i - at) if step == 1 else (2 * at - 1 - i) for i in range(len(sequence))]
    known = [i >= at and 0 <= source[i] < len(sequence) for i in range(len(sequence))]
    return [sequence[source[i]] if known[i] else None for i in range(len(sequence))]


def _separator_index(separator: Value) -> SOp:
    found = where(is_token(separator), name="separators")
    return Aggregate(found, indices, "min", name="separator_index")


@COPYING.add(
    "repeat_prefix",
    lambda s, separator="|": _prefix_specification(s, separator, 1),
    vocab="ab|",
    example=("abb|abb", (None, None, None, "a", "b", "b", "|")),
    causal=True,
)
def repeat_prefix(separator: Value = "|") -> SOp:
    """From the first `separator` on, the next token of a copy of what came before it."""
    source = named("i - s if i >= s else None", lambda i, s: i - s if i >= s else None)
    start = SequenceMap(source, indices, _separator_index(separator), name="source")
    return fetched(tokens, start, name="repeat_prefix")


@COPYING.add(
    "reverse_prefix",
    lambda s, separator="|": _prefix_specification(s, separator, -1),
    vocab="ab|",
    example=("abb|bb", (None, None, None, "b", "b", "a")),
    causal=True,
)
def reverse_prefix(separator: Value = "|") -> SOp:
    """From the first `separator` on, the next token of what came before it from back to front."""
    source = named("2 s - 1 - i if i >= s", lambda i, s: 2 * s - 1 - i if i >= s else None)
    start = SequenceMap(source, indices, _separator_index(separator), name="source")
    return fetched(tokens, start, name="reverse_prefix")
