"""What each node of a compiled model writes, from whatever reaches it: by its plan, in float64.

A second route to the model, which never sees its weight matrices: a head weighs keys by the terms
of its selector and moves values, a group of neurons adds up its units. It holds for what reaches a
node under any ablation, which no interpreter has a value for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.components import Entries, Head, Neurons
from groundtruth.compiled_models.expressions import Constant, Tokens
from groundtruth.compiled_models.layout import BOS, Variable
from groundtruth.compiled_models.pointwise import target_of
from groundtruth.compiled_models.wiring import Wired, wiring
from groundtruth.models.graph import LOGITS

Wire = tuple[str, str]
"""The port of a node, and a writer that it reads there."""

Contents = Mapping[str, np.ndarray]
"""What each node writes: (batch, position, direction), on the directions of its `outlets`."""


@dataclass(frozen=True, eq=False)
class Port:
    """Where a node reads.

    Fields:
        directions: of the residual stream, in the order in which its input has them.
        wires: writer -> columns of the input, and of what the writer writes.
    """

    directions: tuple[int, ...]
    wires: Mapping[str, tuple[np.ndarray, np.ndarray]]

    @cached_property
    def place(self) -> dict[int, int]:
        return {direction: k for k, direction in enumerate(self.directions)}


class ValueFlow:
    """A compiled model's nodes as functions of what reaches them, on `tokens`.

    Args:
        compiled: whose plan is followed.
        tokens: (batch, position) ids, as its model reads them.

    Fields:
        nodes: in the order of the computation, the logits last.
        outlets: the directions that each node writes.
        ports: (node, port) -> what is read there, and from whom.
        units: node -> what its neurons read, their biases, and what they write.
        visible: (batch, query, key) which keys a head sees.
    """

    def __init__(self, compiled: Compiled, tokens: np.ndarray) -> None:
        self.compiled, self.layout, self.tokens = compiled, compiled.layout, tokens
        self.nodes = wiring(compiled)
        self.outlets = {node.name: _directions(node.writes) for node in self.nodes}
        self.outlets["embed"] = (BOS, *self.outlets["embed"])
        self.ports = {
            (node.name, port): self._port(node, port) for node in self.nodes for port in node.reads
        }
        self.units = {
            node.name: self._units_of(node)
            for node in self.nodes
            if any(isinstance(part, Neurons) for part in node.parts)
        }
        causal, n = compiled.program.causal, tokens.shape[1]
        seen = np.tri(n, dtype=bool) if causal else np.ones((n, n), dtype=bool)
        self.visible = seen & (tokens != len(compiled.analysis.vocab) + 1)[:, None, :]

    def _port(self, node: Wired, port: str) -> Port:
        directions = (BOS, *_directions(node.reads[port]))
        if port not in node.marked:
            directions = directions[1:]
        place = {direction: k for k, direction in enumerate(directions)}
        wires = {}
        for writer, written in self.outlets.items():
            common = [(place[d], k) for k, d in enumerate(written) if d in place]
            if common:
                to, at = np.array(common).T
                wires[writer] = to, at
        return Port(directions, wires)

    @property
    def computing(self) -> tuple[Wired, ...]:
        """The nodes that are no embeddings."""
        return self.nodes[2:]

    def wires(self, node: Wired) -> list[Wire]:
        """All that reaches a node."""
        return [(p, w) for p in node.reads for w in self.ports[node.name, p].wires]

    @cached_property
    def written(self) -> Contents:
        """What each node writes where nothing is ablated."""
        found = dict(self.embedded)
        for node in self.computing:
            found[node.name] = self.write(node, self._all_seen(node, found))
        return found

    def held(self, variable: Variable) -> np.ndarray:
        """(batch, position, label) what is written of a variable where nothing is ablated."""
        node = next(node for node in self.nodes if variable in node.writes)
        start = self.outlets[node.name].index(variable.start)
        return self.written[node.name][..., start : start + len(variable.labels)]

    def attention(self, name: str) -> np.ndarray:
        """(batch, query, key) how the head of a node attends where nothing is ablated."""
        node = next(node for node in self.nodes if node.name == name)
        (head,) = (part for part in node.parts if isinstance(part, Head))
        weights = self._weights(node, head, self._inputs(node, self._all_seen(node, self.written)))
        return weights / weights.sum(-1, keepdims=True)

    def _all_seen(self, node: Wired, written: Contents) -> dict[Wire, np.ndarray]:
        return {wire: self.seen(node, wire, written[wire[1]]) for wire in self.wires(node)}

    def seen(self, node: Wired, wire: Wire, content: np.ndarray) -> np.ndarray:
        """Of what the writer of a wire into `node` writes, what is read."""
        port, writer = wire
        return content[..., self.ports[node.name, port].wires[writer][1]]

    @cached_property
    def embedded(self) -> Contents:
        """What the embeddings write."""
        n, (embed, pos_embed) = len(self.compiled.analysis.vocab), self.nodes[:2]
        position = np.broadcast_to(np.arange(self.tokens.shape[1]), self.tokens.shape)
        parts = [np.where(self.tokens == n, 1.0, 0.0)[..., None]]
        for variable in embed.writes:
            table = np.zeros((n + 2, len(variable.labels)))
            table[:n] = self._by_token(variable)
            parts.append(table[self.tokens])
        places = np.eye(self.compiled.analysis.max_length + 1)[position][..., 1:]
        by_position = [places for _ in pos_embed.writes]
        nothing = np.zeros((*self.tokens.shape, 0))
        return {
            "embed": np.concatenate(parts, -1),
            "pos_embed": np.concatenate([nothing, *by_position], -1),
        }

    def _by_token(self, variable: Variable) -> np.ndarray:
        """(token, direction) what stands for each token of the vocabulary."""
        analysis = self.compiled.analysis
        domain = analysis.domains[variable.expression]
        match variable.expression:
            case Tokens():
                codes = [domain.code[token] for token in analysis.vocab]
                return np.eye(len(variable.labels))[codes]
            case Constant():
                row = np.zeros(len(variable.labels))
                for direction, weight in target_of(domain, 0)(0).items():
                    row[direction] = weight
                return np.tile(row, (len(analysis.vocab), 1))
            case other:
                raise AssertionError(f"no token has a value of {other!r}")

    def write(self, node: Wired, seen: Mapping[Wire, np.ndarray]) -> np.ndarray:
        """What a node writes when `seen` reaches it."""
        inputs = self._inputs(node, seen)
        if node.name == LOGITS:
            return inputs[""]
        first = node.parts[0]
        if isinstance(first, Head):
            return self._attend(node, first, inputs)
        return self._fire(node.name, inputs[""])

    def _inputs(self, node: Wired, seen: Mapping[Wire, np.ndarray]) -> dict[str, np.ndarray]:
        """(batch, position, direction) what stands at each port."""
        inputs = {}
        for port in node.reads:
            at = self.ports[node.name, port]
            inputs[port] = np.zeros((*self.tokens.shape, len(at.directions)))
            for writer, (to, _) in at.wires.items():
                inputs[port][..., to] = seen[port, writer]
        return inputs

    def _held(self, at: Port) -> np.ndarray:
        """(direction,) what is known to stand at begin-of-sequence."""
        held = [0.0 if d == BOS else self.layout.at(d).held(d) for d in at.directions]
        return np.array(held)

    # --- neurons ------------------------------------------------------------------------------

    def _fire(self, name: str, x: np.ndarray) -> np.ndarray:
        """relu(reads . x + bias) writes, kept off at begin-of-sequence."""
        reads, bias, writes = self.units[name]
        return np.maximum(x @ reads + bias, 0) @ writes

    def _units_of(self, node: Wired) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(direction, unit), (unit,) and (unit, direction) numbers of all groups of a node."""
        at = self.ports[node.name, ""]
        place = {direction: k for k, direction in enumerate(self.outlets[node.name])}
        units = [u for part in node.parts if isinstance(part, Neurons) for u in part.units]
        bias = np.array([unit.bias for unit in units])
        reads = np.zeros((len(at.directions), len(units)))
        writes = np.zeros((len(units), len(place)))
        for k, unit in enumerate(units):
            for direction, weight in unit.reads.items():
                if direction in at.place:  # else only neurons without an output read it
                    reads[at.place[direction], k] = weight
            for direction, weight in unit.writes.items():
                writes[k, place[direction]] = weight
        if BOS in at.place:
            reads[at.place[BOS]] = -np.maximum(self._held(at) @ reads + bias + 1, 0)
        return reads, bias, writes

    # --- heads --------------------------------------------------------------------------------

    def _attend(self, node: Wired, head: Head, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        weights, v = self._weights(node, head, inputs), _Read(self, node.name, "v", inputs["v"])
        columns: list[np.ndarray] = []
        for to in head.writes.directions:
            moves = {source: factor for source, goal, factor in head.moves if goal == to}
            columns.append(v.weighed(moves) + head.from_bos.get(to, 0.0) * v.mark)
        return weights @ np.stack(columns, -1) / weights.sum(-1, keepdims=True)

    def _weights(self, node: Wired, head: Head, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """(batch, query, key) in proportion to the head's attention."""
        q, k = (_Read(self, node.name, port, inputs[port]) for port in "qk")
        scores = (head.bos * k.mark + k.weighed(head.preferences))[..., None, :]
        if not head.terms:
            scores = scores + head.scale * (1 - q.mark)[..., :, None] * (1 - k.mark)[..., None, :]
        for term in head.terms:
            wanted = term.wanted if term.factors is None else term.factors[0] @ term.factors[1].T
            met = k.values(term.keys) @ wanted
            scores = scores + head.scale * q.values(term.queries) @ met.swapaxes(-1, -2)
        scores = np.where(self.visible, scores, -np.inf)
        return np.exp(scores - scores.max(-1, keepdims=True))


class _Read:
    """What a head reads at one port, with what begin-of-sequence is known to hold taken off by its
    mark."""

    def __init__(self, flow: ValueFlow, node: str, port: str, x: np.ndarray) -> None:
        self.at = flow.ports[node, port]
        mark = self.at.place.get(BOS)
        self.mark = np.zeros(x.shape[:2]) if mark is None else x[..., mark]
        self.x = x - self.mark[..., None] * flow._held(self.at)

    def weighed(self, weights: Entries) -> np.ndarray:
        """(batch, position) the sum of some directions with these weights."""
        found = np.zeros(self.x.shape[:2])
        for direction, weight in weights.items():
            if weight:
                found = found + weight * self.x[..., self.at.place[direction]]
        return found

    def values(self, variable: Variable) -> np.ndarray:
        """(batch, position, direction) of one variable."""
        start = self.at.place.get(variable.start)
        n = len(variable.labels)
        return np.zeros((*self.x.shape[:2], n)) if start is None else self.x[..., start : start + n]


def _directions(variables: tuple[Variable, ...]) -> tuple[int, ...]:
    return tuple(direction for variable in variables for direction in variable.directions)
