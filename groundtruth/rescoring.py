"""Scores computed again from a stored run: its recipe, and the explanation as it was scored."""

from __future__ import annotations

from typing import Any

from groundtruth import catalogue
from groundtruth.errors import HashMismatch, StoreError
from groundtruth.store import StoredRun
from groundtruth.trials import Terms, trial_of


def rescore(run: StoredRun) -> Any:
    """The report on a stored run, without running its method again.

    Raises:
        HashMismatch: the recipe builds another world here than the one that was scored.
        StoreError: the run failed, or is a ladder row, and holds no explanation.
    """
    record = run.record
    tensors = run.tensors()
    if not tensors:
        raise StoreError(
            f"run {run.key[:12]} ({record['method']['name']}): holds no explanation to score "
            "again. Ladder rows are made from their testbed; a failed run claims nothing."
        )
    named = ("scoring", "n_train", "threshold", "share")
    terms = Terms(**{name: record[name] for name in named if name in record})
    trial = trial_of(rebuild(record["testbed"]), terms)
    return trial.again(tensors, name=record["method"]["name"], seed=record["seed"])


def rebuild(stored: dict[str, Any]) -> Any:
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
