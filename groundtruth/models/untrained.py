"""Random weights in the shape of given ones: a model that has learned nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from groundtruth import seeds
from groundtruth.models.weights import MLP, Block, Head, Weights


def untrained_weights(weights: Weights, *, seed: int = 0) -> Weights:
    """Normal weights of variance 1 / rows, embeddings of variance 1, biases 0; norms stay.

    Args:
        weights: whose shapes and settings are taken.
        seed: of the draws.
    """
    rng = seeds.generator(seeds.root_of("untrained", seed))

    def drawn(matrix: np.ndarray) -> np.ndarray:
        return rng.normal(size=matrix.shape) / np.sqrt(max(1, matrix.shape[0]))

    def head(old: Head) -> Head:
        new = {name: drawn(getattr(old, name)) for name in ("W_Q", "W_K", "W_V", "W_O")}
        zero = {name: 0 * getattr(old, name) for name in ("b_Q", "b_K", "b_V")}
        return Head(**new, **zero)

    def mlp(old: MLP | None) -> MLP | None:
        if old is None:
            return None
        return MLP(drawn(old.W_in), 0 * old.b_in, drawn(old.W_out), 0 * old.b_out)

    def block(old: Block) -> Block:
        heads = tuple(head(part) for part in old.heads)
        return replace(old, heads=heads, b_O=0 * old.b_O, mlp=mlp(old.mlp))

    return replace(
        weights,
        W_E=rng.normal(size=weights.W_E.shape),
        W_pos=rng.normal(size=weights.W_pos.shape),
        blocks=tuple(block(part) for part in weights.blocks),
        W_U=drawn(weights.W_U),
        b_U=0 * weights.b_U,
    )
