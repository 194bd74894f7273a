"""A circuit as a predictor: the model's own computation with everything else averaged out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.errors import ExplanationError
from groundtruth.models import graph
from groundtruth.models.clean_run import writer_outputs
from groundtruth.models.transformer import Transformer
from groundtruth.paired_inputs import drawn_subject
from groundtruth.prediction_testbed import PredictionSubject
from groundtruth.predictor import Interchange, Predictor

_N_MEAN = 256  # inputs that means are taken over
_N_FOUND = 64  # inputs that circuits are looked for on
_N_SIZES = 12
_MOST = 0.5  # share of the edges


def circuit_predictor(
    subject: PredictionSubject, circuit: Circuit, *, seed: int = 0, size: int | None = None
) -> Predictor:
    """Outputs where edges outside the circuit carry their writer's mean over inputs to learn from.

    It asks for no answer: what is claimed is that the circuit is enough, on any input.

    Args:
        circuit: a set of edges, or a ranking, of the subject's model.
        seed: of the inputs that means are taken over; of positions, all that were seen together
            where one is beyond them.
        size: cut a ranking after so many; the claimed set if None.

    Raises:
        ExplanationError: a ranking without `size`, a circuit of nodes or of another model's graph.
    """
    if circuit.universe.unit != "edge":
        raise ExplanationError("circuit: expected edges, got nodes. Name the edges between them.")
    edges = graph.edges(subject.model, circuit.universe.granularity)
    if circuit.universe.edges != edges:
        raise ExplanationError(
            f"circuit: expected one over the {len(edges)} edges of the subject's model, got one "
            f"over {len(circuit.universe)}. It was found in another model."
        )
    kept = circuit.claimed if size is None else circuit.strongest(size)
    if kept is None:
        raise ExplanationError("circuit: expected a set, got a ranking. Say where it ends: size=.")
    ((tokens, _),) = subject.inputs(_N_MEAN, seed=seed)
    run = _CircuitRun(subject.model, circuit, kept, tokens)
    return Predictor(run.outputs, name=f"circuit of {int(kept.sum())} edges")


def by_circuit(
    find: Callable[..., Circuit], subject: PredictionSubject, seed: int, size: int | None
) -> Predictor:
    """The `circuit_predictor` of what a method of circuits finds.

    It looks under mean ablation on inputs to learn from, for what tells the whole model's answers
    from those of it ablated as a whole. A ranking is cut where the squared error on what it asks
    for is least, of several such sizes at the smallest, and within half of the edges: all of them
    are the model, which predicts itself. A claimed set is taken as it is.

    Args:
        find: find(subject, seed=) -> circuit of edges.
        size: cut a ranking after so many; None: by the answers, all queries of which it spends.
    """
    ((tokens, _),) = subject.inputs(_N_FOUND, seed=seed)
    weights = subject.model.to_weights()
    circuit = find(drawn_subject(weights, tokens, "mean", None, "qkv"), seed=seed)
    if size is None and circuit.claimed is None:
        size = _best_size(subject, circuit, seed)
    return circuit_predictor(subject, circuit, seed=seed, size=size)


def _best_size(subject: PredictionSubject, circuit: Circuit, seed: int) -> int:
    ((tokens, _),) = subject.inputs(subject.queries, seed=seed)
    there = (tokens != subject.model.pad) & (np.arange(tokens.shape[1]) > 0)
    answers = subject.ask(tokens)[there]
    most = max(1, int(_MOST * len(circuit.universe)))
    sizes = np.unique(np.geomspace(1, most, _N_SIZES).round().astype(int))
    errors = []
    for size in sizes.tolist():
        claim = circuit_predictor(subject, circuit, seed=seed, size=size)
        said = claim(tokens, n_outputs=subject.n_outputs)[there]
        errors.append(float(((said - answers) ** 2).sum()))
    spread = float(((answers - answers.mean(0)) ** 2).sum())
    # What rounding makes of equal errors is no difference.
    return int(sizes[np.flatnonzero(np.array(errors) <= min(errors) + 1e-6 * spread)[0]])


class _CircuitRun:
    """A forward pass in which every reader sums up what its own edges carry."""

    def __init__(
        self, model: Transformer, circuit: Circuit, kept: np.ndarray, tokens: np.ndarray
    ) -> None:
        self.model = model
        apart = {
            (edge.writer, read): bool(on)
            for edge, on in zip(circuit.universe.edges, kept)
            for read in _reads(model, edge.reader)
        }
        self.intact = apart
        self.means = self._means(tokens)

    @torch.no_grad()
    def _means(self, tokens: np.ndarray) -> dict[str, torch.Tensor]:
        """(position, d_model) of each writer, of positions beyond those seen as of all."""
        there = torch.as_tensor(tokens != self.model.pad)
        n = there.sum(0)
        means = {}
        for name, written in writer_outputs(self.model, tokens).items():
            total = (written * there[..., None]).sum(0)
            overall = total[1:].sum(0) / n[1:].sum()
            means[name] = torch.where(n[:, None] > 0, total / n.clamp_min(1)[:, None], overall)
        return means

    @torch.no_grad()
    def outputs(self, tokens: np.ndarray, interchange: Interchange | None) -> np.ndarray:
        """(n, position, n_outputs)."""
        both = tokens if interchange is None else np.concatenate([tokens, interchange.source])
        found = self._run(self.model.as_tokens(both), interchange)
        return found[: len(tokens)].double().cpu().numpy()

    def _run(self, tokens: torch.Tensor, interchange: Interchange | None) -> torch.Tensor:
        model, stream = self.model, _Stream(self, tokens, interchange)
        stream.write(dict(zip(("embed", "pos_embed"), model.embed(tokens))))
        mask = model.mask(tokens)[:, 0]
        for i, block in enumerate(model.each_block()):
            stream.pass_by(f"blocks.{i}.hook_resid_pre")
            if (attention := block.attn) is not None:
                written = {}
                for h in range(block.n_heads):
                    head = graph.head_name(i, h)
                    q, k, v = (
                        attention.read(h, letter, block.ln1(stream.read(read)), slice(None))
                        for letter, read in enumerate(graph.reads_of(head))
                    )
                    written[head] = attention.write_one(h, q, k, v, mask, slice(None))
                stream.write(written, attention.b_O)
            stream.pass_by(f"blocks.{i}.hook_resid_mid")
            if block.mlp is not None:
                name = graph.mlp_name(i)
                stream.write({name: block.mlp(block.ln2(stream.read(name)))})
            stream.pass_by(f"blocks.{i}.hook_resid_post")
        return model.unembed(stream.read(graph.LOGITS))


class _Stream:
    """What has been written so far, as each reader sees it."""

    def __init__(
        self, run: _CircuitRun, tokens: torch.Tensor, interchange: Interchange | None
    ) -> None:
        self.run, self.shape = run, (*tokens.shape, run.model.W_E.shape[1])
        self.written: dict[str, torch.Tensor] = {}
        self.constant: Any = run.model.W_E.new_zeros(self.shape[2])
        self.interchange, self.before = interchange, 0
        if interchange is not None:
            basis = torch.as_tensor(interchange.basis.copy()).to(run.model.W_E)
            base = tokens.chunk(2)[0].cpu().numpy()
            where = torch.as_tensor(interchange.where(base, run.model.pad), device=tokens.device)
            self.project, self.where = basis.T @ basis, where[..., None]

    def write(self, written: dict[str, torch.Tensor], constant: Any = 0.0) -> None:
        self.written |= written
        self.constant = self.constant + constant

    def pass_by(self, site: str) -> None:
        """From the interchange's site on, what was written before is partly the partner's."""
        if self.interchange is not None and site == self.interchange.site:
            self.before = len(self.written)

    def read(self, reader: str) -> torch.Tensor:
        x = self._sum(reader, list(self.written)[: self.before])
        if self.before:
            base, source = x.chunk(2)
            x = torch.cat([base + (source - base) @ self.project * self.where, source])
        return x + self._sum(reader, list(self.written)[self.before :]) + self.constant

    def _sum(self, reader: str, writers: list[str]) -> torch.Tensor:
        total = self.run.model.W_E.new_zeros(self.shape)
        for writer in writers:
            intact = self.run.intact.get((writer, reader), False)
            total = total + (
                self.written[writer] if intact else self.run.means[writer][: self.shape[1]]
            )
        return total


def _reads(model: Transformer, reader: str) -> tuple[str, ...]:
    """A head is its three reads."""
    apart = graph.readers(model, "qkv")
    return (reader,) if reader in apart else graph.reads_of(reader)
