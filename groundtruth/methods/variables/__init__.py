"""Where a model carries the variables of a hypothesis.

A method is a callable `method(subject, *, seed=0, **parameters) -> Alignment` on a
`VariableSubject`, from which no truth can be reached.
"""

from groundtruth.methods.variables.boundless_das import boundless_das
from groundtruth.methods.variables.controls import random_subspace, whole_layer
from groundtruth.methods.variables.das import das
from groundtruth.methods.variables.difference_of_means import difference_of_means
from groundtruth.methods.variables.linear_probe import linear_probe
from groundtruth.methods.variables.logit_lens import logit_lens
from groundtruth.methods.variables.pca import pca

__all__ = [
    "boundless_das",
    "das",
    "difference_of_means",
    "linear_probe",
    "logit_lens",
    "pca",
    "random_subspace",
    "whole_layer",
]
