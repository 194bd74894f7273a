"""Torch modules with an encoder and a decoder as dictionaries, whatever library made them.

Read by shape and name, so that no such library is imported. What needs more than that has a file
of its own: `saelens.py`, `sparsify.py`, `overcomplete.py`; dictionary_learning does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from groundtruth import arrays
from groundtruth.adapters.attributes import bias_of, decode_of, decoder_of
from groundtruth.adapters.probe import nonlinear_decode
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary


def from_module(
    module: Any, *, signed: bool = False, name: str | None = None, part: int | None = None
) -> Dictionary:
    """What a torch module claims: its decoder, its codes in inference mode, its bias.

    Decoder, the first there is: `W_dec` (k, d); `get_dictionary()` (k, d); `decoder.weight`
    (d, k), transposed; `decoder` (k, d). Bias: `b_dec`, `decoder.bias`, `bias` or `decoder_bias`,
    where its shape is (d,); else 0. Codes: `encode(x)`, under `eval()` and `no_grad()`, with the
    training flags put back after. It may return the codes; an object with `top_acts` and
    `top_indices`; or, with `part`, a tuple. If `decode(codes)` is not codes @ decoder + bias, it
    is claimed as well.

    Args:
        signed: whether codes may be negative.
        name: shown in tables; None is the class name.
        part: which part of the tuple that `encode` returns are the codes.

    Raises:
        ExplanationError: no decoder, no encode, codes of the wrong shape, a transposed decoder,
            NaN among the weights.

    Example:
        >>> class Tied(torch.nn.Module):
        ...     W_dec = torch.eye(3)
        ...     def encode(self, x):
        ...         return torch.relu(x @ self.W_dec.T)
        >>> from_module(Tied())
        Dictionary('Tied', k=3, d=3, signed=False)
    """
    name = type(module).__name__ if name is None else name
    _check_weights(module, name)
    rows = _decoder(module, name)
    if not callable(getattr(module, "encode", None)):
        raise ExplanationError(
            f"{name}: expected a method encode(x), found none. "
            "Return gt.Dictionary(decoder=W, encode=function) instead."
        )
    bias = bias_of(module, rows.shape[1])
    bias = None if bias is None else bias.detach()
    encode = _encoder(module, len(rows), part)
    decode = nonlinear_decode(
        name,
        arrays.to_numpy("decoder", rows).astype(np.float64),
        None if bias is None else arrays.to_numpy("bias", bias),
        encode,
        _decoding(module),
        lambda x: arrays.from_numpy(x, "torch", rows),
    )
    return Dictionary(rows, encode, bias, decode, signed=signed, name=name)


@contextmanager
def inference(module: Any) -> Iterator[None]:
    """`eval()` and `no_grad()` inside; every submodule's own training flag outside.

    A number called `dropout` is put back too: overcomplete's pursuit encoders forget theirs for
    good on `eval()`.
    """
    held = [
        (part, {name: vars(part)[name] for name in ("training", "dropout") if name in vars(part)})
        for part in module.modules()
    ]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, values in held:
            vars(part).update(values)


def _check_weights(module: Any, name: str) -> None:
    for label, value in (*module.named_parameters(), *module.named_buffers()):
        # Infinity is no mistake in a threshold: that latent is switched off.
        if value.is_floating_point() and value.isnan().any():
            bad = value.isnan().nonzero()
            first = tuple(bad[0].tolist())
            raise ExplanationError(
                f"{name}: expected finite weights, got {len(bad)} NaN in {label}, first at "
                f"{first}. Did training diverge? Lower its learning rate."
            )


def _decoder(module: Any, name: str) -> torch.Tensor:
    with inference(module):
        rows = decoder_of(module)
    if not isinstance(rows, torch.Tensor):
        raise ExplanationError(
            f"{name}: expected W_dec (k, d), decoder.weight (d, k) or get_dictionary(), found "
            "none. Return gt.Dictionary(decoder=W, encode=module.encode) instead."
        )
    if rows.ndim != 2:
        raise ExplanationError(f"{name}: expected a decoder (k, d), got {tuple(rows.shape)}.")
    return rows.detach()


def _encoder(module: Any, k: int, part: int | None) -> Callable[[torch.Tensor], torch.Tensor]:
    def encode(x: torch.Tensor) -> torch.Tensor:
        with inference(module):
            return _codes(module.encode(x), k, part)

    return encode


def _codes(out: Any, k: int, part: int | None) -> Any:
    if hasattr(out, "top_acts") and hasattr(out, "top_indices"):
        width = out.pre_acts.shape[1] if hasattr(out, "pre_acts") else k
        codes = out.top_acts.new_zeros((len(out.top_acts), width))
        return codes.scatter_(1, out.top_indices, out.top_acts)
    if isinstance(out, tuple) and part is not None:
        return out[part]
    if isinstance(out, tuple):
        raise ExplanationError(
            f"encode: expected codes (n, {k}), got a tuple of {len(out)}. Which part is the codes "
            "cannot be told; pass gt.Dictionary(decoder=..., encode=lambda x: module.encode(x)[0])."
        )
    return out


def _decoding(module: Any) -> Callable[[Any], Any] | None:
    own = decode_of(module)
    if own is None:
        return None

    def decode(codes: Any) -> Any:
        with inference(module):
            return own(codes)

    return decode
