"""Noise on weights: each is off by a random fraction of itself, up to a bound.

A fraction, since it then enters bounds as the rounding of a weight does. Biases are exact, and so
is what is written to and read from coordinates that are axes; see `Coding`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from groundtruth.compiled_models.transport import Coding
from groundtruth.models import Block, Weights


def noisy(weights: Weights, coding: Coding, noise: float, rng: np.random.Generator) -> Weights:
    """`weights` times 1 + `noise` u, with u uniform from -1 to 1."""
    if not noise:
        return weights
    turned = np.ones(weights.d_model)
    turned[list(coding.fixed)] = 0

    def written(array: np.ndarray) -> np.ndarray:
        return array * (1 + noise * turned * rng.uniform(-1, 1, array.shape))

    def read(array: np.ndarray) -> np.ndarray:
        return array * (1 + noise * turned[:, None] * rng.uniform(-1, 1, array.shape))

    def block_of(block: Block) -> Block:
        heads = tuple(
            replace(
                head,
                W_Q=read(head.W_Q),
                W_K=read(head.W_K),
                W_V=read(head.W_V),
                W_O=written(head.W_O),
            )
            for head in block.heads
        )
        mlp = block.mlp
        if mlp is not None:
            mlp = replace(mlp, W_in=read(mlp.W_in), W_out=written(mlp.W_out))
        return replace(block, heads=heads, mlp=mlp)

    return replace(
        weights,
        W_E=written(weights.W_E),
        W_pos=written(weights.W_pos),
        blocks=tuple(map(block_of, weights.blocks)),
        W_U=read(weights.W_U),
    )
