"""Certificates: each kind of damage to the weights is caught, and what is said is true."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.certificate import Disagreement, affordable, certified
from groundtruth.models import Weights


def compiled_example(name: str, max_length: int = 6, **how):
    entry = library.entry(name)
    program = library.example_program(name)
    return compile_program(program, vocab=entry.vocab, max_length=max_length, **how)


def certify(compiled, weights: Weights, n: int | None = 2000):
    return certified(compiled.analysis, compiled.layout, weights, n=n, seed=0)


def with_mlp(weights: Weights, block: int, **changed: np.ndarray) -> Weights:
    old = weights.blocks[block]
    assert old.mlp is not None
    blocks = list(weights.blocks)
    blocks[block] = replace(old, mlp=replace(old.mlp, **changed))
    return replace(weights, blocks=tuple(blocks))


def with_head(weights: Weights, block: int, head: int, **changed: np.ndarray) -> Weights:
    old = weights.blocks[block]
    heads = list(old.heads)
    heads[head] = replace(heads[head], **changed)
    blocks = list(weights.blocks)
    blocks[block] = replace(old, heads=tuple(heads))
    return replace(weights, blocks=tuple(blocks))


def test_what_was_compiled_passes_again():
    compiled = compiled_example("hist")
    assert certify(compiled, compiled.weights, n=None) == compiled.certificate


def test_a_weight_nudged_beyond_the_bound_is_caught_though_no_output_changes():
    compiled = compiled_example("reverse")
    place = compiled.placement.find("opposite")
    assert place is not None and place.neurons is not None
    mlp = compiled.weights.blocks[place.block].mlp
    assert mlp is not None
    W_out = mlp.W_out.copy()
    W_out[place.neurons[-1]] *= 1.01
    with pytest.raises(
        Disagreement, match=r"opposite is off by 1.00e-02, beyond the .* that was proven"
    ):
        certify(compiled, with_mlp(compiled.weights, place.block, W_out=W_out))


def test_a_swapped_threshold_is_caught_with_the_sequence_that_shows_it():
    compiled = compiled_example("hist")
    mlp = compiled.weights.blocks[0].mlp
    assert mlp is not None
    b_in = mlp.b_in.copy()
    b_in[[0, 2]], b_in[[1, 3]] = b_in[[2, 0]], b_in[[3, 1]]
    with pytest.raises(Disagreement) as error:
        certify(compiled, with_mlp(compiled.weights, 0, b_in=b_in))
    broken = error.value.sequence
    assert 1 <= len(broken) <= 6 and set(broken) <= set("abc")
    assert repr(broken) in str(error.value)


def test_attention_that_leaks_is_caught():
    compiled = compiled_example("shift_by")
    place = compiled.placement.find("shift_by")
    assert place is not None and place.head is not None
    head = compiled.weights.blocks[place.block].heads[place.head]
    blunt = with_head(compiled.weights, place.block, place.head, W_Q=head.W_Q / 8)
    with pytest.raises(Disagreement, match="shift_by is off by"):
        certify(compiled, blunt)


def test_a_head_that_attends_to_padding_or_later_positions_is_caught():
    compiled = compiled_example("average", 20)
    with pytest.raises(Disagreement):
        certify(compiled, replace(compiled.weights, causal=True))
    W_E = np.vstack([compiled.weights.W_E, np.zeros(compiled.weights.d_model)])
    unpadded = replace(compiled.weights, W_E=W_E, pad=len(W_E) - 1)
    certify(compiled, unpadded)  # another id for padding does no harm
    with pytest.raises(Disagreement):
        certify(compiled, replace(compiled.weights, pad=0))


def test_the_wrong_output_is_caught():
    compiled = compiled_example("hist")
    with pytest.raises(Disagreement, match="the model's output is not the interpreter's"):
        certify(compiled, replace(compiled.weights, W_U=compiled.weights.W_U[:, ::-1].copy()))


@pytest.mark.parametrize("name", ["hist", "reverse", "sentiment", "running_mean"])
def test_random_damage_is_caught(name):
    """What a neuron writes, changed by a tenth and 0.01 everywhere; one neuron in eight."""
    compiled = compiled_example(name, 5)
    for block, old in enumerate(compiled.weights.blocks):
        if old.mlp is None:
            continue
        for unit in range(0, old.mlp.W_out.shape[0], 8):
            W_out = old.mlp.W_out.copy()
            W_out[unit] = W_out[unit] * 1.1 + 0.01
            with pytest.raises(Disagreement):
                certify(compiled, with_mlp(compiled.weights, block, W_out=W_out))


def test_all_sequences_are_tried_where_there_are_no_more_than_asked_for():
    all_of_them = compiled_example("hist", 4, n_sequences=120).certificate
    assert (all_of_them.exhaustive, all_of_them.n_sequences) == (True, 120)
    assert str(all_of_them).startswith("agrees with the interpreter on all 120 sequences\n")
    some = compiled_example("hist", 4, n_sequences=119, seed=3).certificate
    assert (some.exhaustive, some.n_sequences, some.seed) == (False, 119, 3)
    assert str(some).startswith("agrees with the interpreter on a sample (seed 3) of 119 sequences")


def test_the_number_of_sequences_is_a_function_of_sizes_alone():
    small, large = compiled_example("hist", 5), compiled_example("frequency", 30)
    assert affordable(small.weights, 5) == 100_000
    assert 64 <= affordable(large.weights, 30) < 20_000
    assert large.certificate.n_sequences == affordable(large.weights, 30)


def test_margins_are_of_every_s_op_and_hold():
    certificate = compiled_example("sort_freq", 8).certificate
    names = [margin.name for margin in certificate.margins]
    assert names == ["tokens", "hist", "indices", "target", "sort_freq"]
    for margin in certificate.margins:
        assert margin.seen <= margin.bound < margin.margin
    assert certificate.seen == max(margin.seen for margin in certificate.margins)


def test_a_disagreement_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(Disagreement("wrong", ["a"])))
    assert (str(error), error.sequence) == ("wrong", ["a"])
