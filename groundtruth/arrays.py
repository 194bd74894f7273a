"""Arrays from anywhere, as numpy: torch (any device, any float type), jax, numpy, sparse.

Nothing here imports torch or jax: a tensor is recognised by the module that its type comes from.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from groundtruth.errors import ExplanationError

Kind = Literal["numpy", "torch", "jax"]


def kind_of(value: object) -> Kind | None:
    """Which library made this array; None if it is not an array."""
    if isinstance(value, np.ndarray):
        return "numpy"
    root = type(value).__module__.partition(".")[0]
    if root == "torch" and hasattr(value, "detach"):
        return "torch"
    if root in ("jax", "jaxlib") and hasattr(value, "__array__"):
        return "jax"
    return None


def to_numpy(name: str, value: Any) -> np.ndarray:
    """`value` as a float numpy array, in its own precision (half types become float32).

    Raises:
        ExplanationError: not an array, or integers, booleans, objects or complex numbers, which
            are never activations.
    """
    if sp.issparse(value):
        value = value.toarray()
    kind = kind_of(value)
    if kind == "torch":
        value = value.detach().cpu()
        if value.is_sparse or value.layout != sys.modules["torch"].strided:
            value = value.to_dense()
        # numpy has no bfloat16, and squares of float16 overflow at 256.
        if str(value.dtype) in ("torch.bfloat16", "torch.float16"):
            value = value.float()
        array = value.resolve_conj().resolve_neg().numpy()
    elif kind == "jax":
        array = np.asarray(value.astype("float32") if value.dtype.itemsize < 4 else value)
    elif kind == "numpy" or isinstance(value, (list, tuple)):
        array = np.asarray(value)
    else:
        raise ExplanationError(
            f"{name}: expected a numpy, torch or jax array, got {type(value).__name__}."
        )
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise ExplanationError(
            f"{name}: expected floating point numbers, got dtype {array.dtype}. "
            "Convert it, for example with .astype(float)."
        )
    return array


def from_numpy(array: np.ndarray, kind: Kind, like: Any = None) -> Any:
    """`array` handed to another library; torch and jax take it by DLPack where they can.

    Args:
        kind: "numpy", "torch" or "jax".
        like: a torch tensor whose device and dtype the result takes.
    """
    if kind == "numpy":
        return array
    if kind == "torch":
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if like is None else tensor.to(device=like.device, dtype=like.dtype)
    import jax.numpy as jnp

    return jnp.asarray(array)


def first_bad(array: np.ndarray) -> tuple[tuple[int, ...], int] | None:
    """Index of the first NaN or infinity and how many there are; None if all are finite."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    bad = np.argwhere(~finite)
    return tuple(int(i) for i in bad[0]), len(bad)


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise an `ExplanationError` that names the first NaN or infinity."""
    found = first_bad(array)
    if found is not None:
        where, count = found
        raise ExplanationError(
            f"{name}: expected finite numbers, got {count} NaN or infinite, first at {where}."
        )
