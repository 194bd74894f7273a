"""Sequences per CPU-second through the small transformer.

    python -m benchmarks.transformer [--repetitions 7]

One thread, no gradients: 4 blocks of 4 heads, d_model 100, 400 hidden units, 20 tokens after bos,
batch 256, against the JAX form (jitted) and TransformerLens with the same weights, where they are
installed.
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
from groundtruth.models import MLP, Block, Head, Weights
from groundtruth.models.transformer import Transformer

N_TOKENS, N_OUTPUTS, LENGTH = 12, 10, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    one_thread()
    with torch.no_grad():
        _forward(repetitions)


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


def _around(
    W_E: np.ndarray, W_pos: np.ndarray, blocks: tuple[Block, ...], W_U: np.ndarray
) -> Weights:
    return Weights(W_E, W_pos, blocks, W_U, np.zeros(N_OUTPUTS), bos=0, pad=1)


if __name__ == "__main__":
    main()
