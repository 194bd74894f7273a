"""Fitted scikit-learn estimators as dictionaries, unfitted ones as methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from groundtruth import seeds
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary
from groundtruth.testbed import ActivationSubject

NEVER_NEGATIVE = {"NMF", "MiniBatchNMF", "LatentDirichletAllocation", "BernoulliRBM"}


def from_sklearn(estimator: Any, *, name: str | None = None) -> Dictionary:
    """What a fitted estimator claims.

    Decompositions: rows `components_` (FastICA: `mixing_.T`; whitened PCA: components times
    standard deviations, so that codes @ rows + mean_ gives x back), codes by `transform`.
    Clusterings: rows `cluster_centers_`, one-hot codes. Codes are signed unless the estimator
    cannot or was told not to give negative ones.

    Args:
        estimator: fitted, with `components_` and `transform`, or `cluster_centers_` and `predict`.
        name: shown in tables; None is the class name.

    Raises:
        ExplanationError: not fitted, or neither kind.

    Example:
        >>> from sklearn.decomposition import PCA
        >>> x = np.eye(4) * [4.0, 3.0, 2.0, 1.0]
        >>> claim = from_sklearn(PCA(3).fit(x))
        >>> bool(np.allclose(claim.encode(x) @ claim.decoder + claim.bias, x))
        True
    """
    name = type(estimator).__name__ if name is None else name
    if not is_fitted(estimator):
        raise ExplanationError(
            f"{name}: expected a fitted estimator, got an unfitted one. "
            "Call .fit(x) first, or pass it where a method is expected."
        )
    if hasattr(estimator, "cluster_centers_") and hasattr(estimator, "predict"):
        return Dictionary(estimator.cluster_centers_, _one_hot(estimator), name=name)
    if hasattr(estimator, "components_") and hasattr(estimator, "transform"):
        rows = _rows(estimator)
        return Dictionary(
            rows,
            _transform(estimator),
            bias=_mean(estimator, rows.shape[1]),
            signed=_signed(estimator),
            name=name,
        )
    raise ExplanationError(
        f"{name}: expected an estimator with components_ and transform, or with cluster_centers_ "
        "and predict. Return gt.Dictionary(decoder=directions, encode=function) instead."
    )


def is_fitted(estimator: Any) -> bool:
    """Whether scikit-learn itself holds `estimator` to be fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def random_state(seed: int) -> int:
    """`seed` as the 32-bit integer that scikit-learn takes."""
    return int.from_bytes(seeds.derive(seeds.root_of("sklearn", seed))[:4], "little")


@dataclass(frozen=True)
class EstimatorMethod:
    """A method that clones an unfitted estimator and fits it on samples of the subject.

    Fields:
        estimator: never changed itself.
        n_samples: activations to fit on.
    """

    estimator: Any
    n_samples: int = 20_000

    def __call__(self, subject: ActivationSubject, *, seed: int) -> Dictionary:
        from sklearn.base import clone

        fresh: Any = clone(self.estimator)
        if "random_state" in fresh.get_params(deep=False):
            fresh.set_params(random_state=random_state(seed))
        return from_sklearn(fresh.fit(subject.sample(self.n_samples, seed=seed).numpy()))


def _rows(estimator: Any) -> np.ndarray:
    if hasattr(estimator, "mixing_"):
        return np.array(estimator.mixing_.T)
    rows = np.array(estimator.components_)
    # Whitened codes have variance 1; the rows must carry the standard deviations back.
    if getattr(estimator, "whiten", False) and hasattr(estimator, "explained_variance_"):
        rows *= np.sqrt(estimator.explained_variance_)[:, None]
    return rows


def _mean(estimator: Any, d: int) -> np.ndarray | None:
    mean = getattr(estimator, "mean_", None)
    return None if mean is None or np.shape(mean) != (d,) else np.asarray(mean)


def _signed(estimator: Any) -> bool:
    if NEVER_NEGATIVE & {base.__name__ for base in type(estimator).__mro__}:
        return False
    # SparseCoder calls it positive_code too; fit_algorithm does not decide the sign of codes.
    return not getattr(estimator, "positive_code", False)


def _transform(estimator: Any) -> Callable[[Any], Any]:
    if getattr(estimator, "transform_algorithm", None) != "omp":
        return estimator.transform

    def encode(x: Any) -> Any:
        # Matching pursuit warns when fewer atoms than allowed already fit a row, as for a row of
        # zeros; its codes are then complete.
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "\\s*Orthogonal matching pursuit ended", RuntimeWarning
            )
            return estimator.transform(x)

    return encode


def _one_hot(estimator: Any) -> Callable[[Any], sp.csr_array]:
    k = len(estimator.cluster_centers_)

    def encode(x: Any) -> sp.csr_array:
        labels = estimator.predict(x)
        ends = np.arange(len(labels) + 1)
        return sp.csr_array((np.ones(len(labels)), labels, ends), shape=(len(labels), k))

    return encode
