"""Metrics: recovery, activity and reconstruction of a claim against the planted truth."""

from groundtruth.evaluators import activity, reconstruction, recovery
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import METRICS, names, score, with_ceiling

__all__ = [
    "METRICS", "Comparison", "activity", "names", "reconstruction", "recovery", "score",
    "with_ceiling",
]
