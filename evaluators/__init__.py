"""Metrics: recovery, activity, structure and reconstruction of a claim against planted truth."""

from groundtruth.evaluators import (
    absorption,
    activity,
    equivalence,
    hedging,
    manifolds,
    parts,
    peers,
    reconstruction,
    recovery,
    structure_errors,
)
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.registry import METRICS, names, score, with_ceiling

__all__ = [
    "METRICS",
    "Comparison",
    "absorption",
    "activity",
    "equivalence",
    "hedging",
    "manifolds",
    "names",
    "parts",
    "peers",
    "reconstruction",
    "recovery",
    "score",
    "structure_errors",
    "with_ceiling",
]
