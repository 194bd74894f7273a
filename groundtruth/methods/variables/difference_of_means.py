"""Difference of means: the directions between the mean activations of a variable's values."""

from __future__ import annotations

from groundtruth.alignment import Alignment, Subspace
from groundtruth.methods.variables.choosing import each_variable, spanned, split
from groundtruth.methods.variables.nearest_mean import NearestMean, class_means, share_read
from groundtruth.variable_subject import VariableSubject


def difference_of_means(
    subject: VariableSubject,
    *,
    seed: int = 0,
    site: str | None = None,
    dim: int | None = None,
    n: int = 1000,
) -> Alignment:
    """The span of the mean activations of the values, less their mean.

    What goes together with the variable on these inputs is in the means as well.

    Args:
        seed: of the inputs.
        site: of the claim; None: the residual site where the nearest mean reads best.
        dim: the largest dimensions of the span alone; None: all.
        n: inputs, a quarter of them held out.

    Source: Marks and Tegmark, "The Geometry of Truth: Emergent Linear Structure in Large Language
    Model Representations of True/False Datasets", 2023, https://arxiv.org/abs/2310.06824
    """

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        x, labels = subject.labelled_activations(variable, at, n, seed=seed)
        values = subject.values[variable]
        fitted, held = split(len(x))
        _, means = class_means(x[fitted], labels[fitted])
        basis = spanned(means - means.mean(0), len(means) if dim is None else dim)
        decode = NearestMean(basis, x[fitted], labels[fitted], values)
        score = share_read(decode, x[held], labels[held], values)
        return score, Subspace(at, basis, decode=decode)

    return each_variable(subject, site, claim, "difference_of_means")
