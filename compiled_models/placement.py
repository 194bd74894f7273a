"""In which block each component stands: as early as what it reads allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundtruth.compiled_models.components import Component, Head, Neurons
from groundtruth.compiled_models.layout import Variable
from groundtruth.errors import UnknownName


@dataclass(frozen=True)
class PlacedBlock:
    """The heads of a block, then the neurons of its MLP, in the order in which they lie there."""

    heads: tuple[Head, ...]
    neurons: tuple[Neurons, ...]

    def __str__(self) -> str:
        return "\n".join(f"    {part}" for part in (*self.heads, *self.neurons))


@dataclass(frozen=True)
class Place:
    """Where a variable is computed.

    Fields:
        block: index; the variable can be read from the residual stream after it.
        head: index of the head that writes it, None if neurons do.
        neurons: of the block's MLP, None if a head does.
    """

    block: int
    head: int | None = None
    neurons: range | None = None


@dataclass(frozen=True)
class Placement:
    """Blocks in order."""

    blocks: tuple[PlacedBlock, ...]

    def find(self, name: str) -> Place | None:
        """Where the variable called `name` is computed; None if it is embedded.

        Raises:
            UnknownName: no component reads or writes such a variable.
        """
        for b, block in enumerate(self.blocks):
            for h, head in enumerate(block.heads):
                if head.writes.name == name:
                    return Place(b, head=h)
            first = 0
            for neurons in block.neurons:
                after = first + len(neurons.units)
                if neurons.writes.name == name:
                    return Place(b, neurons=range(first, after))
                first = after
        parts = [part for block in self.blocks for part in (*block.heads, *block.neurons)]
        known = {v.name for part in parts for v in (*part.reads, part.writes)}
        if name not in known:
            raise UnknownName("variable", name, known)
        return None

    def __str__(self) -> str:
        return "\n".join(f"block {b}:\n{block}" for b, block in enumerate(self.blocks))


def placed(components: Sequence[Component]) -> Placement:
    """`components`, each after what it reads, in half blocks: 2 b is the attention of block b and
    2 b + 1 its MLP."""
    ready: dict[Variable, int] = {}
    halves: dict[int, list[Component]] = {}
    for component in components:
        half = max((ready.get(variable, 0) for variable in component.reads), default=0)
        half += half % 2 if isinstance(component, Head) else 1 - half % 2
        halves.setdefault(half, []).append(component)
        ready[component.writes] = half + 1
    n_blocks = max(halves, default=-1) // 2 + 1
    return Placement(
        tuple(
            PlacedBlock(
                tuple(c for c in halves.get(2 * b, ()) if isinstance(c, Head)),
                tuple(c for c in halves.get(2 * b + 1, ()) if isinstance(c, Neurons)),
            )
            for b in range(n_blocks)
        )
    )
