"""A claim beside the truth: the four arguments of every metric, and what metrics share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth import inference
from groundtruth.errors import Undefined, reject
from groundtruth.evaluators import counts
from groundtruth.evaluators.similarity import Similarity, pair_cosine, similarity, unit_latents
from groundtruth.outputs import Outputs
from groundtruth.references import UNSCORED_BELOW, References
from groundtruth.score_data import ScoreData
from groundtruth.truth import FeatureTruth, Identifiability

THRESHOLD = 0.9
"""tau: the cosine from which a direction counts as recovered."""
SHARE = 0.8
"""phi: the share of the reference F1 that a recovered feature's activity must reach."""

_DENSE_BYTES = 2 << 30


@dataclass(frozen=True)
class Comparison:
    """(truth, outputs, data, references) and, computed once, what several metrics need.

    Only live latents count: those that fire at least once on `select` or `positives` (all of
    them, where no codes are claimed) and whose decoder row is not zero.

    Fields:
        threshold: tau. Must exceed sqrt(1/2): the sum of two orthogonal features has that
            cosine with both.
        share: phi.
    """

    truth: FeatureTruth
    outputs: Outputs
    data: ScoreData
    references: References
    threshold: float = THRESHOLD
    share: float = SHARE

    def __post_init__(self) -> None:
        if not np.sqrt(0.5) < self.threshold <= 1:
            raise reject(
                "threshold",
                self.threshold,
                "a cosine above 0.7071 and at most 1",
                "The sum of two orthogonal features has cosine 0.7071 with both.",
            )
        if not 0 < self.share <= 1:
            raise reject("share", self.share, "a number in (0, 1]")

    @property
    def absolute(self) -> bool:
        """Whether |cosine| is used: if truth or claim may be negative."""
        return self.truth.signed or self.outputs.signed

    @property
    def parameters(self) -> dict[str, object]:
        """Settings that enter decoder scores."""
        return {
            "threshold": self.threshold,
            "sign_mode": "absolute" if self.absolute else "signed",
        }

    @cached_property
    def live(self) -> np.ndarray:
        """Indices of live latents."""
        nonzero = np.any(unit_latents(self.outputs.decoder) != 0, axis=1)
        if self.outputs.select is None or self.outputs.positives is None:
            return np.flatnonzero(nonzero)
        fires = np.bincount(self.outputs.select.indices, minlength=self.outputs.k)
        fires += np.bincount(self.outputs.positives.indices, minlength=self.outputs.k)
        return np.flatnonzero(nonzero & (fires > 0))

    @cached_property
    def latents(self) -> np.ndarray:
        """(n_live, d) unit rows of the live latents."""
        return unit_latents(self.outputs.decoder)[self.live]

    @cached_property
    def similarity(self) -> Similarity:
        """Over live latents; indices count within `live`."""
        return similarity(self.truth.directions, self.latents, absolute=self.absolute)

    @cached_property
    def assignment(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hungarian one-to-one pairs that maximise the sum of cosines: truth, live, cosine."""
        found = inference.assign_directions(
            self.truth.directions, self.latents, absolute=self.absolute
        )
        cosine = pair_cosine(
            self.truth.directions, self.latents, found.truth, found.latent, self.absolute
        )
        return found.truth, found.latent, cosine

    @cached_property
    def partner(self) -> np.ndarray:
        """(n_features,) the live latent that `assignment` gives each feature; -1 for none."""
        self.need_codes()
        out = np.full(self.truth.n_features, -1)
        if len(self.live):
            truth, latent, _ = self.assignment
            out[truth] = latent
        return out

    def matched(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Largest one-to-one matching of truths and live latents with cosine >= threshold."""
        s = self.similarity
        kept = s.edge_cosine >= threshold
        return inference.maximum_matching(
            s.edge_truth[kept], s.edge_latent[kept], self.truth.n_features, len(self.live)
        )

    @cached_property
    def firing(self) -> counts.FiringTable:
        """Firings of all features and of the live latents on the score data."""
        self.need_codes()
        out, data = self.outputs, self.data
        assert out.score is not None and out.positives is not None
        return counts.FiringTable(
            self.truth.firing_probability,
            counts.fired(data.score),
            counts.fired(out.score)[:, self.live],
            counts.forced_rows(data.forced, self.truth.n_features),
            counts.fired(out.positives)[:, self.live],
        )

    def joint(self, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest matching on pairs with cosine >= tau and F1 >= phi max(reference, 0.1).

        The floor of 0.1 is the gate of features that no linear detector can see: what their
        reference cannot say, a small absolute F1 does, so that a perfect claim still scores 1
        and a shuffled one does not pass.
        """
        s = self.similarity
        kept = s.edge_cosine >= self.threshold
        truth, latent = s.edge_truth[kept], s.edge_latent[kept]
        f1 = self.firing.rates(truth, latent).f1
        gate = self.share * np.maximum(reference, UNSCORED_BELOW)
        passed = f1 >= gate[truth]
        return inference.maximum_matching(
            truth[passed], latent[passed], self.truth.n_features, len(self.live)
        )

    @cached_property
    def identifiability(self) -> Identifiability:
        return self.truth.identifiability(self.references.n_train, self.threshold)

    def need_codes(self) -> None:
        """Raise unless the explanation has codes."""
        if self.outputs.score is None:
            raise Undefined("the explanation has no codes; pass encode= to gt.Dictionary")

    def need_live(self) -> None:
        """Raise unless some latent is live."""
        if len(self.live) == 0:
            raise Undefined("no latent ever fires")
