"""The search over states against trying every set with the same arithmetic."""

from __future__ import annotations

import itertools

import pytest

from groundtruth.compiled_models import circuit_subject, compile_program, flow_circuits, library
from groundtruth.compiled_models.circuits import flow_circuits as by_program

CONDITIONS = [
    {"ablation": "zero"},
    {"ablation": "mean"},
    {"pairing": "equal length"},
    {"pairing": "mixed length"},
]


def search_of(name: str, unit="edge", granularity="qkv", **condition):
    compiled = compile_program(
        library.example_program(name), vocab=library.entry(name).vocab, max_length=4, n_sequences=1
    )
    subject = circuit_subject(compiled, granularity=granularity, **condition)
    return by_program(compiled, subject, unit, 1e-6)


def by_trying_all(search) -> set[frozenset]:
    carrying = {
        search.candidate(node, wire)
        for node in search.flow.nodes
        for wire in search.flow.wires(node)
    }
    valid = []
    for n in range(len(carrying) + 1):
        for members in map(frozenset, itertools.combinations(carrying, n)):
            smaller = any(found < members for found in valid)
            if not smaller and search.is_right(search.outputs(members)):
                valid.append(members)
    return set(valid)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(
    ("unit", "granularity"), [("edge", "qkv"), ("edge", "head"), ("node", "qkv")]
)
@pytest.mark.parametrize("name", ["hist", "frac_prevs", "maximum", "shift_by", "argmax"])
def test_states_leave_out_no_circuit(name, unit, granularity, condition):
    search = search_of(name, unit, granularity, **condition)
    assert {*search.minimal()} == by_trying_all(search)


@pytest.mark.parametrize("limit", ["MOST_SETS", "MOST_NUMBERS"])
def test_too_many_states_are_given_up(monkeypatch, limit):
    search = search_of("hist", ablation="zero")
    assert search.minimal() is not None
    monkeypatch.setattr(flow_circuits, limit, 1)
    assert search.minimal() is None
    assert search.singly_active()
