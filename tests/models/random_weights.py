"""Random small transformers and token rows, as arrays and as Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from groundtruth.models.weights import MLP, Block, Head, Norm, Weights


def random_weights(
    rng: np.random.Generator,
    *,
    heads: Sequence[Sequence[tuple[int, int]]] = (((3, 2), (3, 2)), ((1, 4),)),
    d_mlp: Sequence[int | None] = (5, 5),
    d_model: int = 6,
    n_tokens: int = 5,
    n_positions: int = 7,
    n_outputs: int = 4,
    norm: str | None = None,
    **settings: Any,
) -> Weights:
    """Normal entries; `heads` has the (d_head, d_value) of every head, `d_mlp` None for no MLP."""

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape)

    def make_norm() -> Norm | None:
        if norm is None:
            return None
        return Norm(normal(d_model), normal(d_model), 1e-3, center=norm == "layer")

    def make_head(d_head: int, d_value: int) -> Head:
        return Head(
            normal(d_model, d_head),
            normal(d_head),
            normal(d_model, d_head),
            normal(d_head),
            normal(d_model, d_value),
            normal(d_value),
            normal(d_value, d_model),
        )

    def make_block(widths: Sequence[tuple[int, int]], hidden: int | None) -> Block:
        layer = None
        if hidden is not None:
            layer = MLP(
                normal(d_model, hidden), normal(hidden), normal(hidden, d_model), normal(d_model)
            )
        return Block(
            tuple(make_head(*w) for w in widths),
            normal(d_model) if widths else np.zeros(d_model),
            layer,
            make_norm() if widths else None,
            make_norm() if hidden is not None else None,
        )

    return Weights(
        normal(n_tokens, d_model),
        normal(n_positions, d_model),
        tuple(make_block(w, hidden) for w, hidden in zip(heads, d_mlp, strict=True)),
        normal(d_model, n_outputs),
        normal(n_outputs),
        bos=0,
        pad=n_tokens - 1,
        final_norm=make_norm(),
        **settings,
    )


def random_tokens(rng: np.random.Generator, weights: Weights, lengths: Sequence[int]) -> np.ndarray:
    """Rows of `lengths` tokens after bos, filled up with pad."""
    rows = np.full((len(lengths), max(lengths) + 1), weights.pad)
    rows[:, 0] = weights.bos
    for row, length in zip(rows, lengths):
        row[1 : length + 1] = rng.integers(1, weights.n_tokens - 1, length)
    return rows


WIDTHS = st.tuples(st.integers(0, 3), st.integers(0, 3))
BLOCKS = st.lists(
    st.tuples(st.lists(WIDTHS, max_size=4), st.none() | st.integers(0, 5)), max_size=3
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Weights, np.ndarray]:
    """A transformer of any shape, with rows of tokens for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    blocks = draw(BLOCKS)
    weights = random_weights(
        rng,
        heads=[heads for heads, _ in blocks],
        d_mlp=[d_mlp for _, d_mlp in blocks],
        d_model=draw(st.integers(1, 6)),
        norm=draw(st.sampled_from([None, "layer", "rms"])),
        causal=draw(st.booleans()),
        activation=draw(st.sampled_from(["relu", "gelu"])),
    )
    lengths = draw(st.lists(st.integers(0, weights.n_positions - 1), min_size=1, max_size=4))
    return weights, random_tokens(rng, weights, lengths)
