"""One job: its training is watched and saved on the way, and goes on after an interruption."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth import jobs
from groundtruth.explanation import Dictionary
from groundtruth.jobs import Job, Settings, World, run_job
from groundtruth.score_data import Scoring
from groundtruth.store import Store
from groundtruth.suites import MethodSpec
from groundtruth.trials import dictionaries

MARKS = (5000, 10_000, 20_000)
SPEC = MethodSpec("sae/topk", {"n_samples": 20_000, "l0": 3}, MARKS)
SETTINGS = Settings(None, None, Scoring(n_select=2048, n_score=2048, n_positives=20), 0.9, 0.8)


def job(spec: MethodSpec = SPEC) -> Job:
    return Job(World("sparse/small", {"n_features": 40, "d": 16}, 0, 20_000), SETTINGS, spec)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    (key,) = run_job(job(), out).keys
    return Store(out).load(key)


def test_the_history_holds_the_scores_at_the_asked_sample_counts(undisturbed):
    history = undisturbed.record["history"]
    assert [point["n_samples"] for point in history] == [5120, 10_240, 20_000]
    assert all(point["reason"] == "" for point in history)
    assert {"recover.above_08", "recover.recall", "recon.ev_total"} <= set(history[0]["values"])
    ev = [point["values"]["recon.ev_total"] for point in history]
    assert ev[0] < ev[-1]


def test_an_interrupted_run_goes_on_to_the_same_record(undisturbed, tmp_path):
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if len(told) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job(), tmp_path, tell)
    saved = sorted(path.suffix for path in (tmp_path / "checkpoints").iterdir())
    assert saved == [".json", ".pt"]
    (key,) = run_job(job(), tmp_path, told.append).keys
    again = Store(tmp_path).load(key)
    assert again.record["history"] == undisturbed.record["history"]
    assert np.array_equal(again.tensors()["decoder"], undisturbed.tensors()["decoder"])
    assert not list((tmp_path / "checkpoints").iterdir())
    assert told[-1] == "100%"


def test_a_diverged_training_is_recorded_with_its_step(tmp_path):
    spec = MethodSpec("sae/topk", {"n_samples": 20_000, "l0": 3, "lr": 1e4, "warmup": 0.0})
    done = run_job(job(spec), tmp_path)
    record = Store(tmp_path).load(done.keys[0]).record
    assert record["status"] == "failed"
    assert record["error"]["type"] == "Diverged"
    assert record["error"]["step"] >= 1
    assert "Training diverged" in done.failures[0]


def test_a_failed_run_leaves_nothing_to_go_on_from(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ValueError("after training")

    monkeypatch.setattr(dictionaries, "take_outputs", fail)
    told: list[str] = []
    done = run_job(job(), tmp_path, told.append)
    assert told[-1] == "100%"
    assert "after training" in done.failures[0]
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", "another format"])
def test_a_damaged_checkpoint_is_begun_again(undisturbed, tmp_path, damage):
    left = Store(tmp_path).checkpoint(undisturbed.key)
    left.parent.mkdir(parents=True)
    if isinstance(damage, bytes):
        left.write_bytes(damage)
    else:
        torch.save({"format": damage}, left)
    left.with_suffix(".json").write_text("{}")
    (key,) = run_job(job(), tmp_path).keys
    again = Store(tmp_path).load(key)
    assert again.record["status"] == "ok"
    assert again.record["history"] == undisturbed.record["history"]
    assert not list(left.parent.iterdir())


def test_points_seen_twice_are_kept_once(tmp_path):
    testbed = job().world.build()
    history = jobs.History(testbed, tmp_path / "run.pt")
    planted = testbed.truth.features.directions
    for n in (100, 200, 150):
        history.see(n, Dictionary(planted))
    assert [point["n_samples"] for point in history.points()] == [100, 150]
