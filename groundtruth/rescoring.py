"""Scores computed again from a stored run: its recipe, and the explanation as it was scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from groundtruth import catalogue, evaluation
from groundtruth.errors import HashMismatch, StoreError
from groundtruth.evaluators.comparison import SHARE, THRESHOLD
from groundtruth.outputs import Outputs, linear_outputs
from groundtruth.report import Report
from groundtruth.score_data import ScoreData, as_scoring
from groundtruth.store import StoredRun
from groundtruth.testbed import Testbed


def rescore(run: StoredRun) -> Report:
    """The report on a stored run, without running its method again.

    Raises:
        HashMismatch: the recipe builds another world here than the one that was scored.
        StoreError: the run failed, or is a ladder row, and holds no explanation.
    """
    record = run.record
    tensors = run.tensors()
    if "decoder" not in tensors:
        raise StoreError(
            f"run {run.key[:12]} ({record['method']['name']}): holds no explanation to score "
            "again. Ladder rows are made from their testbed; a failed run claims nothing."
        )
    testbed = rebuild(record["testbed"])
    data = ScoreData(testbed, as_scoring(record["scoring"]))
    parameters = record["results"]["recover.joint"]["parameters"]
    return evaluation.score_outputs(
        data,
        _outputs(tensors),
        name=record["method"]["name"],
        seed=record["seed"],
        n_train=record["n_train"],
        threshold=parameters.get("threshold", THRESHOLD),
        share=parameters.get("share", SHARE),
    )


def rebuild(stored: dict[str, Any]) -> Testbed:
    """The testbed of a record, after checking that it is the same world."""
    recipe = stored["recipe"]
    testbed = catalogue.build(recipe["name"], seed=recipe["seed"], **recipe["parameters"])
    if testbed.hash != stored["hash"]:
        raise HashMismatch(
            f"{stored['name']} seed {recipe['seed']}: expected the world {stored['hash'][:12]}, "
            f"got {testbed.hash[:12]} from the same recipe. Use the versions in the run's "
            "provenance."
        )
    return testbed


def _outputs(tensors: dict[str, np.ndarray]) -> Outputs:
    decoder, bias = tensors["decoder"].astype(np.float64), tensors["bias"]
    signed = bool(tensors["signed"])
    if "score.values" not in tensors:
        return Outputs(decoder, bias, signed)
    codes = {
        part: sp.csr_array(
            (tensors[f"{part}.values"], tensors[f"{part}.latents"], tensors[f"{part}.starts"]),
            (len(tensors[f"{part}.starts"]) - 1, len(decoder)),
        )
        for part in ("select", "score", "positives")
    }
    out = linear_outputs(decoder, bias, **codes, signed=signed)
    if "reconstruction" in tensors:
        out = replace(out, reconstruction=tensors["reconstruction"].astype(np.float64))
    return out
