"""Linear probes: logistic regression from activations to a variable's values."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundtruth import guard
from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import reject
from groundtruth.methods.variables.choosing import each_variable, spanned, split
from groundtruth.methods.variables.nearest_mean import share_read
from groundtruth.variable_subject import VariableSubject


def linear_probe(
    subject: VariableSubject,
    *,
    seed: int = 0,
    site: str | None = None,
    dim: int | None = None,
    penalty: float = 1.0,
    n: int = 1000,
) -> Alignment:
    """Where a variable can be read: the span of the weights of its values, less their mean.

    Args:
        seed: of the inputs.
        site: of the claim; None: the residual site where the probe reads best.
        dim: the largest dimensions of the span alone; None: all.
        penalty: on the squared weights, sklearn's 1 / C.
        n: inputs, a quarter of them held out.

    Returns:
        A subspace and a decoder. That a variable can be read somewhere does not say that anything
        reads it.

    Raises:
        InputError: penalty not positive; a variable that has one value alone.

    Source: Alain and Bengio, "Understanding Intermediate Layers Using Linear Classifier Probes",
    2016, https://arxiv.org/abs/1610.01644
    """
    if not penalty > 0:
        raise reject("penalty", penalty, "a positive number")

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        x, labels = subject.labelled_activations(variable, at, n, seed=seed)
        fitted, held = split(len(x))
        probe = _Probe(x[fitted], labels[fitted], penalty, subject.values[variable])
        weights = probe.weights - probe.weights.mean(0) if len(probe.weights) > 1 else probe.weights
        basis = spanned(weights, len(weights) if dim is None else dim)
        score = share_read(probe, x[held], labels[held], subject.values[variable])
        return score, Subspace(at, basis, decode=probe)

    return each_variable(subject, site, claim, "linear_probe")


class _Probe:
    """A fitted probe, as a decoder."""

    def __init__(
        self, x: np.ndarray, labels: np.ndarray, penalty: float, values: tuple[Any, ...]
    ) -> None:
        # The first import draws random numbers and sets environment variables.
        with guard.restored():
            from sklearn.linear_model import LogisticRegression

        if len(np.unique(labels)) < 2:
            raise reject("labels", np.unique(labels).tolist(), "two values or more")
        # About the mean: a constant part would be weighed against the bias.
        self._mean = x.mean(0)
        self._model = LogisticRegression(C=1 / penalty, max_iter=2000)
        self._model.fit(x - self._mean, labels)
        self._values = values

    @property
    def weights(self) -> np.ndarray:
        """(n_values or 1, width)."""
        return np.asarray(self._model.coef_)

    def __call__(self, x: np.ndarray) -> list[Any]:
        found = np.asarray(self._model.predict(np.asarray(x, dtype=float) - self._mean))
        return [self._values[k] for k in found.tolist()]
