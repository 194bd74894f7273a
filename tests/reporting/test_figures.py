"""Figures: drawn for every kind of input, the same every time, and without side effects."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib
import pytest

from groundtruth.reporting import aggregate, canvas, read_runs
from groundtruth.reporting.figures import draw_section, headline


def drawings(records):
    sections = aggregate(read_runs(records))
    looks = canvas.looks(sections)
    return [d for i, s in enumerate(sections) for d in draw_section(s, looks, str(i))]


def figure_texts(records):
    """The label artists of the headline figure, as they are drawn."""
    (section,) = aggregate(read_runs(records))
    figure = headline(section, canvas.looks([section]))
    figure.canvas.draw()
    return figure, figure.axes[0]


def test_both_figures_are_drawn_in_both_forms(suite):
    found = drawings(suite)
    assert [d.name for d in found] == ["0-variance", "0-recovery"]
    assert all(d.png.startswith(b"\x89PNG") and len(d.png) > 10_000 for d in found)
    assert all(b"</svg>" in d.svg for d in found)


def test_same_records_give_the_same_bytes(suite):
    assert drawings(suite) == drawings(suite)


def test_svg_states_no_time_and_no_address(suite):
    for drawn in drawings(suite):
        assert b"dc:date" not in drawn.svg
        assert b'href="http' not in drawn.svg


@pytest.mark.parametrize(
    "change",
    [
        {"joint": None},
        {"ev": None},
        {"failed": True},
        {"kind": "control", "method": "C0-random"},
        {"method": "方法 $x_1$ <b>&|\n" + "w" * 200},
        {"testbed": "$unclosed \\frac{" + "w" * 200},
        {"ev": -1e30},
    ],
)
def test_odd_runs_are_drawn(make, change):
    assert len(drawings([make(**change)])) == 2


def test_world_without_a_frontier_is_drawn(make):
    bare = make()
    del bare["testbed"]["frontier"]
    assert len(drawings([bare])) == 2


def test_labels_do_not_cover_each_other(make):
    spots = [(0.90, 0.41), (0.90, 0.38), (0.91, 0.40), (0.60, 0.10), (0.62, 0.11)]
    records = [make(f"method-{i}", ev=ev, joint=j) for i, (ev, j) in enumerate(spots)]
    records += [make(f"C{i}", kind="control", ev=-9.0 - i, joint=0.0) for i in range(8)]
    figure, axes = figure_texts(records)
    renderer = figure.canvas.get_renderer()
    labels = [t for t in axes.texts if t.get_text().startswith(("method-", "C0"))]
    assert len(labels) == len(spots) + 1
    boxes = [t.get_window_extent(renderer) for t in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    frame = figure.bbox
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 for b in boxes)


def test_points_left_of_the_axis_stand_at_its_edge_with_their_value(make):
    _, axes = figure_texts([make("C6-always-on", kind="control", ev=-83.0, joint=0.0)])
    edge = [line for line in axes.lines if line.get_marker() == "<"]
    assert [float(line.get_xdata()[0]) for line in edge] == [-0.2]
    assert "C6-always-on (EV −83)" in [t.get_text() for t in axes.texts]


def test_a_method_looks_the_same_whatever_stands_beside_it_in_a_testbed(make):
    records = [make("b"), make("a", testbed="sparse/other"), make("b", testbed="sparse/other")]
    sections = aggregate(read_runs(records))
    looks = canvas.looks(sections)
    assert set(looks) == {"a", "b"}
    assert looks["a"] != looks["b"]


def test_many_methods_all_look_different(make):
    sections = aggregate(read_runs([make(f"m{i}") for i in range(30)]))
    assert len(set(canvas.looks(sections).values())) == 30


def test_matplotlibs_settings_are_put_back(suite):
    before = dict(matplotlib.rcParams)
    drawings(suite)
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_loaded():
    code = "import sys, groundtruth.reporting; print('matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"
