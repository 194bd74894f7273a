"""Attribution graphs against linear effects in closed form, and against what must be conserved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from circuit_cases import H0M, H1M, ML, V0, V1, gate_subject, last
from hypothesis import given
from random_weights import cases, random_tokens, random_weights

from groundtruth.errors import InputError
from groundtruth.methods import circuits as methods
from groundtruth.methods.circuits.attribution_graph import attribution_graph
from groundtruth.methods.circuits.gradients import first_order
from groundtruth.methods.circuits.mlp_transcoder import MLPTranscoder, neurons_of
from groundtruth.model_subject import ModelSubject
from groundtruth.models.guard import guarded
from groundtruth.models.transformer import Transformer


def subject_of(weights, tokens, ablation="zero", **settings):
    return ModelSubject(
        Transformer(weights, torch.float64),
        tokens,
        lambda out: out.square().sum((-1, -2)),
        ablation,
        **settings,
    )


def without_scores(weights):
    """The same with heads that attend to all they see alike, whatever it is."""
    for block in weights.blocks:
        for head in block.heads:
            for array in (head.W_Q, head.W_K, head.b_Q, head.b_K):
                array[:] = 0
    return weights


def small(seed=0, norm=None, ablation="zero", uniform=True, **settings):
    rng = np.random.default_rng(seed)
    weights = random_weights(rng, norm=norm, **settings)
    weights = without_scores(weights) if uniform else weights
    tokens, paired = (random_tokens(rng, weights, [4, 3, 2]) for _ in range(2))
    paired[tokens == weights.pad] = weights.pad
    given = {"paired": paired, "pairing": "at random"} if ablation == "resample" else {}
    return subject_of(weights, tokens, ablation, **given)


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
@given(case=cases())
def test_where_patterns_and_norms_cannot_move_it_is_attribution_patching(ablation, case):
    weights, tokens = case
    if weights.activation != "relu" or weights.final_norm is not None:
        return
    given = {"paired": tokens[::-1].copy(), "pairing": "reversed"} if ablation == "resample" else {}
    subject = subject_of(without_scores(weights), tokens, ablation, **given)
    found = methods.attribution_circuit(subject, absolute=False).strengths
    expected = first_order(subject)
    assert np.abs(found - expected).max() <= 1e-8 * (1 + np.abs(expected).max())


def test_what_enters_the_outputs_is_all_of_a_linear_metric():
    # Zero ablation, no bias of the outputs: the metric is the sum over what is written.
    rng = np.random.default_rng(0)
    weights = random_weights(rng)
    weights.b_U[:] = 0
    for block in weights.blocks:
        block.b_O[:] = 0
    tokens = random_tokens(rng, weights, [4, 4])
    subject = ModelSubject(Transformer(weights, torch.float64), tokens, last, "zero")
    found = attribution_graph(subject)
    total = found.weights[:, found.nodes.index("logits")].sum()
    assert total == pytest.approx(float(subject.value(subject.outputs())))


def test_what_enters_a_latent_is_what_it_passes_on_but_for_its_bias():
    # Patterns stand still, whatever the scores.
    rng = np.random.default_rng(1)
    weights = random_weights(rng, norm="rms", d_mlp=[5, 4])
    for block in weights.blocks:
        block.b_O[:] = 0
        block.mlp.b_in[:] = 0
        block.norm_mlp.shift[:] = 0
    subject = subject_of(weights, random_tokens(rng, weights, [4, 3]))
    found = attribution_graph(subject)
    checked = 0
    for i, name in enumerate(found.nodes):
        if ".l" in name:
            assert found.weights[:, i].sum() == pytest.approx(found.weights[i].sum(), abs=1e-9)
            checked += abs(found.weights[i].sum()) > 0.01
    assert checked > 3


def test_the_weight_between_two_latents_is_virtual_weight_times_code_times_slope():
    subject = small(d_mlp=[3, 4])
    subject.model.requires_grad_(False)
    model, (first, second) = subject.model, neurons_of(subject.model).values()
    _, cache = model.run_with_cache(subject.tokens)
    codes = cache["blocks.0.mlp.hook_post"]
    pre = cache["blocks.1.mlp.hook_pre"]
    logits = cache["blocks.1.hook_resid_post"] @ model.W_U + model.b_U
    # d metric / d logits is twice the logits, over two sequences of equal weight.
    at_logits = 2 * logits * subject.weights[:, None, None]
    slope = (at_logits @ model.W_U.T @ second.W_dec.T) * (pre > 0)
    expected = (first.W_dec @ second.W_enc) * torch.einsum("bpa,bpc->ac", codes, slope)
    found = attribution_graph(subject)
    for a in range(3):
        for b in range(4):
            assert found[f"m0.l{a}", f"m1.l{b}"] == pytest.approx(float(expected[a, b]))
    assert float(expected.abs().max()) > 0.1


def test_the_gate_of_and():
    found = methods.attribution_circuit(gate_subject("and"), absolute=False)
    said = {
        edge: value
        for edge, value in zip(found.universe.candidates, found.strengths.tolist())
        if abs(value) > 1e-9
    }
    assert said == pytest.approx({V0: 1, V1: 1, H0M: 1, H1M: 1, ML: 1})
    latents = attribution_graph(gate_subject("and"))
    assert latents["a0.h0", "m0.l0"] == latents["m0.l0", "logits"] == 1
    assert latents["m0.rest", "logits"] == 0


def test_latents_that_are_split_or_missed_leave_the_circuit_as_it_is():
    subject = small(seed=3, ablation="resample")
    exact = neurons_of(subject.model)
    expected = methods.attribution_circuit(subject, absolute=False).strengths
    split = {
        i: MLPTranscoder(
            torch.cat([t.W_enc, t.W_enc], 1),
            torch.cat([t.b_enc, t.b_enc]),
            torch.cat([0.3 * t.W_dec, 0.7 * t.W_dec]),
            t.b_dec,
        )
        for i, t in exact.items()
    }
    found = methods.attribution_circuit(subject, transcoders=split, absolute=False).strengths
    assert found == pytest.approx(expected)
    # Without latents all that is written is the rest, which is read by none before.
    nothing = {
        i: MLPTranscoder(t.W_enc[:, :0], t.b_enc[:0], t.W_dec[:0], t.b_dec)
        for i, t in exact.items()
    }
    found = methods.attribution_circuit(subject, transcoders=nothing, absolute=False)
    place = found.universe.place
    for edge in found.universe.edges:
        if edge.reader == "logits":
            assert found.strengths[place[edge]] == pytest.approx(expected[place[edge]])
        if edge.reader[0] == "m":
            assert found.strengths[place[edge]] == 0


def test_patterns_stand_still():
    subject = small(seed=2, uniform=False)
    found = methods.attribution_circuit(subject)
    read = np.array([edge.reader.endswith((".q", ".k")) for edge in found.universe.edges])
    assert (found.strengths[read] == 0).all() and (found.strengths[~read] > 0).all()
    assert np.abs(first_order(subject)[read]).max() > 0.01


def test_heads_that_read_once_are_read_by_their_values():
    rng = np.random.default_rng(5)
    weights = random_weights(rng)
    tokens = random_tokens(rng, weights, [4, 3])
    apart, together = (
        methods.attribution_circuit(subject_of(weights, tokens, granularity=g), absolute=False)
        for g in ("qkv", "head")
    )
    by_edge = dict(zip(apart.universe.edges, apart.strengths.tolist()))
    for edge, value in zip(together.universe.edges, together.strengths.tolist()):
        reader = edge.reader if edge.reader[0] != "a" else f"{edge.reader}.v"
        assert value == by_edge[type(edge)(edge.writer, reader)]


def test_nothing_is_left_on_the_model_and_wrong_transcoders_are_refused():
    subject = small()
    with guarded(subject.model) as damage:
        attribution_graph(subject)
    assert not damage
    exact = neurons_of(subject.model)
    with pytest.raises(InputError, match="expected one for each MLP, got none for block 1"):
        attribution_graph(subject, {0: exact[0]})
    wide = MLPTranscoder(np.zeros((7, 2)), np.zeros(2), np.zeros((2, 7)), np.zeros(7))
    with pytest.raises(InputError, match="block 0: expected 6 coordinates, got 7"):
        attribution_graph(subject, {**exact, 0: wide})
    with pytest.raises(InputError, match=r"b_enc: expected shape \(2,\), got \(3,\)"):
        MLPTranscoder(np.zeros((7, 2)), np.zeros(3), np.zeros((2, 7)), np.zeros(7))
    with pytest.raises(InputError, match="with gelu neurons, got none"):
        attribution_graph(small(activation="gelu"))
