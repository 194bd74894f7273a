"""Arrays of every kind come out as the same float numpy array, or are refused by name."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from groundtruth import arrays
from groundtruth.errors import ExplanationError

ROWS = np.array([[1.0, -2.0, 0.5], [0.0, 0.25, 3.0]], dtype=np.float32)


@pytest.mark.parametrize(
    "value",
    [
        ROWS,
        ROWS.astype(np.float64),
        ROWS.astype(np.float16),
        np.asfortranarray(ROWS),
        ROWS.tolist(),
        sp.csr_array(ROWS),
        sp.coo_matrix(ROWS),
        torch.from_numpy(ROWS.copy()),
        torch.from_numpy(ROWS.copy()).to(torch.bfloat16),
        torch.from_numpy(ROWS.copy()).to(torch.float8_e4m3fn),
        torch.from_numpy(ROWS.copy()).to_sparse(),
        torch.nn.Parameter(torch.from_numpy(ROWS.copy())),
        jnp.asarray(ROWS),
        jnp.asarray(ROWS).astype(jnp.bfloat16),
    ],
)
def test_every_kind_of_array_has_the_same_numbers(value: object) -> None:
    # The values are exact in every one of these types, float8 included.
    out = arrays.to_numpy("codes", value)
    assert out.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(out, ROWS)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (ROWS.astype(np.int64), "int64"),
        (ROWS > 0, "bool"),
        (ROWS.astype(object), "object"),
        (ROWS.astype(np.complex64), "complex64"),
        (torch.ones(2, 3, dtype=torch.int32), "int32"),
        (torch.ones(2, 3, dtype=torch.bool), "bool"),
        (jnp.ones((2, 3), dtype=bool), "bool"),
        (jnp.ones((2, 3), dtype=jnp.int8), "int8"),
        (sp.csr_array(ROWS.astype(np.int64)), "int64"),
        ([[1, 2], [3, 4]], "int64"),
    ],
)
def test_what_is_not_floating_point_is_refused(value: object, dtype: str) -> None:
    with pytest.raises(ExplanationError) as caught:
        arrays.to_numpy("codes", value)
    assert str(caught.value) == (
        f"codes: expected floating point numbers, got dtype {dtype}. "
        "Convert it, for example with .astype(float)."
    )


def test_what_is_no_array_is_refused_by_its_type() -> None:
    with pytest.raises(ExplanationError) as caught:
        arrays.to_numpy("decoder", {"W": ROWS})
    assert str(caught.value) == "decoder: expected a numpy, torch or jax array, got dict."


def test_several_arrays_in_a_tuple_are_refused() -> None:
    expected = r"codes: expected one array, got a tuple of 2 that does not make one \(.*\)\. Pick"
    with pytest.raises(ExplanationError, match=expected):
        arrays.to_numpy("codes", (ROWS, ROWS[:, 0]))


class Late(torch.Tensor):
    """A tensor that fails only when it is read."""

    def detach(self) -> torch.Tensor:
        raise RuntimeError("the file behind it is gone")


def test_an_array_that_fails_when_read_is_named() -> None:
    value = torch.ones(2, 3).as_subclass(Late)
    with pytest.raises(ExplanationError) as caught:
        arrays.to_numpy("codes", value)
    assert str(caught.value) == (
        "codes: expected an array, but reading the Late raised RuntimeError: the file behind it "
        "is gone"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_kind_of_says_which_library() -> None:
    found = [arrays.kind_of(v) for v in (ROWS, torch.ones(1), jnp.ones(1), [1.0], None)]
    assert found == ["numpy", "torch", "jax", None, None]


@pytest.mark.parametrize("kind", ["numpy", "torch", "jax"])
def test_from_numpy_and_back_changes_nothing(kind: arrays.Kind) -> None:
    there = arrays.from_numpy(ROWS.copy(), kind)
    assert arrays.kind_of(there) == kind
    np.testing.assert_array_equal(arrays.to_numpy("x", there), ROWS)


def test_from_numpy_takes_the_dtype_of_the_tensor_it_is_like() -> None:
    like = torch.ones(1, dtype=torch.bfloat16)
    assert arrays.from_numpy(ROWS.copy(), "torch", like).dtype == torch.bfloat16


def test_check_finite_names_the_first_and_counts_all() -> None:
    bad = ROWS.copy()
    bad[0, 2], bad[1, 1] = np.nan, -np.inf
    with pytest.raises(ExplanationError) as caught:
        arrays.check_finite("decoder", bad)
    assert str(caught.value) == (
        "decoder: expected finite numbers, got 2 NaN or infinite, first at (0, 2)."
    )
    assert arrays.first_bad(ROWS) is None
