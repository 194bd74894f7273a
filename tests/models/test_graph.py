"""The universe of nodes and edges."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from random_weights import cases, random_weights

from groundtruth.models.graph import Edge, edges, nodes
from groundtruth.models.transformer import Transformer


def test_a_small_universe_is_spelt_out():
    weights = random_weights(np.random.default_rng(0), heads=[[], [(1, 1)]], d_mlp=[2, 2])
    found = {node.name: (node.site, node.head) for node in nodes(weights)}
    assert found == {
        "embed": ("hook_embed", None),
        "pos_embed": ("hook_pos_embed", None),
        "m0": ("blocks.0.hook_mlp_out", None),
        "a1.h0": ("blocks.1.attn.hook_result", 0),
        "m1": ("blocks.1.hook_mlp_out", None),
        "logits": (None, None),
    }
    into = {
        "m0": ["embed", "pos_embed"],
        "a1.h0": ["embed", "pos_embed", "m0"],
        "m1": ["embed", "pos_embed", "m0", "a1.h0"],
        "logits": ["embed", "pos_embed", "m0", "a1.h0", "m1"],
    }
    assert edges(weights) == tuple(Edge(w, r) for r, ws in into.items() for w in ws)
    apart = [e for e in edges(weights, "qkv") if e.reader.startswith("a1")]
    assert apart == [Edge(w, f"a1.h0.{x}") for x in "qkv" for w in into["a1.h0"]]


@given(case=cases())
def test_weights_and_models_have_one_universe_and_edges_run_forwards(case):
    weights, _ = case
    model = Transformer(weights)
    assert nodes(weights) == nodes(model)
    names = [node.name for node in nodes(weights)]
    assert len(set(names)) == len(names)
    for granularity in ("head", "qkv"):
        found = edges(weights, granularity)
        assert found == edges(model, granularity)
        assert len(set(found)) == len(found)
        for writer, reader in found:
            node = reader.removesuffix(".q").removesuffix(".k").removesuffix(".v")
            assert names.index(writer) < names.index(node)
    sites = {node.site for node in nodes(model)} - {None}
    assert sites <= set(model.hook_points)
