"""Recovery where the truth is not identifiable: classes are counted instead of their features."""

from __future__ import annotations

import numpy as np

from groundtruth.equivalence import EquivalenceClass
from groundtruth.evaluators import floors, statistics
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.recovery import IDENTITY
from groundtruth.evaluators.registry import UNIT, metric
from groundtruth.result import Metric, Result


@metric("recover.recall_classes", 1, "max", UNIT, "class", ceiling=IDENTITY)
def recall_classes(entry: Metric, c: Comparison) -> Result:
    """Classes of features that are found / classes; a feature that can be told is its own class.

    Found: a feature by recover.recall's matching; a class of one direction by a live latent of
    cosine tau with it, or by all its members; a class of a subspace where the live latents that
    hold the share tau of their length in it span tau^2 of it. In a world whose features can all be
    told it is recover.recall.
    """
    classes, n = c.truth.equivalence_classes, c.truth.n_features
    alone = np.ones(n, dtype=bool)
    for one in classes:
        alone[list(one.members)] = False
    recovered = np.zeros(n, dtype=bool)
    recovered[c.matched(c.threshold)[0]] = True
    single = np.zeros(n, dtype=bool)
    single[c.matched(c.threshold, alone)[0]] = True
    found = np.array([*single[alone], *(_found(c, one, recovered) for one in classes)])
    _, low, high = statistics.wilson(int(found.sum()), len(found))
    signed = not c.absolute
    return Result(
        entry,
        float(found.mean()),
        n_units=len(found),
        low=low,
        high=high,
        interval_method="Wilson over classes",
        floor=floors.random_recall(c.threshold, c.truth.d, len(c.live), signed=signed),
        floor_kind="random directions",
        parameters={**c.parameters, "n_classes_of_several": len(classes)},
        evidence={"found": found},
    )


def _found(c: Comparison, one: EquivalenceClass, recovered: np.ndarray) -> bool:
    """Whether the class is found; `recovered` (n_features,) says which features are."""
    if recovered[list(one.members)].all():
        return True
    inner = c.latents @ one.basis.T
    if len(one.basis) == 1:
        best = np.abs(inner) if c.absolute else inner
        return bool(best.max(initial=-1.0) >= c.threshold)
    held = c.latents[np.linalg.norm(inner, axis=1) >= c.threshold]
    if len(held) == 0:
        return False
    _, size, span = np.linalg.svd(held, full_matrices=False)
    span = span[size >= 0.1 * size[0]]
    return float(((one.basis @ span.T) ** 2).sum()) >= c.threshold**2 * len(one.basis)
