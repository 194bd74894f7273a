"""The drawing holds every part, and a line where weights join two: no more and no fewer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.connections import connections
from groundtruth.compiled_models.drawing import draw, drawing
from groundtruth.compiled_models.layers import GAP, arranged
from groundtruth.compiled_models.parts import parts

PROGRAMS = ["reverse", "hist", "sort_unique", "shuffle_dyck2", "detect_pattern", "majority"]


def compiled_of(name: str):
    return compile_program(
        library.example_program(name),
        vocab=library.entry(name).vocab,
        max_length=4,
        n_sequences=64,
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_weights_join_what_the_plan_says_is_read(name):
    compiled = compiled_of(name)
    all_parts = parts(compiled)
    found = {(writer, reader) for writer, reader, _ in connections(compiled)}
    place = {part.writes: k for k, part in enumerate(all_parts)}
    planned = {(place[v], k) for k, part in enumerate(all_parts) for v in part.reads}
    output = compiled.layout[compiled.program.names[compiled.program.output]]
    assert found == planned | {(place[output], len(all_parts))}


def test_no_line_is_drawn_where_weights_are_zero():
    compiled = compiled_of("reverse")
    names = [part.writes.name for part in parts(compiled)] + ["logits"]
    head = compiled.weights.blocks[2].heads[0]
    cut = replace(head, W_V=np.zeros_like(head.W_V))
    block = replace(compiled.weights.blocks[2], heads=(cut,))
    weights = replace(compiled.weights, blocks=(*compiled.weights.blocks[:2], block))
    without = connections(replace(compiled, weights=weights))
    gone = set(connections(compiled)) - set(without)
    assert {(names[w], names[r], port) for w, r, port in gone} == {("tokens", "reverse", "v")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_boxes_do_not_overlap_and_lines_go_down(name):
    compiled = compiled_of(name)
    rows = arranged(parts(compiled), connections(compiled))
    for row in rows.rows:
        for left, right in itertools.pairwise(row):
            apart = rows.middle[right] - rows.middle[left]
            assert apart >= (left.width + right.width) / 2 + GAP - 1e-6
    assert all(lower.row == upper.row + 1 for upper, lower, _ in rows.joined)
    assert min(x - item.width / 2 for item, x in rows.middle.items()) == pytest.approx(0)


def test_decoys_are_listed():
    twin = compiled_of("hist").twin(decoys=3, n_sequences=64)
    text = drawing(twin)
    assert all(f">{decoy}</text>" in text for decoy in twin.decoys)
    assert text.count("(decoy)") == len(twin.decoys) == 3


def test_the_drawing_names_every_part_and_nothing_leaves_the_page(tmp_path):
    compiled = compiled_of("shuffle_dyck2")
    draw(compiled, tmp_path / "circuit.svg")
    text = (tmp_path / "circuit.svg").read_text()
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {part.writes.name for part in parts(compiled)} <= set(words)
    boxes = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if "rx" in e.attrib]
    assert len(boxes) == len(parts(compiled)) + 1
    width = float(root.attrib["width"])
    assert all(float(b.attrib["x"]) + float(b.attrib["width"]) <= width for b in boxes)

    assert drawing(compiled) == text


def test_lines_are_strong_where_edges_are_relevant():
    compiled = compiled_of("reverse")
    assert compiled.circuit.members("relevant") == {
        ("embed", "a2.h0.v"),
        ("a2.h0", "logits"),
    }
    root = ElementTree.fromstring(drawing(compiled))
    opacity = [e.attrib["stroke-opacity"] for e in root.iter("{http://www.w3.org/2000/svg}path")]
    # From the tokens down past four rows to the value port, and from there to the logits.
    n_rows = len(arranged(parts(compiled), connections(compiled)).rows)
    assert opacity.count("1") == n_rows - 1 < len(opacity)
    assert set(opacity) == {"1", "0.25"}
