"""Weights with every block as wide as the widest, for libraries that know no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from groundtruth.models.weights import MLP, Block, Head, Norm, Weights


def dense(weights: Weights) -> Weights:
    """The same function with equal numbers of heads, head widths and MLP widths in every block.

    What is added is zero: it reads and writes nothing. d_value becomes d_head. Where a block lacks
    its attention or MLP and others have norms, it is given one that scales by 1.

    Returns:
        weights with more parameters and the same outputs; see `HookedTransformer`'s format.

    Example:
        >>> none = np.zeros((2, 0))
        >>> wide = Head(np.eye(2), np.zeros(2), np.eye(2), np.zeros(2), none, np.zeros(0), none.T)
        >>> narrow = Head(none, np.zeros(0), none, np.zeros(0), np.eye(2), np.zeros(2), np.eye(2))
        >>> blocks = (Block((wide, narrow), np.zeros(2), None), Block((), np.zeros(2), None))
        >>> weights = Weights(np.eye(2), np.eye(2), blocks, np.eye(2), np.zeros(2), bos=0, pad=1)
        >>> [[head.W_V.shape for head in block.heads] for block in dense(weights).blocks]
        [[(2, 2), (2, 2)], [(2, 2), (2, 2)]]
    """
    heads = [head for block in weights.blocks for head in block.heads]
    n_heads = max([1, *(len(block.heads) for block in weights.blocks)])
    d_head = max([1, *(max(h.W_Q.shape[1], h.W_V.shape[1]) for h in heads)])
    d_mlp = max([1, *(b.mlp.W_in.shape[1] for b in weights.blocks if b.mlp is not None)])
    norm = _neutral(weights)
    blocks = tuple(_dense_block(block, n_heads, d_head, d_mlp, norm) for block in weights.blocks)
    return replace(weights, blocks=blocks)


def _dense_block(block: Block, n_heads: int, d_head: int, d_mlp: int, norm: Norm | None) -> Block:
    d = len(block.b_O)
    heads = [*block.heads, *[_empty_head(d)] * (n_heads - len(block.heads))]
    mlp = _empty_mlp(d) if block.mlp is None else block.mlp
    return Block(
        heads=tuple(_dense_head(head, d_head) for head in heads),
        b_O=block.b_O,
        mlp=MLP(
            _widen(mlp.W_in, d_mlp, 1),
            _widen(mlp.b_in, d_mlp, 0),
            _widen(mlp.W_out, d_mlp, 0),
            mlp.b_out,
        ),
        norm_attention=block.norm_attention if block.heads else norm,
        norm_mlp=norm if block.mlp is None else block.norm_mlp,
    )


def _dense_head(head: Head, d_head: int) -> Head:
    return Head(
        _widen(head.W_Q, d_head, 1),
        _widen(head.b_Q, d_head, 0),
        _widen(head.W_K, d_head, 1),
        _widen(head.b_K, d_head, 0),
        _widen(head.W_V, d_head, 1),
        _widen(head.b_V, d_head, 0),
        _widen(head.W_O, d_head, 0),
    )


def _widen(array: np.ndarray, width: int, axis: int) -> np.ndarray:
    """`array` followed by zeros up to `width`."""
    missing = [(0, width - n if i == axis else 0) for i, n in enumerate(array.shape)]
    return np.pad(array, missing)


def _empty_head(d: int) -> Head:
    none, bias = np.zeros((d, 0)), np.zeros(0)
    return Head(none, bias, none, bias, none, bias, none.T)


def _empty_mlp(d: int) -> MLP:
    return MLP(np.zeros((d, 0)), np.zeros(0), np.zeros((0, d)), np.zeros(d))


def _neutral(weights: Weights) -> Norm | None:
    """A norm of the kind that the model has, scaling by 1; None if it has none."""
    if weights.final_norm is None:
        return None
    d = weights.d_model
    return replace(weights.final_norm, scale=np.ones(d), shift=np.zeros(d))
