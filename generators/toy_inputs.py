"""What a toy model of superposition is fed: sparse features, alone or in sets.

Every feature is 0 or uniform on (0, 1]. Features fire independently, unless they stand in a set:
members of a correlated set fire together, with magnitudes of their own; of an anticorrelated set
one member fires at a time.

Source: Elhage et al., "Toy Models of Superposition", 2022,
https://transformer-circuits.pub/2022/toy_model/index.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from groundtruth.errors import reject
from groundtruth.structure import Structure

Sets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ToyInputs:
    """The law of x.

    Fields:
        n_features: how many.
        probability: a number or one per feature, in [0, 1]: P(x_i > 0) of a feature that stands
            alone or in a correlated set; of an anticorrelated set it is the probability that the
            set is on. Kept as one per feature. Members of a set have the same.
        correlated: sets of feature indices that share the gate.
        anticorrelated: sets of feature indices of which one, drawn evenly, fires when the set is
            on.

    Raises:
        InputError: a probability outside [0, 1], or sets that overlap, name no feature, hold
            fewer than two members or members with different probabilities.

    Example:
        >>> ToyInputs(4, 0.1, anticorrelated=[(0, 1)]).firing_probability.tolist()
        [0.05, 0.05, 0.1, 0.1]
    """

    n_features: int
    probability: float | Sequence[float] = 0.05
    correlated: Sequence[Sequence[int]] = ()
    anticorrelated: Sequence[Sequence[int]] = ()

    def __post_init__(self) -> None:
        n = whole("n_features", self.n_features, 1)
        p = per_feature("probability", self.probability, n)
        if min(p) < 0 or max(p) > 1:
            raise reject("probability", self.probability, "numbers in [0, 1]")
        correlated = _sets("correlated", self.correlated)
        anticorrelated = _sets("anticorrelated", self.anticorrelated)
        _check_members(n, p, (*correlated, *anticorrelated))
        for key, value in {
            "n_features": n,
            "probability": p,
            "correlated": correlated,
            "anticorrelated": anticorrelated,
        }.items():
            object.__setattr__(self, key, value)

    @property
    def independent(self) -> bool:
        """Whether there are no sets."""
        return not (self.correlated or self.anticorrelated)

    @cached_property
    def firing_probability(self) -> np.ndarray:
        """(n_features,) P(x_i > 0), exact."""
        p = np.array(self.probability, dtype=np.float64)
        for members in self.anticorrelated:
            p[list(members)] /= len(members)
        p.setflags(write=False)
        return p

    @cached_property
    def structure(self) -> Structure | None:
        """The joint law of firing; None where all features fire independently.

        The first of a correlated set brings the others; an anticorrelated one is exclusive.
        """
        if self.independent:
            return None
        parent, rate = np.full(self.n_features, -1), np.array(self.firing_probability)
        group = np.full(self.n_features, -1)
        for members in self.correlated:
            others = list(members[1:])
            parent[others], rate[others] = members[0], 1.0
        for number, members in enumerate(self.anticorrelated):
            group[list(members)] = number
        return Structure(parent, rate, group)

    def only(self, kept: Sequence[int]) -> ToyInputs:
        """The law of the features `kept`, in this order: sets go on with the members that are left.

        Example:
            >>> law = ToyInputs(3, 0.3, anticorrelated=[(0, 1, 2)]).only([0, 2])
            >>> law.anticorrelated, law.firing_probability.round(3).tolist()
            (((0, 1),), [0.1, 0.1])
        """
        place = {feature: i for i, feature in enumerate(kept)}
        correlated = [[place[i] for i in members if i in place] for members in self.correlated]
        anticorrelated = [
            [place[i] for i in members if i in place] for members in self.anticorrelated
        ]
        probability = self.firing_probability[list(kept)]
        for members in anticorrelated:
            probability[members] *= len(members)  # of the set being on, and on one that is left
        return ToyInputs(
            len(place),
            probability.tolist(),
            [members for members in correlated if len(members) > 1],
            [members for members in anticorrelated if len(members) > 1],
        )

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """x (n, n_features) float32."""
        on = rng.random((n, self.n_features), dtype=np.float32) < self._gate
        for members in self.correlated:
            on[:, members] = on[:, members[:1]]
        for members in self.anticorrelated:
            chosen = rng.integers(0, len(members), n)
            on[:, members] = on[:, members[:1]] & (chosen[:, None] == np.arange(len(members)))
        # 1 - U lies in (0, 1]: what fires is never 0.
        magnitude = 1 - rng.random(on.shape, dtype=np.float32)
        return np.where(on, magnitude, np.float32(0))

    @cached_property
    def _gate(self) -> np.ndarray:
        return np.array(self.probability, dtype=np.float32)


def per_feature(name: str, value: Any, n_features: int) -> tuple[float, ...]:
    """`value` as one finite number per feature; a single number serves all."""
    expected = f"a number or {n_features} finite numbers"
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise reject(name, value, expected) from None
    if array.shape not in ((), (n_features,)) or not np.isfinite(array).all():
        raise reject(name, value, expected)
    return tuple(np.broadcast_to(array, (n_features,)).tolist())


def whole(name: str, value: Any, least: int) -> int:
    """`value` as a plain int >= `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise reject(name, value, f"a whole number >= {least}")
    return int(value)


def _sets(name: str, value: Any) -> Sets:
    try:
        return tuple(tuple(whole(name, i, 0) for i in members) for members in value)
    except TypeError:
        raise reject(name, value, "sets of feature indices, such as [(0, 1), (2, 3)]") from None


def _check_members(n_features: int, p: Sequence[float], sets: Sets) -> None:
    named = [i for members in sets for i in members]
    if len(set(named)) != len(named):
        raise reject("correlated, anticorrelated", sets, "each feature in at most one set")
    if any(i >= n_features for i in named):
        raise reject("correlated, anticorrelated", sets, f"indices below {n_features}")
    for members in sets:
        if len(members) < 2:
            raise reject("correlated, anticorrelated", members, "at least two features in a set")
        if len({p[i] for i in members}) > 1:
            raise reject("probability", [p[i] for i in members], f"one value for the set {members}")
