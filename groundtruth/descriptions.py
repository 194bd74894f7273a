"""All there is to say about a name: a testbed, a method, a metric or a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from groundtruth import catalogue, ladder
from groundtruth.circuit_testbed import CircuitTestbed
from groundtruth.circuit_truth import TRUTH_SETS, Bounds, Members
from groundtruth.compiled_models.description import planted
from groundtruth.compiled_models.drawing import draw
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.equivalence import SparseOptimum
from groundtruth.errors import UnknownName, reject
from groundtruth.evaluators.registry import explanation_of
from groundtruth.prediction_testbed import PredictionTestbed
from groundtruth.report import HEADLINE
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.site_testbed import SiteTestbed
from groundtruth.suites import SUITES
from groundtruth.testbed import Testbed
from groundtruth.trials import (
    CircuitTrial,
    PredictionTrial,
    SiteTrial,
    Terms,
    VariableTrial,
    all_metrics,
    trial_of,
)
from groundtruth.universe import shown
from groundtruth.variable_testbed import VariableTestbed

Watch = Callable[[str, int, int], None]


def description(name: str, *, oracle: bool, watch: Watch) -> Iterable[tuple[str, Any]]:
    """(key, value) pairs, each as soon as it is known; values are plain JSON.

    Args:
        oracle: whether the oracles of a testbed are scored too.
        watch: called with what is being done, and how many steps of how many are done.

    Raises:
        UnknownName: nothing is called that.
    """
    if name in catalogue.TESTBEDS:
        return _testbed(name, oracle, watch)
    if name in all_metrics():
        return _metric(name).items()
    if name in SUITES:
        return {"summary": SUITES[name].summary, **SUITES[name].manifest()}.items()
    if name in catalogue.METHODS or ":" in name:
        return _method(name).items()
    known = [*catalogue.TESTBEDS, *all_metrics(), *SUITES, *catalogue.METHODS]
    raise UnknownName("testbed, method, metric or suite", name, known)


def draw_circuit(name: str, path: Path) -> None:
    """Write the drawing of a compiled testbed's circuit to `path`, an SVG file.

    Raises:
        InputError: nothing is called that, or it is no compiled testbed.
    """
    preset = catalogue.TESTBEDS.get(name)
    if not isinstance(preset, CompiledPreset):
        raise reject("--svg", name, "a compiled testbed, such as compiled/reverse")
    draw(preset.model(seed=0).compiled, path)


def _testbed(name: str, oracle: bool, watch: Watch) -> Iterator[tuple[str, Any]]:
    preset = catalogue.TESTBEDS[name]
    yield "testbed", name
    yield "summary", preset.summary
    yield "source", preset.source
    yield "version", preset.version
    yield "parameters", preset.parameters
    steps = 1 + len(ladder.CORE) if oracle else 1
    watch("building the world", 0, steps)
    if isinstance(preset, CompiledPreset):
        made = preset.model(seed=0)
        yield from planted(made)
        world = made.at(made.last_site)
        yield "site", made.last_site
        yield "features", world.truth.features.n_features
    else:
        world = preset.build(seed=0)
    if isinstance(world, CircuitTestbed):
        yield from _circuits(world, oracle)
        return
    if isinstance(world, (SiteTestbed, PredictionTestbed)):
        yield from _site(world, oracle)
        return
    if isinstance(world, VariableTestbed):
        yield from _variables(world, oracle)
        return
    truth = world.truth.features
    yield "expected_l0", round(truth.expected_l0, 4)
    yield "coherence", round(truth.coherence, 4)
    if truth.manifolds:
        yield "manifolds", [manifold.name for manifold in truth.manifolds]
    for kind in sorted({one.name for one in truth.equivalence_classes}):
        classes = [one.members for one in truth.equivalence_classes if one.name == kind]
        yield kind, classes
    optimum = truth.sparse_optimum
    yield "planted_is_sparse_optimal", optimum.is_planted
    if not optimum.is_planted:
        yield "sparser", _sparser(optimum)
    yield "hash_seed_0", world.hash
    if oracle:
        yield from _oracles(world, watch, steps)


def _circuits(world: CircuitTestbed, oracle: bool) -> Iterator[tuple[str, Any]]:
    """Which candidates the model uses, at seed 0, and what the truth itself scores."""
    truth = world.truth
    yield "condition", str(truth.condition)
    yield "candidates", len(truth.universe)
    for name in TRUTH_SETS:
        found = getattr(truth, name)
        if isinstance(found, Bounds) and not found.exact:
            yield name, f"between {len(found.lower)} and {len(found.upper)}, not known exactly"
        else:
            yield name, _listed(truth.members(name))
    yield "circuits", [_listed(circuit) for circuit in truth.circuits]
    yield "hash_seed_0", world.hash
    if oracle:
        yield from _rows(CircuitTrial(world, Terms()))


def _site(world: SiteTestbed | PredictionTestbed, oracle: bool) -> Iterator[tuple[str, Any]]:
    """What is asked, at seed 0, and what the truth itself scores."""
    trial = trial_of(world, Terms())
    assert isinstance(trial, (SiteTrial, PredictionTrial))
    yield "asks for a", trial.explains
    yield "facts", trial.facts()
    yield "hash_seed_0", world.hash
    if oracle:
        yield from _rows(trial)


def _variables(world: VariableTestbed, oracle: bool) -> Iterator[tuple[str, Any]]:
    """What a method is asked for, at seed 0, where it is, and what the truth itself scores."""
    yield "output", world.output
    yield "asked for", {name: list(map(str, world.values(name))) for name in world.hypothesis}
    yield "planted", str(world.truth).split("\n")
    yield "sites", list(world.sites)
    yield "hash_seed_0", world.hash
    if oracle:
        yield from _rows(VariableTrial(world, Terms()))


def _rows(
    trial: CircuitTrial | SiteTrial | PredictionTrial | VariableTrial,
) -> Iterator[tuple[str, Any]]:
    for row in trial.rows:
        scores = {metric: result.value for metric, result in trial.row(row).results.items()}
        yield row, {metric: v if v is None else round(v, 4) for metric, v in scores.items()}


def _listed(members: Members) -> list[str]:
    return sorted(map(shown, members))


def _oracles(world: Testbed, watch: Watch, steps: int) -> Iterator[tuple[str, Any]]:
    """The headline scores of each oracle that a method's scores stand beside, at seed 0."""
    data = ScoreData(world, Scoring())
    for number, row in enumerate(ladder.CORE):
        watch(f"scoring {row}", 1 + number, steps)
        made = ladder.ladder(data, [row])[row]
        scores = {metric: made.results[metric].value for metric in HEADLINE}
        rounded = {metric: v if v is None else round(v, 4) for metric, v in scores.items()}
        # Without a score the row was not made, and its note says why.
        yield row, made.note if set(scores.values()) == {None} else rounded


def _sparser(optimum: SparseOptimum) -> str:
    return (
        f"{optimum.rewriting} ({optimum.n_latents:,} latents): L0 {optimum.rewritten_l0:.4g} "
        f"instead of {optimum.l0:.4g}, L1 {optimum.rewritten_l1:.4g} instead of {optimum.l1:.4g}"
    )


def _metric(name: str) -> dict[str, Any]:
    metric = all_metrics()[name]
    return {
        "metric": metric.id,
        "version": metric.version,
        "summary": metric.summary,
        "details": explanation_of(name),
        "direction": metric.direction,
        "range": [str(bound) for bound in metric.range],
        "unit": metric.unit,
        "success": metric.success,
    }


def _method(name: str) -> dict[str, Any]:
    entry = catalogue.method(name)
    parameters = {k: v if _plain(v) else repr(v) for k, v in entry.parameters().items()}
    return {
        "method": entry.name,
        "kind": entry.kind,
        "summary": entry.summary,
        "parameters": parameters,
    }


def _plain(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
