"""Which edge of a compiled model carries which variables: by its plan, not by its weights.

Begin-of-sequence is marked by the token embedding, and what heads are known to write there is taken
off by the mark wherever it would be read. So the mark is read in many places, and varies with no
input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.components import Head, Neurons
from groundtruth.compiled_models.expressions import Constant, Indices
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.mechanisms import MARKER
from groundtruth.compiled_models.variables import embedded
from groundtruth.models.graph import LOGITS, Edge, head_name, mlp_name


@dataclass(frozen=True, eq=False)
class Wired:
    """A node of the computation graph with what it computes and reads.

    Fields:
        name: as in `groundtruth.models.graph`.
        parts: the head, or the groups of neurons; none for embeddings and logits.
        writes: the variables that it writes, whether or not any node reads them.
        reads: port ("q", "k" and "v" of a head, else "") -> the variables that are read there.
        marked: the ports at which the mark of begin-of-sequence is read.
    """

    name: str
    parts: tuple[Head | Neurons, ...]
    writes: tuple[Variable, ...]
    reads: Mapping[str, tuple[Variable, ...]]
    marked: frozenset[str]

    def reader(self, port: str) -> str:
        """As an edge names it."""
        return f"{self.name}.{port}" if port else self.name


def wiring(compiled: Compiled) -> tuple[Wired, ...]:
    """Every node, in the order of the computation."""
    layout, placement = compiled.layout, compiled.placement
    start = embedded(layout, placement)
    by_position = [v for v in start if isinstance(v.expression, Indices)]
    by_token = [v for v in start if not isinstance(v.expression, Indices)]
    nodes = [_embedding("embed", by_token), _embedding("pos_embed", by_position)]
    for b, block in enumerate(placement.blocks):
        nodes += [_head(head_name(b, h), head, layout) for h, head in enumerate(block.heads)]
        if block.neurons:
            nodes.append(_mlp(mlp_name(b), block.neurons, layout))
    output = layout[compiled.program.names[compiled.program.output]]
    return (*nodes, Wired(LOGITS, (), (), {"": (output,)}, frozenset()))


def carried(compiled: Compiled) -> dict[Edge, tuple[str, ...]]:
    """The names of what each edge carries, `MARKER` for the mark of begin-of-sequence.

    Edges are those of a head's query, key and value apart, on a path to the outputs; all others
    carry nothing that is read.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("hist"), vocab="ab", max_length=3)
        >>> for edge, names in carried(compiled).items():
        ...     print(*edge, names)
        embed a0.h0.q ('tokens',)
        embed a0.h0.k ('tokens', 'begin-of-sequence')
        embed a0.h0.v ('begin-of-sequence',)
        embed m0 ('begin-of-sequence',)
        a0.h0 m0 ('hist.share',)
        m0 logits ('hist',)
    """
    nodes = wiring(compiled)
    writer = {v: node.name for node in nodes for v in node.writes}
    found: dict[Edge, list[str]] = {}
    heard = {LOGITS}
    for node in reversed(nodes):
        if node.name not in heard:
            continue
        for port, variables in node.reads.items():
            for variable in variables:
                edge = Edge(writer[variable], node.reader(port))
                found.setdefault(edge, []).append(variable.name)
                heard.add(writer[variable])
            if port in node.marked:
                found.setdefault(Edge("embed", node.reader(port)), []).append(MARKER)
                heard.add("embed")
    place = {node.name: k for k, node in enumerate(nodes)}
    ports = {node.reader(port): (k, port) for k, node in enumerate(nodes) for port in node.reads}
    order = {"q": 0, "k": 1, "v": 2, "": 0}

    def in_order(edge: Edge) -> tuple[int, int, int]:
        node, port = ports[edge.reader]
        return node, order[port], place[edge.writer]

    return {edge: tuple(found[edge]) for edge in sorted(found, key=in_order)}


def constants(compiled: Compiled) -> frozenset[str]:
    """What is the same at each token of every input: the mark, constants and what is always on."""
    fixed = {v.name for v in compiled.layout.values() if isinstance(v.expression, Constant)}
    for block in compiled.placement.blocks:
        fixed |= {group.writes.name for group in block.neurons if not group.reads}
    return frozenset(fixed | {MARKER})


def _embedding(name: str, variables: Iterable[Variable]) -> Wired:
    return Wired(name, (), tuple(variables), {}, frozenset())


def _head(name: str, head: Head, layout: Layout) -> Wired:
    terms = [term for term in head.terms if term.wanted.any()]
    queries = [term.queries for term in terms]
    keys = [term.keys for term in terms] + list(_at(head.preferences, layout))
    values = list(_at({source: factor for source, _, factor in head.moves}, layout))
    reads = {
        port: tuple(dict.fromkeys(variables))
        for port, variables in (("q", queries), ("k", keys), ("v", values))
    }
    return Wired(name, (head,), (head.writes,), reads, frozenset(_marked_ports(head, layout)))


def _marked_ports(head: Head, layout: Layout) -> Iterator[str]:
    """Where the mark has a weight: it takes off what is held at begin-of-sequence."""
    wanted = [
        (t.wanted @ np.array(t.queries.at_bos), np.array(t.keys.at_bos) @ t.wanted)
        for t in head.terms
    ]
    if not head.terms or any(by_query.any() for by_query, _ in wanted):
        yield "q"
    held = sum(layout.at(d).held(d) * score for d, score in head.preferences.items())
    if not head.terms or head.bos != held or any(by_key.any() for _, by_key in wanted):
        yield "k"
    moved = {to: 0.0 for _, to, _ in head.moves} | dict(head.from_bos)
    for source, to, factor in head.moves:
        moved[to] -= layout.at(source).held(source) * factor
    if any(moved.values()):
        yield "v"


def _mlp(name: str, groups: tuple[Neurons, ...], layout: Layout) -> Wired:
    units = [unit for group in groups for unit in group.units if any(unit.writes.values())]
    read = [variable for unit in units for variable in _at(unit.reads, layout)]
    marked = any(
        sum(weight * layout.at(d).held(d) for d, weight in unit.reads.items()) + unit.bias + 1 > 0
        for unit in units
    )
    writes = tuple(group.writes for group in groups)
    ports = frozenset({""} if marked else ())
    return Wired(name, groups, writes, {"": tuple(dict.fromkeys(read))}, ports)


def _at(entries: Mapping[int, float], layout: Layout) -> Iterator[Variable]:
    """The variables of the directions that have a weight."""
    for direction, weight in entries.items():
        if weight:
            yield layout.at(direction)
