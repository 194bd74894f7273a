"""The vectorised interpreter gives what the plain one gives, None included."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.compiled_models import (
    Aggregate,
    Batch,
    BatchInterpreter,
    CausalModel,
    Column,
    Constant,
    LinearSequenceMap,
    Map,
    Program,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    analyse,
    categorical,
    encode,
    everything,
    indices,
    length,
    numerical,
    tokens,
)
from groundtruth.compiled_models.interpreter import evaluate
from groundtruth.errors import InputError, ProgramError, UnknownName
from groundtruth.testing import programs

VOCAB = (0, 1, 2)
SEQUENCES = [s for n in range(1, 4) for s in itertools.product(VOCAB, repeat=n)] + [
    (2, 0, 1, 1, 0),
    (1, 1, 2, 2),
    (0, 2, 0, 2, 0),
]


def plain(program: Program, sequences) -> dict[str, list]:
    """The values of each s-op by name, by the plain interpreter."""
    found: dict[str, list] = {n: [] for e, n in program.names.items() if isinstance(e, SOp)}
    for sequence in sequences:
        values = evaluate(program.expressions, sequence, causal=program.causal)
        for e, name in program.names.items():
            if name in found:
                found[name].append(values[e])
    return found


def batched(program: Program, sequences, *, closed: bool = False, vocab=VOCAB) -> dict[str, list]:
    """The same by the vectorised one."""
    batch = encode(sequences, vocab)
    analysis = analyse(program, vocab, batch.ids.shape[1], closed=closed)
    run = BatchInterpreter(analysis).run(batch)
    return {name: column.lists(batch.lengths) for name, column in run.items()}


@settings(max_examples=200)
@given(programs(), st.booleans())
def test_both_interpreters_agree_on_every_expression_of_random_programs(program, closed):
    assert batched(program, SEQUENCES, closed=closed) == plain(program, SEQUENCES)


def _none_everywhere() -> list[SOp]:
    """S-ops that meet None in each way the table of the language knows."""
    gone = Map(lambda x: None if x == 1 else x, tokens, name="gone")
    number = numerical(gone, name="number")
    never = Select(tokens, tokens, "false", name="never")
    by_none = {p: Select(gone, gone, p, name=p) for p in ("==", "!=", "<", "<=", "true", "false")}
    return [
        Map(lambda x: x + 1, gone, default=7),
        SequenceMap(lambda x, y: (x, y), gone, tokens),
        LinearSequenceMap(number, numerical(tokens), Fraction(-1, 2), 3),
        *(SelectorWidth(selector) for selector in by_none.values()),
        *(SelectorWidth(~selector) for selector in by_none.values()),
        SelectorWidth(by_none["=="] | ~by_none["<"], "numerical"),
        *(Aggregate(everything, number, how) for how in ("mean", "sum", "max", "min")),
        *(Aggregate(by_none["<"], number, how, 5) for how in ("mean", "sum", "max", "min")),
        *(Aggregate(by_none["<"], gone, how) for how in ("only", "max", "min")),
        *(Aggregate(by_none["=="], gone, how, 9) for how in ("only", "max", "min")),
        Aggregate(never, gone, "only", "nothing"),
        Aggregate(never, number, "mean", Fraction(1, 3)),
        categorical(Aggregate(by_none["<="], number, "mean")),
        Constant(Fraction(1, 2), "numerical"),
    ]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("output", _none_everywhere(), ids=range(len(_none_everywhere())))
def test_both_agree_where_none_occurs(output, closed, causal):
    program = Program(output, causal=causal)
    assert batched(program, SEQUENCES, closed=closed) == plain(program, SEQUENCES)


def test_numbers_beyond_64_bits_stay_exact():
    """Means of means of means: the denominators reach lcm(1..24)**3, about 1.5e29."""
    prevs = Select(indices, indices, "<=")
    mean: SOp = numerical(tokens)
    for _ in range(3):
        mean = Aggregate(prevs, mean, "mean")
    program = Program(LinearSequenceMap(mean, mean, 1, 2))
    sequences = [tuple(VOCAB[(i * i + k) % 3] for i in range(24)) for k in range(3)]
    assert analyse(program, VOCAB, 24)["aggregate_3"].denominator > 2**64
    assert batched(program, sequences) == plain(program, sequences)


def test_long_batches_are_run_in_parts_that_join():
    program = Program(SelectorWidth(Select(tokens, tokens, "==")))
    rng = np.random.default_rng(0)
    batch = Batch(rng.integers(0, 3, (20_000, 5)), rng.integers(1, 6, 20_000))
    whole = BatchInterpreter(analyse(program, VOCAB, 5)).output(batch).array
    tail = Batch(batch.ids[15_000:], batch.lengths[15_000:])
    assert (BatchInterpreter(analyse(program, VOCAB, 5)).output(tail).array == whole[15_000:]).all()


def test_what_stands_in_the_padding_does_not_matter():
    opposite = SequenceMap(lambda n, i: n - 1 - i, length, indices)
    program = Program(Aggregate(Select(indices, opposite, "=="), tokens, "only"))
    batch = encode([(0, 1), (2, 1, 0)], VOCAB)
    dirty = Batch(np.where(np.arange(3) < batch.lengths[:, None], batch.ids, 99), batch.lengths)
    interpreter = BatchInterpreter(analyse(program, VOCAB, 3))
    for given_batch in (batch, dirty):
        assert interpreter.output(given_batch).lists(batch.lengths) == [[1, 0], [0, 1, 2]]


def test_empty_batches_and_sequences_have_no_values():
    interpreter = BatchInterpreter(analyse(Program(length), VOCAB, 3))
    for sequences in ([], [()], [(), ()]):
        batch = encode(sequences, VOCAB)
        assert interpreter.output(batch).lists(batch.lengths) == [[] for _ in sequences]


# --- interventions ---------------------------------------------------------------------------


@given(programs(max_size=6), st.data())
def test_interventions_are_those_of_the_causal_model(program, data):
    sops = [name for e, name in program.names.items() if isinstance(e, SOp)]
    name = data.draw(st.sampled_from(sops))
    base, source = (2, 0, 1, 1), (1, 2, 2, 0)
    where = data.draw(st.lists(st.integers(0, 3), min_size=1, unique=True))
    model = CausalModel(program)
    expected = model.run(base, {name: model.take(name, source, where)})

    interpreter = BatchInterpreter(analyse(program, VOCAB, 4, closed=True))
    mask = np.isin(np.arange(4), where)[None]
    column = interpreter.run(encode([source], VOCAB), [name])[name]
    run = interpreter.run(encode([base], VOCAB), interventions={name: (mask, column)})
    assert {n: column.lists(np.array([4]))[0] for n, column in run.items()} == {
        n: expected[n] for n in sops
    }


def test_interventions_without_a_closed_analysis_are_refused():
    batch = encode([(0, 1)], VOCAB)
    interpreter = BatchInterpreter(analyse(Program(length), VOCAB, 2))
    column = interpreter.output(batch)
    with pytest.raises(
        InputError, match="Use analyse\\(program, vocab, max_length, closed=True\\)"
    ):
        interpreter.run(batch, interventions={"length": (np.ones((1, 2), bool), column)})


def test_interventions_of_another_shape_or_analysis_are_refused():
    batch = encode([(0, 1)], VOCAB)
    interpreter = BatchInterpreter(analyse(Program(length), VOCAB, 2, closed=True))
    column = interpreter.output(batch)
    with pytest.raises(InputError, match="expected two arrays of shape \\(1, 2\\)"):
        interpreter.run(batch, interventions={"length": (np.ones((2, 2), bool), column)})
    other = Column(analyse(Program(length), VOCAB, 3)["length"], column.array)
    with pytest.raises(InputError, match="from the same analysis"):
        interpreter.run(batch, interventions={"length": (np.ones((1, 2), bool), other)})


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "lengths", "message"),
    [
        ([[0, 1, 2]], [3], "expected at most 2, as analysed, got 'width 3'"),
        ([[0, 5]], [2], "expected indices into 3 tokens"),
        ([[0, 1]], [3], "expected lengths from 0 to the width, 2"),
        ([[0, 1]], [1, 1], "expected \\(n, width\\) and \\(n,\\)"),
    ],
)
def test_batches_that_the_analysis_does_not_cover_are_refused(ids, lengths, message):
    interpreter = BatchInterpreter(analyse(Program(length), VOCAB, 2))
    with pytest.raises(InputError, match=message):
        interpreter.output(Batch(np.array(ids), np.array(lengths)))


def test_programs_with_problems_are_refused():
    program = Program(Map(lambda x: 1 // x, tokens, name="inverse"))
    with pytest.raises(ProgramError, match="inverse: its function lambda fails on 0"):
        BatchInterpreter(analyse(program, VOCAB, 2))


def test_unknown_names_are_told_the_nearest():
    interpreter = BatchInterpreter(analyse(Program(length), VOCAB, 2))
    with pytest.raises(UnknownName, match=r"s-op of program is called 'lenght'\. Nearest: length"):
        interpreter.run(encode([(0,)], VOCAB), ["lenght"])
