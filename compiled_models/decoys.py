"""Decoys: heads and neurons that read what is there and write where nothing reads.

A decoy head attends as a head of the model does and moves another variable; a decoy neuron is on
where one of two variables has one of its values. Both write into coordinates that carry no
variable, so that no reader sees them but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from groundtruth.compiled_models.components import Entries
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.placement import Placement
from groundtruth.compiled_models.transport import Coding
from groundtruth.models import MLP, Block, Weights

BIAS = -0.5
"""Of a decoy neuron."""


@dataclass(frozen=True)
class Decoy:
    """Something that reads and writes and does not matter.

    Fields:
        block: index.
        head: index, of a decoy head; None of a neuron.
        neuron: index, of a decoy neuron; None of a head.
        reads: names of the variables that it reads.
        weights: how much of each direction of the layout it moves, or adds up before `BIAS`.
        like: index of the head of the plan that a decoy head attends as; None of a neuron.
        direction: (d_model,) that it writes to; a unit vector that no reader sees.
        largest: the greatest length of what it writes.
    """

    block: int
    head: int | None
    neuron: int | None
    reads: tuple[str, ...]
    weights: Entries
    like: int | None
    direction: np.ndarray
    largest: float

    def __str__(self) -> str:
        what = f"head {self.head}" if self.neuron is None else f"neuron {self.neuron}"
        return f"block {self.block} {what} (decoy): reads {', '.join(self.reads)}"


def with_decoys(
    weights: Weights,
    placement: Placement,
    coding: Coding,
    n: int,
    rng: np.random.Generator,
) -> tuple[Weights, tuple[Decoy, ...]]:
    """`weights` with `n` decoys, in turn neurons and heads where there are heads to resemble."""
    blocks, decoys = list(weights.blocks), []
    with_heads = [b for b, block in enumerate(blocks) if block.heads]
    with_neurons = [b for b, block in enumerate(blocks) if block.mlp is not None]
    for k in range(n):
        direction = rng.normal(size=coding.free) @ coding.basis[coding.size :]
        direction /= np.linalg.norm(direction)
        as_head = with_heads and (k % 2 == 1 or not with_neurons)
        add, among = (_head, with_heads) if as_head else (_neuron, with_neurons)
        b = int(rng.choice(among))
        readable = _readable(placement, coding, b)
        blocks[b], decoy = add(blocks[b], b, readable, coding, direction, rng)
        decoys.append(decoy)
    return replace(weights, blocks=tuple(blocks)), tuple(decoys)


def _readable(placement: Placement, coding: Coding, block: int) -> list[Variable]:
    """One-hot variables that are written before `block`."""
    later = {part.writes for b in placement.blocks[block:] for part in (*b.heads, *b.neurons)}
    return [v for v in coding.places if v.one_hot and v not in later and len(v.labels) > 1]


def _head(
    block: Block,
    b: int,
    readable: Sequence[Variable],
    coding: Coding,
    direction: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Block, Decoy]:
    model = block.heads[int(rng.integers(len(block.heads)))]
    variable = readable[int(rng.integers(len(readable)))]
    # A decoy before it may be what it resembles, and resembles a head of the plan.
    like = next(k for k, head in enumerate(block.heads) if head.W_Q is model.W_Q)
    word, weights, largest = _word(coding, variable, rng)
    value = coding.basis[coding.places[variable]].T @ word
    made = replace(model, W_V=value[:, None], b_V=np.zeros(1), W_O=direction[None])
    decoy = Decoy(b, len(block.heads), None, (variable.name,), weights, like, direction, largest)
    return replace(block, heads=(*block.heads, made)), decoy


def _neuron(
    block: Block,
    b: int,
    readable: Sequence[Variable],
    coding: Coding,
    direction: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Block, Decoy]:
    assert block.mlp is not None
    chosen = rng.choice(len(readable), size=min(2, len(readable)), replace=False)
    variables = [readable[int(k)] for k in chosen]
    reads, weights = np.zeros(coding.basis.shape[1]), {}
    most = 0.0
    for variable in variables:
        word, of_variable, largest = _word(coding, variable, rng)
        reads += coding.basis[coding.places[variable]].T @ word
        weights |= of_variable
        most += largest
    mlp = MLP(
        np.column_stack([block.mlp.W_in, reads]),
        np.append(block.mlp.b_in, BIAS),
        np.vstack([block.mlp.W_out, direction]),
        block.mlp.b_out,
    )
    names = tuple(variable.name for variable in variables)
    decoy = Decoy(b, None, block.mlp.W_in.shape[1], names, weights, None, direction, most)
    return replace(block, mlp=mlp), decoy


def _word(
    coding: Coding, variable: Variable, rng: np.random.Generator
) -> tuple[np.ndarray, Entries, float]:
    """What reads 1 where a variable has one of its values: on its coordinates, and on its
    directions; and the most that it reads."""
    code = coding.codes[variable]
    word = code[int(rng.integers(len(code)))]
    word = word / np.square(word).sum()
    read = code @ word
    weights = dict(zip(variable.directions, read.tolist()))
    return word, weights, float(np.abs(read).max()) * (1 + variable.total)
