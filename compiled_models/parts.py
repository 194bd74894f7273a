"""Which node of the model computes what: the program laid over the computation graph."""

from __future__ import annotations

from dataclasses import dataclass

from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.expressions import Indices
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.variables import embedded
from groundtruth.models.graph import head_name, mlp_name


@dataclass(frozen=True)
class Part:
    """A node, or some neurons of one, that writes a variable.

    Fields:
        node: as in `groundtruth.models.graph`: embed, pos_embed, a{block}.h{head} or m{block}.
        writes: the variable.
        expression: the name of the s-op that it is or leads to.
        reads: the variables that it is computed from.
        block: index; -1 where it is embedded.
        neurons: of the block's MLP; None if all of the node is meant.
    """

    node: str
    writes: Variable
    expression: str
    reads: tuple[Variable, ...]
    block: int = -1
    neurons: range | None = None

    def __str__(self) -> str:
        where = self.node
        if self.neurons is not None:
            where += f" neurons {self.neurons.start} to {self.neurons.stop - 1}"
        reads = dict.fromkeys(variable.name for variable in self.reads)
        return f"{where}: {self.writes.name}" + (f" of {', '.join(reads)}" if reads else "")


def parts(compiled: Compiled) -> tuple[Part, ...]:
    """All parts, in the order of the computation.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("hist"), vocab="ab", max_length=3)
        >>> for part in parts(compiled):
        ...     print(part)
        embed: tokens
        a0.h0: hist.share of tokens
        m0 neurons 0 to 4: hist of hist.share
    """
    names, placement = compiled.program.names, compiled.placement
    found = []
    for variable in embedded(compiled.layout, placement):
        node = "pos_embed" if isinstance(variable.expression, Indices) else "embed"
        found.append(Part(node, variable, names[variable.expression], ()))
    for b, block in enumerate(placement.blocks):
        for h, head in enumerate(block.heads):
            made = head.writes
            name = names[made.expression]
            found.append(Part(head_name(b, h), made, name, head.reads, b))
        first = 0
        for group in block.neurons:
            made, neurons = group.writes, range(first, first + len(group.units))
            name = names[made.expression]
            found.append(Part(mlp_name(b), made, name, group.reads, b, neurons))
            first = neurons.stop
    return tuple(found)
