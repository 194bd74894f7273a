"""`evaluate`: one explanation, or one method, on one testbed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtruth import catalogue, evaluators, guard, provenance, seeds
from groundtruth.adapters import as_method, is_method
from groundtruth.catalogue import build
from groundtruth.errors import GroundtruthError, MethodError, UnknownName, reject
from groundtruth.explanation import Dictionary
from groundtruth.trials import Terms, Trial, TwinnedTrial, trial_of, trial_type


def evaluate(
    testbed: Any,
    claim: Any,
    *,
    seed: int = 0,
    metrics: Iterable[str] | str | None = None,
    scoring: Any = None,
    n_train: int | None = None,
    threshold: float | None = None,
    share: float | None = None,
    **parameters: Any,
) -> Any:
    """Score an explanation, or what a method finds, against the planted truth.

    Args:
        testbed: a testbed, or its name (then built at `seed`).
        claim: a `gt.Dictionary`, a fitted scikit-learn estimator or a torch module with encode
            and a decoder; on a circuit testbed a `gt.Circuit`, on one of causes the
            `gt.RankedDictionary`, `gt.SteeringVector`, `gt.Backdoor` or `gt.Probe` that it asks
            for, on one of prediction a `gt.Predictor`, on one of variables a `gt.Alignment`; or a
            method `method(subject, *, seed) -> explanation`, or an unfitted estimator, or the name
            of one of ours ("sae/topk", "circuit/eap", "causes/probe-raw", "variables/das"), which
            is then run on the subject; for variables on an untrained model and on a control task
            as well.
        seed: of the world, if `testbed` is a name, and of the method.
        metrics: ids or families ("recover"); all if None.
        scoring: how much data scores, see `Scoring`; of circuits, what they are compared with,
            see `CircuitScoring`; None of causes, prediction and variables, whose tests are fixed.
        n_train: training budget that identifiability is stated for; 500,000 if None.
        threshold: tau, the cosine that counts as recovered; 0.9 if None.
        share: phi, the share of the reference F1 that activity must reach; 0.8 if None.
        parameters: passed on to the method. So are n_train, threshold and share where the testbed
            is not scored by them.

    Returns:
        `Report`: results by metric id, a verdict, and every feature's fate. On a circuit testbed,
        or one of causes, prediction or variables, `ClaimReport`, which has no features.

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
    if isinstance(testbed, str):
        testbed = build(testbed, seed=seed)
    given = {"n_train": n_train, "threshold": threshold, "share": share}
    given = {name: value for name, value in given.items() if value is not None}
    known = trial_type(testbed).terms
    parameters |= {name: value for name, value in given.items() if name not in known}
    terms = Terms(scoring, **{name: value for name, value in given.items() if name in known})
    trial = trial_of(testbed, terms)
    evaluators.names(metrics, trial.metrics)
    found = explain(trial, claim, seed=seed, **parameters)
    name = found.explanation.name or _name(claim)
    return trial.report(found.explanation, name=name, seed=seed, flags=found.flags, metrics=metrics)


@dataclass(frozen=True)
class Explained:
    """An explanation, and how it came about.

    Fields:
        explanation: as it is scored.
        flags: what the method changed of the model and, if it is not one of ours, of global state
            (it was put back), and what broke on a twin.
        twins: what running it on twins of the testbed cost; None if it was not.
    """

    explanation: Any
    flags: tuple[str, ...] = ()
    twins: provenance.Usage | None = None


def explain(trial: Trial, claim: Any, /, *, seed: int, **parameters: Any) -> Explained:
    """The explanation that `claim` is, or that it finds on the testbed's subject, and on those of
    its twins where scores compare with these."""
    if isinstance(claim, str) and not Path(claim).exists():
        claim = _named(trial, claim, parameters)
    if not is_method(claim):
        if parameters:
            raise reject(
                "parameters", parameters, "none: the claim is an explanation, not a method"
            )
        return Explained(trial.read(claim))
    method = as_method(claim)
    explanation, flags = _found(trial, method, trial.testbed.subject, seed, parameters)
    if not isinstance(trial, TwinnedTrial):
        return Explained(explanation, flags)
    own = {name: value for name, value in parameters.items() if name not in catalogue.HOOKS}
    with provenance.Stopwatch() as watch:
        found: dict[str, Any] = {}
        for name, subject in trial.twins(explanation, seed=seed).items():
            try:
                found[name], left = _found(trial, method, subject, seed, own)
            except GroundtruthError as error:
                found[name], left = error, (str(error),)
            flags += tuple(f"on the {name} twin: {flag}" for flag in left)
    return Explained(trial.beside(explanation, found, seed=seed), flags, watch.usage)


def _found(
    trial: Trial, method: Callable[..., Any], subject: Any, seed: int, parameters: dict[str, Any]
) -> tuple[Any, tuple[str, ...]]:
    """What a method finds on one subject, and what it left changed there."""
    with guard.restored() as changed, _guarded(subject) as damage:
        explanation = trial.read(run_method(method, subject, seed=seed, **parameters))
    # Of ours it is what libraries do when they are first loaded: a matter of order, and no news.
    ours = str(getattr(method, "__module__", "")).startswith("groundtruth.methods.")
    return explanation, (*(f"changed {name}" for name in changed if not ours), *damage)


@contextlib.contextmanager
def _guarded(subject: Any) -> Iterator[list[str]]:
    """What a method leaves behind on the subject's model, if it has one; it is put right."""
    flags: list[str] = []
    if not hasattr(subject, "model"):
        yield flags
        return
    from groundtruth.models.guard import guarded  # loads torch

    with guarded(subject.model) as damage:
        yield flags
    if damage:
        flags.append(f"{damage} (put right)")


def _named(trial: Trial, name: str, parameters: dict[str, Any]) -> Any:
    """The method of that name; the string itself if it can only be meant for a folder."""
    if name.startswith((".", "/", "~")):
        return name
    if name not in catalogue.METHODS:
        raise UnknownName("method or folder", name, catalogue.METHODS)
    entry = catalogue.method(name)
    if entry.make is None:
        raise reject("claim", name, "a method", "Rows of the ladder come with every report.")
    catalogue.check_explains(entry, trial.explains, trial.testbed.name)
    catalogue.check_parameters(entry, parameters)
    return entry.make


def run_method(method: Callable[..., Any], subject: Any, /, *, seed: int, **parameters: Any) -> Any:
    """Run a method on the subject; anything it raises becomes a `MethodError` with its cause."""
    try:
        return method(subject, seed=seed, **parameters)
    except GroundtruthError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"the method raised {type(error).__name__}: {error}") from error


def _name(claim: Any) -> str:
    if isinstance(claim, Dictionary):
        return "dictionary"
    return getattr(claim, "__name__", type(claim).__name__)
