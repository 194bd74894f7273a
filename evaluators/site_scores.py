"""What is asked on each kind of site testbed: which claims answer it, how, and the right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from groundtruth.backdoor import Backdoor
from groundtruth.errors import reject
from groundtruth.evaluators import causes, probes, steering, triggers
from groundtruth.explanation import Dictionary
from groundtruth.probe import Probe
from groundtruth.ranked_dictionary import RankedDictionary
from groundtruth.result import Metric, Result
from groundtruth.site_testbed import (
    CauseTestbed,
    ProbeTestbed,
    SiteTestbed,
    SteeringTestbed,
    TriggerTestbed,
)
from groundtruth.steering_vector import SteeringVector


@dataclass(frozen=True)
class SiteScores:
    """How one kind of testbed is answered.

    Fields:
        claims: the types of claims.
        score: score(testbed, claim) -> results by id.
        oracle: oracle(truth) -> the claim that is right.
        metrics: every metric by id.
        primary: the id that a run is judged by.
    """

    claims: tuple[type, ...]
    score: Callable[[Any, Any], dict[str, Result]]
    oracle: Callable[[Any], Any]
    metrics: Mapping[str, Metric]
    primary: str


SITE_SCORES: Mapping[type[SiteTestbed], SiteScores] = {
    CauseTestbed: SiteScores(
        (RankedDictionary, Dictionary),
        causes.score_causes,
        causes.planted_ranking,
        causes.METRICS,
        "causal.rank_gap",
    ),
    SteeringTestbed: SiteScores(
        (SteeringVector,),
        steering.score_steering,
        steering.planted_vector,
        steering.METRICS,
        "steer.curve_error",
    ),
    TriggerTestbed: SiteScores(
        (Backdoor,),
        triggers.score_trigger,
        triggers.planted_backdoor,
        triggers.METRICS,
        "trojan.verdict",
    ),
    ProbeTestbed: SiteScores(
        (Probe,), probes.score_probe, probes.planted_probe, probes.METRICS, "probe.shifted"
    ),
}


def scores_of(testbed: SiteTestbed) -> SiteScores:
    """How claims about a testbed are scored.

    Raises:
        InputError: it is no testbed of a site.

    Example:
        >>> from groundtruth.generators.trojans import trojan
        >>> testbed = trojan()
        >>> asked = scores_of(testbed)
        >>> asked.score(testbed, asked.oracle(testbed.truth))[asked.primary].value
        1.0
    """
    if type(testbed) not in SITE_SCORES:
        raise reject("testbed", testbed, "a testbed of a site")
    return SITE_SCORES[type(testbed)]
