"""The small transformer in float64 NumPy: one function per formula, nothing made fast.

What the torch and the JAX form are tested against. Slow: use `transformer.Transformer` to run.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from groundtruth.models.tokens import check_tokens
from groundtruth.models.weights import MLP, Activation, Block, Head, Norm, Weights


def forward(weights: Weights, tokens: np.ndarray) -> np.ndarray:
    """Outputs at every position.

    What stands at padding positions is computed and finite, but means nothing.

    Args:
        tokens: (batch, position) ids; position 0 is `weights.bos`, `weights.pad` fills the ends.

    Returns:
        (batch, position, n_outputs) float64.

    Raises:
        InputError: tokens that are no such rows.

    Example:
        >>> weights = Weights(np.eye(3), np.zeros((4, 3)), (), np.eye(3), np.ones(3), bos=0, pad=1)
        >>> forward(weights, np.array([[0, 2]]))[0, 1].tolist()
        [1.0, 1.0, 2.0]
    """
    check_tokens(weights, tokens)
    visible = visible_keys(weights, tokens)
    x = weights.W_E[tokens] + weights.W_pos[: tokens.shape[1]]
    for block in weights.blocks:
        x = x + attention(block, normalise(block.norm_attention, x), visible)
        if block.mlp is not None:
            x = x + mlp(block.mlp, weights.activation, normalise(block.norm_mlp, x))
    return normalise(weights.final_norm, x) @ weights.W_U + weights.b_U


def visible_keys(weights: Weights, tokens: np.ndarray) -> np.ndarray:
    """(batch, query, key): whether the query sees the key; every query sees position 0."""
    length = tokens.shape[1]
    visible = np.repeat((tokens != weights.pad)[:, None, :], length, axis=1)
    return visible & np.tri(length, dtype=bool) if weights.causal else visible


def attention(block: Block, x: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """b_O + sum over heads of softmax(q k' + mask) v W_O."""
    return sum((head_result(head, x, visible) for head in block.heads), block.b_O)


def head_result(head: Head, x: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """softmax(q k' + mask) v W_O."""
    q = x @ head.W_Q + head.b_Q
    k = x @ head.W_K + head.b_K
    v = x @ head.W_V + head.b_V
    scores = np.where(visible, q @ k.swapaxes(-1, -2), -np.inf)
    return softmax(scores) @ v @ head.W_O


def softmax(scores: np.ndarray) -> np.ndarray:
    """exp(s) / sum exp(s) over the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def mlp(layer: MLP, activation: Activation, x: np.ndarray) -> np.ndarray:
    """activation(x W_in + b_in) W_out + b_out."""
    return activate(activation, x @ layer.W_in + layer.b_in) @ layer.W_out + layer.b_out


def activate(activation: Activation, x: np.ndarray) -> np.ndarray:
    """max(x, 0), or x Phi(x)."""
    return np.maximum(x, 0) if activation == "relu" else x * (1 + erf(x / np.sqrt(2))) / 2


def normalise(norm: Norm | None, x: np.ndarray) -> np.ndarray:
    """(x - mean) / sqrt(mean (x - mean)^2 + eps) * scale + shift; the mean is 0 for RMSNorm."""
    if norm is None:
        return x
    if norm.center:
        x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + norm.eps) * norm.scale + norm.shift
