"""The sampler: random access, separate streams, and exactly the law that the truth states.

Statistical checks use fixed seeds. Each file-wide family of comparisons has a false-alarm rate of
one in a million over seeds: exact binomial intervals at level 1 - 1e-6 / (number of features).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import stats

from groundtruth.evaluators.statistics import clopper_pearson
from groundtruth.generators.sparse import sparse
from groundtruth.testbed import BLOCK, STREAMS, Testbed
from groundtruth.testing import testbeds

ALARM = 1e-6
N_BLOCKS = 40

WORLD = {
    "seed": 3,
    "n_features": 20,
    "d": 8,
    "firing": {"law": "log-uniform", "low": 0.001, "high": 0.3},
    "noise": 0.1,
    "bias": 0.5,
}
FIRING_LAWS = {
    "constant": {"law": "constant", "probability": 0.05},
    "log-uniform": {"law": "log-uniform", "low": 1e-4, "high": 0.5},
    "zipf": {"law": "zipf", "exponent": 1.0, "first": 0.9},
    "linear": {"law": "linear", "first": 1.0, "last": 0.001},
    "extremes": {"law": "given", "values": [1.0, 0.99, 0.91, 0.9, 0.89, 1e-5, 0.0, 0.5, 0.25, 0.1]},
}


def digest(testbed: Testbed, stream: str = "train", seed: int = 0, index: int = 0) -> str:
    """SHA-256 of one block's bytes."""
    x, codes = testbed.block(stream, seed, index)
    parts = (x, codes.data, codes.indices, codes.indptr)
    return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()


def firings(testbed: Testbed, n_blocks: int = N_BLOCKS) -> np.ndarray:
    """How often each feature is not 0 in the first training blocks."""
    n = testbed.truth.features.n_features
    blocks = (testbed.block("train", 0, b)[1] for b in range(n_blocks))
    return sum(np.bincount(codes.indices, minlength=n) for codes in blocks)


def check_marginals(counts: np.ndarray, p: np.ndarray, n: int) -> None:
    """Raise unless each count is within the exact binomial interval of its probability."""
    level = 1 - ALARM / len(p)
    bounds = [clopper_pearson(int(c), n, level) for c in counts]
    wrong = [i for i, b in enumerate(bounds) if not b.low <= p[i] <= b.high]
    assert not wrong, [(i, counts[i] / n, p[i]) for i in wrong]


@settings(max_examples=15)
@given(testbeds())
def test_a_block_is_the_same_bytes_first_last_or_alone(world):
    alone = digest(world, index=3)
    forward = [digest(world, index=i) for i in range(5)]
    backward = [digest(world, index=i) for i in reversed(range(5))][::-1]
    assert forward == backward
    assert forward[3] == alone
    assert len(set(forward)) == 5 or not world.truth.features.noise


def test_a_block_is_the_same_bytes_in_another_process():
    code = (
        "import hashlib\n"
        "from groundtruth.generators.sparse import sparse\n"
        f"x, c = sparse(**{WORLD!r}).block('score', 2, 7)\n"
        "parts = (x, c.data, c.indices, c.indptr)\n"
        "print(hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest())\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest(sparse(**WORLD), "score", 2, 7)


def test_rows_given_active_are_random_access_too():
    world, features = sparse(**WORLD), np.array([0, 5, 5, 19])
    first = world.active_block("score", 1, features)
    world.active_block("score", 0, features)
    again = world.active_block("score", 1, features)
    assert np.array_equal(first[0], again[0]) and (first[1] != again[1]).nnz == 0


def test_global_random_states_are_neither_read_nor_written():
    held = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    world = sparse(**WORLD)
    first = digest(world)
    world.subject.sample(10)
    now = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert np.array_equal(held[0][1], now[0][1]) and held[0][2:] == now[0][2:]
    assert torch.equal(held[1], now[1])
    np.random.random()  # noqa: NPY002
    assert digest(sparse(**WORLD)) == first
    np.random.set_state(held[0])  # noqa: NPY002


def test_streams_seeds_and_blocks_share_no_row():
    world = sparse(**WORLD)
    places = [(s, seed, b) for s in STREAMS for seed in (0, 1) for b in (0, 1)]
    rows = np.concatenate([world.block(*place)[0] for place in places])
    rows = np.concatenate([rows, world.active_block("score", 0, np.arange(20))[0]])
    # With noise in eight dimensions no two honest rows agree.
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_the_row_check_sees_a_shared_block():
    world = sparse(**WORLD)
    rows = np.concatenate([world.block("train", 0, b)[0] for b in (0, 0)])
    assert len(np.unique(rows, axis=0)) == BLOCK


@pytest.mark.parametrize("law", FIRING_LAWS)
def test_features_fire_with_their_stated_probability(law):
    n = len(FIRING_LAWS["extremes"]["values"])
    world = sparse(n_features=n, d=4, firing=FIRING_LAWS[law])
    p = world.truth.features.firing_probability
    counts = firings(world)
    check_marginals(counts, p, N_BLOCKS * BLOCK)
    assert (counts[p == 1] == N_BLOCKS * BLOCK).all() and (counts[p == 0] == 0).all()


@pytest.mark.parametrize("std", [0.7, 1.0, 4.0])
def test_a_rectified_magnitude_of_zero_is_no_firing(std):
    fires = 0.4
    world = sparse(
        n_features=6,
        d=3,
        firing={"law": "constant", "probability": fires},
        magnitude={"law": "rectified-normal", "mean": 1.0, "std": std},
    )
    p = world.truth.features.firing_probability
    assert p == pytest.approx(fires * stats.norm.cdf(1 / std))
    check_marginals(firings(world), p, N_BLOCKS * BLOCK)
    with pytest.raises(AssertionError):  # the probability before rectification is another one
        check_marginals(firings(world), np.full(6, fires), N_BLOCKS * BLOCK)


def test_the_marginal_check_rejects_three_standard_errors_times_three():
    n, p = 40_960, np.full(5, 0.1)
    off = np.full(5, round(n * (0.1 + 9 * np.sqrt(0.09 / n))))
    with pytest.raises(AssertionError):
        check_marginals(off, p, n)


def test_pairs_of_features_fire_independently():
    world = sparse(n_features=8, d=4, firing={"law": "linear", "first": 0.5, "last": 0.05})
    n = N_BLOCKS * BLOCK
    both = np.zeros((8, 8))
    for b in range(N_BLOCKS):
        codes = world.block("train", 0, b)[1]
        fires = (codes.toarray() != 0).astype(int)
        both += fires.T @ fires
    i, j = np.triu_indices(8, 1)
    truth = world.truth.features
    expected = np.array([truth.coactivation(a, b) for a, b in zip(i, j)])
    check_marginals(both[i, j], expected, n)


@pytest.mark.parametrize("magnitude", ["constant", "log-normal", "rectified-normal", "exponential"])
def test_rows_drawn_given_active_have_the_law_of_rows_that_are_active(magnitude):
    """Two-sample tests at one in a million over the comparisons of each world."""
    feature, n = 2, 4000
    world = sparse(
        n_features=5,
        d=3,
        firing={"law": "given", "values": [0.3, 0.1, 0.15, 0.95, 0.02]},
        magnitude={"law": magnitude},
        noise=0.05,
    )
    given_x, given_codes = world.active_block("score", 0, np.full(n, feature))
    blocks = [world.block("train", 0, b) for b in range(N_BLOCKS)]
    x = np.concatenate([b[0] for b in blocks])
    codes = np.concatenate([b[1].toarray() for b in blocks])
    natural = codes[:, feature] != 0
    assert (given_codes.toarray()[:, feature] != 0).all()
    alpha = ALARM / 8
    for axis in range(3):
        assert stats.ks_2samp(given_x[:, axis], x[natural, axis]).pvalue > alpha
    for i in range(5):
        fired = (given_codes.toarray()[:, i] != 0).sum(), (codes[natural, i] != 0).sum()
        table = [[fired[0], n - fired[0]], [fired[1], natural.sum() - fired[1]]]
        assert i == feature or stats.fisher_exact(table).pvalue > alpha
    if magnitude != "constant":
        values = given_codes.toarray()[:, feature], codes[natural, feature]
        assert stats.ks_2samp(*values).pvalue > alpha
    # Unconditional rows have another law, and the same test says so.
    assert (
        stats.ks_2samp(
            given_x @ world.truth.features.directions[feature],
            x @ world.truth.features.directions[feature],
        ).pvalue
        < alpha
    )


def test_mean_and_covariance_are_those_of_the_samples():
    world = sparse(**{**WORLD, "scale": 3.0})
    truth = world.truth.features
    x = np.concatenate([world.block("train", 1, b)[0] for b in range(60)]).astype(np.float64)
    n = len(x)
    # Six standard errors per entry, 8 + 64 entries: under one in a million (and one in 1e8 each).
    error = np.sqrt(np.diag(truth.covariance) / n)
    assert (np.abs(x.mean(axis=0) - truth.mean) < 6 * error).all()
    centred = x - truth.mean
    products = centred[:, :, None] * centred[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - truth.covariance) < 6 * error).all()


def test_activations_are_the_codes_times_the_directions():
    world = sparse(**{**WORLD, "noise": 0.0, "scale": 2.0})
    truth = world.truth.features
    x, codes = world.block("train", 0, 0)
    assert x.dtype == np.float32 and codes.dtype == np.float32
    assert codes.has_sorted_indices and (codes.data > 0).all()
    # Sums of at most 20 float32 products.
    assert x == pytest.approx(codes.toarray() @ truth.directions + truth.bias, abs=1e-5)
