"""scikit-learn estimators: codes @ rows + bias gives back what the estimator itself gives back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import (
    NMF,
    PCA,
    DictionaryLearning,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    TruncatedSVD,
)
from sklearn.preprocessing import StandardScaler

from groundtruth.adapters.sklearn import EstimatorMethod, from_sklearn, random_state
from groundtruth.errors import ExplanationError
from groundtruth.generators.presets import BUILDERS

RNG = np.random.default_rng(0)
X = RNG.laplace(size=(400, 6)) @ RNG.normal(size=(6, 6)) + 3.0
POSITIVE = RNG.random((400, 3)) @ RNG.random((3, 6))


@pytest.mark.parametrize(
    "estimator",
    [
        PCA(4),
        PCA(4, whiten=True),
        IncrementalPCA(4, whiten=True),
        FastICA(4, random_state=0, whiten="unit-variance", max_iter=1000, tol=1e-3),
        TruncatedSVD(4, random_state=0),
    ],
    ids=repr,
)
def test_codes_rows_and_bias_are_the_inverse_transform(estimator):
    claim = from_sklearn(estimator.fit(X))
    codes = claim.encode(X)
    assert codes.shape == (400, claim.k) == (400, 4)
    assert np.allclose(codes @ claim.decoder + claim.bias, estimator.inverse_transform(codes))


def test_full_pca_round_trip_gives_x_back():
    claim = from_sklearn(PCA().fit(X))
    assert np.allclose(claim.encode(X) @ claim.decoder + claim.bias, X)
    assert np.allclose(claim.bias, X.mean(0))


def test_kmeans_rows_are_centres_and_codes_one_hot():
    fitted = KMeans(5, n_init=1, random_state=0).fit(X)
    claim = from_sklearn(fitted)
    codes = claim.encode(X)
    assert np.allclose(codes @ claim.decoder, fitted.cluster_centers_[fitted.labels_])
    assert codes.nnz == 400


@pytest.mark.parametrize(
    ("estimator", "x", "signed"),
    [
        (PCA(3), X, True),
        (FastICA(3, random_state=0, whiten="unit-variance", max_iter=1000, tol=1e-2), X, True),
        (FactorAnalysis(3), X, True),
        (NMF(3, random_state=0, max_iter=5000), POSITIVE, False),
        (KMeans(3, n_init=1, random_state=0), X, False),
        (DictionaryLearning(3, random_state=0, max_iter=5), X, True),
        (
            DictionaryLearning(
                3,
                random_state=0,
                max_iter=5,
                positive_code=True,
                fit_algorithm="cd",
                transform_algorithm="lasso_cd",
            ),
            X,
            False,
        ),
    ],
    ids=repr,
)
def test_sign_follows_what_codes_can_be(estimator, x, signed):
    claim = from_sklearn(estimator.fit(x))
    assert claim.signed is signed
    if not signed:
        assert claim.encode(x).min() >= 0


def test_matching_pursuit_of_a_zero_row_is_silent_and_zero():
    learned = DictionaryLearning(8, random_state=0, max_iter=3, transform_n_nonzero_coefs=2)
    codes = from_sklearn(learned.fit(X)).encode(np.zeros((4, 6)))
    assert np.array_equal(codes, np.zeros((4, 8)))


def test_an_unfitted_estimator_is_refused_whole():
    with pytest.raises(ExplanationError) as caught:
        from_sklearn(PCA(3))
    assert str(caught.value) == (
        "PCA: expected a fitted estimator, got an unfitted one. Call .fit(x) first, or pass it "
        "where a method is expected."
    )


def test_an_estimator_without_directions_is_refused():
    with pytest.raises(ExplanationError, match=r"^StandardScaler: expected an estimator with com"):
        from_sklearn(StandardScaler().fit(X))


def test_an_estimator_method_clones_seeds_and_fits():
    subject = BUILDERS["sparse/small"](seed=0).subject
    estimator = KMeans(7, n_init=1)
    method = EstimatorMethod(estimator, n_samples=1000)
    first, again, other = (method(subject, seed=s).decoder for s in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert estimator.random_state is None
    assert not hasattr(estimator, "cluster_centers_")


def test_random_states_fit_in_32_bits_and_differ():
    states = {random_state(seed) for seed in range(100)}
    assert len(states) == 100
    assert max(states) < 2**32
