"""Slopes of the metric at what readers read, and first-order effects of edges from them.

One forward and one backward pass give the slope at every reader; an edge then costs a product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.hooks import Hook, HookPoint
from groundtruth.universe import Unit


def first_order(subject: ModelSubject, hooks: Sequence[tuple[str, Hook]] = ()) -> np.ndarray:
    """(edge,) (z_u - z_u ablated) . d metric / d input of v, summed over positions and inputs.

    Args:
        subject: model, inputs, ablation, metric.
        hooks: (site, fn) pairs that are on while the slopes are taken; z_u is without them.
    """
    place = graph.writers(subject.model)
    scores: dict[tuple[str, str], float] = {}
    for readers, at, slopes in _slopes(subject, hooks):
        before = [writer for writer, written_at in place.items() if written_at < at]
        effects = subject.changes[: len(before)].flatten(1) @ slopes.flatten(1).T
        for writer, row in zip(before, effects.tolist()):
            scores |= {(writer, reader): effect for reader, effect in zip(readers, row)}
    return np.array(
        [
            scores[edge]
            if edge in scores
            else sum(scores[edge.writer, read] for read in graph.reads_of(edge.reader))
            for edge in subject.universe("edge").edges
        ]
    )


def ranking(
    subject: ModelSubject, unit: Unit, scores: np.ndarray, absolute: bool, name: str
) -> Circuit:
    """A circuit that ranks by |score|, or by score."""
    strengths = np.abs(scores) if absolute else scores
    return circuit_of(subject.universe(unit), strengths, condition=subject.condition, name=name)


def _slopes(
    subject: ModelSubject, hooks: Sequence[tuple[str, Hook]]
) -> Iterator[tuple[list[str], int, torch.Tensor]]:
    """Readers that read the same, their place, and d metric / d input of each (reader, batch,
    position, d_model)."""
    model, kept = subject.model, {}

    def begin(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        # Slopes do not depend on whether parameters have them.
        return activation.detach().requires_grad_()

    def keep(activation: torch.Tensor, hook: HookPoint) -> None:
        kept[hook.name] = activation

    sites = [site for site in model.hook_points if site.endswith(_KEPT)]
    with model.hooks([*hooks, ("hook_embed", begin), *((site, keep) for site in sites)]):
        logits = model(subject.tokens)
    value = subject.value(logits[None]).sum()
    read = [site for site in sites if site.endswith(_READ)]
    # What a hook cuts off has slope 0.
    *slopes, at_logits = torch.autograd.grad(
        value, [*(kept[site] for site in read), logits], materialize_grads=True
    )
    slope = dict(zip(read, slopes))
    place = graph.readers(model)
    last = kept["hook_embed"] + kept["hook_pos_embed"]
    for i, block in enumerate(model.each_block()):
        entering, middle = (kept[f"blocks.{i}.hook_resid_{at}"] for at in ("pre", "mid"))
        last = kept[f"blocks.{i}.hook_resid_post"]
        if block.attn is not None:
            heads = [graph.head_name(i, h) for h in range(block.n_heads)]
            by_read = [
                slope[f"blocks.{i}.attn.hook_{letter}"][:, :, h, : weight.shape[1]] @ weight.T
                for h in range(block.n_heads)
                for part, letter in enumerate("qkv")
                for weight in [block.attn.weight(h, part)]
            ]
            reads = [read for head in heads for read in graph.reads_of(head)]
            yield reads, place[heads[0]], _through(block.ln1, entering, torch.stack(by_read))
        if block.mlp is not None:
            name = graph.mlp_name(i)
            into = slope[f"blocks.{i}.mlp.hook_pre"] @ block.mlp.W_in.T
            yield [name], place[name], _through(block.ln2, middle, into[None])
    yield [graph.LOGITS], place[graph.LOGITS], _through(model.unembed, last, at_logits[None])


_READ = (".hook_q", ".hook_k", ".hook_v", ".mlp.hook_pre")
_KEPT = (*_READ, "embed", "hook_resid_pre", "hook_resid_mid", "hook_resid_post")


def _through(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, slopes: torch.Tensor
) -> torch.Tensor:
    """Slopes (reader, ...) at what `function` gives, as slopes at `x`."""
    if isinstance(function, torch.nn.Identity):
        return slopes.detach()
    copies = x.detach().expand(len(slopes), *x.shape).requires_grad_()
    # A sum, because vjp and grad_outputs load torch's compiler or sympy, which takes seconds.
    (pulled,) = torch.autograd.grad((function(copies) * slopes.detach()).sum(), copies)
    return pulled
