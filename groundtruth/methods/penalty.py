"""The coefficient of a sparsity penalty: fixed, or moved until a wanted L0 is met."""

from __future__ import annotations

import math

from groundtruth.errors import reject
from groundtruth.methods.sae import check_l0

GAIN = 0.02  # change of the log coefficient per step when L0 is off by a factor e
DESCENT = 0.6  # share of the steps over which the wanted L0 falls from width / 2 to its goal


class FixedPenalty:
    """The same coefficient throughout."""

    def __init__(self, l1: float) -> None:
        self.l1 = l1

    def see(self, l0: float) -> None:
        """A fixed coefficient does not react."""

    def state(self) -> list[float]:
        return [self.l1]

    def restore(self, state: list[float]) -> None:
        (self.l1,) = state


class Controller:
    """Moves the coefficient so that L0 follows a falling goal, and then stays at `l0`.

    log l1 += GAIN clip(log(L0 / goal), -1, 1), with log goal falling linearly from that of
    `start`.
    """

    def __init__(self, l0: float, start: float, n_steps: int) -> None:
        self.l1 = 0.05
        self.l0, self.start, self.n_steps = l0, max(start, l0), max(1.0, DESCENT * n_steps)
        self.step = 0

    def see(self, l0: float) -> None:
        """Note the mean L0 of a batch, and react."""
        share = min(1.0, self.step / self.n_steps)
        goal = self.start * (self.l0 / self.start) ** share
        error = math.log(max(l0, 1e-3) / goal)
        self.l1 *= math.exp(GAIN * min(1.0, max(-1.0, error)))
        self.step += 1

    def state(self) -> list[float]:
        return [self.l1, float(self.step)]

    def restore(self, state: list[float]) -> None:
        self.l1, self.step = state[0], int(state[1])


Penalty = FixedPenalty | Controller


def penalty_of(
    l0: float | None,
    l1: float | None,
    d: int,
    width: int,
    n_steps: int,
    *,
    start: float | None = None,
    name: str = "l1",
) -> Penalty:
    """A fixed coefficient `l1`, or a controller that aims for `l0` (default d / 10).

    Args:
        start: L0 that the controller begins with. Default: width / 2, where a ReLU starts; asking
            for the final L0 at once would silence its latents before they have learned.
        name: what the caller calls the coefficient.
    """
    if l1 is None:
        return Controller(check_l0(l0, d, width), width / 2 if start is None else start, n_steps)
    if l0 is not None:
        raise reject(name, l1, "None when l0 is given", f"Pass l0 or {name}, not both.")
    if isinstance(l1, bool) or not isinstance(l1, (int, float)) or not 0 <= l1 < math.inf:
        raise reject(name, l1, "a finite number >= 0")
    return FixedPenalty(float(l1))
