"""What a stored result says about the testbed that it holds for."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundtruth import catalogue, hashing
from groundtruth.testbed import Testbed

_FRONTIER_POINTS = 65


def describe_testbed(testbed: Testbed) -> dict[str, Any]:
    """Plain JSON about a testbed: recipe, hash, sizes and its capacity frontier."""
    truth = testbed.truth.features
    learned = np.unique(np.linspace(0, truth.n_features, _FRONTIER_POINTS).astype(int))
    varies = truth.variance.any()
    explained = truth.explained_by_top(learned) if varies else np.zeros(len(learned))
    return {
        "name": testbed.name,
        "hash": testbed.hash,
        "recipe": hashing.jsonable(testbed.recipe.description()),
        "n_features": truth.n_features,
        "d": truth.d,
        "expected_l0": truth.expected_l0,
        "noise": truth.noise,
        "truth_class": testbed.truth_class,
        "summary": catalogue.testbed_summary(testbed.name),
        "source": testbed.source,
        "frontier": {
            "recall": (learned / truth.n_features).tolist(),
            "explained": explained.tolist(),
        },
    }
