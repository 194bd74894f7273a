"""Rankings, vectors, triggers and probes through `evaluate`, the runner, the store, the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import catalogue, descriptions, jobs, reporting, rescoring, runner
from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.probe import linear_probe
from groundtruth.reporting.aggregate import aggregate
from groundtruth.store import Store
from groundtruth.suites import SUITES, MethodSpec, Suite, WorldSpec
from groundtruth.trials import SiteTrial, Terms, trial_of

NAMES = [name for name in catalogue.testbeds() if name.startswith("causes/")]
SMALL = {"causes/dictionary": {"n_inputs": 64}, "causes/steering": {"n_inputs": 64}}
QUICK = {"ranking": "correlation", "vector": "mean-difference", "trigger": "trigger-search"}


def trial(name: str) -> SiteTrial:
    return trial_of(gt.build(name, seed=1, **SMALL.get(name, {})), Terms())  # type: ignore[return-value]


def methods(explains: str) -> list[str]:
    found = [e for e in catalogue.METHODS.values() if e.explains == explains and e.make]
    return [entry.name for entry in found]


def test_there_are_five_testbeds_of_four_kinds() -> None:
    assert len(NAMES) == 5
    assert {trial(name).explains for name in NAMES} == {"ranking", "vector", "trigger", "probe"}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_scored_by_name(name: str) -> None:
    made = trial(name)
    assert len(methods(made.explains)) >= 2
    for method in methods(made.explains):
        report = gt.evaluate(made.testbed, method)
        result = report[made.primary]
        assert result.value is not None and result.ceiling is not None, method
        assert set(report) == set(made.metrics)
        assert made.primary in report.verdict and made.facts()[0] in str(report)


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_row_reaches_the_ceiling(name: str) -> None:
    made = trial(name)
    (row,) = made.rows
    scored = made.row(row)
    assert scored.kind == "oracle" and scored.summary
    result = scored.results[made.primary]
    # Shifted cases of concept-shift are a sample of 20,480: within 5 standard errors of Phi(1.25).
    assert result.value == pytest.approx(result.ceiling, abs=0.011)
    with pytest.raises(UnknownName, match="row is called 'O0-truth'"):
        made.row("O0-truth")


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_of_another_kind_is_refused_by_name(name: str) -> None:
    made = trial(name)
    for other in ("ranking", "vector", "trigger", "probe"):
        if other == made.explains:
            continue
        with pytest.raises(InputError, match=f"by a {other}, but {name} is scored by a"):
            gt.evaluate(made.testbed, methods(other)[0])
    steering = gt.SteeringVector(np.ones(3))
    claim = gt.Dictionary(np.eye(3)) if made.explains == "vector" else steering
    kinds = "RankedDictionary|SteeringVector|Backdoor|Probe"
    with pytest.raises(ExplanationError, match=f"must return a ({kinds}) here, got"):
        made.read(claim)
    with pytest.raises(InputError, match="scoring: expected None"):
        gt.evaluate(made.testbed, methods(made.explains)[0], scoring={"n_score": 3})


def test_methods_of_sites_are_refused_elsewhere_and_others_here() -> None:
    with pytest.raises(InputError, match="causes/correlation: explains by a ranking, but sparse"):
        gt.evaluate("sparse/small", "causes/correlation")
    with pytest.raises(InputError, match="sae/topk: explains by a dictionary, but causes/trojan"):
        gt.evaluate("causes/trojan", "sae/topk")
    rows = Suite("wrong", 1, "", (WorldSpec("causes/dictionary", ()),), ("O0-identity",))
    with pytest.raises(InputError, match="O0-identity: explains by a dictionary"):
        runner.check_suite(rows)


def test_a_dictionary_is_scored_by_its_effects_and_has_no_ranking() -> None:
    made = trial("causes/dictionary")
    truth = made.testbed.truth
    claim = gt.Dictionary(truth.directions, lambda x: x @ truth.readouts, signed=True)
    report = gt.evaluate(made.testbed, claim)
    assert report["causal.effect_cos"].value == pytest.approx(1)
    assert report["causal.rank_gap"].status == "undefined"
    with pytest.raises(ExplanationError, match=r"expected shape \(k, 19\)"):
        gt.evaluate(made.testbed, gt.Dictionary(np.eye(3)))


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_claim_scores_as_the_claim_did(name: str) -> None:
    made = trial(name)
    claims = [gt.evaluate(made.testbed, method) for method in methods(made.explains)]
    if made.explains == "trigger":
        claims.append(gt.evaluate(made.testbed, gt.Backdoor(None, name="none")))
    for report in claims:
        tensors = made.tensors(report)
        assert tensors and all(isinstance(array, np.ndarray) for array in tensors.values())
        again = made.again(tensors, name=report.name, seed=0)
        for id, result in report.results.items():
            assert again[id].value == pytest.approx(result.value, abs=1e-9), (report.name, id)


def test_a_stored_probe_is_not_one_that_agrees_with_everything() -> None:
    made = trial("causes/belief")
    truth = made.testbed.truth
    probes = [
        linear_probe(truth.readout.copy(), truth.threshold),
        linear_probe(truth.rival_readout.copy(), truth.rival_threshold),
    ]
    reports = [gt.evaluate(made.testbed, probe) for probe in probes]
    again = [made.again(made.tensors(r), name="", seed=0)["probe.shifted"].value for r in reports]
    assert again == [1.0, 0.0]


def test_an_edited_autoencoder_is_another_ranking_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trial("causes/dictionary")
    before = jobs.method_key(made, "causes/correlation", {})
    assert jobs.method_key(made, "causes/correlation", {}) == before
    digest = jobs.source_digest

    def edited(*folder: Path) -> str:
        return digest(*folder) if folder else "methods/topk.py is edited"

    monkeypatch.setattr(jobs, "source_digest", edited)
    assert jobs.method_key(made, "causes/correlation", {}) != before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of all five and the benign twin, with the quick methods and the controls."""
    out = tmp_path_factory.mktemp("causes")
    asked = [(name, SMALL.get(name, {})) for name in NAMES]
    worlds = []
    for name, changes in [*asked, ("causes/trojan", {"benign": True})]:
        made = trial(name)
        chosen = [f"causes/{QUICK.get(made.explains, 'probe-raw')}"]
        chosen += [m for m in methods(made.explains) if "random" in m or "spectral" in m]
        specs = tuple(MethodSpec(method) for method in chosen)
        worlds.append(WorldSpec(name, specs, (0, 1), changes, rows=made.rows))
    primaries = tuple(dict.fromkeys(trial(name).primary for name in NAMES))
    suite = Suite("causes", 1, "", tuple(worlds), (), primaries, None)
    ran = runner.run_suite(suite, out)
    assert not ran.failures and len(ran.records) == 6 * 2 * 3
    return out


def test_stored_runs_are_scored_again_to_the_same_numbers(folder: Path) -> None:
    for run in Store(folder).records():
        if run.record["method"]["kind"] == "oracle":
            continue
        for id, result in rescoring.rescore(run).results.items():
            stored = run.record["results"][id]["value"]
            assert result.value == pytest.approx(stored, abs=1e-9), id


def test_the_report_shows_each_kind_its_own_way(folder: Path, tmp_path: Path) -> None:
    records = [run.record for run in Store(folder).records()]
    text = reporting.render_text(records)
    for heading in ("rank gap", "curve error", "verdict", "shifted"):
        assert heading in text
    paths = reporting.write_report(records, tmp_path)
    page = next(path for path in paths if path.suffix == ".html").read_text()
    assert "what accuses every model is right in half of them" in page


def test_what_accuses_everyone_is_right_in_half_of_the_models(folder: Path) -> None:
    sections = aggregate(reporting.read_runs([run.record for run in Store(folder).records()]))
    (together,) = [s for s in sections if s.n_testbeds == 2]
    verdicts = {row.label: row.value("trojan.verdict") for row in together.rows}
    assert verdicts["causes/spectral-signature"] == 0.5 and verdicts["causes/trigger-search"] == 1


def test_methods_are_ordered_by_the_least_error_where_less_is_better(tmp_path: Path) -> None:
    specs = (MethodSpec("causes/mean-difference"), MethodSpec("causes/probe-vector"))
    world = WorldSpec("causes/steering", specs, (0,), SMALL["causes/steering"])
    suite = Suite("steering", 1, "", (world,), (), "steer.curve_error", None)
    (section,) = aggregate(reporting.read_runs(runner.run_suite(suite, tmp_path).records))
    first, second = section.of("method")
    error = "steer.curve_error"
    assert first[error].value < second[error].value  # type: ignore[union-attr]
    assert first.label == "causes/probe-vector"
    assert "causes/probe-vector, best of 2 methods" in reporting.render_text(
        [run.record for run in Store(tmp_path).records()]
    )


def test_a_failed_run_counts_at_the_floor(tmp_path: Path) -> None:
    suite = runner.single(
        "causes/steering",
        f"{__name__}:broken",
        seed=0,
        parameters={},
        testbed_parameters=SMALL["causes/steering"],
    )
    ran = runner.run_suite(suite, tmp_path, lock=False)
    assert len(ran.failures) == 1
    (failed,) = [record for record in ran.records if record["status"] == "failed"]
    result = failed["results"]["steer.curve_error"]
    assert result["value"] == result["floor"] > 0.5


def broken(subject: object, *, seed: int = 0) -> None:
    """A method that raises."""
    raise RuntimeError("broken")


def test_the_suite_locks_the_metrics_of_all_four_kinds() -> None:
    suite = SUITES["causal-features"]
    runner.check_suite(suite)
    manifest = suite.manifest()
    assert json.dumps(manifest)
    families = {key.partition(".")[0] for key in manifest["metrics"]}
    assert families == {"causal", "steer", "trojan", "probe"}
    assert {world.testbed for world in suite.worlds} == set(NAMES)


@pytest.mark.parametrize("name", ["causes/trojan", "O0-trigger", "probe.shifted"])
def test_names_are_described(name: str) -> None:
    said = dict(descriptions.description(name, oracle=True, watch=lambda *_: None))
    assert json.dumps(said)
    if name == "causes/trojan":
        assert said["asks for a"] == "trigger" and said["O0-trigger"]["trojan.verdict"] == 1
