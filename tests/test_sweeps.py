"""A sweep keeps what was measured beside what was asked for, and compares only where both ran."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import groundtruth as gt
from groundtruth import catalogue, methods
from groundtruth.errors import InputError, UnknownName
from groundtruth.evaluators import METRICS
from groundtruth.result import Result
from groundtruth.sweeps import EV, JOINT, L0, Row, Sweep

SMALL = gt.Scoring(n_select=512, n_score=512, n_positives=8)
WORLD = gt.build(
    "sparse/small",
    seed=0,
    n_features=8,
    d=8,
    dictionary={"law": "orthonormal"},
    firing={"law": "constant", "probability": 0.05},
)
ROWS = WORLD.truth.features.directions.astype(np.float32)
CARD = {"name": "a world", "n_features": 8, "expected_l0": 4.0}


def planted(subject: Any, *, seed: int, l0: float, width: int = 8) -> gt.Dictionary:
    """The first `width` planted rows; an l0 of the width makes every latent fire."""
    rows, shift = ROWS[:width], 0.0 if l0 < width else 0.1
    return gt.Dictionary(rows, lambda x: np.where(x @ rows.T + shift > 0.05, x @ rows.T + shift, 0))


def breaking(subject: Any, *, seed: int, l0: float) -> gt.Dictionary:
    if l0 == 2:
        raise ValueError("no such number")
    return planted(subject, seed=seed, l0=l0)


def row(l0: float, joint: float | None, *, seed: int = 0, k: int = 64, **fields: Any) -> Row:
    """A run that measured what was asked for."""
    results = {
        L0: Result(METRICS[L0], l0),
        JOINT: Result(METRICS[JOINT], joint, floor=0.01, ceiling=0.9),
        EV: Result(METRICS[EV], 0.5),
        "recon.dead_frac": Result(METRICS["recon.dead_frac"], 0.0, n_units=k),
    }
    return Row(l0, k, seed, fields.pop("world", f"w{seed}"), {}, results, **fields)


def made(*points: tuple[float, float], name: str = "made", seeds: int = 1, **fields: Any) -> Sweep:
    """A sweep with these (L0, joint recall), the same for each seed."""
    rows = [row(l0, joint, seed=seed, **fields) for l0, joint in points for seed in range(seeds)]
    return Sweep(name, CARD, tuple(rows), 1000)


# --- running --------------------------------------------------------------------------------


def test_the_grid_is_run_in_order_and_measured() -> None:
    told: list[tuple[str, int, int]] = []
    found = gt.sweep(
        planted,
        WORLD,
        l0=[1, 2],
        k=[8, 2],
        seeds=(0, 1),
        scoring=SMALL,
        watch=lambda *said: told.append(said),
    )
    asked = [(8, 1), (8, 2), (2, 1), (2, 2)]
    assert [(r.k, r.l0) for r in found.rows] == [pair for pair in asked for _ in (0, 1)]
    assert [r.seed for r in found.rows] == [0, 1] * 4
    assert [r.measured_k for r in found.rows] == [r.k for r in found.rows]
    assert found.rows[-1].measured_l0 == 2 and found.rows[0].value(JOINT) == 1
    assert found.rows[4].value(JOINT) == 0.25 and not found.interrupted
    assert told[0] == ("planted (width=8, l0=1) seed 0", 0, 8) and told[-1][1:] == (8, 8)


def test_measured_l0_is_that_of_the_codes() -> None:
    found = gt.sweep(methods.random_directions, "sparse/small", l0=[2, 8], scoring=SMALL)
    for got, wanted in zip(found.rows, (2, 8), strict=True):
        # Six standard errors of a mean over 512 samples, whose L0 varies less than Poisson's.
        assert got.measured_l0 == pytest.approx(wanted, abs=6 * math.sqrt(wanted / 512) + 0.2)
        assert got.parameters == {"l0": wanted}


def test_names_give_a_world_for_each_seed_and_a_testbed_is_one() -> None:
    control = methods.random_directions
    worlds = gt.sweep(control, "sparse/small", k=4, seeds=(0, 1), scoring=SMALL, n_samples=64)
    assert len({r.world for r in worlds.rows}) == 2
    one = gt.sweep(planted, WORLD, k=4, seeds=(0, 1), scoring=SMALL, l0=4)
    assert {r.world for r in one.rows} == {WORLD.hash}


def test_a_callable_gets_whichever_of_k_and_width_it_has() -> None:
    def with_k(subject: Any, *, seed: int, k: int) -> gt.Dictionary:
        return planted(subject, seed=seed, l0=4, width=k)

    def with_both(subject: Any, *, seed: int, k: int = 3, width: int = 8) -> gt.Dictionary:
        return planted(subject, seed=seed, l0=4, width=width - 3 + k)

    def with_any(subject: Any, *, seed: int, **given: Any) -> gt.Dictionary:
        return planted(subject, seed=seed, l0=4, width=given["width"])

    for method in (with_k, with_both, with_any, partial(planted, l0=4)):
        found = gt.sweep(method, WORLD, k=[5], scoring=SMALL)
        assert found.rows[0].measured_k == 5
    assert found.name == "planted"


def fixed(subject: Any, *, seed: int) -> gt.Dictionary:
    return planted(subject, seed=seed, l0=4)


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        (planted, {}, "sweep: expected l0=[...] or k=[...], got neither. Nothing is swept."),
        (
            fixed,
            {"l0": [1]},
            "l0: expected fixed to have a parameter l0, but it takes none. Wrap it in a function "
            "that has.",
        ),
        (
            breaking,
            {"k": [1]},
            "k: expected breaking to have a parameter width or k, but it takes l0. Wrap it in a "
            "function that has.",
        ),
        (planted, {"l0": []}, "l0: expected at least one value, got []."),
        (
            planted,
            {"l0": [0]},
            "l0: expected numbers above 0, got 0. Pass for example l0=[4, 8, 16].",
        ),
        (
            planted,
            {"k": ["8"]},
            "k: expected numbers above 0, got '8'. Pass for example k=[4, 8, 16].",
        ),
        ("sae/topk", {"k": [8.5]}, "k: expected whole numbers of latents, got 8.5."),
        (
            "sae/topk",
            {"k": [16, 8], "l0": [2, 9]},
            "l0: expected at most the width 8, of every width swept, got 9.",
        ),
        (
            planted,
            {"k": [4], "width": 8},
            "width: expected to be swept or fixed, not both, got 8.",
        ),
        (
            planted,
            {"l0": [4], "jobs": 2},
            "jobs: expected 1 without out=, got 2. Pass out=folder to use processes.",
        ),
        (
            fixed,
            {"l0": [4], "seeds": [-1]},
            "l0: expected fixed to have a parameter l0, but it takes none. Wrap it in a function "
            "that has.",
        ),
        (
            "O1-prior",
            {"l0": [4]},
            "method: expected a method, got 'O1-prior'. Rows of the ladder have no parameters.",
        ),
        (
            lambda subject, *, seed, l0: None,
            {"l0": [4], "out": "nowhere"},
            "method: expected a method with a name, with out=, got '<lambda>'. Put it in a module "
            'and pass "my_module:my_method", or leave out= away.',
        ),
        (
            "linear/pca",
            {"k": [4], "out": "nowhere", "seeds": [1]},
            "seeds: expected [0], the seed of this testbed, with out=, got [1]. Pass the testbed "
            "by name: each seed is then a world of its own.",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(
    method: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        gt.sweep(method, WORLD, **given)
    assert str(caught.value) == message


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"^No parameter of planted is called 'widht'"):
        gt.sweep(planted, WORLD, l0=4, widht=8)


def test_one_failing_setting_is_recorded_at_the_floor_and_the_rest_goes_on() -> None:
    found = gt.sweep(breaking, WORLD, l0=[1, 2, 4], scoring=SMALL)
    assert [r.failed for r in found.rows] == [False, True, False]
    failed = found.rows[1]
    assert failed.reason == "MethodError: the method raised ValueError: no such number"
    assert failed.value(JOINT) == failed.results[JOINT].floor and failed.measured_l0 is None
    assert failed.results[JOINT].status == "failed"
    assert "3 runs, 1 failed and count at the floor" in str(found)
    assert "failed: MethodError: the method raised ValueError" in str(found)


def test_an_interruption_keeps_what_is_done() -> None:
    def stopping(subject: Any, *, seed: int, l0: float) -> gt.Dictionary:
        if l0 == 3:
            raise KeyboardInterrupt
        return planted(subject, seed=seed, l0=l0)

    found = gt.sweep(stopping, WORLD, l0=[1, 2, 3, 4], scoring=SMALL)
    assert found.interrupted and [r.l0 for r in found.rows] == [1, 2]
    assert "2 runs, interrupted" in str(found)


METHOD = """
from pathlib import Path
from groundtruth.methods import random_directions

def method(subject, *, seed, l0=2):
    Path(f"ran-{l0}").touch()
    if l0 == 8 and not Path("go-on").exists():
        raise KeyboardInterrupt
    if l0 == 4:
        raise ValueError("four")
    return random_directions(subject, seed=seed, l0=l0)
"""


def test_a_sweep_with_a_folder_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stopping_method.py").write_text(METHOD)
    ask = partial(
        gt.sweep,
        "stopping_method:method",
        "sparse/small",
        l0=[2, 4, 8],
        scoring=SMALL,
        out=tmp_path / "out",
    )
    with pytest.raises(KeyboardInterrupt):
        ask()
    for path in tmp_path.glob("ran-*"):
        path.unlink()
    Path("go-on").touch()
    found = ask()
    assert [path.name for path in tmp_path.glob("ran-*")] == ["ran-8"]
    assert [r.l0 for r in found.rows] == [2, 4, 8]
    assert [r.failed for r in found.rows] == [False, True, False]
    assert found.rows[1].reason == "ValueError: the method raised ValueError: four"
    assert str(ask()) == str(found)


def test_with_and_without_a_folder_are_the_same_numbers(tmp_path: Path) -> None:
    ask = partial(gt.sweep, methods.pca, WORLD, k=[2, 4], scoring=SMALL)
    here, kept = ask(), ask(out=tmp_path)
    assert kept.name == "linear/pca"
    for a, b in zip(here.rows, kept.rows, strict=True):
        assert {m: r.value for m, r in a.results.items()} == {
            m: r.value for m, r in b.results.items()
        }
        assert (a.k, a.seed, a.world, a.measured_k) == (b.k, b.seed, b.world, b.measured_k)


def test_a_method_that_is_a_control_is_kept_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = replace(catalogue.METHODS["linear/pca"], kind="control")
    monkeypatch.setitem(catalogue.METHODS, "linear/pca", control)
    found = gt.sweep("linear/pca", WORLD, k=[2], scoring=SMALL, out=tmp_path)
    assert [r.measured_k for r in found.rows] == [2]


# --- curves ---------------------------------------------------------------------------------


def test_a_curve_is_by_measured_l0_with_means_over_seeds() -> None:
    rows = (row(8, 0.2), row(2, 0.4), row(2, 0.6, seed=1), row(8, 0.4, seed=1))
    low, high = Sweep("made", CARD, rows).curve()
    assert (low.l0, low.value, low.low, low.high) == (pytest.approx(2), 0.5, 0.4, 0.6)
    assert (high.l0, high.value, high.n_runs) == (pytest.approx(8), pytest.approx(0.3), 2)


def test_a_failed_run_counts_at_the_floor_where_it_was_asked_for() -> None:
    broken = row(4, 0.01, seed=1, reason="ValueError: no")
    both = Sweep("made", CARD, (row(4, 0.5), broken)).curve()[0]
    assert (both.value, both.n_failed, both.l0) == (pytest.approx(0.255), 1, pytest.approx(4))
    alone = Sweep("made", CARD, (broken,)).curve()[0]
    assert (alone.value, alone.l0) == (0.01, 4)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=12))
def test_the_pareto_front_holds_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    unique = dict(points)
    found = made(*((float(l0), joint / 10) for l0, joint in unique.items()))
    front = {round(s.l0): round(10 * s.value) for s in found.pareto()}
    expected = {
        l0: joint
        for l0, joint in unique.items()
        if not any(o <= l0 and j >= joint and (o, j) != (l0, joint) for o, j in unique.items())
    }
    assert front == expected


def test_several_widths_must_be_told_apart() -> None:
    two = Sweep("made", CARD, (row(2, 0.1), row(2, 0.2, k=128)))
    assert two.widths == (64, 128) and two.curve(k=128)[0].value == 0.2
    with pytest.raises(InputError) as caught:
        two.curve()
    assert str(caught.value) == "k: expected one of the widths 64, 128, got None."


# --- at matched L0 --------------------------------------------------------------------------


def on_line(*l0: float, slope: float = 0.1, seeds: int = 1, **fields: Any) -> Sweep:
    """Joint recall that is linear in log L0, at these points."""
    return made(*((x, slope * math.log(x)) for x in l0), seeds=seeds, **fields)


def test_values_are_interpolated_in_log_l0() -> None:
    found = on_line(1, 3, 20).compare(on_line(2, 5, 10, slope=0.2), l0=[2.0, 4.0, 10.0])
    for matched, x in zip(found.rows, (2, 4, 10), strict=True):
        assert matched.first == pytest.approx(0.1 * math.log(x))
        assert matched.second == pytest.approx(0.2 * math.log(x))
        assert matched.difference == pytest.approx(-0.1 * math.log(x))
    # The mean over [log 2, log 10] of a line is its value in the middle.
    assert found.area.difference == pytest.approx(-0.1 * math.log(math.sqrt(20)))
    assert found.area.l0 == pytest.approx(math.sqrt(20))


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_comparing_is_antisymmetric_and_zero_with_itself(a: list[float], b: list[float]) -> None:
    first, second = made(*zip((1, 2, 4, 8), a)), made(*zip((1.5, 2, 5, 9), b))
    there, back = first.compare(second), second.compare(first)
    assert [m.difference for m in there.rows] == pytest.approx([-m.difference for m in back.rows])
    assert there.area.difference == pytest.approx(-back.area.difference)
    assert all(m.difference == 0 for m in first.compare(first).rows)


def test_the_default_points_span_the_common_range() -> None:
    found = on_line(1, 8).compare(on_line(2, 32))
    assert [m.l0 for m in found.rows] == pytest.approx([2, 2 * 2**0.5, 4, 4 * 2**0.5, 8])


def test_pairs_of_seeds_give_an_interval_and_one_gives_none() -> None:
    rows = [row(l0, j + 0.1 * seed, seed=seed) for l0, j in ((1, 0.1), (4, 0.3)) for seed in (0, 1)]
    first, second = Sweep("a", CARD, tuple(rows), 1000), made((1, 0.1), (4, 0.3), seeds=2)
    both = first.compare(second, l0=2.0)
    assert both.rows[0].difference == pytest.approx(0.05)
    # Student's interval of (0, 0.1): 0.05 -+ 12.706 * 0.05.
    assert (both.rows[0].low, both.rows[0].high) == pytest.approx((-0.5853, 0.6853), abs=1e-4)
    assert str(both).splitlines()[-1] == "Paired over 2 worlds."
    alone = on_line(1, 4).compare(on_line(1, 4))
    assert alone.area.low is None
    assert str(alone).splitlines()[-1] == "One pair: no interval; the order may be luck."
    same = [made((1, 0.1), (4, 0.3), seeds=2, world="w") for _ in range(2)]
    assert str(same[0].compare(same[1])).endswith("Paired over 2 training seeds on 1 world.")


def test_a_budget_that_differs_is_labelled_unmatched() -> None:
    first = on_line(1, 4)
    assert first.compare(on_line(1, 4)).unmatched == ()
    wider = Sweep("wide", CARD, on_line(1, 4, k=128).rows, 2000)
    found = first.compare(wider)
    assert found.unmatched == ("width 64 and 128", "training samples 1,000 and 2,000")
    assert "\nunmatched: width 64 and 128\n" in str(found)
    silent = Sweep("silent", CARD, first.rows)
    assert first.compare(silent).unmatched == ("training samples, not stated by silent",)


@pytest.mark.parametrize(
    ("other", "given", "message"),
    [
        (
            on_line(2, 4),
            {"l0": [3, 6]},
            "l0: expected values within the measured 2 to 4 of both sweeps, got 6. Values are "
            "interpolated, never extrapolated: run both sweeps further.",
        ),
        (
            on_line(16, 32),
            {},
            "l0: expected a range that all runs of both sweeps cover, got measured L0 from 16 at "
            "least to 8 at most. Sweep further.",
        ),
        (
            on_line(2),
            {},
            "made: expected at least two measured L0 at seed 0 to interpolate between, got 1. "
            "Sweep over more values: l0=[...].",
        ),
        (
            on_line(1, 8, world="elsewhere"),
            {},
            "testbed: expected both sweeps on the same worlds, got w0 and elsewhere at seed 0. Run "
            "both on one testbed.",
        ),
        (
            Sweep("late", CARD, (row(1, 0.1, seed=5), row(8, 0.1, seed=5))),
            {},
            "seeds: expected seeds in common, got [0] of made and [5] of late. Pairs need both "
            "runs.",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    other: Sweep, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        on_line(1, 8).compare(other, **given)
    assert str(caught.value) == message


def test_the_comparison_prints_as_a_table() -> None:
    lines = str(on_line(1, 4, name="a").compare(on_line(1, 4, slope=0.2, name="b"), l0=2)).split(
        "\n"
    )
    assert lines == [
        "recover.joint at matched L0: a - b",
        "      L0    first   second  difference       95% interval",
        "    2.00    0.069    0.139      -0.069                   ",
        "    mean    0.069    0.139      -0.069                   ",
        "One pair: no interval; the order may be luck.",
    ]


def test_the_sweep_prints_as_a_table() -> None:
    assert str(made((2, 0.25))) == (
        "made on a world: 1 runs\n"
        "      k      l0 seed  measured     joint precision    recall        EV      dead\n"
        "     64       2    0      2.00     0.250         -         -     0.500     0.000\n"
        "8 features, 4 at a time."
    )


def test_the_figure_is_written_whole(tmp_path: Path) -> None:
    path = made((2, 0.25), (8, 0.5)).figure(tmp_path / "sweep.png", made((3, 0.1), name="other"))
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"a file name that ends in \.png or \.svg"):
        made((2, 0.25)).figure(tmp_path / "sweep.pdf")
    with pytest.raises(InputError, match="got none"):
        Sweep("made", CARD, ()).figure(tmp_path / "sweep.png")
