"""The reproduction of docs/reproductions/peers_scores.md on a budget of seconds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from saelens_cases import sae_lens

import groundtruth as gt
from groundtruth.evaluators import METRICS as OURS
from reproductions import peers_scores
from reproductions.peers_scores import METRICS, WORLDS, Budget, Scored

pytestmark = pytest.mark.integration

# SAELens takes means and cosines in float32, of numbers up to about 50 (L0 of a dense model).
CLOSE = 1e-5
TINY = Budget(n_samples=8_192, scoring=gt.Scoring(1_024, 2_048, 20), n_batched=256, batches=(1, 64))
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reproductions" / "peers_scores.md"


@pytest.fixture(scope="module")
def found() -> tuple[list[Scored], list[Scored]]:
    assert sae_lens.__version__
    return peers_scores.run(TINY)


def of(models: list[Scored], name: str) -> list[dict[str, float]]:
    """The scores of one model, world by world."""
    values = [s.values for s in models if s.name == name]
    assert len(values) == len(WORLDS)
    return values


def test_equal_definitions_give_equal_values_on_every_model(found) -> None:
    models, _ = found
    assert len(models) == 13 * len(WORLDS)
    for metric in METRICS:
        assert peers_scores.largest_difference(models, metric) < CLOSE, metric.same


def test_the_comparison_sees_one_value_that_differs(found) -> None:
    models, _ = found
    moved = replace(models[4], values={**models[4].values, "mcc": models[4].values["mcc"] + 1e-3})
    assert peers_scores.largest_difference([*models, moved], METRICS[0]) == pytest.approx(
        1e-3, abs=CLOSE
    )


def test_a_flipped_decoder_is_perfect_by_their_scores_and_recovers_nothing_by_ours(found) -> None:
    models, _ = found
    for flipped, planted in zip(of(models, "planted, flipped"), of(models, "planted")):
        for name in ("mcc", "uniqueness", "precision", "recall", "f1_score", "accuracy"):
            assert flipped[name] == pytest.approx(planted[name], abs=CLOSE), name
        assert flipped["mcc"] == pytest.approx(1, abs=CLOSE)
        assert planted["recover.recall"] == planted["recover.joint"] == 1
        assert flipped["recover.recall"] == flipped["recover.joint"] == 0
        assert flipped["recover.mcc"] < 0.5
        assert flipped["act.f1"] < 0.1 * planted["act.f1"]


def test_a_quarter_of_the_features_is_perfect_by_their_denominator_and_a_quarter_by_ours(
    found,
) -> None:
    models, _ = found
    for values in of(models, "planted, quarter"):
        assert values["mcc"] == pytest.approx(1, abs=CLOSE)
        assert values["recover.mcc"] == pytest.approx(0.25, abs=CLOSE)


def test_only_models_that_choose_among_a_batch_depend_on_its_size(found) -> None:
    _, batched = found
    for world in WORLDS:
        for name in peers_scores.BATCHED:
            one, many, saved = (
                s.values for s in batched if (s.world, s.name) == (world.name, name)
            )
            alike = one["explained_variance"] == pytest.approx(
                many["explained_variance"], abs=CLOSE
            )
            assert alike == (name == "TopK")
            if name == "TopK":
                assert saved["f1_score"] == pytest.approx(one["f1_score"], abs=CLOSE)
            else:
                assert one["sae_l0"] == many["sae_l0"] == peers_scores.ACTIVE


def test_the_samples_are_handed_out_in_order_with_their_noise() -> None:
    testbed = gt.build("sparse/zipf", seed=0)
    data = peers_scores.ScoreData(testbed, gt.Scoring(16, 100, 0))
    samples = peers_scores.Samples(data, 100)
    for at in (0, 60):
        activity = samples.sample(40)
        assert np.array_equal(activity.numpy(), data.score[at : at + 40].toarray())
        assert np.array_equal(samples(activity).numpy(), data.x[at : at + 40])
        if at == 0:
            samples.sample(20)


def test_the_page_has_every_table_that_is_written(found) -> None:
    page = PAGE.read_text()
    written = peers_scores.tables(*found)
    heads = [line for line in written.splitlines() if line.startswith(("| name", "| world", "###"))]
    assert len(heads) == 17
    assert [line for line in page.splitlines() if line in set(heads)] == heads
    shown = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    assert {s.name for s in found[0]} <= set(shown)
    assert set(re.findall(r"`((?:recover|act|recon)\.\w+)`", page)) <= set(OURS)
