"""The certificate passes on every known geometry, and fails on specimens built to fail it."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from groundtruth.generators.dictionaries import random_rotation
from groundtruth.generators.polytopes import GEOMETRIES, cosines, tegum_product, vertices
from groundtruth.generators.toy_certificate import CertificateError
from groundtruth.generators.toy_examination import certify, examine
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_matching import irreducible, match
from groundtruth.generators.toy_training import ToyTraining, TrainedToy

PRODUCTS = {
    "square": ["digon"] * 2,
    "octahedron": ["digon"] * 3,
    "triangular-bipyramid": ["triangle", "digon"],
    "pentagonal-bipyramid": ["pentagon", "digon"],
}


def model(W: np.ndarray, activation: str = "relu") -> TrainedToy:
    """As if W had been trained."""
    d, n = W.shape
    training = ToyTraining(ToyInputs(n), d=d, activation=activation)
    return TrainedToy(training, 0, W, np.zeros(n), 0.0)


def shuffled(W: np.ndarray, seed: int = 0) -> np.ndarray:
    """W under a random rotation and with its features in another order."""
    rng = np.random.default_rng(seed)
    return (random_rotation(len(W), rng) @ W)[:, rng.permutation(W.shape[1])]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_known_geometry_is_certified_under_its_name(name):
    W = shuffled(1.1 * vertices(name))
    certificate = certify(model(W))
    assert sorted(g.geometry for g in certificate.groups) == sorted(PRODUCTS.get(name, [name]))
    assert sorted(f for g in certificate.groups for f in g.features) == sorted(
        certificate.represented
    )
    assert (len(certificate.represented), certificate.left_out) == (W.shape[1], ())


def test_features_without_a_column_are_named_and_bounded():
    W = np.insert(vertices("pentagon"), [1, 4], [[0.003, 0.0], [0.0, 0.004]], axis=1)
    certificate = certify(model(W))
    assert certificate.represented == ("f0", "f2", "f3", "f4", "f6")
    assert certificate.left_out == ("f1", "f5")
    assert certificate.left_out_length == pytest.approx(0.007)


def turned(W: np.ndarray) -> np.ndarray:
    """The first feature turned by a tenth of a radian, its length kept."""
    W = W.copy()
    c, s = np.cos(0.1), np.sin(0.1)
    W[:2, 0] = np.array([[c, -s], [s, c]]) @ W[:2, 0]
    return W


def scaled(W: np.ndarray, factor: float) -> np.ndarray:
    return W * np.where(np.arange(W.shape[1]) == 0, factor, 1.0)


def leaning() -> np.ndarray:
    """Two digons at 87 degrees: cosine 0.05 between them."""
    first, second = np.array([1.0, 0.0]), np.array([0.05, np.sqrt(1 - 0.05**2)])
    return np.stack([first, -first, second, -second], axis=1)


def heptagon() -> np.ndarray:
    angle = 2 * np.pi * np.arange(7) / 7
    return np.stack([np.cos(angle), np.sin(angle)])


BROKEN: list[tuple[str, Callable[[], np.ndarray], set[str]]] = [
    ("turned", lambda: turned(vertices("pentagon")), {"dimensionality_error", "cosine_error"}),
    ("longer", lambda: scaled(vertices("pentagon"), 1.03), {"dimensionality_error", "norm_spread"}),
    ("half there", lambda: scaled(vertices("pentagon"), 0.3), {"half_represented"}),
    ("leaning", leaning, {"interference"}),
    ("unknown shape", heptagon, {"cosine_error", "dimensionality_error"}),
    (
        "plateaus of the wrong shape",
        # Six lines of the icosahedron with two turned round: D is 1/2 still, the angles differ.
        lambda: vertices("icosahedron-axes") * np.array([1, 1, -1, 1, 1, 1]),
        {"cosine_error"},
    ),
    ("nothing", lambda: 0.001 * vertices("pentagon"), {"dimensionality_error"}),
]


@pytest.mark.parametrize(("W", "failing"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_each_check_fails_on_a_specimen_built_to_fail_it(W, failing):
    with pytest.raises(CertificateError) as error:
        certify(model(shuffled(W(), 1)))
    failed = {check.name for check in error.value.certificate.checks if not check.passed}
    assert failing <= failed
    assert all(name in str(error.value) for name in failed)


def test_every_check_has_a_specimen_that_fails_it():
    names = {c.name for c in examine(model(vertices("pentagon"))).checks}
    linear = {c.name for c in examine(model(np.eye(2), "linear")).checks}
    broken = set().union(*(failing for *_, failing in BROKEN))
    assert names == broken and linear == {"missing_rank", "projection_error"}


def test_the_error_says_by_how_much_each_check_failed():
    W = np.column_stack([scaled(vertices("digon"), 1.05), [0.2]])
    with pytest.raises(CertificateError) as error:
        certify(model(W))
    assert str(error.value) == (
        "toy model (seed 0): no certificate, so no truth. half_represented: expected at most 0, "
        "got 1 (|W_i| between 0.01 and 0.5: f2 0.2); dimensionality_error: expected at most 0.005, "
        "got 0.03326 (f1 has 0.4667, nearest 0.5000); norm_spread: expected at most 0.02, got 0.05 "
        "(lengths 1.0000 to 1.0500 in one geometry). Train longer (n_steps), from more starts "
        "(n_starts), or with another seed."
    )


def test_the_error_says_which_features_match_nothing():
    with pytest.raises(CertificateError) as error:
        certify(model(heptagon()))
    assert (
        "cosine_error: expected at most 0.02, got inf "
        "(f0, f1, f2, f3, f4, f5, f6 match no known geometry within 0.3)"
    ) in str(error.value)


def test_the_error_survives_another_process():
    with pytest.raises(CertificateError) as error:
        certify(model(heptagon()))
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)
    assert again.certificate == error.value.certificate


def test_a_linear_model_is_certified_by_its_rank_in_any_subspace():
    rows = random_rotation(7, np.random.default_rng(0))[:3]
    certificate = certify(model(rows, "linear"))
    assert certificate.groups == ()
    assert len(certificate.represented) == 7


@pytest.mark.parametrize(
    ("values", "failed"),
    [([1, 1, 0.3], ["missing_rank", "projection_error"]), ([1, 1, 1.02], ["projection_error"])],
)
def test_a_linear_model_that_lost_or_stretched_a_dimension_is_refused(values, failed):
    rows = np.array(values)[:, None] * random_rotation(7, np.random.default_rng(0))[:3]
    with pytest.raises(CertificateError) as error:
        certify(model(rows, "linear"))
    assert [c.name for c in error.value.certificate.checks if not c.passed] == failed


def test_descriptions_are_plain_json_with_every_check():
    description = examine(model(heptagon())).description()
    assert description["passed"] is False
    assert [c["measured"] is None for c in description["checks"]] == [
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("name", irreducible())
def test_matching_finds_the_geometry_under_noise_and_says_how_far_it_is(name):
    rng = np.random.default_rng(1)
    target = irreducible()[name]
    noise = np.triu(rng.uniform(-0.05, 0.05, target.shape), 1)
    order = rng.permutation(len(target))
    found = match((target + noise + noise.T)[np.ix_(order, order)])
    assert found.name == name
    # The labels that were used are one candidate; the search may find better ones.
    assert found.error <= np.abs(noise).max() + 1e-12


def test_matching_tells_shapes_of_the_same_size_apart():
    assert match(cosines(vertices("pentagon"))).name == "pentagon"
    assert match(cosines(vertices("5-cell"))).name == "5-cell"
    assert (
        match(cosines(tegum_product([vertices("triangle"), vertices("digon")]))).name == "unknown"
    )
