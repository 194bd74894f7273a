"""Pure array functions: matchings, assignments and sparse codes for a known dictionary."""

from __future__ import annotations

from groundtruth.inference.amp import AmpPosterior, amp
from groundtruth.inference.assignment import Assignment, assign, assign_directions
from groundtruth.inference.fista import fista
from groundtruth.inference.matching import greedy_matching, maximum_matching
from groundtruth.inference.nnls import counted_nnls, nnls
from groundtruth.inference.omp import nonnegative_omp
from groundtruth.inference.top_edges import TopEdges, top_edges

__all__ = [
    "AmpPosterior",
    "Assignment",
    "TopEdges",
    "amp",
    "assign",
    "assign_directions",
    "counted_nnls",
    "fista",
    "greedy_matching",
    "maximum_matching",
    "nnls",
    "nonnegative_omp",
    "top_edges",
]
