"""Minimal valid circuits of a compiled model, from the values that its nodes can come to hold.

Nodes are taken in order. Of all choices of edges up to a node, only the values that are still to be
read make a difference: choices that leave the same values there are one state, and whatever
completes a set to a valid circuit completes any smaller set of that state. So a state keeps its
smallest sets, no set is tried as a whole, and no weight is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from groundtruth.circuit_truth import Members
from groundtruth.compiled_models.value_flow import Contents, ValueFlow, Wire
from groundtruth.compiled_models.wiring import Wired
from groundtruth.models.graph import LOGITS, Edge
from groundtruth.universe import Candidate, Universe

MOST_SETS = 50_000
"""Sets, over all states of a step, beyond which circuits are not listed; seconds of work."""

MOST_NUMBERS = 1 << 25
"""Numbers in all that nodes can come to hold: a quarter of a gigabyte."""

_DECIMALS = 12  # values that agree so far are one: far below tolerances, far above rounding
_ABLATED = 0  # the number of what an ablated edge carries, among all that its writer can write
_GONE = -1


class _TooMany(Exception):
    """More states than are worth following."""


Sets = set[int]
"""Sets of candidates, each a number whose bits are the candidates; none within another."""

State = tuple[int, ...]
"""For each writer the number of what it wrote; `_GONE` where nobody has still to read it."""

Partial = tuple[State, tuple[int, ...]]
"""A state, and the numbers of what has reached a node so far."""

_Key = TypeVar("_Key", State, Partial)


@dataclass(frozen=True, eq=False)
class Choice:
    """Wires into a node that are cut together.

    Fields:
        node: that reads.
        bit: of the candidate that cuts them; 0 where what is written is cut as a whole.
        wires: (port, writer).
    """

    node: str
    bit: int
    wires: tuple[Wire, ...]


class FlowCircuits:
    """Which sets of candidates are valid, by the values that flow.

    Args:
        flow: the nodes, on the inputs.
        ablated: what ablated edges carry, by writer.
        universe: of edges or nodes.
        counted: (batch, position) whose outputs are compared.
        tolerance: the largest change of an output that counts as none.
    """

    def __init__(
        self,
        flow: ValueFlow,
        ablated: Contents,
        universe: Universe,
        counted: np.ndarray,
        tolerance: float,
    ) -> None:
        self.flow, self.universe = flow, universe
        self.ablated = {w: np.broadcast_to(x, flow.written[w].shape) for w, x in ablated.items()}
        self.counted, self.tolerance = counted, tolerance

    def singly_active(self) -> Members:
        """Candidates that move an output when they are ablated alone."""
        everything = frozenset(
            self.candidate(node, wire) for node in self.flow.nodes for wire in self.flow.wires(node)
        )
        return frozenset(c for c in everything if not self.is_right(self.outputs(everything - {c})))

    def outputs(self, kept: Members) -> np.ndarray:
        """(batch, position, n_outputs) with only `kept` intact."""
        contents = dict(self.flow.embedded)
        for node in self.flow.computing:
            seen = {}
            for wire in self.flow.wires(node):
                intact = self.candidate(node, wire) in kept
                carried = (contents if intact else self.ablated)[wire[1]]
                seen[wire] = self.flow.seen(node, wire, carried)
            contents[node.name] = self.flow.write(node, seen)
        return contents[LOGITS]

    def minimal(self) -> tuple[Members, ...] | None:
        """Every minimal valid circuit, smallest first; None if there are too many states."""
        try:
            found = _Steps(self).valid_sets()
        except _TooMany:
            return None
        every, in_order = self.universe.candidates, sorted(found, key=lambda s: (s.bit_count(), s))
        return tuple(frozenset(c for i, c in enumerate(every) if s >> i & 1) for s in in_order)

    def candidate(self, node: Wired, wire: Wire) -> Candidate:
        """What cuts a wire into `node`."""
        port, writer = wire
        if self.universe.unit == "node":
            return writer
        return Edge(writer, node.reader(port if self.universe.granularity == "qkv" else ""))

    def is_right(self, outputs: np.ndarray) -> bool:
        """Whether outputs are those of the whole model."""
        change = np.abs(outputs - self.flow.written[LOGITS])[self.counted]
        return bool(change.max(initial=0.0) <= self.tolerance)


class _Steps:
    """One pass over the nodes, with all that each can come to hold."""

    def __init__(self, circuits: FlowCircuits) -> None:
        self.circuits, self.flow = circuits, circuits.flow
        self.unit, self.place = circuits.universe.unit, circuits.universe.place
        self.writers = {name: k for k, name in enumerate(circuits.ablated)}
        self.choices = {node.name: self._choices(node) for node in self.flow.nodes}
        self.last_read = {
            writer: choice
            for node in self.flow.nodes
            for choice in self.choices[node.name]
            for _, writer in choice.wires
        }
        self.room = MOST_NUMBERS
        self.contents = {name: _Held() for name in (*self.writers, LOGITS)}
        self.reaching: dict[tuple[str, Wire], _Held] = {}
        for writer, content in circuits.ablated.items():
            self._number(self.contents[writer], content)
        self.seen: dict[tuple[str, Wire, int], int] = {}
        self.made: dict[tuple[str, tuple[int, ...]], int] = {}

    def valid_sets(self) -> Sets:
        """The minimal valid circuits, as numbers whose bits are the candidates."""
        states: dict[State, Sets] = {(_GONE,) * len(self.writers): {0}}
        for node in self.flow.nodes:
            after: dict[State, Sets] = {}
            for (state, reached), sets in self._read(node, states).items():
                for new, bit in self._written(node, state, reached):
                    _add(after, new, {s | bit for s in sets})
            states = after
        # Only states with the right outputs are left, and nothing is to be read any more.
        return states.get((_GONE,) * len(self.writers), set())

    def _choices(self, node: Wired) -> tuple[Choice, ...]:
        by_candidate: dict[Candidate, list[Wire]] = {}
        for wire in self.flow.wires(node):
            by_candidate.setdefault(self.circuits.candidate(node, wire), []).append(wire)
        return tuple(
            Choice(node.name, 1 << self.place[c] if self.unit == "edge" else 0, tuple(wires))
            for c, wires in by_candidate.items()
        )

    def _read(self, node: Wired, states: dict[State, Sets]) -> dict[Partial, Sets]:
        """What can have reached the node, choice by choice."""
        partial: dict[Partial, Sets] = {(state, ()): sets for state, sets in states.items()}
        for choice in self.choices[node.name]:
            after: dict[Partial, Sets] = {}
            cut = (_ABLATED,) * len(choice.wires)
            for (state, reached), sets in partial.items():
                kept = tuple(self._seen(node, wire, state) for wire in choice.wires)
                left = self._left(state, choice)
                if choice.bit:
                    _add(after, (left, reached + cut), sets)
                if not choice.bit or kept != cut:
                    _add(after, (left, reached + kept), {s | choice.bit for s in sets})
            partial = after
            if sum(map(len, partial.values())) > MOST_SETS:
                raise _TooMany
        return partial

    def _left(self, state: State, choice: Choice) -> State:
        """The state without what is not read again."""
        gone = {self.writers[w] for _, w in choice.wires if self.last_read[w] is choice}
        return tuple(_GONE if k in gone else number for k, number in enumerate(state))

    def _written(
        self, node: Wired, state: State, reached: tuple[int, ...]
    ) -> Iterator[tuple[State, int]]:
        """The states after the node, and the bit of what they keep."""
        if node.name == LOGITS:
            outputs = self.contents[LOGITS].arrays[self._made(node, reached)]
            if self.circuits.is_right(outputs):
                yield state, 0
        elif node.name not in self.last_read:
            yield state, 0
        else:
            number, at = self._made(node, reached), self.writers[node.name]
            if self.unit == "edge":
                yield (*state[:at], number, *state[at + 1 :]), 0
                return
            yield (*state[:at], _ABLATED, *state[at + 1 :]), 0
            if number != _ABLATED:
                yield (*state[:at], number, *state[at + 1 :]), 1 << self.place[node.name]

    def _seen(self, node: Wired, wire: Wire, state: State) -> int:
        """The number of what reaches the node by a wire that is kept."""
        content = state[self.writers[wire[1]]]
        key = node.name, wire, content
        if key not in self.seen:
            held = self.reaching.setdefault((node.name, wire), _Held())
            contents = self.contents[wire[1]].arrays
            if not held.arrays:
                self._number(held, self.flow.seen(node, wire, contents[_ABLATED]))
            self.seen[key] = self._number(held, self.flow.seen(node, wire, contents[content]))
        return self.seen[key]

    def _made(self, node: Wired, reached: tuple[int, ...]) -> int:
        """The number of what the node writes."""
        key = node.name, reached
        if key not in self.made:
            if node.name in self.flow.embedded:
                content = self.flow.embedded[node.name]
            else:
                wires = [wire for choice in self.choices[node.name] for wire in choice.wires]
                seen = {
                    wire: self.reaching[node.name, wire].arrays[number]
                    for wire, number in zip(wires, reached)
                }
                content = self.flow.write(node, seen)
            self.made[key] = self._number(self.contents[node.name], content)
        return self.made[key]

    def _number(self, held: _Held, array: np.ndarray) -> int:
        number, new = held.number(array)
        self.room -= array.size if new else 0
        if self.room < 0:
            raise _TooMany
        return number


@dataclass
class _Held:
    """Arrays by number; two that agree to `_DECIMALS` have one number."""

    arrays: list[np.ndarray] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)

    def number(self, array: np.ndarray) -> tuple[int, bool]:
        """The number of `array`, and whether it is new."""
        # Adding 0 makes -0 and 0 one.
        digest = hashlib.blake2b((array.round(_DECIMALS) + 0.0).tobytes()).digest()
        new = digest not in self.numbers
        if new:
            self.numbers[digest] = len(self.arrays)
            self.arrays.append(array)
        return self.numbers[digest], new


def _add(found: dict[_Key, Sets], key: _Key, sets: Sets) -> None:
    """Enter `sets`, keeping those within which there is no other."""
    known = found.get(key)
    found[key] = sets if known is None else _smallest(known | sets)


def _smallest(sets: Sets) -> Sets:
    kept: list[int] = []
    for s in sorted(sets, key=int.bit_count):
        if not any(s & smaller == smaller for smaller in kept):
            kept.append(s)
    return set(kept)
