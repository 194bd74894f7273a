"""First-order effects of edges, from one forward and one backward pass.

    effect(u > v) = sum over inputs and positions of change_u . slope_v

with change_u what u writes less what the ablation puts there, and slope_v the slope of the metric
at what v reads. Where v reads through a norm, x = (r - mean r) / s, y = x * scale + shift,

    slope_v = (g - mean g - x (g . x) / d) / s

with g the slope at y times scale; without centring the mean is missing. Positions are taken a few
at a time, so that slopes at what each v reads, which are many, stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.attention import Attention
from groundtruth.models.hooks import Hook, HookPoint
from groundtruth.models.layers import Normalisation
from groundtruth.universe import Unit

_CELLS = 1 << 19  # numbers of `changes` that are taken at a time: a core's own cache


def first_order(subject: ModelSubject, hooks: Sequence[tuple[str, Hook]] = ()) -> np.ndarray:
    """(edge,) (z_u - z_u ablated) . d metric / d input of v, summed over positions and inputs.

    Args:
        subject: model, inputs, ablation, metric.
        hooks: (site, fn) pairs that are on while the slopes are taken; z_u is without them.
    """
    places = list(graph.writers(subject.model).values())
    groups = _slopes(subject, hooks)
    changes = subject.changes.flatten(1, 2)
    n_before = [sum(place < group.place for place in places) for group in groups]
    effects = [changes.new_zeros(n, len(group.readers)) for n, group in zip(n_before, groups)]
    step = max(1, _CELLS // (changes[:, 0].numel() or 1))
    for start in range(0, changes.shape[1], step):
        at = slice(start, start + step)
        for n, group, found in zip(n_before, groups, effects):
            found += group.effects(changes[:n, at], at)
    by_reader = {
        reader: column
        for group, found in zip(groups, effects)
        for reader, column in zip(group.readers, found.T.cpu().double().numpy())
    }
    if subject.granularity == "head":
        by_reader |= {
            head: sum(by_reader[read] for read in graph.reads_of(head))
            for head in graph.readers(subject.model)
            if graph.reads_of(head)[0] in by_reader
        }
    readers = graph.readers(subject.model, subject.granularity)
    return np.concatenate([by_reader[reader] for reader in readers])


def ranking(
    subject: ModelSubject, unit: Unit, scores: np.ndarray, absolute: bool, name: str
) -> Circuit:
    """A circuit that ranks by |score|, or by score."""
    strengths = np.abs(scores) if absolute else scores
    return circuit_of(subject.universe(unit), strengths, condition=subject.condition, name=name)


@dataclass(frozen=True, eq=False)
class _Group:
    """Readers that read the same residual stream by weights of one width.

    Fields:
        readers: their names.
        place: in the computation.
        slopes: (reader, input position, width) at what the weights give.
        weight: (reader, width, d_model).
        normed: (input position, d_model) x of the norm; None: there is none.
        along: (reader, input position, 1) how much of x comes off the slopes.
    """

    readers: list[str]
    place: int
    slopes: torch.Tensor
    weight: torch.Tensor
    normed: torch.Tensor | None = None
    along: torch.Tensor | None = None

    @torch.no_grad()
    def effects(self, changes: torch.Tensor, at: slice) -> torch.Tensor:
        """(writer, reader) of changes (writer, n, d_model) at the positions `at`."""
        slopes = torch.bmm(self.slopes[:, at], self.weight)
        if self.normed is not None and self.along is not None:
            slopes.addcmul_(self.normed[at], self.along[:, at], value=-1)
        return changes.flatten(1) @ slopes.flatten(1).T


def _slopes(subject: ModelSubject, hooks: Sequence[tuple[str, Hook]]) -> list[_Group]:
    """Slopes of the metric at all that readers' weights give, and what leads there."""
    model = subject.model
    blocks = model.each_block()
    kept: dict[Any, torch.Tensor] = {}

    def begin(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        # Slopes do not depend on whether parameters have them.
        return activation.detach().requires_grad_()

    def keep(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        kept[module] = output

    read = [b.attn.projected for b in blocks if b.attn is not None]
    read += [b.mlp.hook_pre for b in blocks if b.mlp is not None]
    norms = [m for m in model.modules() if isinstance(m, Normalisation)]
    inside = [point for norm in norms for point in (norm.hook_normalized, norm.hook_scale)]
    with model.hooks([*hooks, ("hook_embed", begin)]), ExitStack() as stack:
        for module in (*read, *inside):
            stack.callback(module.register_forward_hook(keep).remove)
        logits = model(subject.tokens)
    value = subject.value(logits[None]).sum()
    # What a hook cuts off has slope 0.
    *slopes, at_logits = torch.autograd.grad(
        value, [*(kept[module] for module in read), logits], materialize_grads=True
    )
    slope = dict(zip(read, slopes))

    def group(
        readers: list[str], slopes: torch.Tensor, weight: torch.Tensor, norm: torch.nn.Module
    ) -> _Group:
        place = graph.readers(model, "qkv")[readers[0]]
        if not isinstance(norm, Normalisation):
            return _Group(readers, place, slopes, weight)
        x, s = (kept[p].detach().flatten(0, 1) for p in (norm.hook_normalized, norm.hook_scale))
        weight = weight * norm.scale
        if norm.center:
            weight = weight - weight.mean(-1, keepdim=True)
        slopes = slopes / s
        along = (slopes * (x @ weight.transpose(1, 2))).sum(-1, keepdim=True) / x.shape[1]
        return _Group(readers, place, slopes, weight, x, along)

    groups = []
    with torch.no_grad():
        for i, block in enumerate(blocks):
            if (attention := block.attn) is not None:
                found = _by_read(attention, i, slope[attention.projected])
                groups += [group(*each, block.ln1) for each in found]
            if (mlp := block.mlp) is not None:
                at_pre = slope[mlp.hook_pre].flatten(0, 1)[None]
                groups.append(group([graph.mlp_name(i)], at_pre, mlp.W_in.T[None], block.ln2))
        at_logits = at_logits.flatten(0, 1)[None]
        return [*groups, group([graph.LOGITS], at_logits, model.W_U.T[None], model.ln_final)]


def _by_read(
    attention: Attention, i: int, slopes: torch.Tensor
) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
    """Queries, keys and values of all heads by width: names, slopes (read, input position, width)
    and weights (read, width, d_model)."""
    slopes = slopes.flatten(0, 1)
    widths: dict[int, list[tuple[str, slice]]] = {}
    for h in range(len(attention.layout.widths)):
        reads = graph.reads_of(graph.head_name(i, h))
        for read, columns in zip(reads, attention.layout.columns(h)):
            widths.setdefault(columns.stop - columns.start, []).append((read, columns))
    for found in widths.values():
        yield (
            [read for read, _ in found],
            torch.stack([slopes[:, columns] for _, columns in found]),
            torch.stack([attention.W_QKV[:, columns].T for _, columns in found]),
        )
