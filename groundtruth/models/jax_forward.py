"""The small transformer in JAX: parameters as one pytree, the forward a pure jitted function.

Needs `pip install "groundtruth[jax]"`; nothing else in the library imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from groundtruth.models.head_layout import HeadLayout, pack, side_by_side
from groundtruth.models.tokens import check_tokens
from groundtruth.models.weights import MLP, Activation, Block, Norm, Weights


@dataclass(frozen=True)
class PackedBlock:
    """One block, its heads packed as in `groundtruth.models.head_layout`; None is what it lacks."""

    W_QKV: Any
    b_QKV: Any
    W_O: Any
    b_O: Any
    norm_attention: Norm | None
    mlp: MLP | None
    norm_mlp: Norm | None
    layout: HeadLayout


@dataclass(frozen=True)
class Parameters:
    """A pytree to differentiate or to map over; what is no array is compiled in."""

    W_E: Any
    W_pos: Any
    blocks: tuple[PackedBlock, ...]
    final_norm: Norm | None
    W_U: Any
    b_U: Any
    bos: int
    pad: int
    causal: bool
    activation: Activation

    @property
    def n_tokens(self) -> int:
        return self.W_E.shape[0]

    @property
    def n_positions(self) -> int:
        return self.W_pos.shape[0]


def _register(kind: type, *meta: str) -> None:
    data = [field.name for field in fields(kind) if field.name not in meta]
    jax.tree_util.register_dataclass(kind, data, list(meta))


_register(Norm, "eps", "center")
_register(MLP)
_register(PackedBlock, "layout")
_register(Parameters, "bos", "pad", "causal", "activation")


def to_jax(weights: Weights, dtype: Any = jnp.float32) -> Parameters:
    """`weights` as jax arrays."""
    packed = Parameters(
        weights.W_E,
        weights.W_pos,
        tuple(_pack(block) for block in weights.blocks),
        weights.final_norm,
        weights.W_U,
        weights.b_U,
        weights.bos,
        weights.pad,
        weights.causal,
        weights.activation,
    )
    return jax.tree.map(lambda array: jnp.asarray(array, dtype), packed)


def _pack(block: Block) -> PackedBlock:
    layout, *packed = pack(block.heads) if block.heads else (HeadLayout(()), None, None, None)
    W_QKV, b_QKV, W_O = packed
    return PackedBlock(
        W_QKV, b_QKV, W_O, block.b_O, block.norm_attention, block.mlp, block.norm_mlp, layout
    )


def forward(parameters: Parameters, tokens: Any) -> jax.Array:
    """Outputs (batch, position, n_outputs) of token ids (batch, position).

    What stands at padding positions is computed and finite, but means nothing. Compiled once for
    each shape of `tokens`. Inside a transformation that traces the tokens they are not checked.

    Raises:
        InputError: tokens that are no rows of known ids that begin with `bos`.

    Example:
        >>> eye = np.eye(3)
        >>> weights = Weights(eye, 0 * eye, (), eye, np.zeros(3), bos=0, pad=1)
        >>> forward(to_jax(weights), [[0, 2]])[0, 1].tolist()
        [0.0, 0.0, 1.0]
    """
    if not isinstance(tokens, Tracer):
        tokens = np.asarray(tokens)
        check_tokens(parameters, tokens)
    return _forward(parameters, tokens)


@jax.jit
def _forward(parameters: Parameters, tokens: jax.Array) -> jax.Array:
    x = parameters.W_E[tokens] + parameters.W_pos[: tokens.shape[1]]
    visible = _visible_keys(parameters, tokens)
    for block in parameters.blocks:
        if block.W_QKV is not None:
            x = x + _attention(block, _normalise(block.norm_attention, x), visible)
        if block.mlp is not None:
            hidden = _normalise(block.norm_mlp, x) @ block.mlp.W_in + block.mlp.b_in
            x = x + _activate(parameters.activation, hidden) @ block.mlp.W_out + block.mlp.b_out
    return _normalise(parameters.final_norm, x) @ parameters.W_U + parameters.b_U


def _visible_keys(parameters: Parameters, tokens: jax.Array) -> jax.Array:
    """(batch, 1, query, key), with a single query where all see the same."""
    visible = (tokens != parameters.pad)[:, None, None, :]
    length = tokens.shape[1]
    return visible & jnp.tri(length, dtype=bool) if parameters.causal else visible


def _attention(block: PackedBlock, x: jax.Array, visible: jax.Array) -> jax.Array:
    zs = []
    for q, k, v in block.layout.split(x @ block.W_QKV + block.b_QKV):
        scores = jnp.where(visible, q @ k.swapaxes(-1, -2), -jnp.inf)
        zs.append(side_by_side(jax.nn.softmax(scores) @ v))
    return jnp.concatenate(zs, -1) @ block.W_O + block.b_O


def _activate(activation: Activation, x: jax.Array) -> jax.Array:
    return jax.nn.relu(x) if activation == "relu" else jax.nn.gelu(x, approximate=False)


def _normalise(norm: Norm | None, x: jax.Array) -> jax.Array:
    if norm is None:
        return x
    if norm.center:
        x = x - x.mean(-1, keepdims=True)
    scale = jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + norm.eps)
    return x / scale * norm.scale + norm.shift
