"""Metrics: recovery, activity and reconstruction of a claim against the planted truth."""

from groundtruth.evaluators import activity, peers, reconstruction, recovery
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import METRICS, names, score, with_ceiling

__all__ = [
    "METRICS",
    "Comparison",
    "activity",
    "names",
    "peers",
    "reconstruction",
    "recovery",
    "score",
    "with_ceiling",
]
