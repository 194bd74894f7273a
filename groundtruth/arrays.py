"""Arrays from anywhere, as numpy: torch (any device, any float type), jax, numpy, sparse.

Nothing here imports torch or jax: who has a tensor has imported its library already.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from groundtruth.errors import ExplanationError, GroundtruthError

Kind = Literal["numpy", "torch", "jax"]


def kind_of(value: object) -> Kind | None:
    """Which library made this array; None if it is not an array."""
    if isinstance(value, np.ndarray):
        return "numpy"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    root = type(value).__module__.partition(".")[0]
    if root in ("jax", "jaxlib") and hasattr(value, "__array__"):
        return "jax"
    return None


def to_numpy(name: str, value: Any) -> np.ndarray:
    """`value` as a float numpy array, in its own precision (half types become float32).

    Raises:
        ExplanationError: not an array, or integers, booleans, objects or complex numbers, which
            are never activations; or reading it failed.
    """
    try:
        array = _as_array(name, value)
    except (GroundtruthError, MemoryError):
        raise
    except Exception as error:
        raise ExplanationError(
            f"{name}: expected an array, but reading the {type(value).__name__} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise ExplanationError(
            f"{name}: expected floating point numbers, got dtype {array.dtype}. "
            "Convert it, for example with .astype(float)."
        )
    return array


def _as_array(name: str, value: Any) -> np.ndarray:
    if sp.issparse(value):
        value = value.toarray()
    kind = kind_of(value)
    if kind == "torch":
        value = value.detach().cpu()
        if value.is_sparse or value.layout != sys.modules["torch"].strided:
            value = value.to_dense()
        # numpy has no bfloat16 and no float8, and squares of float16 overflow at 256.
        if value.dtype.is_floating_point and value.dtype.itemsize < 4:
            value = value.float()
        return value.resolve_conj().resolve_neg().numpy()
    if kind == "jax":
        # bfloat16 and float8 are of kind "V"; integers and booleans are left for the check below.
        short = value.dtype.kind in "fV" and value.dtype.itemsize < 4
        return np.asarray(value.astype("float32") if short else value)
    if kind == "numpy":
        return np.asarray(value)
    if isinstance(value, (list, tuple)):
        return _from_sequence(name, value)
    raise ExplanationError(
        f"{name}: expected a numpy, torch or jax array, got {type(value).__name__}."
    )


def _from_sequence(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ExplanationError(
            f"{name}: expected one array, got a {type(value).__name__} of {len(value)} that does "
            f"not make one ({error}). Pick the entry that is meant."
        ) from error


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
