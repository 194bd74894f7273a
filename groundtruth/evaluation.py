"""`evaluate`: one explanation, or one method, on one testbed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from groundtruth import catalogue, evaluators, guard, ladder, seeds
from groundtruth.adapters import as_explanation, as_method, is_method
from groundtruth.catalogue import build
from groundtruth.errors import ExplanationError, GroundtruthError, MethodError, reject
from groundtruth.evaluators.comparison import SHARE, THRESHOLD
from groundtruth.explanation import Dictionary
from groundtruth.outputs import Outputs, take_outputs
from groundtruth.report import Report
from groundtruth.score_data import ScoreData, Scoring, as_scoring
from groundtruth.testbed import Testbed


def evaluate(
    testbed: Testbed | str,
    claim: Any,
    *,
    seed: int = 0,
    metrics: Iterable[str] | str | None = None,
    scoring: Scoring | dict[str, Any] | None = None,
    n_train: int | None = None,
    threshold: float = THRESHOLD,
    share: float = SHARE,
    **parameters: Any,
) -> Report:
    """Score an explanation, or what a method finds, against the planted truth.

    Args:
        testbed: a testbed, or its name (then built at `seed`).
        claim: a `gt.Dictionary`, a fitted scikit-learn estimator or a torch module with encode
            and a decoder; or a method `method(subject, *, seed) -> explanation`, or an unfitted
            estimator, or the name of one of ours ("sae/topk"), which is then run on the subject.
        seed: of the world, if `testbed` is a name, and of the method.
        metrics: ids or families ("recover"); all if None.
        scoring: how much data scores; see `Scoring`.
        n_train: training budget that identifiability is stated for; 500,000 if None.
        threshold: tau, the cosine that counts as recovered.
        share: phi, the share of the reference F1 that activity must reach.
        parameters: passed on to the method.

    Returns:
        Report: results by metric id, a verdict, and every feature's fate.

    Raises:
        UnknownName, InputError: what was asked for does not exist or is out of range.
        ExplanationError, MethodError: the claim cannot be read, or the method broke.

    Example:
        >>> import groundtruth as gt
        >>> world = gt.build("sparse/orthonormal", seed=0)
        >>> claim = gt.Dictionary(world.truth.features.directions)
        >>> gt.evaluate(world, claim, metrics="recover.recall")["recover.recall"].value
        1.0
    """
    seed = seeds.check_seed(seed)
    evaluators.names(metrics)
    if isinstance(testbed, str):
        testbed = build(testbed, seed=seed)
    elif not isinstance(testbed, Testbed):
        raise reject("testbed", testbed, "a testbed or its name", 'Pass "sparse/small".')
    explanation, flags = explain(testbed, claim, seed=seed, **parameters)
    data = ScoreData(testbed, as_scoring(scoring))
    outputs = take_outputs(explanation, data)
    return score_outputs(
        data,
        outputs,
        name=explanation.name or _name(claim),
        seed=seed,
        metrics=metrics,
        n_train=n_train,
        threshold=threshold,
        share=share,
        flags=flags,
    )


def explain(
    testbed: Testbed, claim: Any, /, *, seed: int, **parameters: Any
) -> tuple[Dictionary, tuple[str, ...]]:
    """The explanation that `claim` is, or that it finds on the testbed's subject.

    Returns:
        The explanation, and which global state the method changed (it was put back).
    """
    if isinstance(claim, str) and not Path(claim).exists():
        claim = _named(claim, parameters)
    if not is_method(claim):
        if parameters:
            raise reject(
                "parameters", parameters, "none: the claim is an explanation, not a method"
            )
        return _read(claim), ()
    method = as_method(claim)
    with guard.restored() as changed:
        found = run_method(method, testbed, seed=seed, **parameters)
    return found, tuple(f"changed {name}" for name in changed)


def _named(name: str, parameters: dict[str, Any]) -> Any:
    """The method of that name; the string itself if it looks like no name but like a folder's."""
    families = {known.partition("/")[0] for known in catalogue.METHODS}
    if name.partition("/")[0] not in families:
        return name
    entry = catalogue.method(name)
    if entry.make is None:
        raise reject("claim", name, "a method", "Rows of the ladder come with every report.")
    catalogue.check_parameters(entry, parameters)
    return entry.make


def run_method(
    method: Callable[..., Any], testbed: Testbed, /, *, seed: int, **parameters: Any
) -> Dictionary:
    """Run a method on the subject; anything it raises becomes a `MethodError` with its cause."""
    try:
        found = method(testbed.subject, seed=seed, **parameters)
    except GroundtruthError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"the method raised {type(error).__name__}: {error}") from error
    explanation = _read(found)
    explanation.check_width(testbed.truth.features.d)
    return explanation


def _read(claim: Any) -> Dictionary:
    try:
        return as_explanation(claim)
    except GroundtruthError:
        raise
    except Exception as error:
        raise ExplanationError(
            f"{type(claim).__name__}: reading it as a Dictionary raised {type(error).__name__}: "
            f"{error}. Return gt.Dictionary(decoder=directions, encode=function) instead."
        ) from error


def score_outputs(
    data: ScoreData,
    outputs: Outputs,
    *,
    name: str,
    seed: int = 0,
    metrics: Iterable[str] | str | None = None,
    n_train: int | None = None,
    threshold: float = THRESHOLD,
    share: float = SHARE,
    flags: tuple[str, ...] = (),
) -> Report:
    """The report on outputs that are already at hand."""
    if outputs.k == 0:
        raise ExplanationError("decoder: expected at least one latent, got k = 0.")
    from dataclasses import replace

    budget = ladder.N_TRAIN if n_train is None else n_train
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
        raise reject("n_train", budget, "a whole number >= 0, in samples")
    if outputs.score is None:
        known = ladder.decoder_references(data, metrics, n_train=budget, threshold=threshold)
    else:
        known = ladder.references(data, n_train=budget)
        if (threshold, share) != (THRESHOLD, SHARE):
            # Reference rows were scored at the defaults: their values are no ceiling here.
            known = replace(known, ceilings={})
    outputs = replace(outputs, flags=(*outputs.flags, *flags))
    comparison = evaluators.Comparison(
        data.truth, outputs, data, known, threshold=threshold, share=share
    )
    results = evaluators.score(comparison, metrics)
    return Report(data.testbed, name, seed, results, comparison)


def _name(claim: Any) -> str:
    if isinstance(claim, Dictionary):
        return "dictionary"
    return getattr(claim, "__name__", type(claim).__name__)
