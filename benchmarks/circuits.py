"""What circuit discovery costs beside the passes through the model that it is made of.

    python -m benchmarks.circuits [--repetitions 3]
    python -m benchmarks.circuits --growth

One thread. Exhaustive edge patching of compiled models of 6 to 8 blocks, against a loop that runs
the model once for each edge, with a hook that adds the change where the edge's reader reads; both
must give the same scores, and both begin at the clean and the other run. EAP and EAP-IG against as
many forward and backward passes: to the embeddings alone, which is the least that is needed, and
`backward()`, which fills the gradients of all parameters. `--growth`: CPU-seconds of both and of
patching at 80 to 120,000 edges.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.saelens_world import cpu_seconds, one_thread
from groundtruth.compiled_models import compile_program, library
from groundtruth.methods import circuits as methods
from groundtruth.model_subject import ModelSubject
from groundtruth.models import MLP, Block, Edge, Head, Weights
from groundtruth.models.hooks import HookPoint
from groundtruth.models.transformer import Transformer

FIGURE = Path(__file__).with_name("circuit_growth.png")
PROGRAMS = ("ioi", "greater_than", "agreement", "shuffle_dyck", "shuffle_dyck2")
LENGTH = 10
STEPS = 5
GROWTH = ((2, 3), (3, 6), (6, 8), (8, 16), (12, 16), (12, 24))  # blocks, heads in each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="measure and draw growth with edges")
    options = parser.parse_args()
    one_thread()
    if options.growth:
        _growth()
        return
    _patching(options.repetitions)
    _attribution(options.repetitions)


def _patching(repetitions: int) -> None:
    for name in PROGRAMS:
        vocab, program = library.entry(name).vocab, library.example_program(name)
        model = compile_program(program, vocab=vocab, max_length=LENGTH).model
        for n in (8, 32, 256):
            # Fresh ones, so that nothing is kept from the time before.
            subjects = iter([_subject(model, n, LENGTH) for _ in range(2 * repetitions + 4)])

            def ours(subjects: Iterator[ModelSubject] = subjects) -> np.ndarray:
                return methods.edge_patching(next(subjects)).strengths

            def naive(subjects: Iterator[ModelSubject] = subjects) -> np.ndarray:
                return _one_by_one(next(subjects))

            # A thousand roundings of outputs of size 1.
            apart = float(np.abs(ours() - naive()).max())
            assert apart < 1e-4, apart
            edges = len(_subject(model, 1, LENGTH).universe("edge"))
            mine, theirs = cpu_seconds(ours, naive, repetitions)
            print(
                f"{name}, {edges} edges, {n} inputs: {edges / mine:,.0f} against "
                f"{edges / theirs:,.0f} edges per CPU-second; ratio: {theirs / mine:.1f}; scores "
                f"differ by {apart:.0e} at most"
            )


def _one_by_one(subject: ModelSubject) -> np.ndarray:
    """Strengths of `edge_patching`, by one run with a hook for each edge."""
    intact = subject.metric(subject.model(subject.tokens)[None])
    found = []
    with torch.no_grad():
        for edge in subject.universe("edge").edges:
            change = subject.source[edge.writer] - subject.written[edge.writer]
            moved = intact - subject.metric(_patched(subject, edge, change)[None])
            found.append(float(moved.abs() @ subject.weights))
    return np.array(found)


def _patched(subject: ModelSubject, edge: Edge, change: torch.Tensor) -> torch.Tensor:
    """Outputs where the reader of `edge`, which has no norm, reads `change` as well."""
    model = subject.model
    if edge.reader == "logits":
        return model(subject.tokens) + change @ model.W_U
    block, _, read = edge.reader[1:].partition(".")
    inner = model.each_block()[int(block)]
    if inner.mlp is not None and edge.reader[0] == "m":
        added, site = change @ inner.mlp.W_in, f"blocks.{block}.mlp.hook_pre"
        return model.run_with_hooks(subject.tokens, [(site, lambda x, hook: x + added)])
    assert inner.attn is not None
    head, letter = int(read[1:-2]), read[-1]
    weight = inner.attn.weight(head, "qkv".index(letter))
    added = change @ weight

    def add(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        activation = activation.clone()
        activation[:, :, head, : weight.shape[1]] += added
        return activation

    site = f"blocks.{block}.attn.hook_{letter}"
    return model.run_with_hooks(subject.tokens, [(site, add)])


def _attribution(repetitions: int) -> None:
    for blocks, heads, d_model, n in ((4, 4, 64, 64), (4, 8, 128, 32), (6, 8, 256, 16)):
        subject = _subject(Transformer(_dense(blocks, heads, d_model)), n, 20)
        edges = len(subject.universe("edge"))
        _ = subject.changes
        for name, count, method in (
            ("EAP", 1, methods.eap),
            (f"EAP-IG, {STEPS} steps", STEPS, lambda s: methods.eap_ig_inputs(s, steps=STEPS)),
        ):

            def ours(subject=subject, method=method) -> None:
                method(subject)

            def least(subject=subject, count=count) -> None:
                for _ in range(count):
                    _slopes(subject)

            def usual(subject=subject, count=count) -> None:
                for _ in range(count):
                    _backward(subject)

            ratios = []
            for passes in (least, usual):
                mine, theirs = cpu_seconds(ours, passes, repetitions)
                ratios.append(mine / theirs)
            print(
                f"{name}, {edges:,} edges, d_model {d_model}: {ratios[0]:.2f} of its passes to the "
                f"embeddings, {ratios[1]:.2f} of its passes with backward()"
            )


def _slopes(subject: ModelSubject) -> None:
    """A forward and a backward pass, to the embeddings alone."""
    kept = []

    def begin(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        kept.append(activation.detach().requires_grad_())
        return kept[-1]

    outputs = subject.model.run_with_hooks(subject.tokens, [("hook_embed", begin)])
    torch.autograd.grad(subject.value(outputs[None]).sum(), kept)


def _backward(subject: ModelSubject) -> None:
    """A forward and a backward pass, to all parameters."""
    subject.value(subject.model(subject.tokens)[None]).sum().backward()
    subject.model.zero_grad()


def _growth() -> None:
    counts, times = [], {name: [] for name in ("forward", "EAP", "EAP-IG", "dense", "disjoint")}
    for blocks, heads in GROWTH:
        subject, disjoint = (
            _subject(Transformer(make(blocks, heads, 96)), 1, 4) for make in (_dense, _disjoint)
        )
        _ = subject.changes, disjoint.changes
        counts.append(len(subject.universe("edge")))
        for name, run in (
            ("forward", lambda s=subject: s.model(s.tokens)),
            ("EAP", lambda s=subject: methods.eap(s)),
            ("EAP-IG", lambda s=subject: methods.eap_ig_inputs(s, steps=STEPS)),
            ("dense", lambda s=subject: methods.edge_patching(s)),
            ("disjoint", lambda s=disjoint: methods.edge_patching(s)),
        ):
            times[name].append(_once(run))
        spent = ", ".join(f"{name} {found[-1]:.3g}" for name, found in times.items())
        print(f"{counts[-1]:>8,} edges, CPU-seconds: {spent}", flush=True)
    for name, found in times.items():
        slope = np.polyfit(np.log(counts[-4:]), np.log(found[-4:]), 1)[0]
        print(f"{name} grows as edges to the power {slope:.2f} at the last four")
    _draw(np.array(counts), {name: np.array(found) for name, found in times.items()})


def _once(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    first = time.process_time() - start
    # Short ones again, since the first call finds a cold cache.
    return min(first, *cpu_seconds(run, run, 3)) if first < 1 else first


def _draw(counts: np.ndarray, times: dict[str, np.ndarray]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    axes.loglog(
        counts, counts * times["forward"], ":", color="grey", label="a forward pass an edge"
    )
    for name, label, marker in (
        ("dense", "patching, all edges matter", "o"),
        ("disjoint", "patching, as compiled", "s"),
        ("EAP-IG", f"EAP-IG, {STEPS} steps", "^"),
        ("EAP", "EAP", "v"),
        ("forward", "one forward pass", "."),
    ):
        axes.loglog(counts, times[name], f"{marker}-", lw=1, ms=4, label=label)
    axes.set(xlabel="edges", ylabel="CPU-seconds")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(FIGURE, dpi=150)
    print(f"drawn: {FIGURE.name}")


def _subject(model: Transformer, n: int, length: int) -> ModelSubject:
    """Random inputs, patched from others, with both runs; the metric is of the last outputs."""
    rng = np.random.default_rng(0)
    contents = [token for token in range(model.n_tokens) if token not in (model.bos, model.pad)]
    tokens = rng.choice(contents, (2, n, length + 1))
    tokens[:, :, 0] = model.bos
    subject = ModelSubject(model, tokens[0], _last, "resample", tokens[1], "at random")
    subject.universe("edge")
    return subject


def _last(outputs: torch.Tensor) -> torch.Tensor:
    # Sensitive to every output.
    last = outputs[..., -1, :]
    return last @ torch.arange(1.0, last.shape[-1] + 1)


N_TOKENS = 12


def _dense(blocks: int, heads: int, d: int) -> Weights:
    """Every node reads every node before it."""
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) / np.sqrt(4 * shape[0])

    def head() -> Head:
        width = max(4, d // heads)
        q, k, v = ((normal(d, width), normal(width)) for _ in range(3))
        return Head(*q, *k, *v, normal(width, d))

    return _around(
        [
            Block(
                tuple(head() for _ in range(heads)),
                normal(d),
                MLP(normal(d, 4 * d), normal(4 * d), normal(4 * d, d), normal(d)),
            )
            for _ in range(blocks)
        ],
        (normal(N_TOKENS, d), normal(21, d), normal(d, N_TOKENS)),
    )


def _disjoint(blocks: int, heads: int, d: int) -> Weights:
    """Every node reads one node before it, and writes to a coordinate of its own."""
    rng = np.random.default_rng(1)
    d = 2 + blocks * (heads + 1)

    def reads(earlier: int, width: int) -> np.ndarray:
        weight = np.zeros((d, width))
        weight[int(rng.integers(earlier))] = rng.standard_normal(width)
        return weight

    def writes(node: int, width: int) -> np.ndarray:
        weight = np.zeros((width, d))
        weight[:, node] = rng.standard_normal(width)
        return weight

    made = []
    for first in range(2, d, heads + 1):
        side = tuple(
            Head(
                *(x for _ in range(3) for x in (reads(first, 4), np.zeros(4))),
                W_O=writes(first + h, 4),
            )
            for h in range(heads)
        )
        node = first + heads
        mlp = MLP(reads(node, 16), rng.standard_normal(16), writes(node, 16), np.zeros(d))
        made.append(Block(side, np.zeros(d), mlp))
    return _around(made, (writes(0, N_TOKENS), writes(1, 21), reads(d, N_TOKENS)))


def _around(blocks: list[Block], ends: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Weights:
    W_E, W_pos, W_U = ends
    return Weights(W_E, W_pos, tuple(blocks), W_U, np.zeros(N_TOKENS), bos=0, pad=1)


if __name__ == "__main__":
    main()
