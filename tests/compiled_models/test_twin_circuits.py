"""Circuits of twins: turned directions add no edges by rounding, and decoys are in none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.compiled_models import compile_program, library
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import head_name
from groundtruth.models.transformer import Transformer

N, LENGTH = 40, 5


def truth_of(compiled, ablation):
    rng, n_tokens = np.random.default_rng(0), len(compiled.analysis.vocab)
    drawn = rng.integers(0, n_tokens, (N, LENGTH))
    ids = np.column_stack([np.full(N, compiled.weights.bos), drawn])
    paired = {}
    if ablation == "resample":
        paired = {"paired": ids[rng.permutation(N)], "pairing": "shuffled"}
    model = Transformer(compiled.weights, torch.float64)
    metric = lambda outputs: outputs[..., -1, 0]  # noqa: E731
    subject = ModelSubject(model, ids, metric, ablation, **paired)
    return enumerate_circuits(subject, tolerance=1e-3)


@pytest.mark.parametrize("how", [{}, {"superpose": 0.8, "decoys": 2}], ids=["turned", "superposed"])
@pytest.mark.parametrize("ablation", ["zero", "resample"])
def test_a_twin_has_the_circuit_of_what_it_is_a_twin_of(how, ablation):
    hist = compile_program(library.program("hist"), vocab="abc", max_length=LENGTH)
    plain, twin = truth_of(hist, ablation), truth_of(hist.twin(**how), ablation)
    for which in ("structural", "singly_active", "core", "relevant"):
        assert twin.members(which) == plain.members(which)
    assert twin.circuits == plain.circuits


def test_no_decoy_is_on_a_path_of_weights():
    sort = compile_program(library.program("sort_unique"), vocab=[1, 2, 3], max_length=LENGTH)
    twin = sort.twin(decoys=4, seed=1)
    heads = {head_name(d.block, d.head) for d in twin.decoys if d.head is not None}
    assert heads
    truth = truth_of(twin, "resample")
    assert not any(edge.writer in heads for edge in truth.structural)
