"""What each feature at a site of a model causes, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from groundtruth.errors import InputError, reject
from groundtruth.planted_network import PlantedNetwork

CauseKind = Literal["causal", "mediated", "dormant", "inert"]


@dataclass(frozen=True, eq=False)
class CauseTruth:
    """The features at a site, x = sum_i a_i d_i, and the network that goes on from them.

    Fields:
        network: what the model computes, in features.
        level: how many of its layers lie before the site.
        site: the hook site; activations are those of the last position.
        names: one per feature at the site.
        directions: (n_features, d) unit rows d_i, linearly independent.
        readouts: (d, n_features) with directions @ readouts = 1: x @ readouts are the codes.
        dose: (n_features,) the largest a_i of the input law; of features that never fire, what
            they are steered by. The causal claims are about doses up to it.
        active: (n_features,) whether it ever fires.
        parent: (n_features,) of a planted correlate, the feature that it goes with; else -1.
        correlation: (n_features,) with its parent, exact in the input law; else 0.
        target: the output that is the behaviour in question.
        concept: the feature that labels are about.
        tokens: (n, position) inputs that score.
        codes: (n, n_features) theirs.

    Raises:
        InputError: shapes that do not fit; readouts that do not read the directions; a correlate
            that is read.
    """

    network: PlantedNetwork
    level: int
    site: str
    names: tuple[str, ...]
    directions: np.ndarray
    readouts: np.ndarray
    dose: np.ndarray
    active: np.ndarray
    parent: np.ndarray
    correlation: np.ndarray
    target: int
    concept: int
    tokens: np.ndarray
    codes: np.ndarray

    def __post_init__(self) -> None:
        n = self.network.width(self.level)
        for name in ("names", "directions", "dose", "active", "parent", "correlation"):
            if len(getattr(self, name)) != n:
                raise reject(name, len(getattr(self, name)), f"one for each of {n} features")
        if np.abs(self.directions @ self.readouts - np.eye(n)).max() > 1e-9:
            raise InputError("readouts: expected directions @ readouts to be the identity.")
        if self.codes.shape != (len(self.tokens), n):
            raise reject("codes", self.codes.shape, f"shape ({len(self.tokens)}, {n})")
        if any(self.kinds[i] != "inert" for i in np.flatnonzero(self.parent >= 0)):
            raise InputError("parent: expected correlates that nothing reads.")
        for array in (self.directions, self.readouts, self.codes, self.tokens):
            array.setflags(write=False)

    @property
    def d(self) -> int:
        """Activation width."""
        return self.directions.shape[1]

    @cached_property
    def kinds(self) -> tuple[CauseKind, ...]:
        """Of each feature: "inert": nothing reads it; "dormant": it is read, and never fires;
        "causal": outputs read it; "mediated": only later layers do."""
        direct, later = self.network.read_by(self.level)
        return tuple(
            "inert"
            if not (now or then)
            else "dormant"
            if not fires
            else "causal"
            if now
            else "mediated"
            for now, then, fires in zip(direct, later, self.active)
        )

    def of_kind(self, *kinds: CauseKind) -> np.ndarray:
        """Numbers of the features of these kinds."""
        return np.flatnonzero([kind in kinds for kind in self.kinds])

    @cached_property
    def acting(self) -> np.ndarray:
        """Numbers of the features that move the target where they are ablated."""
        candidates = self.of_kind("causal", "mediated")
        moves = [self.ablated(i)[:, self.target].any() for i in candidates]
        return candidates[np.array(moves, dtype=bool)]

    def ablated(self, feature: int) -> np.ndarray:
        """(n, n_outputs) what the outputs change by on `tokens` under do(a_feature := 0)."""
        changed = self.codes.copy()
        changed[:, feature] = 0
        return self.network.change(self.codes, changed, self.level)

    def steered(self, feature: int, amount: float) -> np.ndarray:
        """(n, n_outputs) the same under do(a_feature := a_feature + amount)."""
        changed = self.codes.copy()
        changed[:, feature] += amount
        return self.network.change(self.codes, changed, self.level)

    @cached_property
    def partners(self) -> np.ndarray:
        """(n,) the input that each is paired with: half the list further on."""
        n = len(self.tokens)
        return (np.arange(n) + n // 2) % n

    def swapped(self, feature: int) -> np.ndarray:
        """(n, n_outputs) the same under do(a_feature := that of the partner)."""
        changed = self.codes.copy()
        changed[:, feature] = self.codes[self.partners, feature]
        return self.network.change(self.codes, changed, self.level)

    def breakpoints(self, feature: int) -> np.ndarray:
        """(n, n_neurons) amounts at which a neuron that reads the feature starts or stops; NaN for
        neurons that do not read it. Between them the outputs are straight lines in the amount.

        Raises:
            InputError: not exactly one layer goes on from the site.
        """
        left = self.network.layers[self.level :]
        if len(left) != 1:
            raise reject("level", self.level, "a site before the last layer")
        slope = left[0].read[feature]
        at_zero = self.codes @ left[0].read + left[0].bias
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(slope == 0, np.nan, -at_zero / slope)
