"""The computation graph of a transformer: what writes to the residual stream, and what reads it.

    writers   embed, pos_embed, a{block}.h{head}, m{block}
    readers   a{block}.h{head}, or a{block}.h{head}.q, .k and .v apart; m{block}; logits

A block's heads read what came before the block; its MLP reads its heads as well; `logits` reads
everything. Biases (b_O, b_out where a head or MLP adds it) belong to no edge of their own: b_out is
part of what its MLP writes, b_O is a constant that every later reader sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from groundtruth.errors import reject

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


def node_of(reader: str) -> str:
    """The node that a reader belongs to: of a head's query, key or value, the head.

    Example:
        >>> node_of("a0.h1.q"), node_of("m0")
        ('a0.h1', 'm0')
    """
    return reader[:-2] if reader.endswith((".q", ".k", ".v")) else reader


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
    written = writers(model)
    return tuple(
        Edge(writer, reader)
        for reader, read_at in readers(model, granularity).items()
        for writer, written_at in written.items()
        if written_at < read_at
    )


def writers(model: Components) -> dict[str, int]:
    """Every writer, with its place in the computation: heads of one block have one place."""
    return {"embed": 0, "pos_embed": 0} | {
        name: place for name, place in _places(model) if name != LOGITS
    }


def check_granularity(granularity: object) -> None:
    """Raise if `granularity` is none."""
    if granularity not in ("head", "qkv"):
        raise reject("granularity", granularity, '"head" or "qkv"')


def readers(model: Components, granularity: Granularity = "head") -> dict[str, int]:
    """Every reader, with its place in the computation; it reads what has a lower one."""
    if granularity == "head":
        return dict(_places(model))
    heads = {head_name(i, h) for i, (n, _) in enumerate(model.components) for h in range(n)}
    return {
        read: place
        for name, place in _places(model)
        for read in (reads_of(name) if name in heads else (name,))
    }


def owners(model: Components) -> dict[str, str]:
    """Reader -> the node that it belongs to, at both granularities."""
    heads = [head_name(i, h) for i, (n, _) in enumerate(model.components) for h in range(n)]
    apart = {read: head for head in heads for read in reads_of(head)}
    return {name: name for name, _ in _places(model)} | apart


def _places(model: Components) -> Iterator[tuple[str, int]]:
    """Heads, MLPs and the outputs, in order."""
    for i, (n_heads, has_mlp) in enumerate(model.components):
        for h in range(n_heads):
            yield head_name(i, h), 2 * i + 1
        if has_mlp:
            yield mlp_name(i), 2 * i + 2
    yield LOGITS, 2 * len(model.components) + 1
