"""Truth by enumeration against closed forms, and against trying every set."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from circuit_cases import ALL, H0L, H0M, H1L, H1M, K0, K1, ML, RESAMPLED, V0, V1, gate_subject
from random_weights import random_tokens, random_weights

from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.circuit_truth import Bounds
from groundtruth.errors import InputError, Undefined
from groundtruth.generators.attention_circuits import induction
from groundtruth.generators.gates import gate
from groundtruth.model_subject import ModelSubject
from groundtruth.models.transformer import Transformer
from groundtruth.models.weights import Block, Head, Weights
from groundtruth.structural_edges import live_edges, structural_edges


@pytest.mark.parametrize("name", RESAMPLED)
def test_every_gate_has_the_circuits_of_its_closed_form(name):
    structural, singly, circuits = RESAMPLED[name]
    truth = enumerate_circuits(gate_subject(name))
    assert truth.complete
    assert (truth.structural, truth.singly_active) == (structural, singly)
    assert {*truth.circuits} == {frozenset(c) for c in circuits}
    assert truth.members("core") == set.intersection(*map(set, circuits))
    assert truth.members("relevant") == set.union(*map(set, circuits))


def test_the_truth_depends_on_the_ablation():
    # Without its position a head attends to all three alike, and brings 2/3 of (1, 1).
    everything = {V0, V1, K0, K1, H0M, H1M, ML}
    zeroed = enumerate_circuits(gate_subject("and", "zero"))
    assert zeroed.members("core") == zeroed.members("relevant") == everything
    # The mean over one input is that input.
    alone = enumerate_circuits(gate_subject("and", "mean"))
    assert alone.circuits == (frozenset(),)
    # Over all four it is 1/2 for each head, 1/4 for the neuron; positions never change.
    mean = enumerate_circuits(gate_subject("and", "mean", ALL))
    assert mean.members("core") == {V0, V1, H0M, H1M, ML}
    assert zeroed.condition != mean.condition


def test_or_of_one_and_one_is_a_constant_under_zero_ablation():
    # The neuron is silent there: without any edge the output is its constant 1.
    assert enumerate_circuits(gate_subject("or", "zero")).circuits == (frozenset(),)
    over_all = enumerate_circuits(gate_subject("or", "zero", ALL))
    assert over_all.members("core") == {V0, V1, K0, K1, H0M, H1M, ML}


def test_cancelling_heads_matter_once_the_inputs_are_paired_otherwise():
    truth = enumerate_circuits(gate_subject("cancelling"))
    assert truth.singly_active == {V0, V1, H0L, H1L}
    assert truth.members("relevant") == frozenset()


@pytest.mark.parametrize(
    ("name", "circuits"),
    [
        ("and", [{"embed", "a0.h0", "a0.h1", "m0"}]),
        ("or", [{"embed", "a0.h0", "m0"}, {"embed", "a0.h1", "m0"}]),
        ("backup", [{"embed", "a0.h0"}, {"embed", "a0.h1", "m0"}]),
        ("saturated", [{"embed", "a0.h0", "m0"}]),
        ("cancelling", [set()]),
        ("decoy", [{"embed", "a0.h0"}]),
    ],
)
def test_nodes_are_enumerated_as_edges_are(name, circuits):
    truth = enumerate_circuits(gate_subject(name), "node")
    assert {*truth.circuits} == {frozenset(c) for c in circuits}


def test_heads_that_read_as_one():
    truth = enumerate_circuits(gate_subject("or", granularity="head"))
    expected = [{("embed", h), (h, "m0"), ("m0", "logits")} for h in ("a0.h0", "a0.h1")]
    assert {*truth.circuits} == {frozenset(c) for c in expected}


def random_subject(seed, ablation, granularity="head"):
    """One head and an MLP, most entries 0, so that some edges have no weight."""
    rng = np.random.default_rng(seed)
    weights = random_weights(rng, heads=[[(2, 1)]], d_mlp=[3], d_model=4)
    for array in weights.arrays().values():
        array *= rng.random(array.shape) < 0.4
    tokens, paired = (random_tokens(rng, weights, [3, 3]) for _ in range(2))
    settings = {"paired": paired, "pairing": "random"} if ablation == "resample" else {}
    model = Transformer(weights, torch.float64)
    return ModelSubject(
        model, tokens, lambda out: out[..., -1, 0], ablation, granularity=granularity, **settings
    )


def by_trying_all(subject, unit):
    """Minimal valid circuits, over all subsets of the universe."""
    n = len(subject.universe(unit))
    kept = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1 == 1
    moved = subject.ablated(unit, kept) - subject.outputs()
    valid = kept[(moved[:, subject.counted].abs().amax((1, 2)) <= 1e-6).numpy()]

    def is_minimal(row):
        return not any((other <= row).all() and (other < row).any() for other in valid)

    return {subject.universe(unit).members(row) for row in valid if is_minimal(row)}


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
@pytest.mark.parametrize("unit", ["edge", "node"])
def test_nothing_that_is_left_out_was_a_circuit(ablation, unit):
    sizes = set()
    for seed in range(12):
        subject = random_subject(seed, ablation)
        expected = by_trying_all(subject, unit)
        assert {*enumerate_circuits(subject, unit).circuits} == expected
        sizes |= {len(circuit) for circuit in expected}
    assert len(sizes) > 1


def test_nor_where_the_partner_is_padded_otherwise():
    # The share of tokens among one and begin-of-sequence is 1/2. The partner's two make it 2/3, but
    # the head sees one of them, whatever its edges carry: the partner's values are as good.
    nothing, one, out = np.zeros((2, 1)), np.eye(2)[:, :1], np.eye(2)[:, 1:]
    share = Head(nothing, np.zeros(1), nothing, np.zeros(1), one, np.zeros(1), out.T)
    block = Block((share,), np.zeros(2), None)
    W_E = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    weights = Weights(W_E, np.zeros((3, 2)), (block,), out, np.zeros(1), bos=0, pad=1)
    model = Transformer(weights, torch.float64)
    subject = ModelSubject(
        model, [[0, 2, 1]], lambda out: out[..., 1, 0], "resample", [[0, 2, 2]], "longer"
    )
    expected = {("a0.h0", "logits")}
    assert by_trying_all(subject, "edge") == {frozenset(expected)}
    assert enumerate_circuits(subject).circuits == (frozenset(expected),)


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_edges_without_weight_have_no_effect_in_any_company(ablation):
    rng = np.random.default_rng(0)
    dead = 0
    for seed in range(12):
        subject = random_subject(seed, ablation, "qkv")
        edges = subject.universe("edge").edges
        live = live_edges(subject)
        assert live <= structural_edges(subject.model.to_weights(), edges)
        kept = rng.random((20, len(edges))) < 0.5
        without = kept & np.array([edge in live for edge in edges])
        both = subject.ablated("edge", kept), subject.ablated("edge", without)
        assert torch.allclose(*both, rtol=0, atol=1e-9)
        dead += len(edges) - len(live)
    assert dead > 12


@pytest.mark.parametrize("name", RESAMPLED)
@pytest.mark.parametrize("ablation", ["resample", "zero"])
def test_bounds_hold_the_truth_where_not_all_sets_are_tried(name, ablation):
    subject = gate_subject(name, ablation, None if ablation == "resample" else ALL)
    exact = enumerate_circuits(subject)
    for limit in (0, 3, 5):
        bounded = enumerate_circuits(subject, limit=limit)
        for which in ("core", "relevant"):
            bounds, truth = getattr(bounded, which), exact.members(which)
            assert bounds.lower <= truth <= bounds.upper
        assert {*bounded.circuits} <= {*exact.circuits}
        assert bounded.singly_active == exact.singly_active


def test_a_truth_is_printed_as_sizes_condition_and_relevant_set():
    sizes, found, condition, relevant = str(enumerate_circuits(gate_subject("backup"))).split("\n")
    assert sizes == (
        "5 nodes besides the outputs, 21 edges, of which 8 structural (0 constant), "
        "2 singly active, 0 core, 5 relevant (4 at an embedding or the outputs)"
    )
    assert found == "minimal valid circuits: 2, by enumeration"
    assert condition.startswith("under resample ablation with both 0 on inputs ")
    assert relevant == (
        "relevant: a0.h0 > logits, a0.h1 > m0, embed > a0.h0.v, embed > a0.h1.v, m0 > logits"
    )
    bounded = enumerate_circuits(gate_subject("backup"), limit=3)
    assert repr(bounded) == "<CircuitTruth: 5 to 6 of 21 edges relevant>"
    assert "minimal valid circuits: at least 2" in str(bounded)
    nodes = str(enumerate_circuits(gate_subject("backup"), "node"))
    assert nodes.startswith("5 nodes besides the outputs, of which 5 structural")


def test_a_set_that_is_not_known_is_not_given():
    bounded = enumerate_circuits(gate_subject("backup"), limit=3)
    assert not bounded.complete
    assert bounded.relevant == Bounds(
        frozenset({V0, H0L, V1, H1M, ML}), frozenset({V0, H0L, V1, H1M, ML, H0M})
    )
    with pytest.raises(Undefined) as error:
        bounded.members("relevant")
    assert str(error.value) == "the relevant set is not known: between 5 and 6 edges"
    with pytest.raises(InputError, match="which: expected one of structural, singly_active"):
        bounded.members("active")


def test_sets_that_contradict_are_refused():
    truth = enumerate_circuits(gate_subject("and"))
    with pytest.raises(InputError, match="singly_active: expected only structural"):
        dataclasses.replace(truth, structural=frozenset())
    with pytest.raises(InputError, match="circuits: expected each to hold core"):
        dataclasses.replace(truth, circuits=(frozenset(),))
    with pytest.raises(InputError, match="core: expected a lower bound within the upper"):
        dataclasses.replace(truth, core=Bounds(truth.structural, frozenset()), complete=False)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="tolerance: expected a positive number, got 0"):
        enumerate_circuits(gate_subject("and"), tolerance=0)
    with pytest.raises(InputError, match="limit: expected 0 to 24, got 30"):
        enumerate_circuits(gate_subject("and"), limit=30)


def test_outputs_that_are_not_finite_are_refused():
    weights = gate("decoy").weights
    weights = dataclasses.replace(weights, W_E=1e30 * weights.W_E, W_U=1e30 * weights.W_U)
    model = Transformer(weights, torch.float32)
    with pytest.raises(InputError, match="metric: expected finite numbers"):
        ModelSubject(model, [[0, 3, 3]], lambda out: out[..., -1, 0], "zero")
    subject = ModelSubject(model, [[0, 3, 3]], lambda out: out[..., -1, 0].nan_to_num(), "zero")
    with pytest.raises(InputError, match="expected more than the rounding of the outputs"):
        enumerate_circuits(subject)


def test_every_pair_of_subsets_of_or_has_the_outputs_of_its_formula():
    # A second route: keeping H0M and H1M or not, with V and the positions intact.
    subject = gate_subject("or", tokens=[[0, 3, 2]], paired=[[0, 2, 2]], pairing="a = 0")
    universe = subject.universe("edge")
    for a_kept, b_kept in itertools.product((True, False), repeat=2):
        kept = np.ones((1, len(universe)), dtype=bool)
        kept[0, [universe.place[H0M], universe.place[H1M]]] = a_kept, b_kept
        assert float(subject.value(subject.ablated("edge", kept))) == (1.0 if a_kept else 0.0)


def test_induction_needs_positions_only_where_they_are_ablated():
    made = induction(4, 6)
    rng = np.random.default_rng(0)
    tokens, paired = (rng.integers(2, 6, (8, 7)) for _ in range(2))
    tokens[:, 4:] = tokens[:, 1:4]
    tokens[:, 0] = paired[:, 0] = 0
    positions = {("pos_embed", "a0.h0.q"), ("pos_embed", "a0.h0.k")}
    rest = {
        ("embed", "a0.h0.v"),
        ("a0.h0", "a1.h0.k"),
        ("embed", "a1.h0.q"),
        ("embed", "a1.h0.v"),
        ("a1.h0", "logits"),
    }
    model = Transformer(made.weights, torch.float64)
    settings = {"paired": paired, "pairing": "independent"}
    for ablation, expected in (
        ("zero", positions | rest),
        ("mean", rest),
        ("resample", rest),
    ):
        used = settings if ablation == "resample" else {}
        subject = ModelSubject(model, tokens, lambda out: out[..., -1, 2], ablation, **used)
        truth = enumerate_circuits(subject)
        assert truth.structural == positions | rest
        assert truth.members("core") == truth.members("relevant") == expected
        assert truth.singly_active == expected
