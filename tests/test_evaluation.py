"""A claim without codes is scored beside the planted decoder alone, without the ladder."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given

import groundtruth as gt
from groundtruth import ladder
from groundtruth.errors import ExplanationError, UnknownName
from groundtruth.evaluators import Comparison, score
from groundtruth.outputs import Outputs
from groundtruth.score_data import ScoreData
from groundtruth.testing import score_data

IDENTITY = "O0-identity"


@pytest.fixture
def no_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the ladder was climbed")

    monkeypatch.setattr(ladder, "references", refuse)


@pytest.mark.usefixtures("no_ladder")
@pytest.mark.parametrize("threshold", [0.8, 0.9])
def test_a_claim_without_codes_needs_no_ladder_and_has_its_ceilings(threshold: float) -> None:
    world = gt.build("sparse/small", seed=0)
    rows = world.truth.features.directions[:96]
    report = gt.evaluate(world, gt.Dictionary(rows), threshold=threshold)
    for name in ("recover.precision", "recover.f1", "recover.mcc", "split.count", "merge.rate"):
        assert report[name].ceiling_kind == IDENTITY, name
    assert report["recover.f1"].ceiling == report["split.count"].ceiling == 1
    assert report["recover.recall"].ceiling == 0.75  # what 96 latents can hold
    assert math.isnan(report.features()[100].reference_f1)
    assert {row.status for row in report.features()} == {"missed"}


@pytest.mark.usefixtures("no_ladder")
def test_codes_need_the_ladder() -> None:
    rows = np.eye(32)
    claim = gt.Dictionary(rows, lambda x: np.maximum(x, 0))
    with pytest.raises(AssertionError, match="the ladder was climbed"):
        gt.evaluate("sparse/small", claim, scoring={"n_select": 64, "n_score": 64})


@given(score_data())
def test_the_planted_decoder_scores_the_ceilings_that_it_is_given(data: ScoreData) -> None:
    references = ladder.decoder_references(data, None)
    planted = Outputs(data.truth.directions, data.truth.bias, data.truth.signed)
    results = score(Comparison(data.truth, planted, data, references))
    bounded = [r for r in results.values() if r.ceiling_kind == IDENTITY and r.value is not None]
    assert {r.metric.id for r in bounded} >= {"recover.precision", "recover.mcc", "recover.f1"}
    for result in bounded:
        assert result.value == pytest.approx(result.ceiling, abs=1e-9), result.metric.id


def test_an_unknown_name_travels_between_processes():
    error = UnknownName("testbed", "sparse/smal", ["sparse/small", "sparse/zipf"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.known) == (str(error), error.known)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("pca", "linear/pca"), ("sae-relu", "sae/relu"), ("lineer/pca", "linear/pca")],
)
def test_a_name_that_is_nearly_one_is_told_which(name, nearest):
    with pytest.raises(UnknownName) as error:
        gt.evaluate("sparse/small", name)
    assert f"Nearest: {nearest}" in str(error.value)


def test_a_folder_that_is_not_there_is_called_a_folder():
    with pytest.raises(ExplanationError, match="names no folder"):
        gt.evaluate("sparse/small", "./no/such/sae")


def test_what_libraries_do_when_they_are_first_loaded_is_not_held_against_our_methods(monkeypatch):
    def loading(subject, *, seed):
        monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
        return gt.Dictionary(np.eye(subject.d))

    assert gt.evaluate("toy/square", loading).flags == ("changed environment variables",)
    loading.__module__ = "groundtruth.methods.linear"
    assert gt.evaluate("toy/square", loading).flags == ()
