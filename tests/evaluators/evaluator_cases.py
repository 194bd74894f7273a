"""What the property tests of metrics share: comparisons without a ladder, and their transforms.

Not a test file. Every transform returns new records and leaves its arguments as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from groundtruth.evaluators import Comparison, score
from groundtruth.outputs import Outputs, linear_outputs
from groundtruth.references import References
from groundtruth.score_data import PARTS, ScoreData, Scoring
from groundtruth.testbed import Testbed
from groundtruth.testing import LATENT_KINDS, outputs, score_data, testbeds
from groundtruth.truth import FeatureTruth

ENOUGH = Scoring(n_select=128, n_score=128, n_positives=12)
"""Enough for ten positives and ten silent samples of most features, which ranking needs."""

# Which of several equally good matchings is taken changes these, and nothing says which is right.
TIE_DEPENDENT = {
    "recover.aurc": "equal sums of cosines with other addends",
    "recover.energy_recall": "which of two near-duplicate features owns their latent",
    "recover.rare_recall": "which of two near-duplicate features owns their latent",
    "recover.by_freq": "which of two near-duplicate features owns their latent",
    "recover.recall_identifiable": "which of two near-duplicate features owns their latent",
    "recover.joint_identifiable": "which of two near-duplicate features owns their latent",
    "recover.uniqueness": "which of two equally near features a latent belongs to",
    "recover.match_disagreement": "which of two equally near latents is best",
    "act.latent_f1": "which of two equally near features a latent belongs to",
    "recover.uniqueness_all": "which of two equally near features a latent belongs to",
    "act.latent_precision": "which of two equally near features a latent belongs to",
    "act.latent_recall": "which of two equally near features a latent belongs to",
    "act.latent_f1_all": "which of two equally near features a latent belongs to",
    "act.latent_accuracy": "which of two equally near features a latent belongs to",
    "split.count": "which of two equally near features a latent belongs to",
    "split.rate": "which of two equally near features a latent belongs to",
    "compose.support": "which of two equally near features enters the sum first",
    "compose.residual": "which of two equally near features enters the sum first",
    "recon.latent_shrinkage": "which of two equally near latents is the partner",
    **{
        f"act.{name}": "which of two equally near latents is the partner"
        for name in (
            "f1",
            "precision",
            "recall",
            "fnr",
            "fpr",
            "matthews",
            "auroc",
            "auprc",
            "corr",
            "corr_active",
            "spearman_active",
        )
    },
}


class Case:
    """Score data with a claim about it; unpacks as a pair and prints in one line."""

    def __init__(self, data: ScoreData, claim: Outputs) -> None:
        self.data, self.claim = data, claim

    def __iter__(self) -> Iterator[Any]:
        return iter((self.data, self.claim))

    def __repr__(self) -> str:
        recipe = self.data.testbed.recipe
        return f"<{recipe.parameters} seed {recipe.seed}; decoder {self.claim.decoder.tolist()}>"


@st.composite
def worlds_and_claims(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = LATENT_KINDS,
    scoring: Scoring = ENOUGH,
    worlds: st.SearchStrategy[Testbed] | None = None,
) -> Case:
    """Score data of a drawn world, and a drawn claim about it."""
    data = draw(score_data(worlds, scoring=scoring))
    return Case(data, draw(outputs(data, kinds=kinds)))


def untied_cases() -> st.SearchStrategy[Case]:
    """Cases whose matchings nearly always have one best solution."""
    worlds = testbeds(min_d=6, max_d=10, max_features=5, near_duplicates=False)
    return worlds_and_claims(("rotated", "random", "dead"), ENOUGH, worlds)


def compared(
    data: ScoreData,
    claim: Outputs,
    *,
    truth: FeatureTruth | None = None,
    f1: float | np.ndarray = 1.0,
    threshold: float = 0.9,
) -> Comparison:
    """The comparison with constant references: no ladder is computed."""
    truth = data.truth if truth is None else truth
    reference = np.broadcast_to(np.asarray(f1, dtype=float), truth.n_features)
    return Comparison(truth, claim, data, References(reference, 0.9 * reference), threshold)


def values(c: Comparison, wanted: Any = None) -> dict[str, float | None]:
    """Metric id -> value; None where undefined."""
    return {name: result.value for name, result in score(c, wanted).items()}


def with_parts(data: ScoreData, **parts: Any) -> ScoreData:
    """`data` with some of select, score, positives, forced and x replaced."""
    new = ScoreData(data.testbed, data.scoring)
    held = {name: getattr(data, name) for name in (*PARTS, "forced", "x")}
    held.update(parts)
    held["_score"] = (held.pop("x"), held.pop("score"))  # kept together
    vars(new).update(held)  # where cached_property keeps what it computed
    return new


def map_codes(claim: Outputs, change: Any, decoder: np.ndarray | None = None) -> Outputs:
    """The linear claim with `change(codes)` on each part, and another decoder."""
    codes = {part: sp.csr_array(change(getattr(claim, part))) for part in PARTS}
    decoder = claim.decoder if decoder is None else decoder
    return linear_outputs(decoder, claim.bias, **codes, signed=claim.signed)


def scaled_columns(codes: sp.csr_array, factors: np.ndarray) -> sp.csr_array:
    """codes[:, j] * factors[j] in the codes' own precision."""
    out = codes.copy()
    out.data = (out.data * factors[out.indices]).astype(codes.dtype)
    return out


def joined(claim: Outputs, other: Outputs) -> Outputs:
    """The claim of both sets of latents."""
    codes = {
        part: sp.csr_array(sp.hstack([getattr(claim, part), getattr(other, part)], format="csr"))
        for part in PARTS
    }
    decoder = np.concatenate([claim.decoder, other.decoder])
    return linear_outputs(decoder, claim.bias, **codes, signed=claim.signed)


def untied(c: Comparison) -> bool:
    """Whether every matching that metrics use is the only best one."""
    directions, latents = c.truth.directions, c.latents
    if not len(latents) or c.truth.d == 1:
        return False
    # Below this coherence a latent is near one feature at most.
    gram = np.abs(directions @ directions.T) - np.eye(len(directions))
    if gram.max() >= 2 * c.threshold**2 - 1:
        return False
    if not c.outputs.decoder.any(axis=1).all():
        return False  # a row of zeros is equally near every feature
    cosine = directions @ latents.T
    if not _clear(np.abs(c.outputs.decoder @ directions.T)):
        return False
    cosine = np.abs(cosine) if c.absolute else cosine
    return _clear(cosine) and _clear(cosine.T) and _unique_assignment(cosine)


def same(
    first: dict[str, float | None],
    second: dict[str, float | None],
    *,
    relative: float = 1e-9,
    absolute: float = 1e-9,
    but: Any = (),
) -> None:
    """Raise unless the values agree, those in `but` left out."""
    gone = []
    for name in first.keys() - set(but):
        a, b = first[name], second[name]
        if a is None or b is None:
            if a is not b:
                gone.append(f"{name}: {a} became {b}")
        elif abs(a - b) > absolute + relative * max(abs(a), abs(b)):
            gone.append(f"{name}: {a!r} became {b!r}")
    assert not gone, "\n".join(sorted(gone))


def permuted_truth(truth: FeatureTruth, order: np.ndarray) -> FeatureTruth:
    """Feature order[i] in place i (scalar magnitude parameters only)."""
    return replace(
        truth,
        directions=truth.directions[order],
        firing_probability=truth.firing_probability[order],
        names=tuple(truth.names[i] for i in order),
    )


def _clear(cosine: np.ndarray) -> bool:
    """Whether the largest entry of every row leads by more than round-off."""
    if cosine.shape[1] < 2:
        return True
    top = np.sort(cosine, axis=1)
    return bool((top[:, -1] - top[:, -2] > 1e-9).all())


def _unique_assignment(cosine: np.ndarray) -> bool:
    row, column = linear_sum_assignment(cosine, maximize=True)
    best = cosine[row, column].sum()
    for i, j in zip(row, column):
        without = cosine.copy()
        without[i, j] = -1e3
        again = without[linear_sum_assignment(without, maximize=True)].sum()
        if again > best - 1e-9:
            return False
    return True
