"""Means over worlds, the place of failed and undefined runs, and what is refused."""

from __future__ import annotations

import pytest

from groundtruth.errors import StoreError
from groundtruth.evaluators import statistics
from groundtruth.reporting import aggregate, read_runs


def only_row(records):
    (section,) = aggregate(read_runs(records))
    (row,) = section.rows
    return row


def test_mean_and_interval_are_students_over_worlds(make):
    values = [0.3, 0.4, 0.6]
    row = only_row([make(joint=v, seed=i) for i, v in enumerate(values)])
    mean, expected = row["recover.joint"], statistics.t_interval(values)
    assert (mean.value, mean.low, mean.high) == pytest.approx(tuple(expected))
    assert (mean.over, mean.n_runs, mean.floor, mean.ceiling) == ("worlds", 3, 0.0, 1.0)
    assert mean.normalised == pytest.approx(sum(values) / 3)


def test_interval_is_cut_to_the_metrics_range(make):
    mean = only_row([make(joint=v, seed=i) for i, v in enumerate([0.1, 0.9])])["recover.joint"]
    assert mean.interval == (0.0, 1.0)


def test_worlds_that_agree_have_no_interval(make):
    mean = only_row([make(joint=0.4, seed=seed) for seed in range(3)])["recover.joint"]
    assert (mean.value, mean.interval, mean.over) == (pytest.approx(0.4), None, "")


def test_single_run_keeps_its_own_interval(make):
    mean = only_row([make(joint=0.4)])["recover.joint"]
    assert mean.interval == pytest.approx((0.3, 0.5))
    assert mean.over == "one run"


def test_failed_run_counts_at_the_floor(make):
    row = only_row([make(joint=0.6), make(seed=1, failed=True)])
    mean = row["recover.joint"]
    assert (mean.value, mean.normalised) == (pytest.approx(0.3), pytest.approx(0.3))
    assert (mean.n_runs, mean.n_failed, row.n_failed) == (2, 1, 1)


def test_failed_run_without_results_counts_at_the_worse_end_of_the_range(make):
    bare = make(seed=1, failed=True)
    bare["results"] = {}
    row = only_row([make(joint=0.6), bare])
    assert row.value("recover.joint") == pytest.approx(0.3)
    assert row["recon.ev_total"].n_undefined == 1  # its range has no worse end
    assert "MethodError: it <diverged>" in row["recon.ev_total"].reason


def test_only_bare_failures_still_have_a_joint_recall(make):
    bare = make(failed=True)
    bare["results"] = {}
    assert only_row([bare]).value("recover.joint") == 0.0


def test_undefined_stays_undefined_with_its_reason(make):
    mean = only_row([make(joint=None, seed=seed) for seed in range(2)])["recover.joint"]
    assert (mean.value, mean.interval, mean.normalised) == (None, None, None)
    assert (mean.n_undefined, mean.reason) == (2, "no latent is live")


def test_undefined_run_is_left_out_of_the_mean_and_counted(make):
    mean = only_row([make(joint=0.4), make(joint=None, seed=1)])["recover.joint"]
    assert (mean.value, mean.n_runs, mean.n_undefined) == (pytest.approx(0.4), 2, 1)


def test_rows_stand_in_ladder_order_around_methods_by_joint_recall(suite):
    (section,) = aggregate(read_runs(suite))
    assert [row.label for row in section.rows] == [
        "O0-identity",
        "O2*-linear",
        "sae/topk",
        "sae/relu",
        "C0-random",
        "C2-pca",
    ]


def test_settings_tell_namesakes_apart(make):
    settings = [{"width": 8, "lr": 1e-3}, {"width": 16, "lr": 1e-3}]
    runs = read_runs([make(parameters=p) for p in settings])
    assert [run.label for run in runs] == ["sae/topk (width=8)", "sae/topk (width=16)"]


def test_recipes_tell_worlds_of_one_name_apart(make):
    other = make()
    other["testbed"]["recipe"]["parameters"]["n_features"] = 64
    labels = [section.testbed for section in aggregate(read_runs([make(), other]))]
    assert labels == ["sparse/small (n_features=512)", "sparse/small (n_features=64)"]


def test_no_records_are_refused():
    expected = (
        "report: expected at least one run, got none. Make some with "
        "`groundtruth run SUITE --out DIR`, then report on that folder."
    )
    with pytest.raises(StoreError) as caught:
        read_runs([])
    assert str(caught.value) == expected


def test_mixed_metric_versions_are_refused_with_the_runs_that_have_them(make):
    newer = make("sae/relu", seed=1)
    newer["results"]["recover.joint"]["version"] = 2
    with pytest.raises(StoreError) as caught:
        read_runs([make(), make(seed=1), make(seed=2), newer])
    assert str(caught.value) == (
        "mixed metric versions: recover.joint/1 in sparse/small / sae/topk / seed 0, "
        "sparse/small / sae/topk / seed 1 and 1 more; recover.joint/2 in sparse/small / "
        "sae/relu / seed 1. Numbers of two versions do not compare: run the older ones again, or "
        "report on them apart."
    )


def test_one_run_counted_twice_is_refused(make):
    with pytest.raises(StoreError, match=r"got sparse/small / sae/topk / seed 0 twice"):
        read_runs([make(), make()])


@pytest.mark.parametrize("field", ["testbed", "method", "seed", "status"])
def test_record_without_a_field_is_refused_by_number_and_name(make, field):
    broken = make(seed=1)
    del broken[field]
    with pytest.raises(StoreError, match=rf"^record 1: .*KeyError: '{field}'"):
        read_runs([make(), broken])


def test_unknown_kind_is_refused(make):
    with pytest.raises(StoreError, match=r"^record 0: .*ValueError"):
        read_runs([make(kind="baseline")])
