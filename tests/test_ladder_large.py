"""Rows of the ladder that a large testbed does not have are undefined, with the reason."""

from __future__ import annotations

import pytest

import groundtruth as gt
from groundtruth import ladder
from groundtruth.descriptions import description
from groundtruth.ladder import rows
from groundtruth.score_data import ScoreData, Scoring

REASON = "inference on the true dictionary is not made above 10 features, where it takes hours"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(rows, "MOST_INFERRED", 10)
    monkeypatch.setenv("GROUNDTRUTH_CACHE", str(tmp_path))  # rows made elsewhere are not read


@pytest.mark.usefixtures("few")
def test_rows_of_inference_are_undefined_where_they_would_take_hours() -> None:
    data = ScoreData(gt.build("sparse/orthonormal", seed=0), Scoring(64, 64, 2))
    made = ladder.ladder(data, ["O0-identity", "O1-prior", "O1-blind"])
    assert made["O0-identity"].results["recover.recall"].value is not None
    for row in ("O1-prior", "O1-blind"):
        assert {r.value for r in made[row].results.values()} == {None}
        assert {r.reason for r in made[row].results.values()} == {REASON}
    assert made.references.f1_inference is None
    assert "O1-prior" in made.references.ceilings and not made.references.ceilings["O1-prior"]


@pytest.mark.usefixtures("few")
def test_a_claim_is_scored_without_them() -> None:
    world = gt.build("sparse/orthonormal", seed=0)
    directions = world.truth.features.directions
    claim = gt.Dictionary(directions, lambda x: (x @ directions.T).clip(0))
    report = gt.evaluate(world, claim, scoring={"n_select": 64, "n_score": 64})
    assert report["recover.joint_o1"].reason == "row O1-prior is not made for this testbed"
    assert report["recover.recall"].value is not None


@pytest.mark.usefixtures("few")
def test_a_description_says_why() -> None:
    said = dict(description("sparse/orthonormal", oracle=True, watch=lambda *_: None))
    assert said["O1-prior"] == REASON
