"""The computation graph of a transformer: what writes to the residual stream, and what reads it.

    writers   embed, pos_embed, a{block}.h{head}, m{block}
    readers   a{block}.h{head}, or a{block}.h{head}.q, .k and .v apart; m{block}; logits

A block's heads read what came before the block; its MLP reads its heads as well; `logits` reads
everything. Biases (b_O, b_out where a head or MLP adds it) belong to no edge of their own: b_out is
part of what its MLP writes, b_O is a constant that every later reader sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Granularity = Literal["head", "qkv"]
LOGITS = "logits"


class Components(Protocol):
    """`Weights` or `Transformer`."""

    @property
    def components(self) -> tuple[tuple[int, bool], ...]: ...


class Edge(NamedTuple):
    """What `writer` wrote, as `reader` sees it; a head as reader is all three of its reads."""

    writer: str
    reader: str


@dataclass(frozen=True)
class Node:
    """Something that computes.

    Fields:
        name: as in an edge.
        site: where its output is found; None for `logits`, which is the model's output.
        head: which head at that site; None if the site is all its own.
    """

    name: str
    site: str | None
    head: int | None = None


def head_name(block: int, head: int) -> str:
    return f"a{block}.h{head}"


def mlp_name(block: int) -> str:
    return f"m{block}"


def reads_of(head: str) -> tuple[str, str, str]:
    """The three readers that a head is made of."""
    return f"{head}.q", f"{head}.k", f"{head}.v"


def nodes(model: Components) -> tuple[Node, ...]:
    """Every node, in the order of the computation.

    Example:
        >>> import numpy as np
        >>> from groundtruth.models import Block, MLP, Weights
        >>> layer = MLP(np.ones((1, 2)), np.zeros(2), np.ones((2, 1)), np.zeros(1))
        >>> one = np.ones((2, 1))
        >>> block = Block((), np.zeros(1), layer)
        >>> weights = Weights(one, one, (block,), one.T, np.zeros(2), bos=0, pad=1)
        >>> [node.name for node in nodes(weights)]
        ['embed', 'pos_embed', 'm0', 'logits']
        >>> [f"{writer} > {reader}" for writer, reader in edges(weights)]
        ['embed > m0', 'pos_embed > m0', 'embed > logits', 'pos_embed > logits', 'm0 > logits']
    """
    found = [Node("embed", "hook_embed"), Node("pos_embed", "hook_pos_embed")]
    for i, (n_heads, has_mlp) in enumerate(model.components):
        result = f"blocks.{i}.attn.hook_result"
        found += [Node(head_name(i, h), result, h) for h in range(n_heads)]
        found += [Node(mlp_name(i), f"blocks.{i}.hook_mlp_out")] if has_mlp else []
    return (*found, Node(LOGITS, None))


def edges(model: Components, granularity: Granularity = "head") -> tuple[Edge, ...]:
    """Every edge, readers in the order of the computation, and so the writers of each.

    Args:
        model: weights, or a model that runs them.
        granularity: "head": a head reads once; "qkv": its query, key and value read apart.
    """
    found: list[Edge] = []
    writers = ["embed", "pos_embed"]
    for i, (n_heads, has_mlp) in enumerate(model.components):
        heads = [head_name(i, h) for h in range(n_heads)]
        for head in heads:
            readers = (head,) if granularity == "head" else reads_of(head)
            found += [Edge(writer, reader) for reader in readers for writer in writers]
        writers += heads
        if has_mlp:
            found += [Edge(writer, mlp_name(i)) for writer in writers]
            writers.append(mlp_name(i))
    return (*found, *(Edge(writer, LOGITS) for writer in writers))
