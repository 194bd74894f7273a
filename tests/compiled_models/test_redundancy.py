"""Of three copies two suffice: enumeration finds three circuits, and single edges show nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.compiled_models import Program, analyse, compile_program, library
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Map,
    Select,
    Vote,
    indices,
    numerical,
    tokens,
)
from groundtruth.compiled_models.inputs import uniform_inputs
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.errors import InputError, UnknownName
from groundtruth.model_subject import ModelSubject
from groundtruth.models.transformer import Transformer

previous = Select(indices, indices, lambda key, query: key == query - 1, name="previous")
COPY = Program(Aggregate(previous, tokens, "only", default="a", name="copy"), name="copy")


def truth_of(program: Program, ablation: str):
    """Which heads and MLPs matter, on all sequences of three tokens."""
    compiled = compile_program(program, vocab="ab", max_length=3, closed=True)
    batch = uniform_inputs(2, 3, n=1000, seed=0).batch
    rows = np.flatnonzero(batch.lengths == 3)
    ids = model_tokens(batch, compiled.weights)[rows]
    paired = {}
    if ablation == "resample":
        paired = {"paired": ids[np.random.default_rng(0).permutation(len(ids))], "pairing": "mixed"}
    model = Transformer(compiled.weights, torch.float64)
    metric = lambda out: out[..., -1, 0]  # noqa: E731
    subject = ModelSubject(model, ids, metric, ablation, **paired)
    return enumerate_circuits(subject, "node", tolerance=1e-3)


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_any_two_of_three_heads_are_a_circuit(ablation):
    truth = truth_of(COPY.redundant("copy"), ablation)
    assert truth.complete and len(truth.circuits) == 3
    heads = [sorted(n for n in circuit if n.startswith("a0")) for circuit in truth.circuits]
    assert sorted(heads) == [["a0.h0", "a0.h1"], ["a0.h0", "a0.h2"], ["a0.h1", "a0.h2"]]
    core, relevant = truth.members("core"), truth.members("relevant")
    assert {"a0.h0", "a0.h1", "a0.h2"} <= relevant - core
    assert not {"a0.h0", "a0.h1", "a0.h2"} & truth.singly_active


def test_without_redundancy_the_head_is_core():
    truth = truth_of(COPY, "resample")
    assert len(truth.circuits) == 1
    assert "a0.h0" in truth.members("core") and "a0.h0" in truth.singly_active


@pytest.mark.parametrize(("name", "target"), [("reverse", "length"), ("hist", "hist")])
def test_the_program_stays_what_it_is(name, target):
    testbed = CompiledPreset(name).model(redundant=[target], max_length=4, n_inputs=50)
    compiled, program = testbed.compiled, library.program(name)
    sequences = [["a"], ["b", "a"], ["a", "b", "a", "a"]]
    assert compiled.run(sequences) == [program(s) for s in sequences]
    # Three subspaces carry it, and what follows from them a fourth.
    names = [variable.name for variable in testbed.variables.variables]
    copies = {f"{target}.{k}" for k in (1, 2, 3)}
    assert copies | {target} <= set(names)
    truth = testbed.mechanisms
    needed = dict(zip([m.name for m in truth.mechanisms], truth.necessary.any(axis=1)))
    assert needed[target] and not any(needed[copy] for copy in copies)


def test_a_twin_is_redundant_too():
    compiled = compile_program(COPY.redundant("copy"), vocab="ab", max_length=3, closed=True)
    twin = compiled.twin(superpose=0.9, decoys=1)
    assert twin.run(["bab"]) == [["a", "b", "a"]]


def test_what_cannot_be_voted_on_says_so():
    hist = library.program("hist")
    with pytest.raises(UnknownName, match="hists"):
        hist.redundant("hists")
    for name in ("tokens", "same_token"):
        with pytest.raises(InputError, match="a categorical s-op that is computed"):
            hist.redundant(name)
    counted = Program(numerical(hist.output, name="number"))
    with pytest.raises(InputError, match="a categorical s-op"):
        counted.redundant("number")


@pytest.mark.parametrize("closed", [False, True])
def test_a_vote_is_what_two_of_three_say(closed):
    first = Aggregate(previous, tokens, "only", name="last")  # None at first
    upper = Map(lambda x: {"a": "b", "b": "b", "c": "a"}[x], tokens, name="other")
    program = Program(Vote(first, upper, tokens, name="vote"), name="voting")
    assert program("abcc") == [None, "b", None, "c"]
    compiled = compile_program(program, vocab="abc", max_length=4, closed=closed)
    # The certificate tried all sequences, in float32, against the vectorised interpreter.
    assert compiled.certificate.exhaustive
    batch = uniform_inputs(3, 4, n=1000, seed=0).batch
    drawn = [["abc"[k] for k in row[:n]] for row, n in zip(batch.ids.tolist(), batch.lengths)]
    assert compiled.run(drawn) == [program(sequence) for sequence in drawn]


def test_copies_are_known_to_agree():
    # Else the vote of three that never differ could be None, and all that follows too.
    domains = analyse(COPY.redundant("copy"), "ab", 3)
    assert not domains["copy"].none and domains["copy"].listed == ("a", "b")
    assert analyse(COPY.redundant("copy"), "ab", 3, closed=True)["copy"].none
