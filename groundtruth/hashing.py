"""Content hashes: canonical JSON and canonical little-endian arrays under SHA-256."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

import numpy as np


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces and no NaN or Infinity.

    Example:
        >>> canonical_json({"b": 1, "a": [1.5, None]})
        '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """SHA-256 over dtype, shape and little-endian bytes of `array`.

    Example:
        >>> a = np.arange(3.0)
        >>> array_digest(a) == array_digest(a[::-1][::-1])
        True
    """
    array = np.asarray(array, order="C")  # unlike ascontiguousarray, keeps a scalar a scalar
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def content_hash(description: object, arrays: Mapping[str, np.ndarray]) -> str:
    """One hash for a description (plain JSON) together with named arrays."""
    return digest([description, {name: array_digest(a) for name, a in sorted(arrays.items())}])


def jsonable(value: object) -> object:
    """`value` with numpy scalars, arrays and tuples turned into plain JSON values.

    NaN and infinities become None: JSON has no word for them, and a number that is not defined
    is written with a reason beside it.
    """
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
