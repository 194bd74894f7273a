"""Everything that differs between kinds of testbed, one class for each; `TRIALS` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundtruth.circuit_testbed import CircuitTestbed
from groundtruth.errors import UnknownName, reject
from groundtruth.prediction_testbed import PredictionTestbed
from groundtruth.result import Metric
from groundtruth.site_testbed import CauseTestbed, ProbeTestbed, SteeringTestbed, TriggerTestbed
from groundtruth.testbed import Testbed
from groundtruth.trials.circuits import CircuitScoring, CircuitTrial
from groundtruth.trials.dictionaries import DictionaryTrial
from groundtruth.trials.predictions import PredictionTrial
from groundtruth.trials.sites import (
    ProbeTrial,
    RankingTrial,
    SiteTrial,
    SteeringTrial,
    TriggerTrial,
)
from groundtruth.trials.trial import Report, ScoredRow, Terms, Trial, TwinnedTrial
from groundtruth.trials.variables import VariableTrial
from groundtruth.variable_testbed import VariableTestbed

__all__ = [
    "CircuitScoring",
    "CircuitTrial",
    "DictionaryTrial",
    "PredictionTrial",
    "Report",
    "ScoredRow",
    "SiteTrial",
    "Terms",
    "Trial",
    "TwinnedTrial",
    "VariableTrial",
    "all_metrics",
    "metrics_beside",
    "trial_of",
    "trial_type",
]

TRIALS: Mapping[type, Any] = {
    Testbed: DictionaryTrial,
    CircuitTestbed: CircuitTrial,
    CauseTestbed: RankingTrial,
    SteeringTestbed: SteeringTrial,
    TriggerTestbed: TriggerTrial,
    ProbeTestbed: ProbeTrial,
    PredictionTestbed: PredictionTrial,
    VariableTestbed: VariableTrial,
}
"""Class of testbed -> its class of trial."""


def trial_type(testbed: object) -> Any:
    """The class of trial for a testbed.

    Raises:
        InputError: it is no testbed.
    """
    for kind, trial in TRIALS.items():
        if isinstance(testbed, kind):
            return trial
    raise reject("testbed", testbed, "a testbed or its name", 'Pass "sparse/small".')


def trial_of(testbed: object, terms: Terms) -> Trial:
    """A testbed with how claims about it are scored."""
    return trial_type(testbed)(testbed, terms)


def metrics_beside(primary: str) -> Mapping[str, Metric]:
    """Every metric of the kind that `primary` is one of.

    Raises:
        UnknownName: no kind has it.
    """
    for trial in TRIALS.values():
        if primary in trial.metrics:
            return trial.metrics
    raise UnknownName("metric", primary, all_metrics())


def all_metrics() -> dict[str, Metric]:
    """Every metric by id, kind by kind."""
    return {name: metric for trial in TRIALS.values() for name, metric in trial.metrics.items()}
