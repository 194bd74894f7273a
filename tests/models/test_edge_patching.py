"""Edge patching against a slow second route: every reader's input summed from its writers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_weights import cases, random_tokens, random_weights

from groundtruth.errors import InputError, UnknownName
from groundtruth.models import graph
from groundtruth.models import numpy_reference as reference
from groundtruth.models.clean_run import writer_outputs
from groundtruth.models.edge_patching import run_with_edges
from groundtruth.models.edge_run import EdgeRun
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer


def by_hand(weights, tokens, source, chosen):
    """Outputs where each edge of `chosen` (query, key and value apart) carries the source."""
    written = {}
    constant = 0.0

    def read(reader):
        return constant + sum(
            source[w] if (w, reader) in chosen else value for w, value in written.items()
        )

    written["embed"] = weights.W_E[tokens]
    written["pos_embed"] = np.broadcast_to(weights.W_pos[: tokens.shape[1]], written["embed"].shape)
    visible = reference.visible_keys(weights, tokens)
    for i, block in enumerate(weights.blocks):
        results = {}
        for h, head in enumerate(block.heads):
            name = f"a{i}.h{h}"
            q, k, v = (
                reference.normalise(block.norm_attention, read(f"{name}.{letter}"))
                for letter in "qkv"
            )
            scores = (q @ head.W_Q + head.b_Q) @ (k @ head.W_K + head.b_K).swapaxes(1, 2)
            pattern = reference.softmax(np.where(visible, scores, -np.inf))
            results[name] = pattern @ (v @ head.W_V + head.b_V) @ head.W_O
        written |= results
        constant = constant + block.b_O
        if block.mlp is not None:
            x = reference.normalise(block.norm_mlp, read(f"m{i}"))
            written[f"m{i}"] = reference.mlp(block.mlp, weights.activation, x)
    last = reference.normalise(weights.final_norm, read("logits"))
    return last @ weights.W_U + weights.b_U


def runs(weights, tokens):
    """The model, and what its writers write on other tokens of the same lengths."""
    model = Transformer(weights, torch.float64)
    other = np.where(tokens == weights.pad, tokens, np.roll(tokens, 1, axis=0))
    other[:, 1:] = np.where(
        tokens[:, 1:] == weights.pad, tokens[:, 1:], 1 + tokens[:, 1:] % (weights.n_tokens - 2)
    )
    other[:, 0] = weights.bos
    return model, other, writer_outputs(model, other)


def numpy(source):
    return {name: value.numpy() for name, value in source.items()}


def close(found, expected):
    return np.abs(found - expected).max() <= 1e-8 * (1 + np.abs(expected).max())


@given(case=cases(), seed=st.integers(0, 2**32), share=st.floats(0, 1))
def test_any_set_of_edges_is_the_sum_by_hand(case, seed, share):
    weights, tokens = case
    model, _, source = runs(weights, tokens)
    edges = graph.edges(weights, "qkv")
    chosen = np.random.default_rng(seed).random((3, len(edges))) < share
    found = run_with_edges(model, tokens, source, edges, chosen).detach().numpy()
    for row, outputs in zip(chosen, found):
        carried = {edge for edge, on in zip(edges, row) if on}
        assert close(outputs, by_hand(weights, tokens, numpy(source), carried))


@given(case=cases())
def test_all_edges_are_the_other_run_and_none_the_clean_one(case):
    weights, tokens = case
    model, other, source = runs(weights, tokens)
    for granularity in ("head", "qkv"):
        edges = graph.edges(weights, granularity)
        chosen = np.array([[True] * len(edges), [False] * len(edges)])
        patched, clean = run_with_edges(model, tokens, source, edges, chosen).detach().numpy()
        assert close(clean, reference.forward(weights, tokens))
        # Padding is not attended to in either run, so all that differs is what is carried.
        assert close(patched, reference.forward(weights, other))
    assert close(run_with_edges(model, tokens, source, edges)[0].detach().numpy(), patched)
    assert close(run_with_edges(model, tokens, source, [])[0].detach().numpy(), clean)


@given(case=cases())
def test_a_batch_of_sets_is_each_alone(case):
    weights, tokens = case
    model, _, source = runs(weights, tokens)
    edges = graph.edges(weights)
    together = run_with_edges(model, tokens, source, edges, np.eye(len(edges)))
    for edge, outputs in zip(edges, together):
        alone = run_with_edges(model, tokens, source, [edge])[0]
        assert close(outputs.detach().numpy(), alone.detach().numpy())


def small(**settings):
    rng = np.random.default_rng(1)
    weights = random_weights(rng, **settings)
    tokens = random_tokens(rng, weights, [5, 3, 1])
    return weights, tokens, *runs(weights, tokens)


def test_long_sequences_too():
    rng = np.random.default_rng(2)
    weights = random_weights(rng, n_positions=20)
    tokens = random_tokens(rng, weights, [19, 12])
    model, _, source = runs(weights, tokens)
    edges = graph.edges(weights, "qkv")
    chosen = rng.random((4, len(edges))) < 0.3
    found = run_with_edges(model, tokens, source, edges, chosen).detach().numpy()
    for row, outputs in zip(chosen, found):
        carried = {edge for edge, on in zip(edges, row) if on}
        assert close(outputs, by_hand(weights, tokens, numpy(source), carried))


def test_the_outputs_are_the_written_sum_read_out():
    weights, tokens, model, _, _ = small()
    written = writer_outputs(model, tokens)
    total = sum(written.values()) + sum(torch.tensor(b.b_O) for b in weights.blocks)
    assert close(model.unembed(total).detach().numpy(), reference.forward(weights, tokens))


def test_patching_moves_the_outputs_by_the_edge():
    # Into the outputs, without a norm, an edge is subtraction and addition.
    weights, tokens, model, _, source = small()
    written = writer_outputs(model, tokens)
    for writer in written:
        patched = run_with_edges(model, tokens, source, [Edge(writer, "logits")])[0]
        moved = (source[writer] - written[writer]).numpy() @ weights.W_U
        expected = reference.forward(weights, tokens) + moved
        assert close(patched.detach().numpy(), expected)
        assert np.abs(moved).max() > 0.1 or writer == "pos_embed"


def test_ablation_by_zeros_and_by_means():
    weights, tokens, model, _, source = small(norm="layer")
    edges = graph.edges(weights, "qkv")
    for carried in (
        {name: torch.zeros(()) for name in source},
        {name: value.mean((0, 1)) for name, value in source.items()},
    ):
        found = run_with_edges(model, tokens, carried, edges[::3])[0].detach().numpy()
        assert close(found, by_hand(weights, tokens, numpy(carried), set(edges[::3])))


def test_shares_between_are_differentiable():
    weights, tokens, model, _, source = small()
    edges = graph.edges(weights)
    shares = torch.full((2, len(edges)), 0.5, dtype=torch.float64, requires_grad=True)

    def loss(shares):
        return run_with_edges(model, tokens, source, edges, shares).square().sum()

    loss(shares).backward()
    step = 1e-6 * torch.eye(len(edges), dtype=torch.float64)[0]
    slope = (loss(shares + step) - loss(shares - step)).item() / 2e-6
    assert shares.grad is not None
    assert slope == pytest.approx(shares.grad[:, 0].sum().item(), rel=1e-4)


def test_what_cannot_be_patched_is_refused():
    _, tokens, model, _, source = small()
    edge = Edge("embed", "a0.h0")
    with pytest.raises(UnknownName, match=r"No writer is called 'm2'\. Nearest: m1, m0\."):
        run_with_edges(model, tokens, source, [Edge("m2", "logits")])
    with pytest.raises(UnknownName, match=r"No reader is called 'a0\.h0\.o'"):
        run_with_edges(model, tokens, source, [Edge("embed", "a0.h0.o")])
    with pytest.raises(InputError) as error:
        run_with_edges(model, tokens, source, [Edge("m1", "a0.h0")])
    assert str(error.value) == "edges: expected writers before readers, got m1 > a0.h0."
    with pytest.raises(InputError) as error:
        run_with_edges(model, tokens, source, [edge, Edge("embed", "a0.h0.k")])
    assert str(error.value) == "edges: expected each edge once, got embed > a0.h0.k twice."
    with pytest.raises(InputError) as error:
        run_with_edges(model, tokens, {"m0": source["m0"]}, [edge])
    assert str(error.value) == "source: expected what embed writes, got m0."
    with pytest.raises(InputError) as error:
        run_with_edges(model, tokens, source, [edge], np.ones(1))
    assert str(error.value) == "chosen: expected shape (set, 1), got (1,)."
    with pytest.raises(InputError) as error:
        run_with_edges(model, tokens[:, :4], source, [edge])
    assert str(error.value) == (
        "source: embed: expected shape (3, 4, 6), or what broadcasts to it, got (3, 6, 6). "
        "Patch between batches of equal size and length."
    )


def test_a_set_joins_the_batch_only_where_it_matters(monkeypatch):
    rows = []
    own = EdgeRun.branch

    def branch(self, groups):
        own(self, groups)
        rows.append(len(self.touched))

    monkeypatch.setattr(EdgeRun, "branch", branch)
    weights, tokens, model, _, source = small()
    edges = graph.edges(weights, "qkv")
    run_with_edges(model, tokens, source, edges, np.eye(len(edges)))
    live = [edge for edge in edges if edge.writer != "pos_embed"]  # which no other run changes
    assert rows[-1] == 1 + len(live)  # row 0 is the clean run
    assert rows == sorted(rows) and rows[0] < rows[-1]
    # A head that reads nothing of what the tokens write.
    rows.clear()
    with torch.no_grad():
        model.blocks[0].attn.W_QKV.zero_()
        model.blocks[1].attn.W_QKV.zero_()
    written = writer_outputs(model, tokens)
    into_heads = [edge for edge in edges if edge.reader[0] == "a"]
    source = {name: value + 1 for name, value in written.items()}
    run_with_edges(model, tokens, source, into_heads, np.eye(len(into_heads)))
    assert set(rows) == {1}


def test_the_gradient_at_zero_is_the_effect_to_first_order():
    weights, tokens, model, _, source = small(activation="gelu")
    edges = graph.edges(weights, "qkv")
    shares = torch.zeros(1, len(edges), dtype=torch.float64, requires_grad=True)
    run_with_edges(model, tokens, source, edges, shares).sum().backward()
    step = 1e-6 * np.eye(len(edges))
    up, down = (
        run_with_edges(model, tokens, source, edges, s).sum((1, 2, 3)) for s in (step, -step)
    )
    slopes = ((up - down) / 2e-6).detach().numpy()
    assert shares.grad is not None
    # Central differences of sums of some hundred outputs of size 100, rounded at 1e-16.
    assert shares.grad[0].numpy() == pytest.approx(slopes, rel=1e-4, abs=1e-4)
