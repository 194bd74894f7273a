"""Sequences per CPU-second through the small transformer, and edges patched per CPU-second.

    python -m benchmarks.transformer [--repetitions 7]

One thread, no gradients. Forward: 4 blocks of 4 heads, d_model 100, 400 hidden units, 20 tokens
after bos, batch 256, against the JAX form (jitted) and TransformerLens with the same weights, where
they are installed. Edges: every query, key and value edge of a model of 6 blocks whose nodes each
write to coordinates of their own and read one other's, as compiled models do, patched one by one;
all in one batch, against one run for each.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.saelens_world import cpu_seconds, one_thread
from groundtruth.models import MLP, Block, Edge, Head, Weights, edges
from groundtruth.models.clean_run import writer_outputs
from groundtruth.models.edge_patching import run_with_edges
from groundtruth.models.transformer import Transformer

N_TOKENS, N_OUTPUTS, LENGTH = 12, 10, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    one_thread()
    with torch.no_grad():
        _forward(repetitions)
        _edges(repetitions)


def _forward(repetitions: int, batch: int = 256) -> None:
    rng = np.random.default_rng(0)
    weights = _dense(rng)
    tokens = _tokens(rng, batch)
    model, ids = Transformer(weights), torch.tensor(tokens)
    for name, other in _others(weights, tokens).items():
        ours, theirs = cpu_seconds(lambda: model(ids), other, repetitions)
        print(f"torch: {batch / ours:,.0f} sequences per CPU-second")
        print(f"{name}: {batch / theirs:,.0f}; ratio: {theirs / ours:.2f}")


def _others(weights: Weights, tokens: np.ndarray) -> dict[str, Callable[[], Any]]:
    others: dict[str, Callable[[], Any]] = {}
    if importlib.util.find_spec("jax"):
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        form = importlib.import_module("groundtruth.models.jax_forward")
        parameters = form.to_jax(weights)
        others["JAX"] = lambda: form.forward(parameters, tokens).block_until_ready()
    if importlib.util.find_spec("transformer_lens"):
        export = importlib.import_module("groundtruth.adapters.transformer_lens")
        hooked, ids = export.to_transformer_lens(weights), torch.tensor(tokens)
        others["TransformerLens"] = lambda: hooked(ids)
    return others


def _edges(repetitions: int) -> None:
    for batch in (8, 32, 256):
        rng = np.random.default_rng(1)
        weights = _disjoint(rng)
        model, tokens = Transformer(weights), _tokens(rng, batch)
        universe = edges(weights, "qkv")
        source = writer_outputs(model, _tokens(rng, batch))
        each = torch.eye(len(universe))

        def together(model=model, tokens=tokens, source=source, universe=universe, each=each):
            run_with_edges(model, tokens, source, universe, each)

        def one_by_one(model=model, tokens=tokens, source=source, universe=universe):
            for edge in universe:
                run_with_edges(model, tokens, source, [Edge(*edge)])

        ours, naive = cpu_seconds(together, one_by_one, max(1, repetitions // 3))
        rates = f"{len(universe) / ours:,.0f} against {len(universe) / naive:,.0f}"
        print(f"batch {batch}: {rates} edges per CPU-second; ratio: {naive / ours:.1f}")


def _tokens(rng: np.random.Generator, batch: int) -> np.ndarray:
    tokens = rng.integers(2, N_TOKENS, (batch, LENGTH + 1))
    tokens[:, 0] = 0
    return tokens


def _dense(rng: np.random.Generator, d: int = 100, d_head: int = 25, d_mlp: int = 400) -> Weights:
    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) / np.sqrt(shape[0])

    def head() -> Head:
        q, k, v = ((normal(d, d_head), normal(d_head)) for _ in range(3))
        return Head(*q, *k, *v, normal(d_head, d))

    blocks = tuple(
        Block(
            tuple(head() for _ in range(4)),
            normal(d),
            MLP(normal(d, d_mlp), normal(d_mlp), normal(d_mlp, d), normal(d)),
        )
        for _ in range(4)
    )
    return _around(normal(N_TOKENS, d), normal(LENGTH + 1, d), blocks, normal(d, N_OUTPUTS))


def _disjoint(rng: np.random.Generator, n_heads: int = 2, width: int = 5) -> Weights:
    n_nodes = 2 + 6 * (n_heads + 1)
    d = n_nodes * width

    def reads(earlier: int, columns: int) -> np.ndarray:
        return _at(d, int(rng.integers(earlier)), rng.standard_normal((width, columns)))

    def writes(node: int, rows: int) -> np.ndarray:
        return _at(d, node, rng.standard_normal((width, rows)) / np.sqrt(rows)).T

    def head(earlier: int, node: int) -> Head:
        q, k, v = ((reads(earlier, width), np.zeros(width)) for _ in range(3))
        return Head(*q, *k, *v, writes(node, width))

    blocks = []
    for first in range(2, n_nodes, n_heads + 1):
        heads = tuple(head(first, first + h) for h in range(n_heads))
        node = first + n_heads
        mlp = MLP(reads(node, 30), rng.standard_normal(30), writes(node, 30), np.zeros(d))
        blocks.append(Block(heads, np.zeros(d), mlp))
    return _around(
        writes(0, N_TOKENS), writes(1, LENGTH + 1), tuple(blocks), reads(n_nodes, N_OUTPUTS)
    )


def _at(d: int, node: int, matrix: np.ndarray) -> np.ndarray:
    """`matrix` in the rows of `node`, zero elsewhere."""
    weight = np.zeros((d, matrix.shape[1]))
    weight[node * len(matrix) : (node + 1) * len(matrix)] = matrix
    return weight


def _around(
    W_E: np.ndarray, W_pos: np.ndarray, blocks: tuple[Block, ...], W_U: np.ndarray
) -> Weights:
    return Weights(W_E, W_pos, blocks, W_U, np.zeros(N_OUTPUTS), bos=0, pad=1)


if __name__ == "__main__":
    main()
