"""Content hashes: equal content equal hash, any other content another."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtruth.hashing import array_digest, canonical_json, content_hash, digest, jsonable

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(plain)
def test_canonical_json_parses_to_what_it_was_made_of(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2))
def test_the_order_of_keys_changes_nothing(value):
    assert digest(dict(reversed(list(value.items())))) == digest(value)


@given(plain, plain)
def test_digests_are_equal_exactly_where_the_json_is(first, second):
    assert (digest(first) == digest(second)) == (canonical_json(first) == canonical_json(second))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": -float("inf")}]])
def test_numbers_that_json_has_not_are_refused(value):
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        digest(value)


def test_array_digests_see_dtype_shape_and_values():
    base = np.arange(6.0).reshape(2, 3)
    others = [
        base.astype(np.float32),
        base.T,
        base.ravel(),
        base + 1,
        base.astype(np.int64),
        base[:, ::-1],
        base[None],
    ]
    assert len({array_digest(a) for a in [base, *others]}) == len(others) + 1


def test_array_digests_do_not_see_memory_layout():
    base = np.arange(12.0).reshape(3, 4)
    assert array_digest(np.asfortranarray(base)) == array_digest(base)
    assert array_digest(np.repeat(base, 2, axis=0)[::2]) == array_digest(base)
    assert array_digest(base.astype(">f8")) == array_digest(base)
    assert array_digest(np.float64(2.0)) == array_digest(np.array(2.0))
    assert array_digest(np.array(2.0)) != array_digest(np.array([2.0]))


def test_content_hash_binds_arrays_to_their_names():
    a, b = np.zeros(2), np.ones(2)
    assert content_hash({}, {"a": a, "b": b}) == content_hash({}, {"b": b, "a": a})
    assert content_hash({}, {"a": a, "b": b}) != content_hash({}, {"a": b, "b": a})
    assert content_hash({"v": 1}, {"a": a}) != content_hash({"v": 2}, {"a": a})


def test_hashes_are_the_same_in_another_process():
    code = "from groundtruth.hashing import digest; print(digest({'b': [1.5, None], 'a': 'é'}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest({"a": "é", "b": [1.5, None]})


def test_jsonable_leaves_no_numpy_and_no_nan():
    value = {
        1: np.float32(0.5),
        "n": np.nan,
        "a": np.array([1.0, np.inf]),
        "t": (np.int64(3), {np.True_}),
    }
    assert jsonable(value) == {"1": 0.5, "n": None, "a": [1.0, None], "t": [3, [True]]}
    canonical_json(jsonable(value))
