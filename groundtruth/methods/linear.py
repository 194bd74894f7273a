"""The classical factorisations of scikit-learn, as methods."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from groundtruth import guard
from groundtruth.adapters.sklearn import from_sklearn, random_state
from groundtruth.errors import InputError, reject
from groundtruth.explanation import Dictionary
from groundtruth.inference import nonnegative_omp
from groundtruth.inference.arrays import check_finite
from groundtruth.methods.alternation import unit_rows
from groundtruth.methods.sae import check_l0, check_width
from groundtruth.testbed import ActivationSubject

RETRY = 5  # times the iterations, when the first fit did not converge
RANK = 1e-5  # of the largest singular value: below it, float32 rounding is what varies
ZERO = 1e-6  # of a unit vector's coordinate: rounding in float32
PENALTY = 0.1  # L1 coefficient of dictionary learning, in root mean square lengths of x
# Samples per step of dictionary learning. A sample costs the same in any batch, so small ones give
# more steps: at 10,000 samples and 3 passes, 64 recovered 0.80 of sparse/small and 256 0.56.
BATCH = 64


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
        width: components, at most d; None is d. Fewer where activations vary in fewer dimensions,
            since the others cannot be whitened.
        n_samples: activations to fit on.
        max_iter: iterations of the first run.

    Raises:
        InputError: width out of range.

    Source: Hyvarinen and Oja, "Independent component analysis: algorithms and applications",
    2000, https://doi.org/10.1016/S0893-6080(00)00026-5
    """
    from sklearn.decomposition import FastICA

    width = _at_most_d(width, subject.d)
    x = _sample(subject, n_samples, seed)
    _, sizes, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    k = min(width, max(1, int(np.sum(sizes > RANK * sizes[0]))))
    estimator = FastICA(
        k, whiten="unit-variance", max_iter=max_iter, random_state=random_state(seed)
    )
    # scikit-learn takes the sign of a whitened direction from its first coordinate, and loses the
    # direction where that is 0.
    if np.abs(axes[:k, 0]).min() > ZERO:
        return _fit(estimator, x)
    draws = np.random.default_rng(random_state(seed)).normal(size=(subject.d, subject.d))
    turn = np.linalg.qr(draws)[0]
    return _turned_back(_fit(estimator, x @ turn), turn)


def _turned_back(claim: Dictionary, turn: np.ndarray) -> Dictionary:
    """What was found in x @ turn, of x."""
    encode = claim.encode
    assert encode is not None
    return Dictionary(
        claim.decoder @ turn.T,
        lambda x: encode(x @ turn),
        turn @ claim.bias,
        signed=claim.signed,
        name=claim.name,
    )


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
    _at_most_samples(width, n_samples)
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
    n_passes: int = 10,
) -> Dictionary:
    """Online dictionary learning with non-negative codes; at inference by matching pursuit.

    Atoms are learned from L1 codes. These have an L0 of their own and are too small, so the codes
    of the result are `nonnegative_omp` of `l0` atoms.

    Time grows with n_samples * n_passes: the default takes about 10 s of CPU at a width of 128.

    Args:
        width: atoms; None is 4 d.
        l0: atoms per sample in the codes, whole; None is max(1, round(d / 10)).
        n_samples: activations to fit on.
        n_passes: over them.

    Raises:
        InputError: width, l0 or n_passes out of range, more atoms than samples, or activations
            that are not finite.

    Example:
        >>> import groundtruth as gt
        >>> subject = gt.build("sparse/orthonormal", seed=0).subject
        >>> dictionary_learning(subject, seed=0, width=64, l0=3, n_samples=500, n_passes=1)
        Dictionary('MiniBatchDictionaryLearning', k=64, d=64, signed=False)

    Source: Mairal et al., "Online dictionary learning for sparse coding", 2009,
    https://doi.org/10.1145/1553374.1553463
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    if active != int(active):
        raise reject("l0", l0, "a whole number")
    if isinstance(n_passes, bool) or not isinstance(n_passes, int) or n_passes < 1:
        raise reject("n_passes", n_passes, "a whole number >= 1")
    _at_most_samples(width, n_samples)
    # In float32 rounding keeps many codes from converging, which takes four times as long.
    x = _sample(subject, n_samples, seed).astype(np.float64)
    options: dict[str, Any] = {
        # In activation units, so it must follow their size.
        "alpha": PENALTY * float(np.sqrt(np.square(x).sum(axis=1).mean())),
        "fit_algorithm": "cd",  # the one that can keep codes from being negative
        "positive_code": True,
        "batch_size": BATCH,
        "max_iter": n_passes,
        # Its test for convergence stops within the first pass, long before the atoms settle.
        "tol": 0.0,
        "max_no_improvement": None,
    }
    estimator = MiniBatchDictionaryLearning(width, random_state=random_state(seed), **options)
    # Its coordinate descent draws from numpy's global state, though it uses nothing of it.
    with guard.restored(), warnings.catch_warnings():
        # Near-equal atoms keep a code from its last digit, which one step of many does not need.
        warnings.filterwarnings("ignore", "Objective did not converge", ConvergenceWarning)
        estimator.fit(x)
    rows = unit_rows(estimator.components_)

    def encode(x: Any) -> sp.csr_array:
        return nonnegative_omp(x, rows, int(active))

    return Dictionary(rows, encode, unit_norm=True, name=type(estimator).__name__)


def _sample(subject: ActivationSubject, n: int, seed: int) -> np.ndarray:
    x = subject.sample(n, seed=seed)
    check_finite("activations", x)
    return x.numpy()


def _at_most_samples(width: int, n_samples: int) -> None:
    if width > n_samples:
        raise reject("width", width, f"at most n_samples = {n_samples}")


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
