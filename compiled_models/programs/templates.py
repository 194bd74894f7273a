"""Programs that complete a template, after tasks on which circuits of language models were found.

They read from left to right: each answer uses what stands before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    indices,
    tokens,
)
from groundtruth.compiled_models.functions import among, equals, lookup, named
from groundtruth.compiled_models.programs.entries import Family
from groundtruth.compiled_models.programs.parts import (
    both,
    earlier,
    fetched,
    is_token,
    kept,
    same_token,
    shifted,
    where,
)
from groundtruth.compiled_models.values import Value

TEMPLATES = Family("templates")

_NAMES = ("Ann", "Bob", "Eve")


def _ioi_specification(
    sequence: list[Value], names: Sequence[Value] = _NAMES, end: Value = "to"
) -> list[Value]:
    out = []
    for i, token in enumerate(sequence):
        seen = [x for x in sequence[:i] if x in names]
        repeated = {x for x in seen if seen.count(x) > 1}
        others = set(seen) - repeated
        fits = token == end and len(repeated) == len(others) == 1
        out.append(others.pop() if fits else None)
    return out


@TEMPLATES.add(
    "ioi",
    _ioi_specification,
    vocab=("Ann", "Bob", "to"),
    example=(("Ann", "Bob", "Bob", "to"), (None, None, None, "Ann")),
    causal=True,
)
def ioi(names: Sequence[Value] = _NAMES, end: Value = "to") -> SOp:
    """At `end`, the name that is not repeated: "When Ann and Bob left, Bob gave a drink to" Ann.

    None elsewhere, and where not exactly one name is repeated and one other is there. A name that
    was there before is found to be repeated, `end` takes it from there and copies what differs
    from it.

    Source: Wang et al., "Interpretability in the Wild", 2022, https://arxiv.org/abs/2211.00593
    """
    members = tuple(names)
    name = named(f"x if x in {members!r}", lambda x: x if x in members else None)
    people = Map(name, tokens, name="people")
    again = Select(people, people, "==", name="same_person") & earlier
    seen = Map(named("x > 0", lambda x: x > 0), SelectorWidth(again), name="is_repeated")
    repeated = Aggregate(where(seen), people, "only", name="repeated")
    other = Aggregate(Select(people, repeated, "!="), people, "only", name="other")
    return kept(other, is_token(end), name="ioi")


def _greater_specification(
    sequence: list[Value], start: Value = "from", end: Value = "to"
) -> list[Value]:
    out, year = [], None
    for previous, token in zip([None, *sequence], sequence):
        is_number = isinstance(token, int)
        if previous == start and is_number:
            year = token
        asked = previous == end and is_number
        out.append(token > year if asked and year is not None else None)
    return out


@TEMPLATES.add(
    "greater_than",
    _greater_specification,
    vocab=(1, 2, "from", "to"),
    example=(("from", 1, "to", 2), (None, None, None, True)),
    causal=True,
)
def greater_than(start: Value = "from", end: Value = "to") -> SOp:
    """At a number after `end`, whether it is greater than the last number after `start`.

    Source: Hanna et al., "How does GPT-2 compute greater-than?", 2023,
    https://arxiv.org/abs/2305.00586
    """
    is_number = named("x if int", lambda x: x if isinstance(x, int) else None)
    numbers = Map(is_number, tokens, name="numbers")
    previous = shifted(tokens, 1, name="previous")
    years = kept(numbers, Map(equals(start), previous), name="years")
    asked = kept(numbers, Map(equals(end), previous), name="asked")
    known = Map(named("True", lambda x: True), years, default=False, name="is_year")
    latest = Aggregate(where(known), indices, "max", name="latest")
    year = fetched(years, latest, name="year")
    return SequenceMap(named("x > y", lambda x, y: x > y), asked, year, name="greater_than")


def _arguments_specification(sequence: list[Value], marker: Value = "param") -> list[Value]:
    end = sequence.index(marker) if marker in sequence else len(sequence)
    given, asked, out = sequence[:end], 0, []
    for token in sequence:
        asked += token == marker
        known = token == marker and asked <= len(given)
        out.append(given[asked - 1] if known else None)
    return out


@TEMPLATES.add(
    "docstring",
    _arguments_specification,
    vocab=("a", "b", "param"),
    example=(("b", "a", "param", "b", "param"), (None, None, "b", None, "a")),
    causal=True,
)
def docstring(marker: Value = "param") -> SOp:
    """At the k-th `marker`, the k-th of the tokens before the first: the argument to describe.

    Source: Heimersheim and Janiak, "A circuit for Python docstrings in a 4-layer attention-only
    transformer", 2023, https://www.alignmentforum.org/posts/u6KXXmKFbXfWzoAXn
    """
    marks = is_token(marker)
    asked = SelectorWidth(where(marks), name="markers_so_far")
    given = Map(named("x == 0", lambda x: x == 0), asked, name="is_argument")
    place = named("i + 1", lambda i: i + 1)
    number = kept(Map(place, indices, name="place"), given, name="argument_number")
    wanted = kept(asked, marks, name="wanted")
    return Aggregate(Select(number, wanted, "=="), tokens, "only", name="docstring")


_PRONOUNS = {"Ann": "she", "Bob": "he"}


def _pronoun_specification(sequence: list[Value], pronouns=None, slot: Value = "?") -> list[Value]:
    pronouns = _PRONOUNS if pronouns is None else pronouns
    out, last = [], None
    for token in sequence:
        last = pronouns.get(token, last)
        out.append(last if token == slot else None)
    return out


@TEMPLATES.add(
    "pronoun",
    _pronoun_specification,
    vocab=("Ann", "Bob", "ran", "?"),
    example=(("Ann", "ran", "?"), (None, None, "she")),
    causal=True,
)
def pronoun(pronouns: Mapping[Value, Value] | None = None, slot: Value = "?") -> SOp:
    """At `slot`, the pronoun of the name before it. `pronouns` maps names to theirs."""
    pronouns = _PRONOUNS if pronouns is None else dict(pronouns)
    is_name = Map(among(pronouns), tokens, name="is_name")
    latest = Aggregate(where(is_name), indices, "max", name="latest_name")
    name = fetched(tokens, latest, name="name_there")
    return kept(Map(lookup(pronouns), name, name="its_pronoun"), is_token(slot), name="pronoun")


_VERBS = {"key": "is", "keys": "are"}


def _agreement_specification(sequence: list[Value], verbs=None, slot: Value = "?") -> list[Value]:
    verbs = _VERBS if verbs is None else verbs
    out, verb = [], None
    for previous, token in zip([None, *sequence], sequence):
        if token in verbs and previous != "of":
            verb = verbs[token]
        out.append(verb if token == slot else None)
    return out


@TEMPLATES.add(
    "agreement",
    _agreement_specification,
    vocab=("key", "keys", "of", "?"),
    example=(("keys", "of", "key", "?"), (None, None, None, "are")),
    causal=True,
)
def agreement(verbs: Mapping[Value, Value] | None = None, slot: Value = "?") -> SOp:
    """At `slot`, the verb that agrees with the last noun not after "of". `verbs` maps nouns."""
    verbs = _VERBS if verbs is None else dict(verbs)
    free = Map(named("x != 'of'", lambda x: x != "of"), shifted(tokens, 1), default=True)
    subject = both(Map(among(verbs), tokens, name="is_noun"), free, name="is_subject")
    latest = Aggregate(where(subject), indices, "max", name="latest_subject")
    verb = Map(lookup(verbs), fetched(tokens, latest, name="subject"), name="its_verb")
    return kept(verb, is_token(slot), name="agreement")


@TEMPLATES.add(
    "attribute_recall",
    lambda s: [s[s.index(x) - 1] if 0 < s.index(x) < i else None for i, x in enumerate(s)],
    vocab="abc",
    example=("abcb", (None, None, None, "a")),
    causal=True,
)
def attribute_recall() -> SOp:
    """Where a token occurs again, what stood before its first occurrence: red pen ... pen -> red.

    None where it occurs first, or stood first of all.
    """
    first = Aggregate(same_token & earlier, indices, "min", name="first")
    before = Map(named("x - 1", lambda x: x - 1), first, name="before_first")
    return fetched(tokens, before, name="attribute_recall")


def _two_hop_specification(sequence: list[Value]) -> list[Value]:
    def follower(seen: list[Value], token: Value) -> Value:
        place = seen.index(token) + 1 if token in seen else len(seen)
        return seen[place] if place < len(seen) else None

    seen = [sequence[: i + 1] for i in range(len(sequence))]
    return [follower(prefix, follower(prefix, prefix[-1])) for prefix in seen]


@TEMPLATES.add(
    "two_hop",
    _two_hop_specification,
    vocab="abc",
    example=("abcba", (None, None, None, "b", "c")),
    causal=True,
)
def two_hop() -> SOp:
    """What follows the first occurrence of what follows the first occurrence of the token."""
    after = named("x + 1", lambda x: x + 1)
    first = Aggregate(same_token, indices, "min", name="first")
    link = fetched(tokens, Map(after, first, name="after_first"), name="link")
    found = Aggregate(Select(tokens, link, "=="), indices, "min", name="first_of_link")
    return fetched(tokens, Map(after, found, name="after_link"), name="two_hop")


def _addition_specification(sequence: list[Value]) -> list[Value]:
    out: list[Value] = []
    for i, token in enumerate(sequence):
        term = sequence[max(i - 3, 0) : i]
        fits = token == "=" and len(term) == 3 and term[1] == "+"
        numbers = fits and isinstance(term[0], int) and isinstance(term[2], int)
        out.append(term[0] + term[2] if numbers else None)
    return out


@TEMPLATES.add(
    "addition",
    _addition_specification,
    vocab=(1, 2, "+", "="),
    example=((1, "+", 2, "="), (None, None, None, 3)),
    causal=True,
)
def addition() -> SOp:
    """At "=" after "x + y", the sum of x and y."""
    number = named("x if int", lambda x: x if isinstance(x, int) else None)
    numbers = Map(number, tokens, name="numbers")
    left, right = shifted(numbers, 3, name="left"), shifted(numbers, 1, name="right")
    plus = named("x + y", lambda x, y: x + y)
    added = SequenceMap(plus, left, right, name="added")
    is_sum = both(
        Map(equals("+"), shifted(tokens, 2), name="plus_before"), is_token("="), name="is_sum"
    )
    return kept(added, is_sum, name="addition")


@TEMPLATES.add(
    "extrapolate",
    lambda s: [2 * x - s[i - 1] if i else None for i, x in enumerate(s)],
    vocab=(1, 2, 4),
    example=((1, 2, 4), (None, 3, 6)),
    causal=True,
)
def extrapolate() -> SOp:
    """What continues the last two numbers in equal steps."""
    go_on = named("2 x - y", lambda x, y: 2 * x - y)
    return SequenceMap(go_on, tokens, shifted(tokens, 1, name="previous"), name="extrapolate")
