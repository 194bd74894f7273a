"""Causal tracing on gates, in closed form: at (1, 1), each bit blurred by a deviation of 1.5."""

from __future__ import annotations

import math

import numpy as np
import pytest
from circuit_cases import gate_subject, last
from random_weights import random_tokens, random_weights
from scipy import stats

from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.errors import InputError
from groundtruth.evaluators.circuits import score_circuit
from groundtruth.methods.causes import causal_tracing
from groundtruth.methods.causes.tracing import trace
from groundtruth.model_subject import ModelSubject
from groundtruth.models.transformer import Transformer

DRAWS = 400
SIZE = 1.5  # bits have deviation 1/2, noise three times that


def strengths(name, **settings):
    found = causal_tracing(gate_subject(name), draws=DRAWS, **settings)
    return dict(zip(found.universe.candidates, found.strengths))


def ramp(mean, deviation):
    """E ReLU(x) of a Gaussian."""
    z = mean / deviation
    return deviation * stats.norm.pdf(z) + mean * stats.norm.cdf(z)


def test_what_is_read_is_restored_and_what_is_not_is_not():
    found = strengths("decoy")
    # |noise| has mean SIZE sqrt(2 / pi); five standard errors, a false alarm in a million.
    expected = SIZE * math.sqrt(2 / math.pi)
    assert abs(found["a0.h0"] - expected) < 5 * SIZE / math.sqrt(DRAWS)
    assert found["embed"] == pytest.approx(found["a0.h0"])
    assert found["a0.h1"] == found["pos_embed"] == 0


def test_either_input_of_or_restores_a_part():
    found = strengths("or", absolute=False)
    # 1 - ReLU(1 - a - b): both blurred, and one of them.
    lost = ramp(-1, SIZE * math.sqrt(2))
    half = lost - ramp(-1, SIZE)
    error = 5 * 1.5 / math.sqrt(DRAWS)
    assert abs(found["m0"] - lost) < error and found["embed"] == pytest.approx(found["m0"])
    for head in ("a0.h0", "a0.h1"):
        assert abs(found[head] - half) < error


def test_of_cancelling_heads_each_undoes_what_the_other_kept_still():
    found = strengths("cancelling")
    expected = -SIZE * math.sqrt(2 / math.pi)
    for head in ("a0.h0", "a0.h1"):
        assert abs(found[head] - expected) < 5 * SIZE / math.sqrt(DRAWS)
    assert found["embed"] == pytest.approx(0, abs=1e-12)


def test_a_linear_metric_has_no_indirect_effect_on_average():
    found = strengths("decoy", absolute=False)
    assert abs(found["a0.h0"]) < 5 * SIZE / math.sqrt(DRAWS)


def test_positions_are_restored_one_by_one():
    subject = gate_subject("decoy")
    found = trace(subject, draws=20, by_position=True)
    whole = trace(subject, draws=20)
    nodes = list(subject.universe("node").candidates)
    # The first input's embedding matters, and what the head writes at the last position.
    assert found[nodes.index("embed")].tolist() == pytest.approx([0, whole[0, 0], 0])
    assert found[nodes.index("a0.h0")].tolist() == pytest.approx([0, 0, whole[2, 0]])


def test_it_ranks_nodes_and_the_seed_is_all_that_moves_it():
    subject = gate_subject("saturated")
    first, again, other = (causal_tracing(subject, seed=seed) for seed in (0, 0, 1))
    assert first.strengths.tolist() == again.strengths.tolist() != other.strengths.tolist()
    truth = enumerate_circuits(subject, "node")
    assert score_circuit(truth, first)["circuit.node_auroc"].value == 1


def test_it_runs_on_any_transformer_and_leaves_it_as_it_was():
    rng = np.random.default_rng(0)
    weights = random_weights(rng, heads=[[(2, 2), (1, 3)], [(2, 2)]], d_mlp=[4, 3])
    model = Transformer(weights)
    tokens = random_tokens(rng, weights, [4, 4, 2])
    subject = ModelSubject(model, tokens, last, "mean")
    found = causal_tracing(subject, draws=3)
    assert len(found.strengths) == len(subject.universe("node"))
    assert np.isfinite(found.strengths).all()
    assert not any(point.hooked for point in model.hook_points.values())


def test_arguments_out_of_range_are_refused():
    with pytest.raises(InputError, match="noise: expected a number above 0, got 0"):
        causal_tracing(gate_subject("or"), noise=0)
    with pytest.raises(InputError, match="draws: expected at least 1, got 0"):
        causal_tracing(gate_subject("or"), draws=0)
