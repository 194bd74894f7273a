"""Thresholds made of ReLUs, and what float32 makes of them.

A step between two numbers low < high is the difference of two ReLUs of slope s,

    [z > t] = relu(s (z - t) + 1/2) - relu(s (z - t) - 1/2),    t = (low + high) / 2,

and exact outside a ramp of width 1 / s, which takes up at most half of the room between them. On
the side on which it is 1 both ReLUs grow, and float32 rounds them, so a step is turned round,
1 - [z < t], where that side is the shorter one. On the other side both are exactly 0.

A gate is on where all of what it reads is 1, and off, exactly 0, where any of it is 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from groundtruth.compiled_models.components import Entries, Unit
from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.rounding import gamma

GAIN = 1.25
"""Slope of a gate with one neuron: off up to 1 - 1 / GAIN = 0.2, and what is amiss grows by it."""

SATURATED = 2.0**-16
"""Error beyond which a gate takes two neurons, which are flat at 1 and so clean up."""

EXACT = 2.0**20
"""Multiples of 1/8 below this are exact in float32."""

MOST_ERROR = 0.2
"""Error beyond which no gate is offered."""


@dataclass(frozen=True)
class Reading:
    """A number that neurons read: the sum of `weights` times what stands on the directions.

    Fields:
        magnitude: the greatest sum of the absolute values of its terms.
        terms: how many of them can be other than 0 at once.
        blur: how far off each reading of it can be, besides.
    """

    weights: Entries
    magnitude: float
    terms: int
    blur: float = 0.0

    def rounding(self, slope: float, bias: float, reach: float) -> float:
        """The error of slope * z - bias in float32, where it is at most `reach`. The slope is a
        power of 2: a single term is rounded only when the bias is added."""
        single = self.terms == 1 and set(map(abs, self.weights.values())) == {1.0}
        if single and abs(bias) < EXACT:
            return gamma(1) * reach + slope * self.blur
        rounded = gamma(self.terms + 2) * (slope * self.magnitude + abs(bias) + 1)
        return rounded + slope * self.blur


@dataclass(frozen=True)
class Step:
    """[z > t] if `up`, else [z < t]; see the module.

    Fields:
        reach: the greatest value of its ReLUs.
        rounding: of each of them.
    """

    reading: Reading
    slope: float
    centre: float
    up: bool
    reach: float
    rounding: float

    @property
    def error(self) -> float:
        """How far from 1 what it writes can be, the four ReLUs of two steps added up."""
        return 2 * self.rounding + gamma(4) * 2 * self.reach

    def units(self, writes: Entries, off: Iterable[int] = ()) -> list[Unit]:
        """Neurons that write `writes` where it is 1, and nothing where one of the directions `off`
        is 1 and what is read is 0."""
        sign = 1 if self.up else -1
        reads = {d: sign * self.slope * weight for d, weight in self.reading.weights.items()}
        reads.update(dict.fromkeys(off, -2 * max(self.reach, 1 - sign * self.centre)))
        return [
            Unit(reads, 0.5 - sign * self.centre, writes),
            Unit(reads, -0.5 - sign * self.centre, {d: -weight for d, weight in writes.items()}),
        ]


def step_between(
    reading: Reading,
    low: float,
    high: float,
    ends: tuple[float, float],
    *,
    up: bool,
    off_blur: float = 0.0,
) -> Step:
    """The step between what is at most `low` and what is at least `high`.

    Args:
        ends: least and greatest number that is read.
        off_blur: how far off the directions that turn it off are read, all together.

    Raises:
        Problem: float32 cannot hold it.
    """
    room = high - low
    if room <= 0:
        raise Problem("neighbouring numbers that it has to tell apart lie within its error")
    slope = 2.0 ** math.ceil(math.log2(2 / room))
    # In eighths, so that both biases are exact.
    centre = round(slope * (low + high) / 2 * 8) / 8
    reach = (slope * ends[1] - centre if up else centre - slope * ends[0]) + 1
    rounding = reading.rounding(slope, centre, reach)
    rounding += 2 * max(reach, 1 + abs(centre)) * off_blur
    if rounding + 1 / 16 > slope * room / 2 - 1 / 2:
        raise Problem("float32 is too coarse for a threshold that it needs; use less max_length")
    return Step(reading, slope, centre, up, reach, rounding)


@dataclass(frozen=True)
class Stairs:
    """Neurons that write what each number stands for.

    Fields:
        errors: how far each direction that they write can be off.
        drift: how far the sum of them can be.
    """

    units: tuple[Unit, ...]
    errors: dict[int, float]
    drift: float


def stairs(
    reading: Reading,
    points: Sequence[float],
    errors: Sequence[float],
    codes: Sequence[int],
    target: Callable[[int], Entries],
    off: Iterable[int] = (),
    off_error: float = 0.0,
    off_blur: float = 0.0,
) -> Stairs:
    """A function of a number that is one of `points`.

    Args:
        points: in order.
        errors: how far the number can be off at each.
        codes: what the function gives at each; steps stand only where that changes.
        target: code -> what is written for it.
        off: directions of which one is 1, while the number is 0, where nothing is to be written.
        off_error: how far these can be off from 0.
        off_blur: how much of that each reading adds.
    """
    off, ends = tuple(off), (points[0] - errors[0], points[-1] + errors[-1])
    blur = 4 * (max(ends[1], 0.0) - min(ends[0], 0.0)) * off_error
    units: list[Unit] = []
    off_by, size, count = defaultdict(float), defaultdict(float), defaultdict(int)
    pivot = codes[0]
    for k in range(len(points) - 1):
        if codes[k] == codes[k + 1]:
            continue
        low, high = points[k] + errors[k] + blur, points[k + 1] - errors[k + 1] - blur
        up = low + high >= ends[0] + ends[1]
        step = step_between(reading, low, high, ends, up=up, off_blur=off_blur)
        pivot = pivot if up else codes[k + 1]
        jump = difference(target(codes[k + 1]), target(codes[k]))
        units += step.units(jump if up else negated(jump), off)
        for direction, weight in jump.items():
            off_by[direction] += abs(weight) * 2 * step.rounding
            size[direction] += abs(weight) * 2 * step.reach
            count[direction] += 2
    base = target(pivot)
    if base:
        units.append(Unit(dict.fromkeys(off, -2.0), 1.0, base))
    for direction, weight in base.items():
        off_by[direction] += abs(weight) * 2 * off_error
        size[direction] += abs(weight)
        count[direction] += 1
    errors_of = {d: off_by[d] + gamma(count[d]) * size[d] for d in count}
    return Stairs(tuple(units), errors_of, sum(abs(w) for w in base.values()) * 2 * off_error)


def difference(a: Entries, b: Entries) -> dict[int, float]:
    """a - b."""
    found = {d: a.get(d, 0.0) - b.get(d, 0.0) for d in {**a, **b}}
    return {d: weight for d, weight in found.items() if weight}


def negated(a: Entries) -> dict[int, float]:
    return {d: -weight for d, weight in a.items()}


@dataclass(frozen=True)
class Gate:
    """Neurons that are on, together 1, where `needed` of the directions they read are 1.

    Fields:
        error: how far from 1 they can be where they are on; off, they are exactly 0.
    """

    units: tuple[Unit, ...]
    error: float


def gate(
    reads: Sequence[int],
    needed: int,
    error: float,
    terms: int,
    writes: Entries,
    blur: float = 0.0,
) -> Gate:
    """The gate of `reads`, of which never more than `needed` are 1.

    Args:
        error: how far their sum can be off.
        terms: how many of them can be other than 0 at once.
        blur: how far off each reading of their sum can be; a part of `error`.

    Raises:
        Problem: the error is too large.
    """
    if error > MOST_ERROR:
        raise Problem(f"what it reads can be off by {error:.2f}, too much to tell on from off")
    if error <= SATURATED:
        reading = dict.fromkeys(reads, GAIN)
        rounding = gamma(terms + 2) * 2 * GAIN * needed if error else 0.0
        return Gate((Unit(reading, 1 - GAIN * needed, writes),), GAIN * error + rounding)
    reading = dict.fromkeys(reads, 2.0)
    bias = 2.0 * (needed - 1)
    units = (
        Unit(reading, -0.5 - bias, writes),
        Unit(reading, -1.5 - bias, negated(writes)),
    )
    # Both add up terms of at most 4 needed in all; what they leave is at most 1.5 + 0.5.
    return Gate(units, 2 * gamma(terms + 1) * 4 * needed + gamma(2) * 2 + 4 * blur)
