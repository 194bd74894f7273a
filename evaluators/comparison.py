"""A claim beside the truth: the four arguments of every metric, and what metrics share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth import inference
from groundtruth.errors import Undefined, reject
from groundtruth.evaluators import counts
from groundtruth.evaluators.residuals import NO_SPREAD, Reconstructed
from groundtruth.evaluators.similarity import (
    Similarity,
    check_memory,
    pair_cosine,
    search_type,
    similarity,
    unit_latents,
)
from groundtruth.outputs import Outputs
from groundtruth.references import UNSCORED_BELOW, References
from groundtruth.score_data import ScoreData
from groundtruth.truth import FeatureTruth, Identifiability

THRESHOLD = 0.9
"""tau: the cosine from which a direction counts as recovered."""
SHARE = 0.8
"""phi: the share of the reference F1 that a recovered feature's activity must reach."""


@dataclass(frozen=True)
class EveryLatent:
    """All k decoder rows, dead ones included, by |cosine|: the convention of other tools.

    Fields:
        best_truth: (k,) the feature of largest |cosine|; 0 for a row of no length.
        matched_cosine: (min(n_features, k),) |cosines| of the Hungarian pairs.
        active, fires, both: (k,) samples of `score` where that feature is active, the latent
            fires, and both do; None where no codes are claimed.
    """

    best_truth: np.ndarray
    matched_cosine: np.ndarray
    active: np.ndarray | None = None
    fires: np.ndarray | None = None
    both: np.ndarray | None = None


_DENSE_PAIRS = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """(truth, outputs, data, references) and, computed once, what several metrics need.

    Only live latents count: those that fire at least once on `select` or `positives` (all of
    them, where no codes are claimed) and whose decoder row is not zero. A latent that lies in the
    subspace of a planted manifold claims the manifold, and is not among those that stand for
    features.

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
        if not (_is_number(self.threshold) and np.sqrt(0.5) < self.threshold <= 0.9999):
            raise reject(
                "threshold",
                self.threshold,
                "a cosine above 0.7071 and at most 0.9999",
                "The sum of two orthogonal features has cosine 0.7071 with both; at 1, rounding "
                "decides.",
            )
        if not (_is_number(self.share) and 0 < self.share <= 1):
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
    def every_row(self) -> np.ndarray:
        """(k, d) unit rows of all latents; zero where a row has no length."""
        check_memory(self.truth.n_features, self.outputs.k, self.truth.d)
        return unit_latents(self.outputs.decoder)

    @cached_property
    def live(self) -> np.ndarray:
        """Indices of the live latents that stand, rightly or wrongly, for a feature.

        Of all live ones those are left out of which a manifold's subspace holds the share tau of
        the length, and more than the nearest feature does.
        """
        alive = self.alive
        rows = self.every_row[alive]
        held = [np.linalg.norm(rows @ m.basis.T, axis=1) for m in self.truth.manifolds]
        if not held:
            return alive
        most = np.max(held, axis=0)
        near = np.flatnonzero(most >= self.threshold)
        cosine = rows[near] @ self.truth.directions.T
        nearest = (np.abs(cosine) if self.absolute else cosine).max(axis=1)
        return np.delete(alive, near[most[near] > nearest])

    @cached_property
    def alive(self) -> np.ndarray:
        """Indices of all live latents, those that stand for manifolds included."""
        nonzero = np.any(self.every_row != 0, axis=1)
        if self.outputs.select is None or self.outputs.positives is None:
            return np.flatnonzero(nonzero)
        fires = np.bincount(self.outputs.select.indices, minlength=self.outputs.k)
        fires += np.bincount(self.outputs.positives.indices, minlength=self.outputs.k)
        return np.flatnonzero(nonzero & (fires > 0))

    @cached_property
    def latents(self) -> np.ndarray:
        """(n_live, d) unit rows of the live latents."""
        every = len(self.live) == self.outputs.k
        return self.every_row if every else self.every_row[self.live]

    @cached_property
    def similarity(self) -> Similarity:
        """Over live latents; indices count within `live`."""
        return similarity(self.truth.directions, self.latents, absolute=self.absolute)

    @cached_property
    def assignment(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hungarian one-to-one pairs that maximise the sum of cosines: truth, live, cosine.

        Pairs of cosine 0 or less are no pairs: a latent that points away from every free feature
        stays unmatched, so that adding one lowers nothing.
        """
        directions, latents = self.truth.directions, self.latents
        if len(directions) * len(latents) <= _DENSE_PAIRS:
            return self._assigned_densely(directions, latents)
        kind = search_type(directions, latents)
        found = inference.assign_directions(
            directions.astype(kind, copy=False),
            latents.astype(kind, copy=False),
            absolute=self.absolute,
            edges=self.similarity.top,
        )
        cosine = pair_cosine(directions, latents, found.truth, found.latent, self.absolute)
        near = cosine > 0
        return found.truth[near], found.latent[near], cosine[near]

    def _assigned_densely(
        self, directions: np.ndarray, latents: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cosine = np.clip(directions @ latents.T, -1.0, 1.0)
        cosine = np.abs(cosine) if self.absolute else np.maximum(cosine, 0.0)
        found = inference.assign(cosine)
        near = found.similarity > 0
        return found.truth[near], found.latent[near], found.similarity[near]

    @cached_property
    def every_latent(self) -> EveryLatent:
        """For the metrics that repeat other tools' definitions; one pass over the cosines."""
        directions, latents = self.truth.directions, self.every_row
        kind = search_type(directions, latents)
        searched = directions.astype(kind, copy=False), latents.astype(kind, copy=False)
        both = len(latents) >= len(directions)
        edges = inference.top_edges(*searched, absolute=True, both=both)
        found = inference.assign_directions(*searched, absolute=True, edges=edges)
        best = np.where(latents.any(axis=1), edges.latent_truth[:, 0].numpy(), 0)
        matched = pair_cosine(directions, latents, found.truth, found.latent, True)
        if self.outputs.score is None:
            return EveryLatent(best, matched)
        active, fires = counts.fired(self.data.score), counts.fired(self.outputs.score)
        together = counts.overlaps(active, fires, best, np.arange(len(best)))
        n_active, n_fires = np.diff(active.indptr)[best], np.diff(fires.indptr)
        return EveryLatent(best, matched, n_active, n_fires, together)

    @cached_property
    def reconstructed(self) -> Reconstructed:
        """What the reconstruction metrics sum, on `score`."""
        if self.outputs.reconstruction is None:
            raise Undefined("the explanation has no codes; pass encode= to gt.Dictionary")
        found = Reconstructed(self.data.x, self.outputs.reconstruction)
        if float(found.spread.sum()) <= NO_SPREAD * len(found.x):
            raise Undefined("the activations do not vary")
        return found

    @cached_property
    def partner(self) -> np.ndarray:
        """(n_features,) the live latent that `assignment` gives each feature; -1 for none."""
        self.need_codes()
        out = np.full(self.truth.n_features, -1)
        if len(self.live):
            truth, latent, _ = self.assignment
            out[truth] = latent
        return out

    def matched(
        self, threshold: float, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Largest one-to-one matching of truths and live latents with cosine >= threshold.

        Args:
            among: (n_features,) bool, the features that may be matched; all if None.
        """
        s = self.similarity
        kept = s.edge_cosine >= threshold
        if among is not None:
            kept &= among[s.edge_truth]
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

    def joint(
        self, reference: np.ndarray, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Largest matching on pairs with cosine >= tau and F1 >= phi max(reference, 0.1).

        The floor of 0.1 is the gate of features that no linear detector can see: what their
        reference cannot say, a small absolute F1 does, so that a perfect claim still scores 1
        and a shuffled one does not pass.
        """
        s = self.similarity
        kept = s.edge_cosine >= self.threshold
        if among is not None:
            kept &= among[s.edge_truth]
        truth, latent = s.edge_truth[kept], s.edge_latent[kept]
        f1 = self.firing.rates(truth, latent).f1
        gate = self.share * np.maximum(reference, UNSCORED_BELOW)
        passed = f1 >= gate[truth]
        return inference.maximum_matching(
            truth[passed], latent[passed], self.truth.n_features, len(self.live)
        )

    @property
    def unresolved(self) -> np.ndarray:
        """(n_features,) bool: features that fire less often than 3 / n_score.

        No false positive in n silent samples leaves rates up to 3 / n possible (rule of three), so
        for these a precision above 1/2 cannot be told from a worse one; their F1 reads too high.
        """
        p = self.truth.firing_probability
        return (p > 0) & (p * self.data.score.shape[0] < 3)

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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
