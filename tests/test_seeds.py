"""Named streams: the same path the same numbers, another path unrelated ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from groundtruth.errors import InputError
from groundtruth.seeds import check_seed, derive, generator, root_of

paths = st.lists(st.text(max_size=4) | st.integers(-3, 3), max_size=4).map(tuple)


@given(paths, paths)
def test_keys_are_equal_exactly_where_paths_are(first, second):
    same_types = [type(p) for p in first] == [type(p) for p in second]
    assert (derive(b"root", *first) == derive(b"root", *second)) == (first == second and same_types)


def test_keys_depend_on_root_and_on_where_parts_are_cut():
    assert derive(b"a", "x") != derive(b"b", "x")
    assert derive(b"r", "a", "bc") != derive(b"r", "ab", "c") != derive(b"r", "abc")
    assert derive(b"r", 1) != derive(b"r", "1")
    assert len(derive(b"r")) == 16


def test_a_key_never_changes_between_versions():
    # Every stored result stands on this: a changed derivation is another world.
    assert derive(b"root", "train", 0).hex() == "be12d7b55b3acec17729e9a21bf12225"


@given(st.integers(0, 2**64))
def test_generators_are_fresh_and_random_access(seed):
    root = root_of("world", seed)
    first, again = generator(root, "x", 5).random(4), generator(root, "x", 5).random(4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, generator(root, "x", 6).random(4))


def test_neighbouring_streams_are_uncorrelated_and_uniform():
    draws = np.stack([generator(root_of("world", s), "train", 0).random(2000) for s in range(30)])
    correlation = np.corrcoef(draws)[np.triu_indices(30, 1)]
    # 435 correlations of 2,000 draws: seven standard errors, under 1e-9 together.
    assert np.abs(correlation).max() < 7 / np.sqrt(2000)
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-6


def test_the_correlation_check_sees_a_shared_stream():
    one = generator(b"r", "x").random(2000)
    assert np.corrcoef(one, one)[0, 1] > 7 / np.sqrt(2000)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "3", None, np.float64(2)])
def test_seeds_that_are_not_whole_numbers_from_zero_are_refused(seed):
    with pytest.raises(InputError) as error:
        check_seed(seed)
    assert str(error.value) == (
        f"seed: expected a non-negative whole number, got {seed!r}. Pass for example seed=0."
    )


def test_numpy_integers_are_seeds():
    assert check_seed(np.int64(3)) == 3 and type(check_seed(np.uint8(3))) is int
    assert root_of("w", np.int64(3)) == root_of("w", 3)
