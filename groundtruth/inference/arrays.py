"""Reading arrays at the boundary: one place that turns what a caller has into a checked tensor.

Every function of `groundtruth.inference` accepts numpy arrays and torch tensors through here, so
that they refuse the same inputs with the same words.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from groundtruth.errors import InputError, reject

# About 64 MB of float32 for one (rows, features) buffer of the batched solvers.
CHUNK_ELEMENTS = 1 << 24


def as_tensor(name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
    """`value` as a tensor, without copying; half floats and integers become floats."""
    tensor = value if isinstance(value, torch.Tensor) else _from_array(name, value)
    if tensor.is_complex():
        raise reject(name, tensor.dtype, "an array of real numbers")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        return tensor.detach().float()
    return tensor.detach() if tensor.is_floating_point() else tensor.double()


def _from_array(name: str, value: ArrayLike) -> torch.Tensor:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise reject(name, array.dtype, "an array of real numbers of at most 64 bits")
    with warnings.catch_warnings():
        # Our records are read-only arrays, and nothing here writes into its input.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array)


def check_finite(name: str, value: torch.Tensor) -> tuple[float, float]:
    """The smallest and largest entry, or an `InputError` naming the first entry not finite."""
    if value.numel() == 0:
        return 0.0, 0.0
    low, high = (float(end) for end in value.aminmax())  # NaN and inf both reach an end
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    bad = (~torch.isfinite(value)).nonzero()
    first = tuple(bad[0].tolist())
    raise InputError(
        f"{name}: expected finite numbers, got {float(value[first])} at index {first} "
        f"({len(bad)} of {value.numel()} entries are not finite)."
    )


def as_matrix(name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
    """`value` as a finite two-dimensional tensor."""
    matrix = as_tensor(name, value)
    if matrix.ndim != 2:
        raise reject(name, tuple(matrix.shape), "a two-dimensional array")
    check_finite(name, matrix)
    return matrix


def as_problem(
    x: ArrayLike | torch.Tensor, dictionary: ArrayLike | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (n, d) and dictionary (F, d), of one width, dtype and device."""
    samples, atoms = as_matrix("x", x), as_matrix("dictionary", dictionary)
    if samples.shape[1] != atoms.shape[1]:
        raise reject(
            "dictionary",
            tuple(atoms.shape),
            f"a width of {samples.shape[1]}, as x has",
            "Its rows are features: pass dictionary.T if it has shape (d, F).",
        )
    dtype = torch.promote_types(samples.dtype, atoms.dtype)
    return samples.to(dtype), atoms.to(samples.device, dtype)


def check_unit_rows(name: str, rows: torch.Tensor) -> None:
    """Refuse a dictionary whose rows do not all have length 1."""
    # Rows normalised in float32 or stored in half precision are off by up to 1e-3.
    wrong = ((rows.norm(dim=1) - 1).abs() > 1e-3).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{name}: expected rows of length 1, got length {float(rows[row].norm()):.6g} in row "
            f"{row} ({len(wrong)} of {len(rows)} rows). "
            f"Divide by the lengths and scale the codes back."
        )


def chunks(n_rows: int, n_features: int) -> Iterator[slice]:
    """Slices of rows whose (rows, features) buffers stay near `CHUNK_ELEMENTS`."""
    size = max(1, CHUNK_ELEMENTS // max(1, n_features))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def to_csr(dense: torch.Tensor) -> csr_array:
    """The non-zero entries of `dense` as float32 codes."""
    codes = csr_array(dense.to("cpu", torch.float32).numpy())
    codes.sort_indices()
    return codes
