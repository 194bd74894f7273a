"""Results that no longer belong together: a world that a library upgrade has changed, and metrics
of two versions. Neither is ever mixed into one table.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import lockfile, reporting
from groundtruth.errors import HashMismatch, StoreError
from groundtruth.evaluators import METRICS
from groundtruth.generators.sampling import SparseSampler
from groundtruth.runner import Ran, run_suite
from groundtruth.score_data import Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec, Suite, WorldSpec

PARAMETERS: dict[str, Any] = {
    "n_features": 12,
    "d": 8,
    "firing": {"law": "constant", "probability": 0.05},
}
SUITE = Suite(
    "tiny",
    1,
    "for tests",
    (WorldSpec("sparse/small", (MethodSpec("linear/pca"),), (0,), PARAMETERS, 2000),),
    rows=("O0-identity",),
    scoring=Scoring(n_select=512, n_score=512, n_positives=16),
)


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it to make this installation draw other samples from the same seeds."""
    drawn = SparseSampler.draw

    def draw(self: SparseSampler, rng: np.random.Generator, n: int) -> Any:
        rng.random()
        return drawn(self, rng, n)

    return lambda: monkeypatch.setattr(SparseSampler, "draw", draw)


def hashes(ran: Ran) -> set[str]:
    return {record["testbed"]["hash"] for record in ran.records}


def test_52_an_upgrade_that_changes_the_samples_changes_the_hash(upgraded: Any) -> None:
    before = gt.build("sparse/small", **PARAMETERS)
    assert before.hash == gt.build("sparse/small", **PARAMETERS).hash
    upgraded()
    after = gt.build("sparse/small", **PARAMETERS)
    assert after.recipe == before.recipe and after.hash != before.hash


def test_52_a_folder_with_runs_on_the_old_world_is_refused(tmp_path: Path, upgraded: Any) -> None:
    old = run_suite(SUITE, tmp_path)
    before = hashes(old).pop()
    upgraded()
    after = gt.build("sparse/small", **PARAMETERS).hash
    with pytest.raises(HashMismatch) as caught:
        run_suite(SUITE, tmp_path)
    assert str(caught.value) == (
        f"sparse/small seed 0: expected the world {before[:12]} that this folder's runs are on, "
        f"got {after[:12]} from the same recipe. The libraries' random streams or the generator "
        "changed. Use another --out, or the versions in the runs' provenance."
    )
    assert len(list(Store(tmp_path).records())) == len(old.records)


def test_55_metrics_of_two_versions_are_refused_in_one_table(tmp_path: Path) -> None:
    records = run_suite(SUITE, tmp_path).records
    older = copy.deepcopy(records[0])
    older["seed"] = 7
    older["results"]["recover.joint"]["version"] = 0
    with pytest.raises(StoreError) as caught:
        reporting.write_report([*records, older], tmp_path)
    names = sorted(record["method"]["name"] for record in records)
    assert names == ["O0-identity", "linear/pca"]
    assert str(caught.value).startswith(
        f"mixed metric versions: recover.joint/0 in sparse/small / {older['method']['name']} / "
        "seed 7; recover.joint/1 in sparse/small / "
    )
    assert str(caught.value).endswith(
        ". Numbers of two versions do not compare: run the older ones again, or report on them "
        "apart."
    )


def test_55_a_new_metric_version_makes_other_keys_and_another_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    run_suite(SUITE, tmp_path)
    raised = replace(METRICS["recover.joint"], version=2)
    monkeypatch.setitem(METRICS, "recover.joint", raised)
    with pytest.raises(StoreError) as caught:
        run_suite(SUITE, tmp_path)
    held = lockfile.read_lock(tmp_path)["manifest"]
    assert "recover.joint/1" in held["metrics"]
    assert str(caught.value).endswith("(they differ in: metrics); use another --out.")
