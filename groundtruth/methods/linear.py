"""The classical factorisations of scikit-learn, as methods."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from groundtruth.adapters.sklearn import from_sklearn, random_state
from groundtruth.errors import InputError, reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.sae import check_l0, check_width
from groundtruth.testbed import ActivationSubject

RETRY = 5  # times the iterations, when the first fit did not converge
PENALTY = 0.4  # L1 coefficient of dictionary learning, in root mean square lengths of x


def pca(
    subject: ActivationSubject, *, seed: int, width: int | None = None, n_samples: int = 50_000
) -> Dictionary:
    """Principal components: orthonormal rows, codes of either sign, bias the mean.

    Args:
        width: components, at most d; None is d.
        n_samples: activations to fit on.

    Raises:
        InputError: width out of range.

    Source: Pearson, "On lines and planes of closest fit to systems of points in space", 1901,
    https://doi.org/10.1080/14786440109462720
    """
    from sklearn.decomposition import PCA

    width = _at_most_d(width, subject.d)
    return _fit(PCA(width, random_state=random_state(seed)), _sample(subject, n_samples, seed))


def ica(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    n_samples: int = 20_000,
    max_iter: int = 200,
) -> Dictionary:
    """Independent components by FastICA: rows are the columns of the mixing matrix.

    If it does not converge it is run once more with 5 times the iterations; if that fails too,
    the name of the result says so.

    Args:
        width: components, at most d; None is d.
        n_samples: activations to fit on.
        max_iter: iterations of the first run.

    Raises:
        InputError: width out of range.

    Source: Hyvarinen and Oja, "Independent component analysis: algorithms and applications",
    2000, https://doi.org/10.1016/S0893-6080(00)00026-5
    """
    from sklearn.decomposition import FastICA

    estimator = FastICA(
        _at_most_d(width, subject.d),
        whiten="unit-variance",
        max_iter=max_iter,
        random_state=random_state(seed),
    )
    return _fit(estimator, _sample(subject, n_samples, seed))


def kmeans(
    subject: ActivationSubject, *, seed: int, width: int | None = None, n_samples: int = 50_000
) -> Dictionary:
    """k-means clusters: rows are centres, codes are one-hot.

    Args:
        width: clusters; None is 4 d.
        n_samples: activations to fit on.

    Raises:
        InputError: width out of range, or more clusters than samples.

    Source: Sculley, "Web-scale k-means clustering", 2010,
    https://doi.org/10.1145/1772690.1772862
    """
    from sklearn.cluster import MiniBatchKMeans

    width = check_width(width, subject.d)
    if width > n_samples:
        raise reject("width", width, f"at most n_samples = {n_samples}")
    options: dict[str, Any] = {"n_init": 1, "batch_size": 4096}
    estimator = MiniBatchKMeans(width, random_state=random_state(seed), **options)
    return _fit(estimator, _sample(subject, n_samples, seed))


def nmf(
    subject: ActivationSubject, *, seed: int, width: int | None = None, n_samples: int = 20_000
) -> Dictionary:
    """Non-negative matrix factorisation, for activations that are never negative.

    Args:
        width: components; None is d.
        n_samples: activations to fit on.

    Raises:
        InputError: width out of range, or negative activations.

    Source: Lee and Seung, "Learning the parts of objects by non-negative matrix factorization",
    1999, https://doi.org/10.1038/44565
    """
    from sklearn.decomposition import NMF

    x = _sample(subject, n_samples, seed)
    if x.min() < 0:
        raise InputError(
            f"subject: NMF needs non-negative activations, got a smallest value of {x.min():.4g} "
            f"in {len(x)} samples. Use dictionary_learning, or a sparse autoencoder such as topk."
        )
    width = subject.d if width is None else check_width(width, subject.d)
    options: dict[str, Any] = {"n_components": width, "init": "nndsvda", "max_iter": 300}
    estimator = NMF(random_state=random_state(seed), **options)
    return _fit(estimator, x)


def dictionary_learning(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: int | None = None,
    n_samples: int = 10_000,
) -> Dictionary:
    """Online dictionary learning; codes of either sign by orthogonal matching pursuit.

    Args:
        width: atoms; None is 4 d.
        l0: atoms per sample in the codes, whole; None is max(1, round(d / 10)).
        n_samples: activations to fit on.

    Raises:
        InputError: width or l0 out of range.

    Source: Mairal et al., "Online dictionary learning for sparse coding", 2009,
    https://doi.org/10.1145/1553374.1553463
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    if active != int(active):
        raise reject("l0", l0, "a whole number")
    x = _sample(subject, n_samples, seed)
    options: dict[str, Any] = {
        # In activation units, so it must follow their size.
        "alpha": PENALTY * float(np.sqrt(np.square(x).sum(axis=1).mean())),
        "max_iter": 1,
        "transform_n_nonzero_coefs": int(active),
    }
    return _fit(MiniBatchDictionaryLearning(width, random_state=random_state(seed), **options), x)


def _sample(subject: ActivationSubject, n: int, seed: int) -> np.ndarray:
    return subject.sample(n, seed=seed).numpy()


def _at_most_d(width: int | None, d: int) -> int:
    width = d if width is None else check_width(width, d)
    if width > d:
        raise reject("width", width, f"at most d = {d}, since components are independent")
    return width


def _fit(estimator: Any, x: np.ndarray) -> Dictionary:
    """Fit, once more with more iterations if it did not converge, and read the result."""
    name = type(estimator).__name__
    if not _converges(estimator, x):
        estimator.set_params(max_iter=RETRY * estimator.max_iter)
        if not _converges(estimator, x):
            name += f" (not converged after {estimator.max_iter} iterations)"
    return from_sklearn(estimator, name=name)


def _converges(estimator: Any, x: np.ndarray) -> bool:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(x)
    for other in caught:
        if not issubclass(other.category, ConvergenceWarning):
            warnings.warn(other.message, stacklevel=3)
    return not any(issubclass(w.category, ConvergenceWarning) for w in caught)
