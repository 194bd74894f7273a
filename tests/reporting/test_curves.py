"""Curves are drawn for every kind of input, and show what they were given."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pytest

from groundtruth.errors import InputError
from groundtruth.evaluators import METRICS
from groundtruth.reporting.curves import (
    Bounds,
    Curve,
    Moment,
    Spot,
    draw_sweep,
    draw_training,
    write_drawing,
)
from groundtruth.result import Result, undefined


def moment(x, joint=0.4, ev=0.8, dead=0.1):
    values = {"recover.joint": joint, "recover.recall": joint, "recon.ev_total": ev}
    values["recon.dead_frac"] = dead
    bounds = {"floor": 0.01, "ceiling": 0.9}
    return Moment(x, {m: Result(METRICS[m], v, **bounds) for m, v in values.items()})


FAILED = Moment(300, {})


def lines_of(axes, marker="o"):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_each_panel_shows_its_numbers():
    figure = draw_training([moment(100, joint=0.2), moment(200, ev=-3.0)], "world", "samples")
    recall, variance, dead = figure.axes
    joint, decoder = lines_of(recall)
    assert list(joint.get_xdata()) == [100, 200]
    assert list(joint.get_ydata()) == [0.2, 0.4] and list(decoder.get_ydata()) == [0.2, 0.4]
    # Far below the axis stands at its edge.
    assert list(lines_of(variance)[0].get_ydata()) == [0.8, -0.05]
    assert list(lines_of(dead)[0].get_ydata()) == [0.1, 0.1]
    assert {"chance 0.010", "linear ceiling 0.900"} <= {t.get_text() for t in recall.texts}
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "samples"]


def test_a_failed_point_is_a_gap_and_a_cross():
    figure = draw_training([moment(100), FAILED, moment(500)], "world", "samples")
    for axes in figure.axes:
        assert np.isnan(lines_of(axes)[0].get_ydata()).tolist() == [False, True, False]
        assert [list(line.get_xdata()) for line in lines_of(axes, "x")] == [[300]]


@pytest.mark.parametrize(
    "moments",
    [
        [FAILED],
        [moment(0)],
        [moment(0), moment(0)],
        [Moment(5, {"recover.joint": undefined(METRICS["recover.joint"], "no codes")})],
        [moment(x) for x in range(200)],
    ],
)
def test_odd_histories_are_drawn(moments, tmp_path):
    path = write_drawing(tmp_path / "a.svg", lambda: draw_training(moments, "$w_{", "steps"))
    assert path.read_bytes().endswith(b"</svg>\n")


def test_the_axis_is_logarithmic_only_where_points_crowd_at_its_start():
    def scale(*xs):
        return draw_training([moment(x) for x in xs], "w", "n").axes[0].get_xscale()

    assert scale(1e3, 1e4, 1e5, 1e6) == "log"
    assert scale(1024, 500_000, 1_000_000) == "linear"
    assert scale(0, 10, 100, 1000) == "linear"


def test_labels_at_the_end_of_lines_do_not_touch():
    figure = draw_training([moment(1, joint=0.9), moment(2, joint=0.9)], "w", "n")
    figure.canvas.draw()
    texts = [
        t for t in figure.axes[0].texts if t.get_color() and t.get_text() and t.get_fontsize() == 8
    ]
    boxes = [t.get_window_extent(figure.canvas.get_renderer()) for t in texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


CURVES = [
    Curve("k = 64", (Spot(2, 0.2, 0.5, (0.1, 0.3), (0.5, 0.5)), Spot(8, 0.4, 0.8))),
    Curve("k = 128", (Spot(3, 0.3, None), Spot(9, 0.0, -5.0, failed=True))),
]


def test_a_sweep_shows_measured_l0_and_its_bounds():
    figure = draw_sweep(CURVES, "world", Bounds(0.01, 0.95, 4.5))
    joint, ev = figure.axes
    assert [list(line.get_xdata()) for line in lines_of(joint)] == [[2, 8]]
    assert [list(line.get_ydata()) for line in lines_of(joint, "s")] == [[0.3, 0.0]]
    assert [list(line.get_xdata()) for line in lines_of(ev, "s")] == [[9]]
    assert joint.get_xscale() == "log"
    texts = {t.get_text() for t in joint.texts}
    assert {"planted L0 4.5", "chance 0.010", "linear ceiling 0.950"} <= texts
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["k = 64", "k = 128", "failed, at the floor"]


@pytest.mark.parametrize(
    "curves",
    [[], [Curve("one", (Spot(1, 0.5, 0.5),))], [Curve(f"{i}", CURVES[0].spots) for i in range(30)]],
)
def test_odd_sweeps_are_drawn(curves, tmp_path):
    path = write_drawing(tmp_path / "s.png", lambda: draw_sweep(curves, "w", Bounds()))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_same_input_gives_the_same_bytes_and_leaves_the_settings(tmp_path):
    before = dict(matplotlib.rcParams)
    first, second = (
        write_drawing(tmp_path / f"{i}.svg", lambda: draw_sweep(CURVES, "w", Bounds())).read_bytes()
        for i in (1, 2)
    )
    assert first == second and dict(matplotlib.rcParams) == before


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"^path: expected a file name that ends in \.png or \.svg"
    ):
        write_drawing(tmp_path / "a.pdf", lambda: draw_sweep(CURVES, "w", Bounds()))
