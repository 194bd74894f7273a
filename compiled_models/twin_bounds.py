"""How far off a twin reads what it writes, in float32.

In exact arithmetic a twin reads what the compiled model reads. In float32, what n heads or neurons
of a block write is off by gamma(n + 3) times the sum of the lengths of the writes, adding it to the
residual stream x by one rounding of that, and a reading with weights g by

    |g| (all that x is off by + gamma(d_model + 2) |x|)

by the inequality of Cauchy and Schwarz. What heads move carries such errors on, as
part of the variable that they write (`loose`); neurons are exact where they are off or saturated,
and their plan says how far off they are where not. A reading of functional f may be off by
|f|_1 times the blur that the plan was made for: `blur` says how much that has to be.

A number on axes that nothing else is written to is read as in the compiled model: what else is in
the sum is exactly 0. Only what heads moved into it is `loose`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from groundtruth import models
from groundtruth.compiled_models.codes import closest
from groundtruth.compiled_models.components import Component, Head, Neurons
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import Expression
from groundtruth.compiled_models.layout import BOS, Layout, Variable
from groundtruth.compiled_models.placement import PlacedBlock, Placement
from groundtruth.compiled_models.rounding import gamma, softmax_rounding, unevenness
from groundtruth.compiled_models.transport import Coding, value_of
from groundtruth.models import Block, Weights

MOST_CORNERS = 100_000
"""Combinations of values beyond which those of a variable are bounded neuron by neuron."""


@dataclass(frozen=True)
class Held:
    """What the coordinates of a variable hold.

    Fields:
        error: how far, as a length, they can be from the word of the value, or from the number.
        margin: half the distance between the nearest two words or numbers.
    """

    error: float
    margin: float


@dataclass
class Bounds:
    """Errors of a twin, block by block.

    Fields:
        blur: of each variable and reader, what it needs the plan to bear; see `Tolerance`.
        loose: of each variable, how far off it is as a length, besides what its plan says.
        off: by how much the residual stream is off, as a length.
        square: of its length.
    """

    coding: Coding
    names: Mapping[Expression, str]
    kept: frozenset[str]
    n_keys: int
    extra: float
    n_extra: int
    noise: float
    norm: float
    off: float = 0.0
    square: float = 0.0
    stretch: float = 1.0
    blur: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    loose: dict[Variable, float] = field(default_factory=lambda: defaultdict(float))
    ranges: dict[Variable, tuple[float, float]] = field(default_factory=dict)

    @property
    def unit(self) -> float:
        """How far off a reading of length 1 is."""
        # LayerNorm needs a few coordinates more.
        terms = gamma(self.coding.basis.shape[1] + len(self.coding.fixed) + 5)
        return self.off + (terms + self.noise + self.norm) * self.length

    @property
    def length(self) -> float:
        """The greatest length of the residual stream."""
        return float(np.sqrt(self.square)) + self.extra + sum(self.loose.values()) + self.off

    def on_axis(self, variable: Variable) -> bool:
        """Whether a number lies on axes that nothing else is written to, so that it is read as
        exactly as it was written."""
        return variable.name in self.kept and not variable.one_hot

    def reading(self, variable: Variable) -> float:
        """How far off a reading of length 1 of it is."""
        return self.loose[variable] + (0.0 if self.on_axis(variable) else self.unit)

    def written(self, n: int, size: float) -> None:
        """By `n` heads or neurons, in all at most `size`."""
        self.off += (gamma(n + self.n_extra + 3) + self.noise) * (size + self.extra) + gamma(
            1
        ) * self.length

    def held(self) -> Mapping[str, Held]:
        """What the last residual vector holds of each variable that is the value of an s-op."""
        found = {}
        for variable in self.coding.layout.values():
            code = self.coding.codes[variable]
            k = code.shape[1]
            raw = variable.total if variable.one_hot else variable.error
            longest = float(np.linalg.norm(code, axis=1).max())
            error = raw * longest
            if variable.one_hot:
                most = np.sqrt(len(code)) * variable.error
                error = min(error, most * float(np.linalg.norm(code, 2)))
            unit = 0.0 if self.on_axis(variable) else self.unit
            error += self.loose[variable] + np.sqrt(k) * unit
            margin = closest(code) / 2 if variable.one_hot else variable.margin
            found[variable.name] = Held(float(error + 2 * longest * unit), margin)
        return found


def derived(
    layout_weights: Weights,
    layout: Layout,
    placement: Placement,
    coding: Coding,
    *,
    names: Mapping[Expression, str],
    kept: frozenset[str],
    n_keys: int,
    extra: float,
    n_extra: int,
    noise: float,
    norm: float,
) -> Bounds:
    """The bounds of `layout_weights` on the directions of `coding`.

    Args:
        extra: how much else is written, as X.
        n_extra: by how many others.
        noise: relative, of every weight; see `noise.py`.
        norm: relative, of every number that is read, begin-of-sequence too; see `norms.py`.
    """
    bounds = Bounds(coding, names, kept, n_keys, extra, n_extra, noise, norm)
    written = {part.writes for b in placement.blocks for part in (*b.heads, *b.neurons)}
    embedded = [variable for variable in layout.variables if variable not in written]
    domains = {value.expression: value.domain for value in layout.values()}
    for variable in layout.variables:
        domain = domains[variable.expression] if variable.numerical else None
        bounds.ranges[variable] = _range(variable, domain, n_keys)
        if variable in embedded:
            _stand(bounds, variable)
    bounds.square = max(bounds.square, 1.0)
    bounds.written(0, sum(_longest_of(bounds, v) for v in embedded) + 1)
    for block, placed in zip(layout_weights.blocks, placement.blocks):
        _add_block(bounds, block, placed)
    return bounds


def _add_block(bounds: Bounds, block: Block, placed: PlacedBlock) -> None:
    for weights, part in zip(block.heads, placed.heads):
        _read_scores(bounds, part)
        _need(bounds, weights.W_K[:, :1], part)
        if all(term.factors is None for term in part.terms):
            _need(bounds, weights.W_K[:, 1:], part)
            _need(bounds, weights.W_Q[:, 1:], part)
    for weights, part in zip(block.heads, placed.heads):
        _move(bounds, value_of(weights, part.writes, bounds.coding), part)
        if bounds.norm:
            _weigh_bos(bounds, weights, part)
    size, width = 0.0, 0
    for part in placed.heads:
        k = bounds.coding.codes[part.writes].shape[1]
        size += np.sqrt(k) * (_longest_of(bounds, part.writes) + bounds.loose[part.writes])
        width += k
        _stand(bounds, part.writes)
    bounds.written(width, size)
    if block.mlp is not None:
        lengths = np.linalg.norm(block.mlp.W_out @ bounds.coding.matrix, axis=1)
        start, size, count = 0, 0.0, 0
        for part in placed.neurons:
            stop = start + len(part.units)
            asked, bias = block.mlp.W_in[:, start:stop], block.mlp.b_in[start:stop]
            _need(bounds, asked, part)
            reach = _reach(bounds, asked, bias, part)
            size += float((reach @ lengths[start:stop]).max(initial=0.0))
            count += int((reach > 0).sum(axis=1).max(initial=0))
            start = stop
            _stand(bounds, part.writes)
        bounds.written(count, size)


def _stand(bounds: Bounds, variable: Variable) -> None:
    bounds.square += _longest_of(bounds, variable) ** 2


def _longest_of(bounds: Bounds, variable: Variable) -> float:
    return _longest(bounds.coding, variable, bounds.ranges[variable])


def _need(bounds: Bounds, asked: np.ndarray, reader: Component) -> None:
    """What a reader of `asked` (direction, column) needs of each variable that it reads."""
    on_axes = np.zeros(asked.shape[1])
    for variable in bounds.coding.layout.variables:
        if variable.name in bounds.kept:
            part = np.abs(asked[variable.directions.start : variable.directions.stop])
            largest = max(map(abs, bounds.ranges[variable]))
            on_axes += part.max(axis=0) if variable.one_hot else part.sum(axis=0) * largest
    rounding = gamma(bounds.coding.basis.shape[1]) * on_axes
    for variable in bounds.coding.layout.variables:
        part = asked[variable.directions.start : variable.directions.stop]
        columns = part.any(axis=0)
        part = part[:, columns]
        if not part.shape[1] or (variable.name in bounds.kept and variable.one_hot):
            continue
        read = bounds.coding.read_of(variable, part)
        lengths = np.linalg.norm(read.weights, axis=0)
        off = bounds.reading(variable) * lengths
        if not bounds.on_axis(variable):
            off = off + rounding[columns]
        beyond = np.abs(read.offset) - np.abs(part).max(axis=0)
        off = off + np.maximum(beyond, 0) * variable.drift
        need = float((off / np.abs(part).sum(axis=0)).max())
        _keep(bounds, variable, reader, need)


def _read_scores(bounds: Bounds, head: Head) -> None:
    """The same of the words that a head compares; both sides have the length root of stretch."""
    for term in head.terms:
        if term.factors is None:
            continue
        stretch = max(float(np.square(side).sum(axis=1).max()) for side in term.factors)
        bounds.stretch = max(bounds.stretch, stretch)
        for variable, asked in zip((term.keys, term.queries), term.factors):
            length = float(np.linalg.norm(bounds.coding.read_of(variable, asked).weights))
            # What lies on axes is exact, but its words are rounded.
            rounding = gamma(bounds.coding.basis.shape[1])
            off = rounding if variable.name in bounds.kept else bounds.reading(variable)
            need = off * length / np.sqrt(stretch)
            _keep(bounds, variable, head, need)


def _keep(bounds: Bounds, variable: Variable, reader: Component, need: float) -> None:
    names = bounds.names
    key = (variable.name, names[reader.writes.expression])
    bounds.blur[key] = max(bounds.blur[key], need)


def _move(bounds: Bounds, moved: np.ndarray, head: Head) -> None:
    """How loose what a head writes is, from what it moves (direction, coordinate)."""
    loose, low, high = 0.0, *(float(f(head.from_bos.values(), default=0)) for f in (min, max))
    for variable in dict.fromkeys(head.reads):
        part = moved[variable.directions.start : variable.directions.stop]
        if not part.any():
            continue
        read = bounds.coding.read_of(variable, part)
        length = float(np.linalg.norm(read.weights))
        shift = float(np.linalg.norm(read.offset))
        loose += bounds.reading(variable) * length + shift * variable.drift
        low, high = min(low, bounds.ranges[variable][0]), max(high, bounds.ranges[variable][1])
    if not head.writes.one_hot:
        bounds.ranges[head.writes] = (low, high)
    longest = _longest(bounds.coding, head.writes, bounds.ranges[head.writes])
    bounds.loose[head.writes] = loose + softmax_rounding(bounds.n_keys) * longest


def _weigh_bos(bounds: Bounds, weights: models.Head, head: Head) -> None:
    """How loose a head is since a norm scales begin-of-sequence, whose score and value are read
    exactly without one."""
    queries = np.abs(weights.b_Q) + np.abs(weights.W_Q).max(axis=0)
    score = float(np.abs(bounds.coding.read(weights.W_K).weights[BOS]) @ queries)
    moved = value_of(weights, head.writes, bounds.coding)
    value = float(np.linalg.norm(bounds.coding.read(moved).weights[BOS]))
    longest = _longest(bounds.coding, head.writes, bounds.ranges[head.writes])
    bounds.loose[head.writes] += unevenness(bounds.norm * score) * longest + bounds.norm * value


def _reach(bounds: Bounds, asked: np.ndarray, bias: np.ndarray, part: Neurons) -> np.ndarray:
    """(corner, neuron) the greatest activations where each variable that is read has one of its
    values, or is at one of its ends. A sum of them is convex, so that it is greatest there."""
    slack = np.zeros(len(bias))
    corners = [bias[None]]
    for variable in dict.fromkeys(part.reads):
        rows = asked[variable.directions.start : variable.directions.stop]
        seen = bounds.reading(variable) + variable.total + variable.error
        slack += np.abs(rows).sum(axis=0) * seen
        low, high = bounds.ranges[variable]
        ends = [rows] if variable.one_hot else _ends(low * rows, high * rows)
        for values in ends:
            if len(corners[-1]) * len(values) > MOST_CORNERS:
                values = values.max(axis=0, keepdims=True)
            corners.append((corners.pop()[:, None] + values[None]).reshape(-1, len(bias)))
    return np.maximum(corners[0] + slack, 0)


def _ends(low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """(2, neuron) for each direction of what is not one-hot."""
    return [np.stack(pair) for pair in zip(low, high)]


def _longest(coding: Coding, variable: Variable, range_: tuple[float, float]) -> float:
    """The greatest length of what is written of a variable."""
    lengths = np.linalg.norm(coding.codes[variable], axis=1)
    if variable.one_hot:
        return float(lengths.max()) * (1 + variable.total)
    return float(lengths.sum()) * max(1.0, *map(abs, range_))


def _range(variable: Variable, domain: Domain | None, n_keys: int) -> tuple[float, float]:
    """Bounds of each direction. What is on the way is a share, a one-hot copy, twice a step at
    most, or a number of keys; averages are looked at where their head is.

    Args:
        domain: of a number.
    """
    if variable.one_hot:
        return 0.0, 1.0
    if domain is not None:
        return float(min(domain.least, 0)), float(max(domain.greatest, 1))
    return -0.1, float(max(3, n_keys))
