"""Users' functions on TransformerLens and nnsight models, scored with the real packages."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth.adapters.nnsight import nnsight_method
from groundtruth.adapters.transformer_lens import transformer_lens_method
from groundtruth.errors import ExplanationError, UnknownName
from groundtruth.methods.circuits import activation_patching, attribution_patching

os.environ["HF_HUB_OFFLINE"] = "1"
pytestmark = pytest.mark.integration

TESTBEDS = ("circuit/gate-and", "circuit/attention-induction", "circuit/hist", "circuit/reverse")


@torch.no_grad()
def lens_patching(model: Any, tokens: Any, *, paired: Any, metric: Any, seed: int) -> Any:
    """|effect| of each node's output patched from the partners, as a TransformerLens user does."""
    model.set_use_attn_result(True)
    _, cache = model.run_with_cache(paired)
    intact = metric(model(tokens))

    def effect(site: str, head: int | None = None) -> float:
        def patch(x: torch.Tensor, hook: Any) -> torch.Tensor:
            if head is None:
                return cache[site]
            x = x.clone()
            x[:, :, head] = cache[site][:, :, head]
            return x

        patched = metric(model.run_with_hooks(tokens, fwd_hooks=[(site, patch)]))
        return float((intact - patched).abs().mean())

    scores: dict[Any, float] = {s: effect(s) for s in ("hook_embed", "hook_pos_embed")}
    for i in range(model.cfg.n_layers):
        for h in range(model.cfg.n_heads):
            site = f"blocks.{i}.attn.hook_result"
            scores[site, h] = effect(site, h)
        scores[f"blocks.{i}.hook_mlp_out"] = effect(f"blocks.{i}.hook_mlp_out")
    return scores


def sight_attribution(model: Any, tokens: Any, *, paired: Any, metric: Any, seed: int) -> Any:
    """(clean - patched) . gradient of each node's output, as an nnsight user does."""

    def sites() -> list[tuple[Any, Any, int | None]]:
        found: list[tuple[Any, Any, int | None]] = [
            ("hook_embed", model.hook_embed, None),
            ("hook_pos_embed", model.hook_pos_embed, None),
        ]
        for i, (n_heads, has_mlp) in enumerate(model.components):
            for h in range(n_heads):
                key = (f"blocks.{i}.attn.hook_result", h)
                found.append((key, model.blocks[i].attn.hook_result, h))
            if has_mlp:
                found.append((f"blocks.{i}.hook_mlp_out", model.blocks[i].hook_mlp_out, None))
        return found

    def part(x: torch.Tensor, head: int | None) -> torch.Tensor:
        return x if head is None else x[:, :, head]

    patched = {}
    for key, module, head in sites():
        with model.trace(paired):
            saved = module.output.save()
        patched[key] = part(saved, head).detach()
    scores = {}
    for key, module, head in sites():
        with model.trace(tokens):
            output = module.output
            slopes = output.requires_grad_() if not output.requires_grad else output
            saved = slopes.save()
            logits = model.output.save()
        (slope,) = torch.autograd.grad(metric(logits).mean(), saved)
        change = part(saved, head).detach() - patched[key]
        scores[key] = float(abs((change * part(slope, head)).sum()))
    return scores


def strengths(testbed: gt.CircuitTestbed, method: Any) -> np.ndarray:
    return gt.evaluate(testbed, method).explanation.strengths


@pytest.mark.parametrize("name", TESTBEDS)
def test_a_transformer_lens_function_finds_what_ours_finds(name: str) -> None:
    testbed = gt.build(name, unit="node")
    found = strengths(testbed, transformer_lens_method(lens_patching))
    assert np.allclose(found, strengths(testbed, activation_patching), atol=1e-9)


@pytest.mark.parametrize("name", TESTBEDS)
def test_an_nnsight_function_finds_what_ours_finds(name: str) -> None:
    testbed = gt.build(name, unit="node")
    found = strengths(testbed, nnsight_method(sight_attribution))
    assert np.allclose(found, strengths(testbed, attribution_patching), atol=1e-9)


def test_edges_by_sites_are_edges_here() -> None:
    def constant(model: Any, tokens: Any, *, paired: Any, metric: Any, seed: int) -> Any:
        last = model.cfg.n_layers
        scores: dict[Any, float] = {}
        writers: list[Any] = ["hook_embed", "hook_pos_embed"]
        for i in range(last):
            heads = range(model.cfg.n_heads)
            read = [(f"blocks.{i}.hook_{r}_input", h) for h in heads for r in "qkv"]
            scores |= {(w, r): 1.0 for w in writers for r in read}
            writers += [(f"blocks.{i}.attn.hook_z", h) for h in heads]
            scores |= {(w, f"blocks.{i}.hook_mlp_in"): 1.0 for w in writers}
            writers.append(f"blocks.{i}.hook_mlp_out")
        return scores | {(w, "logits"): 1.0 for w in writers}

    for name in TESTBEDS:
        report = gt.evaluate(name, transformer_lens_method(constant))
        assert report["circuit.edge_auroc"].value == 0.5


def test_a_hook_left_on_a_library_model_reaches_nothing() -> None:
    def careless(model: Any, tokens: Any, *, paired: Any, metric: Any, seed: int) -> Any:
        model.add_hook("hook_embed", lambda x, hook: 0 * x, is_permanent=True)
        return lens_patching(model, tokens, paired=paired, metric=metric, seed=seed)

    testbed = gt.build("circuit/hist", unit="node")
    assert gt.evaluate(testbed, transformer_lens_method(careless)).flags == ()
    found = strengths(testbed, transformer_lens_method(lens_patching))
    assert np.allclose(found, strengths(testbed, activation_patching), atol=1e-9)


@pytest.mark.parametrize("wrap", [transformer_lens_method, nnsight_method])
@pytest.mark.parametrize(
    ("scores", "kind", "message"),
    [
        ({}, ExplanationError, "expected a mapping of nodes or of edges to scores, got an empty"),
        ([1.0], ExplanationError, "expected a mapping of nodes or of edges to scores, got list"),
        ({"embed": 1.0, ("embed", "m0"): 1.0}, ExplanationError, "of nodes or of edges, got both"),
        (
            {"embed": 1.0, "hook_embed": 1.0},
            ExplanationError,
            "one score for 'hook_embed'",
        ),
        ({"blocks.7.hook_mlp_out": 1.0}, UnknownName, "node of this model is called"),
        ({"hook_embed": 1.0}, ExplanationError, "got none for"),
        ({"hook_embed": float("nan")}, ExplanationError, "strengths: expected"),
        ({"hook_embed": None}, ExplanationError, "expected a number for 'hook_embed', got None"),
        ({("hook_nowhere", 0): 1.0}, UnknownName, "is called 'hook_nowhere > 0'"),
    ],
)
def test_scores_that_cannot_be_read_are_refused(
    wrap: Any, scores: Any, kind: type[Exception], message: str
) -> None:
    testbed = gt.build("circuit/gate-and", unit="node")

    def method(model: Any, tokens: Any, *, paired: Any, metric: Any, seed: int) -> Any:
        return scores

    with pytest.raises(kind, match=message):
        gt.evaluate(testbed, wrap(method))
