"""Feature by feature: which were recovered, which were missed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from groundtruth.evaluators import Comparison
from groundtruth.evaluators.similarity import Similarity
from groundtruth.neighbours import neighbour_cosine
from groundtruth.references import UNSCORED_BELOW
from groundtruth.truth import SAMPLE_LIMITED

RECOVERED, MISSED, UNSCORED = "recovered", "missed", "unscored"


@dataclass(frozen=True)
class FeatureRow:
    """One planted feature beside the claim.

    Fields:
        index, name: of the feature.
        status: "recovered" (joint), "missed", or "unscored" (missed, but no linear detector
            could have scored its activity).
        reason: one clause, why.
        cause: the reason's class, for counting.
        firing_probability, energy_share: of the feature.
        cosine: with its nearest live latent.
        f1: activity F1 of that latent; None without codes.
        reference_f1: F1 of the best linear detector; NaN where there are no codes to hold to it.
        neighbour_cosine: with the nearest other planted feature; 0 where there is none.
        sample_limited: too rare for the training budget, for any method.
    """

    index: int
    name: str
    status: str
    reason: str
    cause: str
    firing_probability: float
    energy_share: float
    cosine: float
    f1: float | None
    reference_f1: float
    neighbour_cosine: float
    sample_limited: bool


@dataclass(frozen=True)
class Trait:
    """A property that missed features have more often than recovered ones do.

    Fields:
        name: a key of `TRAITS`.
        n_missed, n_recovered: features that have it.
        of_missed, of_recovered: features in all.
    """

    name: str
    n_missed: int
    of_missed: int
    n_recovered: int
    of_recovered: int

    def __str__(self) -> str:
        return (
            f"{TRAITS[self.name]} ({self.n_missed} of {self.of_missed}; of the recovered "
            f"{self.n_recovered} of {self.of_recovered})"
        )


TRAITS = {
    "sample-limited": "too rare for the training budget",
    "rare": "in the rarer half",
    "crowded": "in the half that lies closest to another feature",
}
"""What the missed features may have in common, in the order in which it is looked for."""

APART, LUCK = 0.2, 0.01
"""A trait is told where its share among the missed exceeds that among the recovered by APART, and
chance would do so less often than LUCK (one-sided Fisher test)."""


@dataclass(frozen=True)
class FeatureTable:
    """All features, in the testbed's order; prints the missed ones, most energetic first."""

    rows: tuple[FeatureRow, ...]

    def __iter__(self) -> Iterator[FeatureRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> FeatureRow:
        return self.rows[index]

    def missed(self) -> list[FeatureRow]:
        """Features that were not recovered, most energetic first."""
        rows = [row for row in self.rows if row.status != RECOVERED]
        return sorted(rows, key=lambda row: -row.energy_share)

    def causes(self) -> Counter[str]:
        """How many features were missed for each cause."""
        return Counter(row.cause for row in self.rows if row.status != RECOVERED)

    def traits(self) -> list[Trait]:
        """What missed features have more often than recovered ones; empty if nothing stands out.

        Halves are told by the median; features that all fire alike have no rarer half.
        """
        p = np.array([row.firing_probability for row in self.rows])
        near = np.array([row.neighbour_cosine for row in self.rows])
        has = {
            "sample-limited": np.array([row.sample_limited for row in self.rows]),
            "rare": p < np.median(p),
            # Cosines of an orthonormal dictionary differ by rounding alone.
            "crowded": near > np.median(near) + 1e-6,
        }
        missed = np.array([row.status != RECOVERED for row in self.rows])
        found = [_trait(name, has[name], missed) for name in TRAITS]
        return [trait for trait in found if trait is not None]

    def __str__(self) -> str:
        missed = self.missed()
        lines = [f"{len(self) - len(missed)} of {len(self)} features recovered"]
        lines += [f"  {count:5d} {cause}" for cause, count in self.causes().most_common()]
        lines += [f"missed more often: {trait}" for trait in self.traits()]
        if missed:
            head = f"{'feature':>10} {'p':>9} {'energy':>7} {'cosine':>6} {'F1':>5} {'ref':>5}  why"
            lines += ["", head]
        for row in missed[:20]:
            f1 = "    -     -" if row.f1 is None else f"{row.f1:5.2f} {row.reference_f1:5.2f}"
            lines.append(
                f"{row.name:>10} {row.firing_probability:9.2e} {row.energy_share:7.2%} "
                f"{row.cosine:6.2f} {f1}  {row.reason}"
            )
        if len(missed) > 20:
            lines.append(f"{'...':>10} and {len(missed) - 20} more")
        return "\n".join(lines)


def feature_table(c: Comparison) -> FeatureTable:
    """The table of a comparison."""
    truth, n = c.truth, c.truth.n_features
    nearest = c.similarity.best_latent
    cosine = c.similarity.best_latent_cosine
    f1 = None
    joint = np.zeros(n, dtype=bool)
    if c.outputs.score is not None and len(c.live):
        f1 = np.nan_to_num(c.firing.rates(np.arange(n), np.maximum(nearest, 0)).f1)
        joint[c.joint(c.references.f1_linear)[0]] = True
    identifiable = c.identifiability
    neighbour = neighbour_cosine(truth.directions, absolute=c.absolute)
    rows = []
    for i in range(n):
        cause, reason = _why(c, i, None if f1 is None else float(f1[i]), bool(joint[i]))
        if not joint[i] and cause == _NO_LATENT and identifiable.classes[i] == SAMPLE_LIMITED:
            cause, reason = "too rare for the training budget", identifiable.reasons[SAMPLE_LIMITED]
        status = RECOVERED if joint[i] else MISSED
        if status == MISSED and c.references.unscored[i]:
            status = UNSCORED
        rows.append(
            FeatureRow(
                i,
                truth.names[i],
                status,
                reason,
                cause,
                float(truth.firing_probability[i]),
                float(truth.energy_share[i]),
                float(cosine[i]),
                None if f1 is None else float(f1[i]),
                float(c.references.f1_linear[i]),
                float(neighbour[i]),
                bool(identifiable.classes[i] == SAMPLE_LIMITED),
            )
        )
    return FeatureTable(tuple(rows))


_NO_LATENT = "no latent points its way"


def _why(c: Comparison, i: int, f1: float | None, joint: bool) -> tuple[str, str]:
    """(cause, reason) of feature i."""
    if joint:
        return RECOVERED, "direction and activity"
    s = c.similarity
    j, cosine = int(s.best_latent[i]), float(s.best_latent_cosine[i])
    if j < 0:
        return "no live latent", "no latent ever fires"
    latent = int(c.live[j])
    if cosine < c.threshold:
        other, its_cosine = _other_truth(s, j, i)
        if other >= 0 and cosine > 0.5 and its_cosine < c.threshold:
            return (
                "mixed with another feature",
                f"latent {latent} mixes it with {c.truth.names[other]} "
                f"(cosines {cosine:.2f} and {its_cosine:.2f})",
            )
        return _NO_LATENT, f"nearest latent {latent} has cosine {cosine:.2f} < {c.threshold:g}"
    if f1 is None:
        return "no codes", "direction found, but the claim has no codes"
    gate = c.share * max(float(c.references.f1_linear[i]), UNSCORED_BELOW)
    if f1 < gate:
        return (
            "direction found, fires at the wrong times",
            f"latent {latent} has activity F1 {f1:.2f} < {gate:.2f}",
        )
    return "its latent is taken", f"latent {latent} is matched to another feature"


def _other_truth(s: Similarity, j: int, i: int) -> tuple[int, float]:
    """The feature other than i that latent j is nearest to, with its cosine; -1 below 0.5."""
    if s.best_truth[j] != i:
        return int(s.best_truth[j]), float(s.best_truth_cosine[j])
    others = np.flatnonzero((s.edge_latent == j) & (s.edge_truth != i))
    if len(others) == 0:
        return -1, 0.0
    best = others[s.edge_cosine[others].argmax()]
    return int(s.edge_truth[best]), float(s.edge_cosine[best])


def _trait(name: str, has: np.ndarray, missed: np.ndarray) -> Trait | None:
    """The trait, if missed features have it more often than chance would make them."""
    n, n_missed = int(has.sum()), int(missed.sum())
    if n_missed in (0, len(has)):
        return None
    both = int((has & missed).sum())
    rest = len(has) - n_missed
    if both / n_missed - (n - both) / rest < APART:
        return None
    if stats.hypergeom.sf(both - 1, len(has), n, n_missed) >= LUCK:
        return None
    return Trait(name, both, n_missed, n - both, rest)
