"""Circuits that cannot be read as one are refused, with what, where and how to fix it."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_cases import H0M, ML, V0, gate_subject

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.condition import Condition
from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.generators.gates import gate
from groundtruth.model_subject import ModelSubject
from groundtruth.universe import universe_of

EDGES = universe_of(gate("saturated").weights)


def complete(**changed):
    return dict.fromkeys(EDGES.candidates, 0.0) | changed


def message(error, **arguments):
    with pytest.raises(error) as caught:
        Circuit(EDGES, **arguments)
    return str(caught.value)


def test_a_set_and_a_ranking():
    claim = Circuit(EDGES, members=[V0, H0M, ML])
    assert (claim.size, claim.members) == (3, {V0, H0M, ML})
    assert claim.strengths.sum() == 3
    ranked = Circuit(EDGES, {c: float(i) for i, c in enumerate(EDGES.candidates)})
    assert (ranked.size, ranked.members) == (None, None)
    assert np.flatnonzero(ranked.strongest(2)).tolist() == [len(EDGES) - 2, len(EDGES) - 1]
    assert not ranked.strengths.flags.writeable


def test_ties_are_cut_in_the_order_of_the_computation():
    assert circuit_of(EDGES, np.zeros(len(EDGES))).strongest(3).tolist()[:4] == [1, 1, 1, 0]


def test_what_was_ruled_out_may_be_minus_infinity():
    strengths = complete() | {V0: -np.inf}
    assert Circuit(EDGES, strengths).strengths.min() == -np.inf


def test_unknown_edges_are_answered_with_the_nearest():
    assert message(UnknownName, members=[("embed", "a0.h0.w")]).startswith(
        "No edge of this model is called 'embed > a0.h0.w'. Nearest: embed > a0.h0."
    )
    strengths = complete() | {("m0", "a0.h0.v"): 1.0}
    assert "No edge of this model is called 'm0 > a0.h0.v'." in message(
        UnknownName, strengths=strengths
    )
    for edge in (("m0", "m0"), ("embed", "a0.h0"), ("embed", "a0.h1.v")):
        message(UnknownName, members=[edge])


def test_members_twice():
    assert message(ExplanationError, members=[V0, ML, V0]) == (
        "members: expected each once, got embed > a0.h0.v twice."
    )


def test_strengths_that_are_no_numbers():
    strengths = complete() | {H0M: np.nan, ML: np.inf}
    assert message(ExplanationError, strengths=strengths) == (
        "strengths: expected numbers, or -inf for what was ruled out, got nan for a0.h0 > m0 "
        "(2 of 13)."
    )


def test_strengths_in_the_order_of_the_universe():
    numbers = np.arange(len(EDGES), dtype=float)
    assert Circuit(EDGES, numbers).strengths.tolist() == numbers.tolist()
    assert Circuit(EDGES, numbers.tolist()).strengths.tolist() == numbers.tolist()
    assert message(ExplanationError, strengths=numbers[1:]) == (
        "strengths: expected 13 numbers, one for each edge in the order of the universe, got shape "
        "(12,)."
    )
    assert "a number for each edge" in message(ExplanationError, strengths=["much", "little"])
    assert "got nan for" in message(ExplanationError, strengths=[np.nan] * 13)


def test_missing_strengths():
    strengths = {c: 0.0 for c in EDGES.candidates if c not in (V0, ML)}
    assert message(ExplanationError, strengths=strengths) == (
        "strengths: expected one for each of 13 edges, got none for 2, the first embed > a0.h0.v. "
        "Give -inf to what was ruled out, or pass members= for a set."
    )
    assert message(ExplanationError) == "a circuit: expected strengths or members, got neither."


def test_another_models_graph():
    claim = Circuit(EDGES, members=[V0])
    claim.check_universe(EDGES)
    # "decoy" without its second head has the nodes of "saturated": the weights tell them apart.
    with pytest.raises(ExplanationError, match="It was found in another model"):
        claim.check_universe(universe_of(gate("decoy").weights))
    with pytest.raises(ExplanationError) as error:
        claim.check_universe(universe_of(gate("saturated").weights, "node"))
    assert str(error.value) == (
        f"a circuit: expected one over 4 nodes (qkv) of model {EDGES.model[:8]}, got 13 edges "
        f"(qkv) of model {EDGES.model[:8]}. Compare with the truth of its unit and granularity."
    )


def test_a_model_and_its_float32_copy_are_one():
    subject = gate_subject("or")
    assert universe_of(subject.model.float().to_weights()) == universe_of(gate("or").weights)


def test_conditions_differ_by_inputs_ablation_and_pairing():
    here = gate_subject("or").condition
    assert here == gate_subject("or").condition
    others = [
        gate_subject("or", "zero").condition,
        gate_subject("or", pairing="chosen otherwise").condition,
        gate_subject("or", paired=[[0, 2, 3]]).condition,
        gate_subject("or", tokens=[[0, 3, 2]]).condition,
        gate_subject("or", counted=[[False, False, True]]).condition,
    ]
    for other in others:
        with pytest.raises(InputError, match="condition: expected resample ablation with both 0"):
            here.check_same(other)
    two = [[0, 3, 3], [0, 3, 2]]
    weighted = gate_subject("or", tokens=two, weights=[0.25, 0.75]).condition
    assert weighted != gate_subject("or", tokens=two).condition
    assert str(Condition("abcdef0123", "zero")) == "zero ablation on inputs abcdef01"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ablation": "none"}, 'ablation: expected "zero", "mean" or "resample", got \'none\'.'),
        ({"granularity": "heads"}, 'granularity: expected "head" or "qkv", got \'heads\'.'),
        ({"paired": None}, "paired: expected partners for resample ablation alone, got none."),
        ({"paired": [[0, 2]]}, r"paired: expected shape \(1, 3\), got \(1, 2\)"),
        ({"pairing": ""}, "pairing: expected a name that says how partners were chosen"),
        ({"weights": [0.5]}, "weights: expected 1 numbers that sum to 1"),
        ({"counted": [[False] * 3]}, "counted: expected .* one of them True"),
        ({"granularity": "heads"}, 'granularity: expected "head" or "qkv", got \'heads\'.'),
    ],
)
def test_a_subject_that_is_none_is_refused(settings, expected):
    with pytest.raises(InputError, match=expected):
        gate_subject("or", **{"ablation": "resample"} | settings)


def test_a_unit_that_is_none_is_refused():
    subject = gate_subject("or")
    with pytest.raises(InputError, match='unit: expected "edge" or "node", got'):
        subject.universe("edges")  # pyright: ignore[reportArgumentType]
    weights = subject.model.to_weights()
    with pytest.raises(InputError, match='unit: expected "edge" or "node", got'):
        universe_of(weights, "edges")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match='granularity: expected "head" or "qkv", got'):
        universe_of(weights, "edge", "q")  # pyright: ignore[reportArgumentType]


def test_a_metric_of_another_shape_is_refused():
    subject = gate_subject("or")
    with pytest.raises(InputError, match=r"metric: expected shape \(1, 1\) for outputs"):
        ModelSubject(subject.model, [[0, 3, 3]], lambda out: out.mean(), "zero")
    wrong = "metric: expected shape .*, got IndexError: index 5 is out of bounds"
    with pytest.raises(InputError, match=wrong):
        ModelSubject(subject.model, [[0, 3, 3]], lambda out: out[..., 5, 0], "zero")
    with pytest.raises(InputError, match="metric: expected finite numbers of the model as it is"):
        ModelSubject(subject.model, [[0, 3, 3]], lambda out: out[..., -1, 0] / 0, "zero")


def test_positions_that_count_may_be_marked_by_ones():
    ones, flags = (
        gate_subject("or", counted=[marks]) for marks in ([0, 0, 1], [False, False, True])
    )
    assert ones.condition == flags.condition
    assert enumerate_circuits(ones).circuits == enumerate_circuits(flags).circuits


def test_strengths_that_are_no_numbers_are_refused():
    nodes = gate_subject("or").universe("node")
    with pytest.raises(ExplanationError, match="strengths: expected a number each"):
        Circuit(nodes, dict.fromkeys(nodes.candidates))  # pyright: ignore[reportArgumentType]
