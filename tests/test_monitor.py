"""The monitor sees what training finds, leaves the model as it was, and never stops a training."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth.errors import HashMismatch, InputError, UnknownName
from groundtruth.monitor import WATCHED, MonitorWarning

SMALL = gt.Scoring(n_select=1024, n_score=1024, n_positives=16)
WORLD = gt.build(
    "sparse/small",
    seed=0,
    n_features=16,
    d=16,
    dictionary={"law": "orthonormal"},
    firing={"law": "constant", "probability": 0.05},
)
ROWS = torch.from_numpy(WORLD.truth.features.directions.astype(np.float32))


class Noisy(torch.nn.Module):
    """An autoencoder that does in training what it must not do while it is scored."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.W_dec = torch.nn.Parameter(rows.clone())
        self.frozen = torch.nn.Dropout(0.5)
        self.drop = torch.nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002
        pre = x @ self.W_dec.T
        return self.drop(pre * (pre > 0.1))


def monitor(**settings: Any) -> gt.Monitor:
    return gt.Monitor(WORLD, **{"every": 10, "scoring": SMALL, **settings})


def planted(n: int = 16) -> gt.Dictionary:
    rows = ROWS[:n]
    return gt.Dictionary(rows, lambda x: (x @ rows.T) * (x @ rows.T > 0.1))


def everything(model: Noisy) -> list[Any]:
    """All that a scoring could have changed."""
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        {name: id(value) for name, value in model.named_buffers()},
        [part.training for part in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        torch.get_rng_state(),
        np.random.get_state(),  # noqa: NPY002
        random.getstate(),
        torch.is_grad_enabled(),
    ]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool((a == b).all()) if hasattr(a, "shape") else a == b


def test_points_are_scored_at_multiples_of_every() -> None:
    watching = monitor()
    said = [watching(step, planted(), n_samples=64 * (step + 1)) for step in range(21)]
    assert [i for i, point in enumerate(said) if point is not None] == [0, 10, 20]
    assert [(p.step, p.n_samples) for p in watching.history] == [(0, 64), (10, 704), (20, 1344)]
    assert said[10] is watching.history[1]


def test_a_point_holds_what_evaluate_says_on_the_same_data() -> None:
    point = monitor().see(None, planted(12))
    report = gt.evaluate(WORLD, planted(12), scoring=SMALL)
    assert set(point.results) == set(WATCHED)
    for metric, result in point.results.items():
        assert result.value == report[metric].value
        assert (result.floor, result.ceiling) == (report[metric].floor, report[metric].ceiling)
        assert result.evidence == {}


def test_more_metrics_are_followed_where_asked_for() -> None:
    point = monitor(metrics=["act.f1", "recover.joint_o1", "recover.joint"]).see(0, planted())
    assert list(point.results) == [*WATCHED, "act.f1", "recover.joint_o1"]
    assert point.value("recover.joint_o1") is None
    assert point.results["recover.joint_o1"].reason.startswith("row O1-prior is not made")


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_model_is_as_it_was(wrapped: bool) -> None:
    model = Noisy(ROWS)
    model.frozen.eval()
    model.encode(torch.ones(2, 16)).sum().backward()
    scored: Any = gt.Dictionary(model.W_dec.detach(), model.encode) if wrapped else model
    watching = monitor()
    before = everything(model)
    point = watching.see(0, scored)
    assert same(everything(model), before)
    # In eval mode: dropout would have silenced half of the codes.
    assert not point.failed and point.value("recover.joint") == 1
    assert len(before[2]) == 3 and before[2] != [True] * 3


def test_the_check_for_changes_catches_them() -> None:
    model = Noisy(ROWS)
    for change in (
        lambda: model.encode(torch.ones(1, 16)),
        lambda: model.drop.eval(),
        lambda: model.W_dec.requires_grad_(False),
        lambda: np.random.rand(),  # noqa: NPY002
        lambda: model.W_dec.data.mul_(2),
    ):
        before = everything(model)
        change()
        assert not same(everything(model), before)


def test_training_is_the_same_with_and_without_a_monitor() -> None:
    def trained(watching: gt.Monitor | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        model = Noisy(torch.randn(16, 16, generator=generator))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        state = torch.get_rng_state()
        torch.set_rng_state(generator.get_state())
        for step, x in enumerate(WORLD.subject.batches(64, n=64 * 25)):
            loss = (x - model.encode(x) @ model.W_dec).square().mean()
            if watching is not None:
                watching(step, model)  # between loss and backward, the worst place
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.set_rng_state(state)
        return model.W_dec.detach()

    watching = monitor()
    assert torch.equal(trained(watching), trained(None))
    assert len(watching.history) == 3 and not any(p.failed for p in watching.history)


def broken(kind: str) -> Any:
    model = Noisy(ROWS)
    if kind == "nan":
        model.W_dec.data[0, 0] = float("nan")
    if kind == "encode":
        return gt.Dictionary(ROWS, lambda x: 1 / 0)
    if kind == "width":
        return gt.Dictionary(np.eye(5), lambda x: x)
    return None if kind == "none" else model


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "ExplanationError: "),
        ("encode", "MethodError: encode raised ZeroDivisionError: division by zero"),
        (
            "width",
            "ExplanationError: decoder: expected shape (k, 16) for this testbed, got (5, 5).",
        ),
        ("none", "ExplanationError: "),
    ],
)
def test_a_model_that_cannot_be_scored_is_a_failed_point_with_one_warning(
    kind: str, reason: str
) -> None:
    watching = monitor()
    with pytest.warns(MonitorWarning, match="could not be scored at step 10") as caught:
        bad = watching(10, broken(kind), n_samples=7)
        watching(20, broken(kind), n_samples=14)
    good = watching(30, planted(), n_samples=21)
    assert len(caught) == 1 and bad is not None and bad.failed and good is not None
    assert bad.reason.startswith(reason) and bad.results == {}
    assert bad.value("recover.joint") is None and good.value("recover.joint") == 1
    assert "failed: " + reason in str(watching)


def test_an_interruption_is_passed_on() -> None:
    def stop(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        monitor().see(0, gt.Dictionary(ROWS, stop))


def test_see_is_the_watch_of_a_trainer() -> None:
    watching = monitor()
    for n_samples, n in ((100, 4), (1000, 16)):
        watching.see(n_samples, planted(n))
    found = [(p.step, p.n_samples, p.value("recover.joint")) for p in watching.history]
    assert found == [(None, 100, 0.25), (None, 1000, 1.0)]


def test_score_data_is_drawn_once_and_never_from_the_training_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[str] = []
    block = gt.Testbed.block

    def counted(self: gt.Testbed, stream: str, seed: int, index: int) -> Any:
        drawn.append(stream)
        return block(self, stream, seed, index)

    watching = monitor()
    _ = watching.testbed.hash  # of which the first training block is a part
    monkeypatch.setattr(gt.Testbed, "block", counted)
    watching.see(0, planted())
    once = len(drawn)
    watching.see(1, planted())
    assert len(drawn) == once and set(drawn) == {"select", "score"}


def test_the_history_survives_json() -> None:
    watching = monitor(metrics="act.f1")
    watching(0, planted(4), n_samples=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MonitorWarning)
        watching(10, None, n_samples=20)
    text = json.dumps(watching.to_json(), allow_nan=False)
    for again in (gt.Monitor.from_json(text), gt.Monitor.from_json(json.loads(text), WORLD)):
        assert again.history == watching.history and str(again) == str(watching)
        assert (again.every, again.metrics, again.scoring) == (10, watching.metrics, SMALL)
        assert again(20, planted(), n_samples=30) is not None and len(again.history) == 3
        assert again.to_json()["points"][:2] == watching.to_json()["points"]


def test_a_history_of_another_world_is_refused() -> None:
    with pytest.raises(HashMismatch, match=r"^sparse/small: expected the world [0-9a-f]{12} of"):
        gt.Monitor.from_json(monitor().to_json(), gt.build("sparse/small", seed=1))
    for text in ("{}", "no json"):
        with pytest.raises(InputError, match=r"^history: expected what Monitor\.to_json gives"):
            gt.Monitor.from_json(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every: expected a whole number of steps >= 1, got 0."),
        ({"every": True}, "every: expected a whole number of steps >= 1, got True."),
    ],
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        monitor(**settings)
    assert str(caught.value) == message


def test_unknown_names_are_refused_at_once() -> None:
    with pytest.raises(UnknownName):
        monitor(metrics="recover.jiont")
    with pytest.raises(UnknownName):
        gt.Monitor("sparse/smal")
    with pytest.raises(InputError, match=r"^testbed: expected a testbed or its name, got 3\."):
        gt.Monitor(3)  # type: ignore[arg-type]


def test_the_table_has_a_line_for_each_point() -> None:
    watching = monitor()
    watching(0, planted(4), n_samples=1024)
    watching.see(None, planted())
    ceiling = watching.history[0].results["recover.joint"].ceiling
    values = [point.value("recon.l0") for point in watching.history]
    assert str(watching) == (
        "     samples      step     joint precision    recall        EV        L0      dead\n"
        f"       1,024         0     0.250     1.000     0.250     "
        f"{watching.history[0].value('recon.ev_total'):.3f}     {values[0]:.3f}     0.000\n"
        f"           -         -     1.000     1.000     1.000     1.000     {values[1]:.3f}"
        "     0.000\n"
        "sparse/small seed 0: 16 features, 0.8 at a time; linear ceiling of joint recall "
        f"{ceiling:.3f}."
    )


def test_the_figure_is_written_whole(tmp_path: Path) -> None:
    watching = monitor()
    with pytest.raises(InputError, match="expected at least one point, got none"):
        watching.figure(tmp_path / "run.png")
    watching(0, planted(4), n_samples=64)
    watching(10, planted(), n_samples=640)
    assert watching.figure(tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert b"training samples" not in watching.figure(tmp_path / "run.svg").read_bytes()[:100]
    with pytest.raises(InputError, match=r"a file name that ends in \.png or \.svg"):
        watching.figure(tmp_path / "run.jpg")
