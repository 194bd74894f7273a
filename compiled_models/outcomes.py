"""What can come of a pattern: numbers of positions, shared values, extremes and sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from groundtruth.compiled_models.choices import Choice, Pattern

MOST_STEPS = 200_000
"""Sets of sums that are shifted for one s-op, a long set counting for several; seconds of work."""


def widths(pattern: Pattern) -> range:
    """How many positions can be chosen: every number between those that must and those that may."""
    least = sum(many for choice, many in pattern if not choice.skipped)
    return range(least, sum(many for _, many in pattern) + 1)


def shared(pattern: Pattern) -> tuple[set[int], bool]:
    """The values that all chosen positions can share, and whether two that differ can be chosen."""
    union = {value for choice, _ in pattern for value in choice.taken}
    common = {
        value
        for value in union
        if all(choice.skipped or value in choice.taken for choice, _ in pattern)
    }
    several = sum(many for _, many in pattern) > 1
    return common, several and len(union) > 1


def extremes(pattern: Pattern, *, greatest: bool) -> set[int]:
    """The codes that can be the greatest (or the least) among the chosen."""
    sign = 1 if greatest else -1
    union = {value for choice, _ in pattern for value in choice.taken}
    # A position that must be chosen keeps the greatest from falling below its least value.
    least = [min(sign * v for v in choice.taken) for choice, _ in pattern if not choice.skipped]
    return {value for value in union if all(sign * value >= bound for bound in least)}


class TooMany(Exception):
    """More sums than are worth listing."""


@dataclass
class Sums:
    """Which (number of chosen positions, sum of their values) a pattern can reach.

    Values are whole numbers from `least` on. A set of sums is one integer, whose bit s stands for
    the sum s + count * least, so that adding a value to all of them is a shift.
    """

    scaled: list[int]
    least: int = field(init=False)
    steps: int = 0
    known: dict[Pattern, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.least = min(self.scaled)

    def reached(self, pattern: Pattern) -> dict[int, int]:
        """count -> set of sums."""
        start, todo = pattern, []
        while start and start not in self.known:
            *rest, (choice, many) = start
            todo.append((start, choice))
            start = (*rest, (choice, many - 1)) if many > 1 else tuple(rest)
        reached = self.known[start] if start else {0: 1}
        for longer, choice in reversed(todo):
            reached = self._with(reached, choice)
            self.known[longer] = reached
        return reached

    def _with(self, reached: dict[int, int], choice: Choice) -> dict[int, int]:
        """One more position."""
        bits = max(reached.values(), default=0).bit_length() + max(self.scaled) - self.least
        self.steps += len(reached) * len(choice.taken) * (1 + bits // 4096)
        if self.steps > MOST_STEPS:
            raise TooMany
        out = dict(reached) if choice.skipped else {}
        for count, sums in reached.items():
            shifted = 0
            for value in choice.taken:
                shifted |= sums << (self.scaled[value] - self.least)
            out[count + 1] = out.get(count + 1, 0) | shifted
        return out

    def listed(self, count: int, members: int) -> Iterator[int]:
        """The sums in a set."""
        size = (members.bit_length() + 7) // 8
        flags = np.frombuffer(members.to_bytes(size, "little"), dtype=np.uint8)
        for bit in np.flatnonzero(np.unpackbits(flags, bitorder="little")).tolist():
            yield bit + count * self.least
