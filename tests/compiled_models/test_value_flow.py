"""The plan's own arithmetic is the weights', on inputs and off them, under any ablation."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.compiled_models import circuit_subject, compile_program, library
from groundtruth.compiled_models.circuits import flow_circuits
from groundtruth.compiled_models.value_flow import ValueFlow
from groundtruth.models.clean_run import writer_outputs
from groundtruth.models.graph import LOGITS

CONDITIONS = [
    {"ablation": "zero"},
    {"ablation": "mean"},
    {"pairing": "equal length"},
    {"pairing": "mixed length"},
]
# Sums of a few hundred products of numbers up to a few thousand: a thousand roundings of 1e-13.
ROUNDING = 1e-9


def compiled_of(name: str):
    return compile_program(
        library.example_program(name),
        vocab=library.entry(name).vocab,
        max_length=5,
        n_sequences=1,
    )


@pytest.mark.parametrize("name", library.names())
def test_every_node_writes_what_its_weights_make_it_write(name):
    compiled = compiled_of(name)
    subject = circuit_subject(compiled)
    flow = ValueFlow(compiled, subject.tokens.numpy())
    for node, written in writer_outputs(subject.model, subject.tokens).items():
        at = list(flow.outlets[node])
        # At every position, begin-of-sequence and padding among them.
        assert np.abs(written[..., at].numpy() - flow.written[node]).max(initial=0) < ROUNDING
        assert not np.delete(written.numpy(), at, axis=-1).any()


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("unit", ["edge", "node"])
@pytest.mark.parametrize("name", ["reverse", "sort_unique", "shuffle_dyck", "running_sum", "depth"])
def test_any_set_of_edges_gives_the_outputs_that_the_model_gives(name, unit, condition):
    compiled = compiled_of(name)
    subject = circuit_subject(compiled, **condition)
    flow = flow_circuits(compiled, subject, unit, 1e-6)
    universe = subject.universe(unit)
    kept = np.random.default_rng(0).random((20, len(universe))) < 0.7
    wanted = subject.ablated(unit, kept).numpy()
    moved = np.abs(wanted - subject.outputs().numpy()).max((1, 2, 3)) > ROUNDING
    assert moved.sum() > 5
    for row, outputs in zip(kept, wanted):
        found = flow.outputs(universe.members(row))
        # Steps multiply what reaches them by their slopes.
        assert np.abs(found - outputs)[subject.counted.numpy()].max() < 1e-7


def test_the_logits_are_the_outputs():
    compiled = compiled_of("hist")
    subject = circuit_subject(compiled)
    flow = ValueFlow(compiled, subject.tokens.numpy())
    found = np.abs(flow.written[LOGITS] - subject.outputs()[0].numpy())
    assert found.max() < ROUNDING


@pytest.mark.parametrize("name", ["induction", "sort_unique"])
def test_a_twin_that_compares_by_harmonics_attends_as_its_plan_says(name):
    program, vocab = library.example_program(name), library.entry(name).vocab
    compiled = compile_program(program, vocab=vocab, max_length=6, closed=True, n_sequences=64)
    twin = compiled.twin(superpose=0.75, n_sequences=64)
    heads = {
        f"a{b}.h{h}": head
        for b, block in enumerate(twin.placement.blocks)
        for h, head in enumerate(block.heads)
    }
    harmonic = [n for n, head in heads.items() if any(t.factors is not None for t in head.terms)]
    assert harmonic
    subject = circuit_subject(twin)
    flow = ValueFlow(twin, subject.tokens.numpy())
    _, cache = subject.model.run_with_cache(subject.tokens)
    there = (subject.tokens != subject.model.pad).numpy()
    for name in harmonic:
        block, head = name[1:].split(".h")
        pattern = cache[f"blocks.{block}.attn.hook_pattern"][:, int(head)].detach().numpy()
        assert np.abs(pattern - flow.attention(name))[there].max() < 1e-5
