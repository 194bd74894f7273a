"""Domains hold everything that is attained; where they say exact, nothing else. Found by trying."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.compiled_models import (
    Aggregate,
    Analysis,
    CausalModel,
    Constant,
    LinearSequenceMap,
    Map,
    Program,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    analyse,
    everything,
    indices,
    length,
    library,
    numerical,
    problems,
    tokens,
)
from groundtruth.compiled_models.interpreter import evaluate
from groundtruth.errors import InputError, ProgramError
from groundtruth.testing import programs

VOCAB = (0, 1, 2)
MAX_LENGTH = 4
SEQUENCES = [s for n in range(1, MAX_LENGTH + 1) for s in itertools.product(VOCAB, repeat=n)]


def faults(analysis: Analysis, sequences: Iterable) -> list[str]:
    """What `analysis` says that trying all sequences does not bear out."""
    program = analysis.program
    attained = {e: set() for e in analysis.domains}
    chosen = {e: set() for e in analysis.counts}
    for sequence in sequences:
        found = evaluate(program.expressions, sequence, causal=program.causal)
        for e in attained:
            attained[e].update(found[e])
        for e in chosen:
            values = found[e.values] if isinstance(e, Aggregate) else sequence
            for query, row in enumerate(found[e.parents[0]]):
                visible = [k <= query or not program.causal for k in range(len(row))]
                seen = zip(row, visible, values)
                chosen[e].add(sum(r and v and value is not None for r, v, value in seen))
    wrong = []
    for e, domain in analysis.domains.items():
        values = attained[e] - {None}
        name = program.names[e]
        if domain.values is not None and not values <= set(domain.values):
            wrong.append(f"{name} is also {values - set(domain.values)}")
        if None in attained[e] and not domain.none:
            wrong.append(f"{name} is also None")
        claimed = {*domain.listed, *([None] if domain.none else [])} if domain.exact else set()
        if not claimed <= attained[e]:
            wrong.append(f"{name} is never {claimed - attained[e]}")
        if domain.kind == "numerical" and not all(
            domain.least <= v <= domain.greatest and v * domain.denominator % 1 == 0 for v in values
        ):
            wrong.append(f"{name} leaves its bounds or its grid")
    for e, numbers in chosen.items():
        least, most = analysis.counts[e]
        if not least <= min(numbers) <= max(numbers) <= most:
            wrong.append(f"{program.names[e]} chooses {numbers}, not {least} to {most}")
    return wrong


@settings(max_examples=150)
@given(programs(max_length=MAX_LENGTH), st.booleans())
def test_domains_of_random_programs_are_borne_out_by_all_sequences(program, closed):
    assert faults(analyse(program, VOCAB, MAX_LENGTH, closed=closed), SEQUENCES) == []


@pytest.mark.parametrize("name", library.names())
def test_domains_of_library_programs_are_borne_out_by_all_sequences(name):
    program, vocab = library.example_program(name), library.entry(name).vocab
    sequences = [s for n in range(1, 4) for s in itertools.product(vocab, repeat=n)]
    assert faults(analyse(program, vocab, 3), sequences) == []


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("values", (1, 2, 3), "hist is also {4}"),
        ("values", (1, 2, 3, 4, 5), "hist is never {5}"),
    ],
)
def test_the_check_of_domains_catches(field, value, fault):
    analysis = analyse(library.program("hist"), VOCAB, MAX_LENGTH)
    object.__setattr__(analysis["hist"], field, value)
    assert faults(analysis, SEQUENCES) == [fault]


@settings(max_examples=100)
@given(programs(max_size=6, max_length=3), st.data())
def test_closed_domains_hold_under_interchange(program, data):
    """Two variables are given what they are on other inputs; all others stay in their domains."""
    analysis = analyse(program, VOCAB, 3, closed=True)
    model = CausalModel(program)
    interventions = {
        name: model.take(name, data.draw(st.sampled_from(SEQUENCES[12:39])))
        for name in data.draw(st.lists(st.sampled_from(model.variables), max_size=2, unique=True))
    }
    run = model.run(data.draw(st.sampled_from(SEQUENCES[12:39])), interventions)
    for e, domain in analysis.domains.items():
        values = {v for v in run[program.names[e]] if v is not None}
        assert domain.values is None or values <= set(domain.values)
        assert domain.none or None not in run[program.names[e]]


# --- what is exact ---------------------------------------------------------------------------


def test_positions_and_lengths_are_known_together():
    """n - 1 - i is an index; over all pairs of lengths and indices it would reach -4."""
    opposite = analyse(library.program("reverse"), "abc", 5)["opposite"]
    assert (opposite.values, opposite.exact) == ((0, 1, 2, 3, 4), True)
    assert analyse(library.program("reverse"), "abc", 5, closed=True)["opposite"].listed[0] == -4


def test_a_tuple_of_one_token_twice_has_no_mixed_values():
    pairs = Program(SequenceMap(lambda x, y: (x, y), tokens, tokens, name="pairs"))
    assert analyse(pairs, "ab", 3)["pairs"].values == (("a", "a"), ("b", "b"))


def test_means_are_the_fractions_up_to_the_length():
    """Up to length L they are the Farey sequence, which at 40 has 491 members."""
    frac = library.program("frac_prevs", "a")
    domain = analyse(frac, "abc", 40)["frac_prevs"]
    assert domain.exact and len(domain.listed) == 491
    assert domain.gap == Fraction(1, 39 * 40)


def test_averages_under_one_selector_are_subtracted_exactly():
    """The difference of two fractions of n is a fraction of n: apart by 1/1560, not 1/2433720."""
    balance = library.program("pair_balance", "(", ")")
    assert analyse(balance, "()a", 40)["pair_balance"].gap == Fraction(1, 39 * 40)
    loose = analyse(balance, "()a", 40, closed=True)["pair_balance"]
    assert loose.gap is not None and loose.gap < Fraction(1, 10**6)


def test_a_token_sees_itself_at_least():
    analysis = analyse(library.program("hist"), "abc", 6)
    assert analysis["hist"].values == (1, 2, 3, 4, 5, 6)
    assert analysis.counts[analysis.program.output] == (1, 6)


def test_beyond_the_limit_there_are_bounds_and_a_grid():
    prevs = Select(indices, indices, "<=")
    twice = numerical(tokens)
    for _ in range(3):
        twice = Aggregate(prevs, twice, "mean")
    domain = analyse(Program(twice), (-1, 0, 2), 12)["aggregate_3"]
    assert (domain.values, domain.exact, domain.low, domain.high) == (None, False, -1, 2)
    assert domain.gap == Fraction(1, domain.denominator)


def test_gaps_are_the_least_distance_of_numbers():
    spread = Map(lambda x: {"a": -2, "b": Fraction(1, 2), "c": 3}[x], tokens, "numerical")
    domain = analyse(Program(spread), "abc", 1)["map_1"]
    assert (domain.gap, domain.low, domain.high) == (Fraction(5, 2), -2, 3)
    assert analyse(Program(tokens), "abc", 1)["tokens"].gap is None
    assert analyse(Program(Constant(1, "numerical")), "abc", 1)["constant_1"].gap is None


def test_an_analysis_prints_as_text():
    text = str(analyse(library.program("pair_balance", "(", ")"), "()", 2, closed=True))
    assert text.splitlines() == [
        "pair_balance: 2 tokens, length 2",
        "    indices: categorical {0, 1}",
        "    tokens: categorical {'(', ')'}",
        "    is_(: categorical {False, True}",
        "    map_1: numerical {0, 1}",
        "    opens_(): numerical {0, 1/2, 1} or None, or fewer; of 0 to 2 positions",
        "    is_): categorical {False, True}",
        "    map_2: numerical {0, 1}",
        "    closes_(): numerical {0, 1/2, 1} or None, or fewer; of 0 to 2 positions",
        "    pair_balance: numerical {-1, -1/2, 0, 1/2, 1} or None, or fewer",
    ]


# --- problems --------------------------------------------------------------------------------


def _combined(*parts: SOp) -> Program:
    together = parts[0]
    for part in parts[1:]:
        together = SequenceMap(lambda x, y: (x, y), together, part)
    return Program(together)


def test_all_problems_are_said_at_once_each_with_its_own_cause():
    inverse = Map(lambda x: 1 // x, tokens, name="inverse")
    program = _combined(
        Map(lambda x: x + 1, inverse, name="follows_from_it"),
        Map(lambda x: 1 if x else True, tokens, name="mixed"),
        Map(lambda x: None, tokens, name="gone"),
        Map(lambda x: {x}, tokens, name="sets"),
        SelectorWidth(Select(tokens, Constant("a"), "<", name="incomparable")),
        Aggregate(everything, Map(lambda x: x or "a", tokens), "max", name="greatest"),
        Aggregate(everything, tokens, "only", default=False, name="shared"),
    )
    assert problems(program, (0, 1), 3) == [
        "inverse: its function lambda fails on 0: ZeroDivisionError: integer division or modulo "
        "by zero",
        "mixed: has the values True and 1, which Python takes for equal",
        "gone: is None everywhere",
        "sets: its function lambda fails on 0: value: expected None, a truth value, number, "
        "string or tuple of these, got {0}.",
        "incomparable: its function lt fails on 0, 'a': TypeError: '<' not supported between "
        "instances of 'int' and 'str'",
        "greatest: max needs values that Python can sort",
        "shared: has the values 0 and False, which Python takes for equal",
    ]


def test_a_function_is_not_called_on_pairs_that_cannot_meet():
    """Index and length: i < n, so that n - i is never 0, unless values are interchanged."""
    inverse = SequenceMap(lambda n, i: Fraction(1, n - i), length, indices, name="inverse")
    assert problems(Program(inverse), "a", 5) == []
    assert problems(Program(inverse), "a", 5, closed=True)[0].startswith(
        "inverse: its function lambda fails on 1, 1: ZeroDivisionError"
    )


def test_tables_that_are_too_large_are_refused():
    wide = Map(lambda x: x, tokens, name="wide")
    pair = SequenceMap(lambda x, y: (x, y), SelectorWidth(Select(wide, wide, "==")), wide)
    vocab = range(1_200)
    assert problems(Program(SelectorWidth(Select(wide, wide, "<", name="order"))), vocab, 2) == [
        "order: needs a table of 1201 x 1201 entries, over 1000000"
    ]
    assert problems(Program(pair), range(900), 2) == []


def test_required_without_problems_is_the_analysis_itself():
    analysis = analyse(library.program("hist"), "ab", 3)
    assert analysis.require() is analysis
    bad = analyse(Program(Map(lambda x: None, tokens, name="gone")), "ab", 3)
    with pytest.raises(ProgramError) as caught:
        bad.require()
    assert str(caught.value) == (
        "program 'program' cannot be used with these sequences: (1) gone: is None everywhere"
    )


def test_selectors_have_no_domain():
    with pytest.raises(InputError, match="everything is a selector; domains are of s-ops"):
        analyse(Program(length), "ab", 3)["everything"]


def test_linear_combinations_keep_none_and_negatives():
    gone = Map(lambda x: None if x == 1 else x, tokens, "numerical")
    program = Program(LinearSequenceMap(gone, numerical(tokens), Fraction(-1, 2), 2, name="mix"))
    domain = analyse(program, (0, 1, 2), 2)["mix"]
    assert (domain.values, domain.none, domain.exact) == ((0, 3), True, True)
    loose = analyse(program, (0, 1, 2), 2, closed=True)["mix"]
    assert loose.values == (-1, 0, 1, 2, 3, 4) and loose.none and not loose.exact


@pytest.mark.parametrize("causal", [False, True])
def test_what_is_never_chosen_has_no_values(causal):
    never = Select(tokens, tokens, "false")
    together = SequenceMap(
        lambda x, y: (x, y), SelectorWidth(never), Aggregate(never, tokens, "only", "-")
    )
    analysis = analyse(Program(together, causal=causal), VOCAB, 3)
    assert analysis["sequence_map_1"].values == ((0, "-"),)
    assert set(analysis.counts.values()) == {(0, 0)}
