"""jax functions as dictionaries that take torch activations without copying them.

`gt.Dictionary(decoder, encode)` takes jax arrays and functions as well; what is added here is
that activations and codes change hands by DLPack, in place, on whatever device they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from groundtruth import arrays
from groundtruth.adapters.probe import nonlinear_decode
from groundtruth.explanation import Dictionary


def from_jax(
    encode: Callable[[Any], Any],
    decoder: Any,
    bias: Any = None,
    decode: Callable[[Any], Any] | None = None,
    *,
    signed: bool = False,
    name: str | None = None,
) -> Dictionary:
    """What a jax function and its decoder claim.

    Args:
        encode: jax x (n, d) -> jax codes (n, k), jitted or not.
        decoder: (k, d), jax or numpy.
        bias: (d,), jax or numpy; zeros if None.
        decode: jax codes (n, k) -> jax x_hat (n, d), where that is not codes @ decoder + bias.
        signed: whether codes may be negative.
        name: shown in tables; None is the function's name.

    Returns:
        A dictionary whose encode takes and gives torch tensors.

    Raises:
        ExplanationError: codes of the wrong shape, or a transposed decoder.

    Example:
        >>> import jax.numpy as jnp
        >>> claim = from_jax(lambda x: jnp.maximum(x, 0), jnp.eye(3), name="relu")
        >>> claim.encode(torch.tensor([[1.0, -1.0, 2.0]]))
        tensor([[1., 0., 2.]])
    """
    name = str(getattr(encode, "__name__", "jax function")) if name is None else name
    rows = to_torch(importlib.import_module("jax.numpy").asarray(decoder))
    bias = None if bias is None else arrays.to_numpy("bias", bias)
    plain = Dictionary(rows, bias=bias, name=name)  # checks the arrays
    in_torch = _through(encode)
    decode = nonlinear_decode(
        name,
        plain.decoder,
        plain.bias,
        in_torch,
        None if decode is None else _through(decode),
        lambda x: arrays.from_numpy(x, "torch", rows),
    )
    return Dictionary(rows, in_torch, bias, decode, signed=signed, name=name)


def to_jax(tensor: torch.Tensor) -> Any:
    """`tensor` as a jax array over the same memory.

    On a CPU, jax takes memory as it is if it begins at a multiple of 64 bytes, as what torch
    allocates does; other memory (a slice, numpy's own) is copied. jax holds arrays to be
    constant: do not write to the tensor while jax may read it.

    Example:
        >>> x = torch.zeros(4, 8)
        >>> to_jax(x).unsafe_buffer_pointer() == x.data_ptr()
        True
    """
    return importlib.import_module("jax.dlpack").from_dlpack(tensor.detach().contiguous())


def to_torch(array: Any) -> torch.Tensor:
    """A jax array as a tensor over the same memory, which is not to be written to.

    Example:
        >>> import jax.numpy as jnp
        >>> array = jnp.zeros((4, 8))
        >>> to_torch(array).data_ptr() == array.unsafe_buffer_pointer()
        True
    """
    return torch.from_dlpack(array)


def _through(function: Callable[[Any], Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: to_torch(function(to_jax(x)))
