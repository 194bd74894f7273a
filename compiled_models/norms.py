"""LayerNorm and RMSNorm on a twin: a ballast makes them harmless.

A direction that nothing reads carries the same large number C everywhere, so that the length of a
residual vector x is C but for |x|^2 / 2C, and a norm is a multiplication by nearly one number,
which its scale takes back. What is left, with the rounding of the norm itself, is relative:
`RELATIVE`.

LayerNorm takes the mean off as well. What is turned lies at right angles to the vector of ones, and
what must stay exactly 0 lies on pairs of coordinates, one the negative of the other, so that the
mean is 0 and what rounding leaves of it is not read.

Large constant activations on few coordinates are found in language models too: Sun et al.,
"Massive Activations in Large Language Models", 2024, https://arxiv.org/abs/2402.17762
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from groundtruth.compiled_models.rounding import UNIT
from groundtruth.compiled_models.transport import Coding
from groundtruth.models import Block, Norm, Weights

NormKind = Literal["layer", "rms"]

RELATIVE = 16 * UNIT
"""How far a normalised number can be from what it should be, as a fraction of it: 1 unit for what
is carried beside the ballast, 12 for the operations of either norm, most of them under a root."""

HEAVY = 2048
"""The ballast over the length of all that is carried: (1 / HEAVY)^2 / 4 is one unit."""

EPS = 1e-5


def normed(
    weights: Weights, coding: Coding, kind: NormKind, length: float
) -> tuple[Weights, Coding]:
    """`weights` with a norm before every block's heads and MLP and before the outputs.

    Args:
        length: the greatest length of what is carried.
    """
    into, ballast = _room(coding, kind)
    ballast = ballast * HEAVY * length
    d = into.shape[1]
    mean = (ballast @ ballast + length**2 / 2) / d
    scale = np.full(d, np.sqrt(mean + EPS))
    norm = Norm(scale, np.zeros(d), EPS, center=kind == "layer")
    blocks = tuple(_block(block, into, norm) for block in weights.blocks)
    made = replace(
        weights,
        W_E=weights.W_E @ into + ballast,
        W_pos=weights.W_pos @ into,
        blocks=blocks,
        W_U=into.T @ weights.W_U,
        final_norm=norm,
    )
    return made, replace(coding, basis=coding.basis @ into, ballast=ballast)


def _room(coding: Coding, kind: NormKind) -> tuple[np.ndarray, np.ndarray]:
    """(d_model, larger d_model) where each axis goes, at right angles; and where the ballast is."""
    d, fixed = coding.basis.shape[1], list(coding.fixed)
    if kind == "rms":
        return np.eye(d, d + 1), np.eye(d + 1)[d]
    pair = np.array([1, -1]) / np.sqrt(2)
    turned = [k for k in range(d) if k not in fixed]
    start = 2 * len(fixed)
    into = np.zeros((d, start + len(turned) + 3))
    for place, k in enumerate(fixed):
        into[k, 2 * place : 2 * place + 2] = pair
    into[turned, start : start + len(turned) + 1] = _beside_ones(len(turned))
    ballast = np.zeros(into.shape[1])
    ballast[-2:] = pair
    return into, ballast


def _beside_ones(n: int) -> np.ndarray:
    """(n, n + 1) orthonormal rows at right angles to the vector of ones."""
    full = np.linalg.qr(np.column_stack([np.ones(n + 1), np.eye(n + 1)[:, :n]]))[0]
    return full[:, 1:].T


def _block(block: Block, into: np.ndarray, norm: Norm) -> Block:
    heads = tuple(
        replace(
            head,
            W_Q=into.T @ head.W_Q,
            W_K=into.T @ head.W_K,
            W_V=into.T @ head.W_V,
            W_O=head.W_O @ into,
        )
        for head in block.heads
    )
    mlp = block.mlp
    if mlp is not None:
        mlp = replace(mlp, W_in=into.T @ mlp.W_in, W_out=mlp.W_out @ into, b_out=mlp.b_out @ into)
    return Block(
        heads,
        block.b_O @ into,
        mlp,
        norm_attention=norm if heads else None,
        norm_mlp=None if mlp is None else norm,
    )
