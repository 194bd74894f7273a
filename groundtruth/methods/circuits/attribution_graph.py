"""Attribution graphs: what passes between latents when attention patterns and norms stand still.

Each MLP is replaced by a transcoder and what that misses. With patterns, norms' scales and the set
of active latents held as they are, the model is linear, and what passes from u to v is

    attribution(u > v) = sum over inputs and positions of (change_u . w_v) slope_v

change_u is what u writes less what the ablation puts there, w_v how v reads, slope_v the slope of
the metric there. Of two latents a and b that is the virtual weight W_dec[a] . W_enc[:, b] times
how much a changes where b has a slope.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.errors import InputError
from groundtruth.methods.circuits.gradients import ranking
from groundtruth.methods.circuits.mlp_transcoder import MLPTranscoder, neurons_of
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.hooks import HookPoint
from groundtruth.models.layers import Normalisation
from groundtruth.models.transformer import Transformer


@dataclass(frozen=True, eq=False)
class AttributionGraph:
    """What passes between embeddings, heads, latents and the outputs.

    Fields:
        nodes: embed, pos_embed, a{block}.h{head}, m{block}.l{latent}, logits; and m{block}.rest,
            what the transcoder misses and its bias, which reads nothing.
        weights: (source, target) attributions. A head is read into by its values alone.
    """

    nodes: tuple[str, ...]
    weights: np.ndarray

    def __getitem__(self, edge: tuple[str, str]) -> float:
        source, target = (self.nodes.index(name) for name in edge)
        return float(self.weights[source, target])

    def between(self, writer: str, node: str) -> float:
        """The sum over all latents of a writer and of a node of the model."""
        sources, targets = ([_owner(n) == name for n in self.nodes] for name in (writer, node))
        return float(self.weights[np.ix_(sources, targets)].sum())


def attribution_circuit(
    subject: ModelSubject,
    *,
    seed: int = 0,
    transcoders: Mapping[int, MLPTranscoder] | None = None,
    absolute: bool = True,
) -> Circuit:
    """Edges of the model by what passes along them in `attribution_graph`, over all latents.

    Args:
        seed: not used; every method has one.
        transcoders: of each block that has an MLP; its own neurons if None.
        absolute: strengths are |attribution|, else with its sign.

    Returns:
        A ranking of edges. Patterns stand still, so that queries and keys have strength 0.

    Raises:
        InputError: as `attribution_graph`.

    Source: as `attribution_graph`
    """
    found = attribution_graph(subject, transcoders)
    owner = graph.owners(subject.model)
    scores = [
        0.0
        if edge.reader.endswith((".q", ".k"))
        else found.between(edge.writer, owner[edge.reader])
        for edge in subject.universe("edge").edges
    ]
    return ranking(subject, "edge", np.array(scores), absolute, "attribution_circuit")


def attribution_graph(
    subject: ModelSubject, transcoders: Mapping[int, MLPTranscoder] | None = None
) -> AttributionGraph:
    """The graph over latents, from one forward and one backward pass.

    Args:
        subject: model, inputs, ablation, metric.
        transcoders: of each block that has an MLP; its own neurons if None.

    Raises:
        InputError: a block's transcoder is missing, or of another width; none are given for a
            model whose neurons are no ReLUs.

    Source: Dunefsky et al., 2024, as for `MLPTranscoder`; Ameisen et al., "Circuit Tracing:
    Revealing Computational Graphs in Language Models", 2025,
    https://transformer-circuits.pub/2025/attribution-graphs/methods.html (there paths through heads
    are summed up and heads are no nodes, and inputs are taken one by one)
    """
    model = subject.model
    given = neurons_of(model) if transcoders is None else transcoders
    _check(model, given)
    readers, codes = _readers(subject, given)
    writers = _writers(subject, given, codes)
    nodes = [name for _, names, _, _ in writers for name in names] + [graph.LOGITS]
    place = {name: i for i, name in enumerate(nodes)}
    weights = np.zeros((len(nodes), len(nodes)))
    at = graph.writers(model)
    for reader in readers:
        columns = [place[name] for name in reader.names]
        for writer, names, changes, directions in writers:
            if at[writer] < reader.place:
                passed = reader.passed(changes, directions)
                rows = [place[name] for name in names]
                # One name for many coordinates is their sum.
                passed = passed.sum(0, keepdims=True) if len(names) == 1 else passed
                weights[np.ix_(rows, columns)] = passed
    return AttributionGraph(tuple(nodes), weights)


@dataclass(frozen=True, eq=False)
class _Reader:
    """Targets that read one residual stream.

    Fields:
        names: one for each target, or the one that all together are.
        place: in the computation.
        weight: (d_model, width), with the norm's scale and centring.
        slopes: (input position, width) at what it gives, over the norm's divisor.
    """

    names: list[str]
    place: int
    weight: torch.Tensor
    slopes: torch.Tensor

    @torch.no_grad()
    def passed(self, changes: torch.Tensor, directions: torch.Tensor) -> np.ndarray:
        """(source, target) from sources that change by (input position, source) along directions
        (source, d_model)."""
        found = (directions @ self.weight) * (changes.T @ self.slopes)
        if len(self.names) == 1:
            found = found.sum(1, keepdim=True)
        return found.double().cpu().numpy()


def _readers(
    subject: ModelSubject, transcoders: Mapping[int, MLPTranscoder]
) -> tuple[list[_Reader], dict[int, torch.Tensor]]:
    """All targets with their slopes, and the codes of each block's transcoder."""
    model, pre, kept = subject.model, {}, {}

    def begin(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        return activation.detach().requires_grad_()

    def stand_still(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        kept[hook] = activation.detach()
        return kept[hook]

    def replaced(block: int):
        def through(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            pre[block] = transcoders[block].pre(inputs[0])
            found = transcoders[block].write(pre[block].relu())
            return found + (output - found).detach()

        return through

    def keep(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        kept[module] = output

    still = [s for s in model.hook_points if s.endswith(("hook_pattern", "hook_scale"))]
    blocks = model.each_block()
    with (
        model.hooks([("hook_embed", begin), *((s, stand_still) for s in still)]),
        ExitStack() as on,
    ):
        for i, block in enumerate(blocks):
            if block.mlp is not None:
                on.callback(block.mlp.register_forward_hook(replaced(i)).remove)
            if block.attn is not None:
                on.callback(block.attn.projected.register_forward_hook(keep).remove)
        logits = model(subject.tokens)
    heads = [b.attn for b in blocks if b.attn is not None]
    value = subject.value(logits[None]).sum()
    at = [*pre.values(), *(kept[attention.projected] for attention in heads), logits]
    slopes = [
        s.detach().flatten(0, 1) for s in torch.autograd.grad(value, at, materialize_grads=True)
    ]
    of_pre, of_heads = dict(zip(pre, slopes)), dict(zip(heads, slopes[len(pre) :]))
    place, found = graph.readers(model), []

    def add(
        node: str,
        names: list[str],
        weight: torch.Tensor,
        slopes: torch.Tensor,
        norm: torch.nn.Module,
    ) -> None:
        if isinstance(norm, Normalisation):
            weight = norm.scale[:, None] * weight
            weight = weight - weight.mean(0) if norm.center else weight
            slopes = slopes / kept[norm.hook_scale].flatten(0, 1)
        found.append(_Reader(names, place[node], weight.to(slopes), slopes))

    with torch.no_grad():
        for i, block in enumerate(blocks):
            if (attention := block.attn) is not None:
                for h in range(block.n_heads):
                    values = attention.layout.columns(h)[2]
                    slope = of_heads[attention][:, values]
                    head = graph.head_name(i, h)
                    add(head, [head], attention.weight(h, 2), slope, block.ln1)
            if block.mlp is not None:
                names = _latents(i, transcoders[i])
                add(graph.mlp_name(i), names, transcoders[i].W_enc, of_pre[i], block.ln2)
        add(graph.LOGITS, [graph.LOGITS], model.W_U, slopes[-1], model.ln_final)
    return found, {i: x.detach().relu() for i, x in pre.items()}


def _writers(
    subject: ModelSubject,
    transcoders: Mapping[int, MLPTranscoder],
    codes: Mapping[int, torch.Tensor],
) -> list[tuple[str, list[str], torch.Tensor, torch.Tensor]]:
    """Writers, names of their sources, and how much each of these changes (input position, source)
    along which direction (source, d_model).

    What is no latent changes along every coordinate, under one name.
    """
    found = []
    partner = _partner_codes(subject, transcoders, codes)
    for name, change in zip(subject.written, subject.changes):
        block = int(name[1:]) if name[0] == "m" else None
        rest = change.flatten(0, 1)
        if block is not None:
            W_dec = transcoders[block].W_dec.to(rest)
            moved = (codes[block] - partner[block]).flatten(0, 1)
            latents = _latents(block, transcoders[block])
            found.append((name, latents, moved, W_dec))
            rest = rest - moved @ W_dec
        names = [name if block is None else f"{name}.rest"]
        found.append((name, names, rest, torch.eye(rest.shape[1]).to(rest)))
    return found


def _partner_codes(
    subject: ModelSubject,
    transcoders: Mapping[int, MLPTranscoder],
    codes: Mapping[int, torch.Tensor],
) -> dict[int, torch.Tensor]:
    """The codes that the ablation puts in place of a block's own."""
    if subject.ablation == "zero":
        return {i: torch.zeros_like(x) for i, x in codes.items()}
    if subject.ablation == "mean":
        return {i: subject.mean(x) for i, x in codes.items()}
    found: dict[int, torch.Tensor] = {}
    with ExitStack() as on, torch.no_grad():
        for i, block in enumerate(subject.model.each_block()):
            if block.mlp is not None:

                def keep(module: torch.nn.Module, inputs: Any, _: Any, i: int = i) -> None:
                    found[i] = transcoders[i].pre(inputs[0]).relu()

                on.callback(block.mlp.register_forward_hook(keep).remove)
        subject.model(subject.paired)
    return found


def _latents(block: int, transcoder: MLPTranscoder) -> list[str]:
    return [f"{graph.mlp_name(block)}.l{k}" for k in range(len(transcoder.b_enc))]


def _owner(node: str) -> str:
    """The node of the model that a node of the graph belongs to."""
    return node.partition(".")[0] if node[0] == "m" else node


def _check(model: Transformer, transcoders: Mapping[int, MLPTranscoder]) -> None:
    d = model.W_E.shape[1]
    for i, block in enumerate(model.each_block()):
        if block.mlp is None:
            continue
        if i not in transcoders:
            raise InputError(f"transcoders: expected one for each MLP, got none for block {i}.")
        if len(transcoders[i].b_dec) != d:
            raise InputError(
                f"transcoders: block {i}: expected {d} coordinates, got "
                f"{len(transcoders[i].b_dec)}. Was it fitted to another model?"
            )
