"""The data that scores: drawn from streams that no subject can reach.

Three parts. `select`: anything chosen by looking at data is chosen here. `score`: the numbers are
computed here. `positives`: more score samples in which a given feature fires, so that rare
features are scored on enough firings; negatives are weighted by the exact firing probability.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from groundtruth.errors import UnknownName, reject
from groundtruth.manifold import Visits
from groundtruth.testbed import BLOCK, Testbed
from groundtruth.truth import FeatureTruth

PARTS = ("select", "score", "positives")


@dataclass(frozen=True)
class Scoring:
    """How much data scores.

    Fields:
        n_select, n_score: samples in the two splits.
        n_positives: firings of each feature to score on; features that fire less often in
            `score` are topped up with samples drawn given that they fire. None: 400 for small
            dictionaries, fewer for large ones (100,000 / n_features, at least 50; above 4,096
            features 200,000 / n_features, at least 10).
    """

    n_select: int = 10_000
    n_score: int = 20_000
    n_positives: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_select", "n_score"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 2:
                raise reject(
                    f"scoring.{name}",
                    value,
                    "a whole number >= 2",
                    f"One sample has no variance; the default is {getattr(Scoring, name):,}.",
                )
        positives = self.n_positives
        whole = isinstance(positives, int) and not isinstance(positives, bool)
        if positives is not None and (not whole or positives < 0):
            raise reject("scoring.n_positives", positives, "None or a whole number >= 0")

    def positives_for(self, n_features: int) -> int:
        """Firings per feature."""
        if self.n_positives is not None:
            return self.n_positives
        if n_features > 4096:
            return max(10, 200_000 // n_features)
        return int(min(400, max(50, 100_000 // n_features)))

    def description(self) -> dict[str, Any]:
        return {
            "n_select": self.n_select,
            "n_score": self.n_score,
            "n_positives": self.n_positives,
        }


@dataclass(frozen=True)
class ScoreData:
    """The scoring samples of one testbed with their truth.

    Codes are CSR (n, n_features). Activations are drawn again on each pass (sampling is cheaper
    than keeping them), except those of `score`, which are kept.
    """

    testbed: Testbed
    scoring: Scoring

    @property
    def truth(self) -> FeatureTruth:
        return self.testbed.truth.features

    @cached_property
    def select(self) -> sp.csr_array:
        return self._codes("select")

    @property
    def score(self) -> sp.csr_array:
        return self._score[1]

    @property
    def x(self) -> np.ndarray:
        """(n_score, d) float32, read-only: the activations of `score`."""
        return self._score[0]

    @cached_property
    def forced(self) -> np.ndarray:
        """(m,) the feature that is given to fire in each row of `positives`, sorted."""
        truth = self.truth
        natural = np.bincount(self.score.indices, minlength=truth.n_features)
        wanted = self.scoring.positives_for(truth.n_features)
        missing = np.where(truth.firing_probability > 0, np.maximum(0, wanted - natural), 0)
        return np.repeat(np.arange(truth.n_features), missing)

    @cached_property
    def positives(self) -> sp.csr_array:
        parts = [codes for _, codes in self.chunks("positives")]
        if not parts:
            return sp.csr_array((0, self.truth.n_features), dtype=np.float32)
        return sp.csr_array(sp.vstack(parts, format="csr"))

    def visits(self, part: Literal["select", "score"]) -> tuple[Visits, ...]:
        """Where each manifold fires in the rows of `part`."""
        n = self.scoring.n_select if part == "select" else self.scoring.n_score
        return self.testbed.coordinates(n, stream=part)

    def chunks(self, part: str) -> Iterator[tuple[np.ndarray, sp.csr_array]]:
        """Blocks of x (<= BLOCK, d) float32 with codes (<= BLOCK, n_features), in order."""
        if part == "positives":
            for index, start in enumerate(range(0, len(self.forced), BLOCK)):
                yield self.testbed.active_block("score", index, self.forced[start : start + BLOCK])
            return
        if part == "score":
            for start in range(0, self.scoring.n_score, BLOCK):
                yield self.x[start : start + BLOCK], self.score[start : start + BLOCK]
            return
        yield from self._drawn(part, self.scoring.n_select)

    @cached_property
    def _score(self) -> tuple[np.ndarray, sp.csr_array]:
        xs, codes = zip(*self._drawn("score", self.scoring.n_score), strict=True)
        x = np.concatenate(xs)
        x.setflags(write=False)
        return x, sp.csr_array(sp.vstack(codes, format="csr"))

    def _drawn(self, part: str, n: int) -> Iterator[tuple[np.ndarray, sp.csr_array]]:
        for index, start in enumerate(range(0, n, BLOCK)):
            x, codes = self.testbed.block(part, 0, index)
            rows = min(BLOCK, n - start)
            yield x[:rows], sp.csr_array(codes[:rows])

    def _codes(self, part: str) -> sp.csr_array:
        return sp.csr_array(sp.vstack([codes for _, codes in self.chunks(part)], format="csr"))


def as_scoring(value: Scoring | dict[str, Any] | None) -> Scoring:
    """Settings from None (defaults), a dict or a `Scoring`."""
    if value is None:
        return Scoring()
    if isinstance(value, Scoring):
        return value
    if not isinstance(value, dict):
        raise reject("scoring", value, "gt.Scoring(...), a dict or None")
    known = Scoring().description()
    for key in value:
        if key not in known:
            raise UnknownName("part of scoring", str(key), known)
    return Scoring(**value)
