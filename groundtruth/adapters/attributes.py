"""What outside objects call their decoder and bias, read by name and shape, whoever made them."""

from __future__ import annotations

import inspect
from typing import Any

from groundtruth.arrays import kind_of


def decoder_of(obj: Any) -> Any:
    """The rows (k, d) that `obj` decodes with, as the array that it holds; None if there are none.

    The first there is: `W_dec` (k, d); `get_dictionary()` (k, d); `decoder.weight` (d, k), as
    linear layers hold it, transposed; `decoder` (k, d); `components_` (k, d).

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> linear = SimpleNamespace(weight=np.zeros((3, 8)))
        >>> decoder_of(SimpleNamespace(decoder=linear)).shape
        (8, 3)
    """
    decoder: Any = getattr(obj, "decoder", None)
    weight: Any = getattr(decoder, "weight", None)
    if kind_of(getattr(obj, "W_dec", None)) is not None:
        return obj.W_dec
    if callable(getattr(obj, "get_dictionary", None)):
        return obj.get_dictionary()
    if kind_of(weight) is not None:
        return weight.T
    for value in (decoder, getattr(obj, "components_", None)):
        if kind_of(value) is not None:
            return value
    return None


def bias_of(obj: Any, d: int) -> Any:
    """The bias (d,) that `obj` adds when it decodes; None if there is none of that shape."""
    decoder = getattr(obj, "decoder", None)
    named = [(obj, "b_dec"), (decoder, "bias"), (obj, "decoder_bias")]
    rows: Any = decoder_of(obj)
    # With as many latents as dimensions, a bare `bias` may as well be the encoder's.
    if kind_of(rows) is None or tuple(rows.shape) != (d, d):
        named.append((obj, "bias"))
    for owner, attribute in named:
        value: Any = getattr(owner, attribute, None)
        if kind_of(value) is not None and tuple(value.shape) == (d,):
            return value
    return None


def decode_of(obj: Any) -> Any:
    """`obj.decode` if it needs exactly one argument, the codes; else None.

    sparsify's needs two, top activations and their indices.
    """
    decode = getattr(obj, "decode", None)
    if not callable(decode):
        return None
    needed = [
        p
        for p in inspect.signature(decode).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return decode if len(needed) == 1 else None
