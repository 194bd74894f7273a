"""Compiled models compute their programs: the library, random programs, and what compilers get
wrong. The plain interpreter is the second route; certificates have already asked the other one."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundtruth.compiled_models import (
    Aggregate,
    Constant,
    LinearSequenceMap,
    Map,
    Program,
    Select,
    SelectorWidth,
    SequenceMap,
    compile_program,
    encode,
    indices,
    length,
    library,
    numerical,
    random_programs,
    tokens,
)
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.programs.parts import fetched, shifted
from groundtruth.errors import InputError, ProgramError
from groundtruth.models import numpy_reference
from groundtruth.testing import programs

NAMES = library.names()


def compiled_example(name: str, max_length: int, n_sequences: int = 64):
    entry = library.entry(name)
    return compile_program(
        library.example_program(name),
        vocab=entry.vocab,
        max_length=max_length,
        n_sequences=n_sequences,
    )


def some_sequences(vocab, max_length: int, n: int = 6) -> list[list]:
    rng = random.Random(max_length)
    lengths = [1, max_length, *(rng.randint(1, max_length) for _ in range(n - 2))]
    return [[rng.choice(vocab) for _ in range(length)] for length in lengths]


def assert_computes(compiled, sequences) -> None:
    assert compiled.run(sequences) == [compiled.program(sequence) for sequence in sequences]


@pytest.mark.parametrize("name", NAMES)
def test_library_programs_agree_on_all_sequences_of_up_to_five_tokens(name):
    compiled = compiled_example(name, 5, n_sequences=1400)
    assert compiled.certificate.exhaustive
    assert_computes(compiled, some_sequences(library.entry(name).vocab, 5))


@pytest.mark.parametrize("max_length", [10, 20, 40])
@pytest.mark.parametrize("name", NAMES)
def test_library_programs_compile_at_every_length(name, max_length):
    compiled = compiled_example(name, max_length)
    assert compiled.certificate.n_sequences == 64
    assert all(m.seen <= m.bound < m.margin for m in compiled.certificate.margins)
    assert_computes(compiled, some_sequences(library.entry(name).vocab, max_length, n=3))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("vocab", "max_length"), [((0, 1, 2), 5), ((-2, 0, 1, 3), 7), ("ab", 6), (("x", 0), 9)]
)
@pytest.mark.parametrize("size", [3, 6, 10])
def test_random_programs_are_compiled_right(size, vocab, max_length, causal):
    grown = random_programs(size, seed=7, vocab=vocab, max_length=max_length, causal=causal)
    refused = 0
    for program in itertools.islice(grown, 8):
        try:
            compiled = compile_program(program, vocab=vocab, max_length=max_length, n_sequences=200)
        except ProgramError as error:
            assert "cannot be told apart in float32" in str(error)
            refused += 1
            continue
        assert_computes(compiled, some_sequences(vocab, max_length))
    assert refused <= 1


@given(programs(vocab=(0, 1, 2), max_length=5), st.booleans())
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_drawn_programs_are_compiled_right_or_refused(program, closed):
    try:
        compiled = compile_program(program, vocab=(0, 1, 2), max_length=5, closed=closed)
    except ProgramError as error:
        assert "cannot be told apart in float32" in str(error)
        return
    assert compiled.certificate.exhaustive
    assert_computes(compiled, [[0, 2, 2, 1, 0], [1], [2, 0, 1]])


@pytest.mark.parametrize("seed", range(6))
def test_closed_compilation_computes_the_same(seed):
    for program in itertools.islice(random_programs(5, seed=seed), 4):
        compiled = compile_program(
            program, vocab=(0, 1, 2), max_length=6, closed=True, n_sequences=100
        )
        assert compiled.analysis.closed
        assert_computes(compiled, some_sequences((0, 1, 2), 6))


@pytest.mark.parametrize("name", ["reverse", "sort_freq", "average", "two_hop", "shuffle_dyck"])
def test_the_numpy_reference_runs_the_same_weights(name):
    compiled = compiled_example(name, 12)
    sequences = some_sequences(library.entry(name).vocab, 12)
    batch = encode(sequences, compiled.analysis.vocab)
    logits = numpy_reference.forward(compiled.weights, model_tokens(batch, compiled.weights))
    domain = compiled.analysis.domains[compiled.program.output]
    assert told_apart(domain, logits[:, 1:]).lists(batch.lengths) == compiled.run(sequences)


@pytest.mark.parametrize("name", ["reverse", "hist", "detect_pattern", "running_mean"])
def test_jax_runs_the_same_weights(name):
    pytest.importorskip("jax")
    from groundtruth.models import jax_forward

    compiled = compiled_example(name, 5)
    sequences = some_sequences(library.entry(name).vocab, 5)
    batch = encode(sequences, compiled.analysis.vocab)
    tokens_ = model_tokens(batch, compiled.weights)
    logits = np.asarray(jax_forward.forward(jax_forward.to_jax(compiled.weights), tokens_))
    domain = compiled.analysis.domains[compiled.program.output]
    assert told_apart(domain, logits[:, 1:]).lists(batch.lengths) == compiled.run(sequences)


# --- what Tracr gets wrong without a word --------------------------------------------------------
# Measured on Tracr 9ce2b8c with its defaults, https://github.com/google-deepmind/tracr


@pytest.mark.parametrize("max_length", [20, 40])
def test_length_counts_beyond_ten(max_length):
    compiled = compile_program(Program(length), vocab="abc", max_length=max_length)
    for n in range(1, max_length + 1):
        assert compiled.run(["a" * n]) == [[n] * n]


@pytest.mark.parametrize("max_length", [10, 20, 40])
def test_reverse_is_right_from_ten_tokens_on(max_length):
    compiled = compiled_example("reverse", max_length)
    for n in range(10, max_length + 1, 5):
        sequence = [random.Random(n).choice("abcd") for _ in range(n)]
        assert compiled.run([sequence]) == [sequence[::-1]]


def test_shift_by_is_none_where_there_is_nothing_to_shift():
    compiled = compile_program(library.program("shift_by", 2), vocab="abc", max_length=6)
    assert compiled.run(["abca", "a"]) == [[None, None, "a", "b"], [None]]


def test_an_aggregate_of_categorical_values_that_differ_is_none_not_one_of_them():
    everywhere = Select(tokens, tokens, "true")
    program = Program(Aggregate(everywhere, tokens, "only"))
    compiled = compile_program(program, vocab=(1, 2, 3), max_length=5)
    assert compiled.run([[1, 3, 2], [2, 2]]) == [[None] * 3, [2, 2]]


def test_negative_numbers_survive():
    shifted_down = Map(lambda x: x - 2, tokens, "numerical")
    negated = Map(lambda x: -x, shifted_down, "numerical")
    compiled = compile_program(Program(negated), vocab=(1, 2, 3), max_length=4)
    assert compiled.run([[1, 2, 3]]) == [[1, 0, -1]]


def test_a_causal_program_sees_no_later_position():
    compiled = compile_program(Program(length, causal=True), vocab="ab", max_length=12)
    assert compiled.run(["ab" * 6]) == [list(range(1, 13))]
    running = compile_program(library.program("running_sum"), vocab=(-1, 0, 2), max_length=12)
    short, long = running.run([[2, -1], [2, -1, *[2] * 10]])
    assert long[:2] == short == [2, 1]


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    compiled = compiled_example(name, 9)
    sequences = some_sequences(library.entry(name).vocab, 9)
    assert compiled.run(sequences) == [compiled.run([sequence])[0] for sequence in sequences]


def test_a_mean_counts_neither_padding_nor_begin_of_sequence():
    mean = Aggregate(Select(indices, indices, "true"), numerical(tokens), "mean")
    compiled = compile_program(Program(mean), vocab=(0, 1), max_length=30)
    batch = [[1, 0], [1] * 30, [1]]
    assert compiled.run(batch) == [[Fraction(1, 2)] * 2, [1] * 30, [1]]


def test_begin_of_sequence_keeps_its_residual_vector_whatever_follows():
    compiled = compiled_example("sort_freq", 10)
    model = compiled.model
    seen = []
    for sequence in some_sequences((1, 2, 4), 10):
        batch = encode([sequence], compiled.analysis.vocab)
        ids = model_tokens(batch, compiled.weights)
        last = f"blocks.{len(model.blocks) - 1}.hook_resid_post"
        seen.append(model.run_with_cache(ids, last)[1][last][0, 0].numpy())
    assert np.ptp(np.stack(seen), axis=0).max() < 1e-6


# --- constructions ---------------------------------------------------------------------------

before = Select(indices, indices, "<")
same = Select(tokens, tokens, "==")
evens = named("x if x % 2 == 0 else None", lambda x: x if x % 2 == 0 else None)
some = Map(evens, tokens)
some_numbers = Map(evens, tokens, "numerical")

CONSTRUCTIONS = {
    "either selector under a mean": Aggregate(before | same, numerical(tokens), "mean"),
    "either selector under a sum": Aggregate(before | same, numerical(tokens), "sum", default=7),
    "either selector under only": Aggregate(~before & ~same | same & before, tokens, "only"),
    "not, where a None is compared": SelectorWidth(~Select(some, tokens, "==")),
    "never": Aggregate(Select(tokens, tokens, "false"), tokens, "max", default=5),
    "never counted": SelectorWidth(Select(tokens, tokens, "false"), "numerical"),
    "a default that is a value": Aggregate(before, tokens, "only", default=3),
    "a mean of what may be None": Aggregate(before, some_numbers, "mean"),
    "a mean of what begin-of-sequence fills": Aggregate(
        same, Aggregate(before, numerical(tokens), "max", default=-3), "mean"
    ),
    "a greatest of what may be None": Aggregate(before, some, "max"),
    "a least number of what may be None": Aggregate(before, some_numbers, "min", default=-1),
    "a copy of a copy that begin-of-sequence fills": shifted(shifted(tokens, 1), 1),
    "keys that begin-of-sequence fills": Aggregate(
        Select(shifted(tokens, 1), tokens, "=="), tokens, "max"
    ),
    "a sum with None": LinearSequenceMap(some_numbers, numerical(indices), Fraction(1, 3), -2),
    "steps over None": Map(lambda x: x > 1, some_numbers, default="none"),
    "one s-op twice": SequenceMap(lambda x, y: x * y, tokens, tokens),
    "one number twice": LinearSequenceMap(some_numbers, some_numbers, 2, -1),
    "tuples": SequenceMap(lambda x, y: (x, y), tokens, indices),
    "the tokens themselves": tokens,
    "a constant": Constant(Fraction(1, 3), "numerical"),
    "an index from a number": fetched(tokens, Map(lambda x: x // 2, numerical(indices))),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_constructions(name, causal):
    program = Program(CONSTRUCTIONS[name], causal=causal)
    for max_length, closed in ((4, False), (4, True), (11, False)):
        compiled = compile_program(
            program, vocab=(0, 1, 2, 3), max_length=max_length, closed=closed, n_sequences=400
        )
        assert compiled.certificate.exhaustive == (max_length == 4)
        assert_computes(compiled, some_sequences((0, 1, 2, 3), max_length))


counted = SelectorWidth(same, "numerical")
blurred = {
    "an average of counts": Aggregate(Select(tokens, tokens, "true"), counted, "mean"),
    "an average of counts by either of two": Aggregate(
        same, SelectorWidth(same | before, "numerical"), "sum"
    ),
    "an average as another number": Map(
        lambda x: 2 * x + 1, Aggregate(before, numerical(tokens), "mean", 0), "numerical"
    ),
}


@pytest.mark.parametrize("name", blurred)
def test_numbers_of_forty_counts_are_exact_enough_to_be_averaged(name):
    program = Program(blurred[name], causal=True)
    compiled = compile_program(program, vocab=(0, 1), max_length=40, n_sequences=64)
    assert any(v.name.endswith(".one_hot") for v in compiled.layout.variables)
    assert_computes(compiled, some_sequences((0, 1), 40))


previous = Select(indices, indices, named("key + 1 == query", lambda k, q: k + 1 == q))
restored = {
    "a mean of numbers before": Aggregate(
        Select(indices, indices, "<="), Aggregate(previous, numerical(tokens), "mean"), "mean"
    ),
    "a mean of maxima before": Aggregate(
        Select(indices, indices, "<="), Aggregate(before, numerical(tokens), "max"), "mean"
    ),
    "a mean of counts that may be None": Aggregate(
        Select(indices, indices, "<="),
        Map(
            lambda x: x or None,
            SelectorWidth(Select(tokens, tokens, "<"), "numerical"),
            "numerical",
        ),
        "mean",
    ),
    "a map of a mean that may be None": Map(
        lambda x: x * x, Aggregate(before, numerical(tokens), "mean"), "numerical"
    ),
    "a map of a sum": Map(
        lambda x: 2 * x,
        Aggregate(
            Select(indices, indices, "<="),
            Map(lambda x: x or None, tokens, "numerical"),
            "sum",
        ),
        "numerical",
    ),
}


@pytest.mark.parametrize(
    ("name", "vocab", "max_length", "closed"),
    [
        ("a mean of numbers before", (0, 1, 2), 40, False),
        ("a mean of maxima before", (0, 1, 2), 40, True),
        ("a mean of counts that may be None", (0, 1, 2), 20, True),
        ("a map of a mean that may be None", (0, 1, 2), 10, False),
        ("a map of a mean that may be None", (0, 1, 2), 20, True),
        ("a map of a sum", (-3, 0, 1, 4, 7), 20, True),
    ],
)
def test_numbers_that_may_be_none_are_restored_where_they_would_be_off(
    name, vocab, max_length, closed
):
    # Each was refused: what flags and heads leave is more than the margin of what reads it.
    program = Program(restored[name])
    compiled = compile_program(
        program, vocab=vocab, max_length=max_length, closed=closed, n_sequences=64
    )
    on_the_way = [v.name for v in compiled.layout.variables if v.domain is None]
    assert any(name.endswith((".one_hot", ".clean")) for name in on_the_way)
    assert_computes(compiled, some_sequences(vocab, max_length, n=6))


def test_what_may_be_none_is_combined_where_flags_would_blur_it():
    means = [
        Aggregate(selector, numbers, "mean")
        for selector, numbers in ((before, numerical(tokens)), (same, some_numbers))
    ]
    program = Program(LinearSequenceMap(*means, 1, -1))
    compiled = compile_program(program, vocab=(0, 1, 2), max_length=10, n_sequences=200)
    assert_computes(compiled, some_sequences((0, 1, 2), 10))


# --- refusals --------------------------------------------------------------------------------


def test_all_reasons_are_given_at_once():
    bad = Map(lambda x: 1 / x, tokens, name="inverse")
    wide = SequenceMap(lambda x, y: (x, y), indices, indices, name="wide")
    pairs = SequenceMap(lambda x, y: (*x, y), wide, tokens, name="wider")
    both = SequenceMap(lambda x, y: x, bad, pairs, name="both")
    with pytest.raises(ProgramError) as error:
        compile_program(Program(both, name="p"), vocab=tuple(range(200)), max_length=50)
    assert error.value.what == "program 'p' cannot be compiled"
    assert error.value.reasons == (
        "inverse: its function lambda fails on 0: ZeroDivisionError: division by zero",
        "wider: needs directions beyond 8192",
    )


def test_numbers_that_float32_cannot_tell_apart_are_refused():
    mean = Aggregate(Select(indices, indices, "<="), numerical(tokens), "mean", name="mean")
    twice = Aggregate(Select(tokens, tokens, "=="), mean, "mean", name="twice")
    with pytest.raises(ProgramError) as error:
        compile_program(Program(twice), vocab=(0, 1), max_length=40)
    (reason,) = error.value.reasons
    assert reason.startswith("twice: its values cannot be told apart in float32")


def test_what_is_run_has_to_fit():
    compiled = compiled_example("hist", 3)
    with pytest.raises(InputError, match=r"expected 1 to 3 tokens in each, got \[4\]"):
        compiled.run(["abca"])
    with pytest.raises(InputError, match="expected a token of the vocabulary"):
        compiled.run(["ax"])
    assert compiled.run([]) == []


# --- what lives where ------------------------------------------------------------------------


def test_every_expression_can_be_read_where_the_layout_says():
    compiled = compiled_example("reverse", 6)
    batch = encode(["abcd", "d"], compiled.analysis.vocab)
    cache = compiled.model.run_with_cache(model_tokens(batch, compiled.weights))[1]
    last = f"blocks.{len(compiled.weights.blocks) - 1}.hook_resid_post"
    held = cache[last][0, 1:].numpy()
    for name, wanted in {"opposite": [3, 2, 1, 0], "reverse": list("dcba")}.items():
        variable = compiled.layout[name]
        one_hot = held[:4, variable.directions]
        assert [variable.labels[k] for k in one_hot.argmax(-1)] == wanted
        before_it = compiled.placement.find(name)
        assert before_it is not None
        entering = cache[f"blocks.{before_it.block}.hook_resid_pre"][0, 1:]
        assert not entering[:, variable.directions].any()


def test_the_weights_of_a_component_write_its_variable_alone():
    compiled = compiled_example("sort_freq", 6)
    for variable in compiled.layout.variables:
        place = compiled.placement.find(variable.name)
        if place is None:
            continue
        block = compiled.weights.blocks[place.block]
        if place.head is not None:
            written = block.heads[place.head].W_O
        else:
            assert place.neurons is not None and block.mlp is not None
            written = block.mlp.W_out[place.neurons]
        assert set(np.flatnonzero(written.any(axis=0))) <= set(variable.directions)
        assert written.any()


def test_heads_and_mlps_are_no_wider_than_what_they_do():
    compiled = compiled_example("shuffle_dyck2", 20)
    for block in compiled.weights.blocks:
        for head in block.heads:
            assert head.W_K.any(axis=0).all() and head.W_O.any(axis=1).all()
        if block.mlp is not None:
            assert block.mlp.W_out.any(axis=1).all()
    assert "d_model 104, 8 blocks" in repr(compiled)
    assert repr(compiled) in f"<Compiled shuffle_dyck2: {compiled.sizes}>"
    assert "block 0:" in compiled.describe() and "margin" in compiled.describe()


def test_what_is_no_program_or_out_of_range_is_refused_before_anything_is_made():
    reverse = library.program("reverse")
    with pytest.raises(InputError, match="program: expected a Program, got 'reverse'"):
        compile_program("reverse", vocab="ab", max_length=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="max_length: expected at most 1,024, got 100000"):
        compile_program(reverse, vocab="ab", max_length=100_000)
    with pytest.raises(InputError, match="seed"):
        compile_program(reverse, vocab="ab", max_length=3, seed=-1)
