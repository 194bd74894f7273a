"""The table, the sentences, the footer and the CSV."""

from __future__ import annotations

import csv
import io
import re

import pytest

from groundtruth.reporting import aggregate, csv_file, read_runs, render_text, tables, verdicts
from groundtruth.reporting.footer import footer


def only_section(records):
    (section,) = aggregate(read_runs(records))
    return section


def cells(line):
    return re.split(r"(?<!\\)\|", line)[1:-1]


def test_markdown_rows_have_as_many_cells_as_the_head(make, suite):
    records = [*suite, make("odd|name <b>", parameters={"width": 64})]
    lines = tables.markdown_table(tables.table(only_section(records))).split("\n")
    assert {len(cells(line)) for line in lines} == {14}
    assert len(lines) == 2 + 7 + 2  # head and rule, rows, an empty row between groups


def test_table_shows_value_interval_and_counts(make):
    section = only_section([make(joint=v, seed=i) for i, v in enumerate([0.3, 0.5])])
    shown = tables.table(section)
    row = dict(zip(shown.headings[1:], map(str, shown.lines[0].cells)))
    assert row["joint recall"] == "0.400 [0.000, 1.000]"
    assert (row["L0"], row["EV"], row["energy recall"]) == ("20.0", "0.900", tables.ABSENT)
    assert (row["joint recall, normalised"], row["runs"], row["failed"]) == ("0.400", "2", "0")


def test_one_run_is_marked(make):
    shown = tables.table(only_section([make()]))
    assert str(shown.lines[0].cells[2]) == "0.400 [0.300, 0.500] n=1"
    assert shown.notes[-1].startswith("n=1: a single world")


def test_undefined_number_is_a_dash_with_its_reason_below(make):
    shown = tables.table(only_section([make(joint=None)]))
    assert str(shown.lines[0].cells[2]) == "-*"
    note = "* sae/topk, joint recall: undefined in 1 of 1 runs (no latent is live)."
    assert note in shown.notes


def test_sign_modes_are_marked_where_rows_differ(make):
    alike = tables.table(only_section([make(), make("sae/relu")]))
    mixed = tables.table(only_section([make(), make("sae/relu", joint=0.1, sign_mode="absolute")]))
    assert [line.name for line in alike.lines] == ["sae/relu", "sae/topk"]
    assert [line.name for line in mixed.lines] == ["sae/topk [signed]", "sae/relu [absolute]"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.12345, "0.123"), (-83.21, "−83.2"), (256.0, "256.0"), (-1.5e6, "−1.5e+06")],
)
def test_number(value, text):
    assert tables.number(value) == text


def test_section_verdict_says_who_is_best_and_that_variance_misleads(suite):
    said = verdicts.section_verdict(only_section(suite))
    assert said.startswith("On sparse/small sae/topk, best of 2 methods, has joint recall 0.610 [")
    assert "between chance 0.000 and linear ceiling 1.000 (61% of the way)" in said
    assert said.endswith(
        "Explained variance would have misled: sae/relu explains the most (96%) and is number 2 of "
        "2 by joint recall (0.210); it orders 1 of 1 pair of methods the other way."
    )


def test_section_verdict_does_not_claim_what_overlapping_intervals_leave_open(make):
    records = [make(joint=0.40, ev=0.8), make("sae/relu", joint=0.35, ev=0.9)]
    assert "do not tell them apart" in verdicts.section_verdict(only_section(records))


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (
            [{"kind": "control", "method": "C0-random"}],
            "No method was run on sparse/small: 1 reference row only.",
        ),
        (
            [{"failed": True}],
            "Every method run on sparse/small failed (1 of 1); all count at the floor.",
        ),
        ([{"joint": None}], "No method on sparse/small has a joint recall."),
        ([{"joint": 0.0}], "On sparse/small no method recovers more than chance (0.000)."),
    ],
)
def test_section_verdict_without_a_winner(make, records, said):
    assert verdicts.section_verdict(only_section([make(**r) for r in records])) == said


def test_method_verdict_counts_failures(make):
    (row,) = only_section([make(joint=0.6), make(seed=1, failed=True)]).rows
    assert verdicts.method_verdict(row).endswith("; 1 of 2 failed and counts at the floor.")


def test_footer_names_what_is_needed_to_redo(suite):
    facts = dict(footer(read_runs(suite)))
    assert facts["redo"] == "groundtruth run dictionary-core --out DIR"
    assert facts["lock (SHA-256)"] == "9f" * 32
    assert facts["metric versions"].startswith("recon.ev_total/1, recon.l0/1, recover.joint/1")
    assert (facts["cosine threshold tau"], facts["activity share phi"]) == ("0.9", "0.8")
    assert facts["scoring"] == "n_positives by default, n_score 20,000, n_select 10,000"
    assert facts["groundtruth"] == "0.1.0 (commit abababababab)"
    assert facts["runs"] == "12, of which 0 failed"
    assert facts["time"] == "18 min of runs, added up"


def test_the_footers_time_has_what_methods_cost_on_twins(suite):
    suite[0]["provenance"]["twins"] = {"wall_seconds": 3600.0}
    suite[1]["provenance"]["twins"] = None
    assert dict(footer(read_runs(suite)))["time"] == "1 h 18 min of runs, added up"


def test_text_takes_the_columns_that_fit(suite):
    narrow, wide = render_text(suite, width=110), render_text(suite, width=300)
    assert "decoder recall" not in narrow
    assert "decoder recall" in wide
    assert max(map(len, narrow.split("\n"))) <= 110


def test_text_holds_no_control_characters(make):
    evil = make("a\x1b[2Jb\u202ec")
    evil["results"]["recover.joint"] |= {
        "value": None,
        "status": "undefined",
        "reason": "\x1b]0;x\x07",
        "low": None,
        "high": None,
    }
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", render_text([evil]))


def test_csv_round_trips_every_number(make, suite):
    records = [*suite, make('odd,"name"', joint=None, seed=5)]
    lines = list(csv.DictReader(io.StringIO(csv_file.csv_text(read_runs(records)))))
    assert tuple(lines[0]) == csv_file.COLUMNS
    assert len(lines) == sum(len(r["results"]) for r in records)
    found = {(x["method"], x["seed"], x["metric"]): x for x in lines}
    for record in records:
        for name, stored in record["results"].items():
            line = found[record["method"]["name"], str(record["seed"]), name]
            for field in ("value", "low", "high", "floor", "ceiling", "normalised"):
                text = line[field]
                assert (float(text) if text else None) == stored[field]
            assert (line["version"], line["status"]) == (str(stored["version"]), stored["status"])


def test_csv_holds_a_failed_run_at_the_floor(make):
    lines = list(csv.DictReader(io.StringIO(csv_file.csv_text(read_runs([make(failed=True)])))))
    joint = next(line for line in lines if line["metric"] == "recover.joint")
    assert (joint["value"], joint["normalised"], joint["status"]) == ("0.0", "0.0", "failed")


def test_a_degenerate_score_is_never_shown_without_its_reason(make):
    reason = "38% of features fire too rarely. Raise n_score"
    flagged, sound = make(seed=0), make(seed=0)
    for name in ("recover.joint", "recover.joint_precision"):
        flagged["results"][name] |= {"status": "degenerate", "reason": reason}
    shown = f"degenerate: joint recall, joint precision: {reason}."
    assert shown in " ".join(render_text([flagged]).split())
    assert "degenerate" not in render_text([sound])


def test_method_verdict_ends_with_what_most_runs_say_to_change_first(make):
    def off(l0, seed):
        run = make(seed=seed)
        run["results"]["recon.l0"]["value"] = l0
        return run

    (row,) = only_section([off(40.0, 0), off(45.0, 1), off(5.0, 2)]).rows
    assert verdicts.method_verdict(row).endswith(
        ". Change first: lower L0; 40 latents fire at a time, of 20 features (2 of 3 runs)."
    )
    (one,) = only_section([off(5.0, 0)]).rows
    assert verdicts.method_verdict(one).endswith(
        ". Change first: raise L0; 5 latents fire at a time, of 20 features."
    )
