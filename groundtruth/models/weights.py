"""The weights of a small transformer: what the NumPy, torch and JAX forms of it all run.

A position's residual vector is a row; maps act from the right. For token ids t, position p and
each block in order (norms are the identity where None):

    x      = W_E[t] + W_pos[p]
    x     += b_O + sum over heads of softmax(q k' + mask) v W_O,
             with q = n(x) W_Q + b_Q, k = n(x) W_K + b_K, v = n(x) W_V + b_V, n = norm_attention
    x     += activation(m(x) W_in + b_in) W_out + b_out, with m = norm_mlp
    logits = final_norm(x) W_U + b_U

Attention scores are not divided by the root of the head's width: a compiler sets them outright, and
an export to a library that divides multiplies first. Padding is never attended to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from groundtruth import hashing
from groundtruth.errors import InputError, UnknownName

Activation = Literal["relu", "gelu"]


@dataclass(frozen=True)
class Norm:
    """LayerNorm, or RMSNorm where `center` is False: x / sqrt(mean x^2 + eps) * scale + shift.

    Fields:
        scale, shift: (d_model,).
    """

    scale: np.ndarray
    shift: np.ndarray
    eps: float = 1e-5
    center: bool = True


@dataclass(frozen=True)
class Head:
    """One attention head; heads of one block may differ in width.

    Fields:
        W_Q, W_K: (d_model, d_head).
        b_Q, b_K: (d_head,).
        W_V: (d_model, d_value).
        b_V: (d_value,).
        W_O: (d_value, d_model).
    """

    W_Q: np.ndarray
    b_Q: np.ndarray
    W_K: np.ndarray
    b_K: np.ndarray
    W_V: np.ndarray
    b_V: np.ndarray
    W_O: np.ndarray


@dataclass(frozen=True)
class MLP:
    """One hidden layer.

    Fields:
        W_in: (d_model, d_mlp).
        b_in: (d_mlp,).
        W_out: (d_mlp, d_model).
        b_out: (d_model,).
    """

    W_in: np.ndarray
    b_in: np.ndarray
    W_out: np.ndarray
    b_out: np.ndarray


@dataclass(frozen=True)
class Block:
    """Heads side by side, then an MLP; either may be missing.

    Fields:
        heads: none: the block has no attention.
        b_O: (d_model,) added once, whatever the number of heads; zeros where there are none.
        mlp: None: the block has no MLP.
    """

    heads: tuple[Head, ...]
    b_O: np.ndarray
    mlp: MLP | None
    norm_attention: Norm | None = None
    norm_mlp: Norm | None = None


@dataclass(frozen=True)
class Weights:
    """A whole transformer, in float64.

    Fields:
        W_E: (n_tokens, d_model).
        W_pos: (n_positions, d_model); position 0 holds the begin-of-sequence token.
        W_U: (d_model, n_outputs).
        b_U: (n_outputs,).
        bos: id of the begin-of-sequence token.
        pad: id of the padding token, which is never attended to.
        causal: queries see keys at their own position and before, which includes position 0.
        activation: of every MLP; "gelu" is the exact one, x Phi(x).

    Raises:
        InputError: an array has a shape that does not fit, or numbers that are not finite; `bos`
            and `pad` are not two tokens; an attention bias stands where there are no heads.
    """

    W_E: np.ndarray
    W_pos: np.ndarray
    blocks: tuple[Block, ...]
    W_U: np.ndarray
    b_U: np.ndarray
    bos: int
    pad: int
    causal: bool = False
    activation: Activation = "relu"
    final_norm: Norm | None = None

    def __post_init__(self) -> None:
        _check("W_E", self.W_E, (None, None))
        d = self.d_model
        _check("W_pos", self.W_pos, (None, d))
        for i, block in enumerate(self.blocks):
            _check_block(f"blocks.{i}", block, d)
        _check("W_U", self.W_U, (d, None))
        _check("b_U", self.b_U, (self.W_U.shape[1],))
        _check_norm("final_norm", self.final_norm, d)
        if len({self.bos, self.pad} & set(range(self.n_tokens))) < 2:
            raise InputError(
                f"bos, pad: expected two different tokens below {self.n_tokens}, "
                f"got {self.bos} and {self.pad}."
            )
        if self.activation not in ("relu", "gelu"):
            raise UnknownName("activation", self.activation, ("relu", "gelu"))

    @property
    def d_model(self) -> int:
        return self.W_E.shape[1]

    @property
    def n_tokens(self) -> int:
        return self.W_E.shape[0]

    @property
    def n_positions(self) -> int:
        """With the begin-of-sequence position."""
        return self.W_pos.shape[0]

    @property
    def n_outputs(self) -> int:
        return self.W_U.shape[1]

    @property
    def components(self) -> tuple[tuple[int, bool], ...]:
        """For each block how many heads it has, and whether an MLP."""
        return tuple((len(block.heads), block.mlp is not None) for block in self.blocks)

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by name, such as W_E, blocks.0.heads.1.W_Q and blocks.0.norm_mlp.scale."""
        return {k: v for k, v in _leaves("", self) if isinstance(v, np.ndarray)}

    def settings(self) -> dict[str, Any]:
        """Everything else by name, such as causal and final_norm.eps; None for what is missing."""
        return {k: v for k, v in _leaves("", self) if not isinstance(v, np.ndarray)}

    @property
    def hash(self) -> str:
        """Content hash of arrays and settings."""
        return hashing.content_hash(self.settings(), self.arrays())


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value):
        parts = [(field.name, getattr(value, field.name)) for field in fields(value)]
    elif isinstance(value, tuple):
        parts = [(str(i), part) for i, part in enumerate(value)]
    else:
        yield name, value
        return
    for key, part in parts:
        yield from _leaves(f"{name}.{key}" if name else key, part)


def _check_block(where: str, block: Block, d: int) -> None:
    _check(f"{where}.b_O", block.b_O, (d,))
    if not block.heads and block.b_O.any():
        raise InputError(f"{where}.b_O: expected zeros in a block without heads, got others.")
    _check_norm(f"{where}.norm_attention", block.norm_attention, d)
    _check_norm(f"{where}.norm_mlp", block.norm_mlp, d)
    for h, head in enumerate(block.heads):
        at = f"{where}.heads.{h}"
        d_head, d_value = head.W_Q.shape[-1], head.W_V.shape[-1]
        _check(f"{at}.W_Q", head.W_Q, (d, d_head))
        _check(f"{at}.b_Q", head.b_Q, (d_head,))
        _check(f"{at}.W_K", head.W_K, (d, d_head))
        _check(f"{at}.b_K", head.b_K, (d_head,))
        _check(f"{at}.W_V", head.W_V, (d, d_value))
        _check(f"{at}.b_V", head.b_V, (d_value,))
        _check(f"{at}.W_O", head.W_O, (d_value, d))
    if (mlp := block.mlp) is not None:
        d_mlp = mlp.W_in.shape[-1]
        _check(f"{where}.mlp.W_in", mlp.W_in, (d, d_mlp))
        _check(f"{where}.mlp.b_in", mlp.b_in, (d_mlp,))
        _check(f"{where}.mlp.W_out", mlp.W_out, (d_mlp, d))
        _check(f"{where}.mlp.b_out", mlp.b_out, (d,))


def _check_norm(name: str, norm: Norm | None, d: int) -> None:
    if norm is not None:
        _check(f"{name}.scale", norm.scale, (d,))
        _check(f"{name}.shift", norm.shift, (d,))


def _check(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=False)
    )
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise InputError(f"{name}: expected shape ({wanted}), got {array.shape}.")
    if array.dtype != np.float64 or not np.isfinite(array).all():
        raise InputError(f"{name}: expected finite float64 numbers, got {array.dtype}.")
