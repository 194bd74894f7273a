"""Every gate gives every method its known signature: so a scorer's fault is told from a method's.

Gates at (1, 1), patched from (0, 0); positions are the same in both runs and carry nothing.
"""

from __future__ import annotations

import numpy as np
import pytest
from circuit_cases import H0L, H0M, H1L, H1M, ML, OFF, ON, RESAMPLED, V0, V1, gate_subject

from groundtruth.circuit import Circuit
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.evaluators.circuits import score_circuit
from groundtruth.methods import circuits as methods
from groundtruth.models.guard import guarded

AND = {V0: 1, V1: 1, H0M: 1, H1M: 1, ML: 1}
CANCELLING = {V0: 1, V1: -1, H0L: 1, H1L: -1}
DECOY = {V0: 1, H0L: 1}
SATURATED = {V0: 1, H0M: 1, ML: 1}

# What each method says of each edge, with its sign; of edges that are not named, 0.
SIGNED = {
    "edge_patching": {
        "and": AND,
        "or": {ML: 1},
        "backup": {H0L: 1, H0M: -1},
        "saturated": SATURATED,
        "cancelling": CANCELLING,
        "decoy": DECOY,
    },
    # To first order: AND is counted double, what is saturated or redundant is missed.
    "eap": {
        "and": AND,
        "or": {ML: 1},
        "backup": {V0: 1, H0L: 1},
        "saturated": {ML: 1},
        "cancelling": CANCELLING,
        "decoy": DECOY,
    },
    # On mixed inputs an AND and an OR are shared out between their inputs.
    "eap_ig_inputs": {
        "and": {V0: 0.5, V1: 0.5, H0M: 0.5, H1M: 0.5, ML: 1},
        "or": {V0: 0.5, V1: 0.5, H0M: 0.5, H1M: 0.5, ML: 1},
        "backup": {V0: 1, H0L: 1},
        "saturated": SATURATED,
        "cancelling": CANCELLING,
        "decoy": DECOY,
    },
    # One writer moves at a time: both heads follow embed, but not each other.
    "eap_ig_activations": {
        "and": {V0: 0.5, V1: 0.5, H0M: 1, H1M: 1, ML: 1},
        "or": {V0: 0.5, V1: 0.5, ML: 1},
        "backup": {V0: 1, H0L: 1, H0M: -1},
        "saturated": SATURATED,
        "cancelling": CANCELLING,
        "decoy": DECOY,
    },
}

NODES = {
    "activation_patching": {
        "and": {"embed": 1, "a0.h0": 1, "a0.h1": 1, "m0": 1},
        "or": {"embed": 1, "m0": 1},
        "backup": {"embed": 1},
        "saturated": {"embed": 1, "a0.h0": 1, "m0": 1},
        "cancelling": {"a0.h0": 1, "a0.h1": -1},
        "decoy": {"embed": 1, "a0.h0": 1},
    },
    "attribution_patching": {
        "and": {"embed": 2, "a0.h0": 1, "a0.h1": 1, "m0": 1},
        "or": {"m0": 1},
        "backup": {"embed": 1, "a0.h0": 1},
        "saturated": {"m0": 1},
        "cancelling": {"a0.h0": 1, "a0.h1": -1},
        "decoy": {"embed": 1, "a0.h0": 1},
    },
}

# Of two ways to the same output ACDC, which goes from the outputs back, cuts the later.
SETS = {
    "and": set(AND),
    "or": {V0, H0M, ML},
    "backup": {V0, H0L},
    "saturated": set(SATURATED),
    "cancelling": set(CANCELLING),
    "decoy": set(DECOY),
}

ALL = [(method, name) for table in (SIGNED, NODES) for method in table for name in table[method]]


@pytest.mark.parametrize(("method", "name"), ALL)
def test_signatures(method, name):
    expected = (SIGNED | NODES)[method][name]
    found = getattr(methods, method)(gate_subject(name), absolute=False)
    said = dict(zip(found.universe.candidates, found.strengths.tolist()))
    assert {c: v for c, v in said.items() if abs(v) > 1e-9} == pytest.approx(expected)


@pytest.mark.parametrize(("method", "name"), ALL)
def test_strengths_are_the_sizes_of_effects(method, name):
    run = getattr(methods, method)
    signed = run(gate_subject(name), absolute=False).strengths
    assert np.allclose(run(gate_subject(name)).strengths, np.abs(signed), atol=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_acdc_keeps_one_of_what_is_redundant(name):
    assert methods.acdc(gate_subject(name)).members == SETS[name]


@pytest.mark.parametrize("name", SETS)
def test_a_sweep_ranks_by_the_largest_threshold_that_an_edge_survives(name):
    subject, thresholds = gate_subject(name), (0.01, 0.5, 1.5)
    found = methods.acdc_sweep(subject, thresholds=thresholds[::-1])
    kept = [methods.acdc(subject, threshold=t).claimed for t in thresholds]
    expected = [max([0.0, *(t for t, on in zip(thresholds, e) if on)]) for e in zip(*kept)]
    assert found.strengths.tolist() == expected
    # All that a gate's edges move is 1: they survive at the last but one.
    assert {e for e, s in zip(found.universe.edges, expected) if s == 0.5} == SETS[name]


def test_a_sweep_takes_its_scale_from_the_metric():
    found = methods.acdc_sweep(gate_subject("and"))
    assert np.unique(found.strengths) == pytest.approx([0, 1])
    # Where ablating everything moves nothing, single edges still may.
    cancelling = methods.acdc_sweep(gate_subject("cancelling"))
    assert np.unique(cancelling.strengths) == pytest.approx([0, 1])
    with pytest.raises(ValueError, match="thresholds: expected numbers above 0"):
        methods.acdc_sweep(gate_subject("and"), thresholds=[0.1, 0])


@pytest.mark.parametrize("name", RESAMPLED)
def test_the_oracle_has_what_the_closed_form_says(name):
    circuits = RESAMPLED[name][2]
    found = methods.group_ablation(gate_subject(name))
    assert found.members == set.union(*circuits)
    expected = {c: sum(c in circuit for circuit in circuits) / len(circuits) for c in found.members}
    assert {c: found.strengths[found.universe.place[c]] for c in found.members} == expected


def test_edge_pruning_finds_what_has_one_way_only():
    for name in ("and", "decoy"):
        assert methods.edge_pruning(gate_subject(name), steps=80).members == SETS[name]


def test_edge_pruning_draws_by_its_seed():
    first, again, other = (
        methods.edge_pruning(gate_subject("or"), seed=seed, steps=20).strengths
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_saturated_gate_has_a_slope_from_its_other_side():
    subject = gate_subject("saturated", tokens=[OFF], paired=[ON], pairing="both 1")
    strengths = methods.eap(subject, absolute=False).strengths
    assert strengths[subject.universe("edge").place[V0]] == -2


def test_information_flow_sees_what_is_written_and_not_what_is_read():
    # The decoy's second head writes as the first does; that nobody reads it plays no part.
    found = methods.information_flow(gate_subject("decoy"))
    place = found.universe.place
    assert found.strengths[place[H0L]] == found.strengths[place[H1L]] > 0
    # In OR the neuron is silent at (1, 1): what writes nothing contributes nothing, nor what
    # is read only by it.
    silent = methods.information_flow(gate_subject("or"))
    assert [silent.strengths[place_] for place_ in map(silent.universe.place.get, (ML, H0M))] == [
        0,
        0,
    ]


def test_information_flow_shares_by_nearness():
    # At the last position of (1, 1) the outputs of "decoy" see the token's bit, the position's
    # coordinate and two heads that bring 1 each: four equal shares; at bos there is no bit.
    subject = gate_subject("decoy", counted=[[False, False, True]])
    found = methods.information_flow(subject)
    into = [e for e in found.universe.edges if e.reader == "logits"]
    assert [found.strengths[found.universe.place[e]] for e in into] == [0.25] * 4
    bos = methods.information_flow(gate_subject("decoy", counted=[[True, False, False]]))
    assert [bos.strengths[bos.universe.place[e]] for e in into] == pytest.approx([0] + [1 / 3] * 3)


def test_every_method_names_the_condition_and_itself():
    subject = gate_subject("or")
    for name in methods.__all__:
        settings = {"steps": 2} if name == "edge_pruning" else {}
        found = getattr(methods, name)(subject, seed=1, **settings)
        assert (found.name, found.condition) == (name, subject.condition)
        assert found.universe == subject.universe(found.universe.unit)
        assert all(parameter.grad is None for parameter in subject.model.parameters())


@pytest.mark.parametrize("name", methods.__all__)
def test_nothing_is_left_on_the_model(name):
    subject = gate_subject("and")
    settings = {"steps": 2} if name == "edge_pruning" else {}
    with guarded(subject.model) as damage:
        getattr(methods, name)(subject, **settings)
    assert not damage


def test_a_method_from_outside_is_scored_as_ours():
    def largest_weights(subject, *, seed=0):
        """The writers with the longest vectors."""
        length = {name: float(value.norm()) for name, value in subject.written.items()}
        return Circuit(subject.universe("node"), length, condition=subject.condition)

    subject = gate_subject("decoy")
    scores = score_circuit(enumerate_circuits(subject, "node"), largest_weights(subject))
    # Positions and both heads write 1 at each of three positions, embed at two: the right head is
    # tied with both wrong nodes, and embed lies below them.
    assert scores["circuit.node_auroc"].value == 0.25


def test_wrong_parameters_are_refused():
    subject = gate_subject("or")
    with pytest.raises(ValueError, match="threshold: expected a number above 0, got 0"):
        methods.acdc(subject, threshold=0)
    for steps in (0, 2.5):
        with pytest.raises(ValueError, match="steps: expected a whole number, at least 1, got"):
            methods.eap_ig_inputs(subject, steps=steps)
    with pytest.raises(ValueError, match="sparsity: expected a positive number, got -1"):
        methods.edge_pruning(subject, sparsity=-1)
