"""Twins do what the compiled model does, lie where they say, and are refused where they would not.

The second route to a twin's residual stream is the compiled model's own, times the planted
directions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.batches import Batch, sampled_sequences
from groundtruth.compiled_models.certificate import Disagreement, Readout, certified
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.running import outputs_and_residual
from groundtruth.compiled_models.twin_bounds import Held
from groundtruth.compiled_models.twins import coordinates
from groundtruth.errors import InputError, ProgramError

SAMPLE = 100

PROGRAMS = ("hist", "reverse", "sort_unique", "frac_prevs", "detect_pattern", "induction")

HOWS = {
    "rotated": {},
    "with decoys alone": {"rotate": False, "decoys": 4},
    "superposed alone": {"rotate": False, "superpose": 0.9},
    "all together": {"superpose": 0.9, "decoys": 3, "noise": 2.0**-22},
}


def compiled_example(name: str, max_length: int = 8):
    entry, program = library.entry(name), library.example_program(name)
    return compile_program(program, vocab=entry.vocab, max_length=max_length, n_sequences=64)


def sample(compiled, n: int = SAMPLE, seed: int = 5) -> Batch:
    return sampled_sequences(
        len(compiled.analysis.vocab), compiled.analysis.max_length, n, seed=seed
    )


def sequences(compiled) -> list[list]:
    batch = sample(compiled)
    vocab = compiled.analysis.vocab
    return [[vocab[k] for k in row[:n]] for row, n in zip(batch.ids.tolist(), batch.lengths)]


def residual(compiled, batch: Batch) -> np.ndarray:
    """(token, d_model) after the last block, where there are tokens."""
    tokens = model_tokens(batch, compiled.weights)
    there = np.arange(batch.ids.shape[1]) < batch.lengths[:, None]
    return outputs_and_residual(compiled.model, tokens)[1][there]


def certify(twin, **changed):
    held = {m.name: Held(m.bound, m.margin) for m in twin.certificate.margins}
    weights = changed.pop("weights", twin.weights)
    readout = Readout(changed.pop("coding", twin.coding), held)
    return certified(twin.analysis, twin.layout, weights, n=500, seed=0, readout=readout)


# --- behaviour and truth -------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_twin_does_the_same_and_holds_what_its_directions_say(name, how):
    compiled = compiled_example(name)
    for seed in (0, 1):
        twin = compiled.twin(**how, seed=seed, n_sequences=SAMPLE)
        given = sequences(compiled)
        assert twin.run(given) == compiled.run(given)
        batch = sample(compiled)
        planted = np.zeros((int(batch.lengths.sum()), twin.layout.d_model))
        known = residual(compiled, batch)
        for variable in twin.layout.variables:
            source = variable.name.removesuffix(".clean")
            planted[:, variable.directions] = known[:, compiled.layout[source].directions]
        carried = twin.coding.basis[: twin.coding.size]
        found = residual(twin, batch) @ carried.T
        np.testing.assert_allclose(found, planted @ twin.directions @ carried.T, atol=2e-3)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_rotation_leaves_no_variable_on_an_axis(name):
    twin = compiled_example(name, 6).twin(n_sequences=SAMPLE)
    np.testing.assert_allclose(
        twin.coding.basis @ twin.coding.basis.T, np.eye(twin.sizes.d_model), atol=1e-12
    )
    assert np.abs(twin.directions[1:]).max() < 0.999
    assert np.abs(twin.directions[1:, 0]).max() == 0  # begin-of-sequence keeps its axis


def test_the_same_seed_gives_the_same_twin_and_another_seed_another():
    compiled = compiled_example("hist")
    first, again, other = (
        compiled.twin(superpose=0.6, decoys=2, seed=seed, n_sequences=64) for seed in (3, 3, 4)
    )
    assert first.weights.hash == again.weights.hash != other.weights.hash


@pytest.mark.parametrize("name", PROGRAMS)
def test_margins_are_proven_and_what_was_seen_is_within_them(name):
    twin = compiled_example(name).twin(superpose=0.9, decoys=2, n_sequences=SAMPLE)
    for margin in twin.certificate.margins:
        assert margin.seen <= margin.bound < margin.margin


def test_every_direction_has_a_label():
    twin = compiled_example("hist", 5).twin(superpose=0.7, n_sequences=64)
    assert len(twin.labels) == len(twin.directions)
    assert twin.labels[:2] == ("begin-of-sequence", "tokens = 'a'")
    assert twin.labels[-1] == "hist = 5"


# --- superposition -------------------------------------------------------------------------------


def test_a_superposed_variable_has_fewer_dimensions_than_values_less_one():
    compiled = compiled_example("reverse", 8)
    twin = compiled.twin(superpose=0.5, n_sequences=SAMPLE)
    assert twin.sizes.d_model == compiled.layout.d_model // 2
    indices = twin.layout["indices"]
    rows = twin.directions[indices.directions]
    assert np.linalg.matrix_rank(rows - rows.mean(axis=0), tol=1e-9) < len(rows) - 1
    gaps = np.linalg.norm(rows[:, None] - rows[None], axis=-1) + 9 * np.eye(len(rows))
    margin = next(m for m in twin.certificate.margins if m.name == "indices")
    assert margin.margin == pytest.approx(gaps.min() / 2)


@pytest.mark.parametrize("name", ["sort_unique", "frac_prevs", "detect_pattern", "sort"])
def test_what_is_too_small_is_refused_with_the_nearest_size_which_can_be_had(name):
    compiled = compiled_example(name, 6)
    with pytest.raises(
        ProgramError, match="the smallest that can be proven is superpose="
    ) as error:
        compiled.twin(superpose=0.05)
    share = float(error.value.reasons[1].split("superpose=")[1].split(",")[0])
    size = int(error.value.reasons[1].split(", ")[1].split(" of ")[0])
    assert compiled.twin(superpose=share, n_sequences=64).sizes.d_model == size
    with pytest.raises(ProgramError):
        compiled.twin(superpose=(size - 1) / compiled.layout.d_model)


def test_a_share_that_a_refusal_names_is_the_size_that_it_names():
    # 0.58 * 50 is below 29 in floats, and 0.29 * 100 below 29.
    for whole in range(2, 300):
        for size in range(1, whole):
            assert coordinates(float(np.ceil(1000 * size / whole) / 1000), whole) == size


def test_a_refusal_says_which_variables_are_read_whole():
    with pytest.raises(
        ProgramError, match=r"indices needs . coordinates for 6 values, for what frac"
    ):
        compiled_example("frac_prevs", 6).twin(superpose=0.1)


def interleaved(rng: np.random.Generator, length: int) -> str:
    """A word in which () and {} are balanced."""
    word, still_open = "", {"(": 0, "{": 0}
    while len(word) < length:
        close = {"(": ")", "{": "}"}
        kind = str(rng.choice(["(", "{"]))
        if sum(still_open.values()) < length - len(word) and rng.random() < 0.6:
            word, still_open[kind] = word + kind, still_open[kind] + 1
        elif still_open[kind]:
            word, still_open[kind] = word + close[kind], still_open[kind] - 1
    return word


def on_axes(twin) -> set[str]:
    """Names of the variables whose directions are axes, to which nothing else is written."""
    found = set()
    for variable in twin.layout.variables:
        rows = twin.directions[variable.span]
        others = np.delete(twin.directions, variable.directions, axis=0)
        if np.isin(rows, (0, 1)).all() and not (others @ rows.T).any():
            found.add(variable.name)
    return found


@pytest.mark.parametrize(("max_length", "share", "size"), [(8, 0.7, 47), (20, 0.72, 74)])
def test_what_lies_on_axes_is_exact_and_compared_by_harmonics_all_the_same(max_length, share, size):
    # Balances are fractions of up to 20, which lie within 1 / 380 of one another.
    compiled = compiled_example("shuffle_dyck2", max_length)
    twin = compiled.twin(superpose=share, n_sequences=SAMPLE)
    assert twin.sizes.d_model == size
    numbers = {v.name for v in twin.layout.variables if not v.one_hot}
    assert {"balance_()", "opens_{}", "length.share"} <= numbers
    assert on_axes(twin) == ({"indices"} if max_length == 8 else {"indices", *numbers})
    for margin in twin.certificate.margins:
        assert margin.seen <= margin.bound < margin.margin
    rng = np.random.default_rng(0)
    words = [interleaved(rng, 2 * int(n)) for n in rng.integers(1, max_length // 2 + 1, 200)]
    spoilt = [word[1:] + word[0] for word in words]
    given = [*words, *spoilt, *sequences(compiled)]
    answers = twin.run(given)
    assert answers == compiled.run(given)
    assert {answer[-1] for answer in answers[:200]} == {True}
    assert False in {answer[-1] for answer in answers[200:400]}


def test_a_norm_leaves_no_number_exact():
    with pytest.raises(ProgramError):
        compiled_example("shuffle_dyck2", 20).twin(superpose=0.72, norm="rms")


# --- noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("superpose", [None, 0.9])
@pytest.mark.parametrize("name", ["hist", "reverse", "detect_pattern"])
def test_noise_within_the_margin_changes_weights_and_no_output(name, superpose):
    compiled = compiled_example(name)
    how = {"superpose": superpose, "decoys": 2, "n_sequences": SAMPLE}
    plain, noisy = compiled.twin(**how), compiled.twin(**how, noise=2e-6)
    seen = [twin.certificate.seen for twin in (plain, noisy)]
    assert plain.weights.hash != noisy.weights.hash and seen[1] > seen[0]
    assert noisy.run(sequences(compiled)) == compiled.run(sequences(compiled))


def test_noise_beyond_the_margin_is_refused_with_what_can_be_borne():
    compiled = compiled_example("hist")
    with pytest.raises(ProgramError, match=r"with noise=.* it can be proven") as error:
        compiled.twin(noise=0.1)
    borne = float(error.value.reasons[-1].split("noise=")[1].split(" ")[0])
    compiled.twin(noise=borne, n_sequences=64)
    with pytest.raises(ProgramError):
        compiled.twin(noise=2.1 * borne)


# --- decoys --------------------------------------------------------------------------------------


def test_too_many_decoys_are_refused_with_how_many_can_be_borne():
    compiled = compiled_example("reverse", 3)
    with pytest.raises(ProgramError, match=r"with decoys=\d+ it can be proven") as error:
        compiled.twin(decoys=1000)
    borne = int(error.value.reasons[-1].split("decoys=")[1].split(" ")[0])
    assert len(compiled.twin(decoys=borne, n_sequences=64).decoys) == borne


def without(twin, decoy):
    """The weights, where what a decoy writes is 0."""
    block = twin.weights.blocks[decoy.block]
    if decoy.head is None:
        assert block.mlp is not None
        W_out = block.mlp.W_out.copy()
        W_out[decoy.neuron] = 0
        block = replace(block, mlp=replace(block.mlp, W_out=W_out))
    else:
        heads = list(block.heads)
        heads[decoy.head] = replace(heads[decoy.head], W_O=0 * heads[decoy.head].W_O)
        block = replace(block, heads=tuple(heads))
    blocks = list(twin.weights.blocks)
    blocks[decoy.block] = block
    return replace(twin, weights=replace(twin.weights, blocks=tuple(blocks)))


@pytest.mark.parametrize("superpose", [None, 0.9])
@pytest.mark.parametrize("name", PROGRAMS)
def test_decoys_write_something_and_nothing_comes_of_it(name, superpose):
    compiled = compiled_example(name, 6)
    twin = compiled.twin(superpose=superpose, decoys=4, n_sequences=SAMPLE)
    assert len(twin.decoys) == 4
    assert sum(twin.sizes.heads) + sum(twin.sizes.hidden) >= 4
    batch = sample(compiled)
    tokens = model_tokens(batch, twin.weights)
    logits, whole = outputs_and_residual(twin.model, tokens)
    there = np.arange(batch.ids.shape[1]) < batch.lengths[:, None]
    for decoy in twin.decoys:
        ablated = without(twin, decoy)
        others, rest = outputs_and_residual(ablated.model, tokens)
        np.testing.assert_allclose(others[there], logits[there], atol=1e-3)
        gone = (whole - rest)[there]
        assert np.abs(gone @ decoy.direction).max() > 0.05
        assert set(decoy.reads) <= {variable.name for variable in twin.layout.variables}
        assert np.abs(twin.directions @ decoy.direction).max() < 1e-12
    assert all(str(decoy) in twin.describe() for decoy in twin.decoys)


# --- what is wrong is caught -----------------------------------------------------------------


def test_two_swapped_code_words_are_caught():
    twin = compiled_example("induction").twin(superpose=0.6, n_sequences=SAMPLE)
    W_E = twin.weights.W_E.copy()
    W_E[[0, 1]] = W_E[[1, 0]]
    with pytest.raises(Disagreement, match="tokens is off by"):
        certify(twin, weights=replace(twin.weights, W_E=W_E))
    tokens = twin.layout["tokens"]
    code = twin.coding.codes[tokens].copy()
    code[[0, 1]] = code[[1, 0]]
    coding = replace(twin.coding, codes={**twin.coding.codes, tokens: code})
    with pytest.raises(Disagreement, match="tokens is off by"):
        certify(twin, coding=coding)
    certify(twin)


def test_coherence_beyond_what_the_scale_allows_for_is_caught():
    """Of words that are nearer than they should be, attention goes to neighbours too."""
    twin = compiled_example("reverse").twin(superpose=0.5, n_sequences=SAMPLE)
    place = twin.placement.find("reverse")
    assert place is not None and place.head is not None
    blocks = list(twin.weights.blocks)
    heads = list(blocks[place.block].heads)
    heads[place.head] = replace(heads[place.head], W_Q=heads[place.head].W_Q / 8)
    blocks[place.block] = replace(blocks[place.block], heads=tuple(heads))
    with pytest.raises(Disagreement, match="reverse is off by"):
        certify(twin, weights=replace(twin.weights, blocks=tuple(blocks)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"superpose": 0}, "superpose: expected a number between 0 and 1, or None, got 0."),
        ({"superpose": 1.5}, "superpose: expected a number between 0 and 1, or None, got 1.5."),
        ({"decoys": -1}, "decoys: expected a whole number >= 0, got -1."),
        ({"noise": 1}, "noise: expected a number from 0 to 1, got 1."),
        ({"decoys": True}, "decoys: expected a whole number >= 0, got True."),
    ],
)
def test_bad_arguments_are_named(how, message):
    with pytest.raises(InputError) as error:
        compiled_example("hist", 4).twin(**how)
    assert str(error.value) == message
