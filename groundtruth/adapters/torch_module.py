"""Torch modules with an encoder and a decoder as dictionaries, whatever library made them.

Read by shape and name, so that no such library is imported: sae_lens, sparsify (`W_dec`),
dictionary_learning (`decoder.weight`) and overcomplete (`get_dictionary()`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary

PROBE_ROWS = 3  # differs from most k and d, so that a mixed-up axis shows


def from_module(module: Any, *, signed: bool = False, name: str | None = None) -> Dictionary:
    """What a torch module claims: its decoder, its codes in inference mode, its bias.

    Decoder, the first there is: `W_dec` (k, d); `get_dictionary()` (k, d); `decoder.weight`
    (d, k), transposed. Bias: `b_dec`, `decoder.bias`, `bias`, where its shape is (d,); else 0.
    Codes: `encode(x)`, under `eval()` and `no_grad()`, with the training flags put back after.
    It may return the codes; a tuple (pre-activations, codes); or an object with `top_acts` and
    `top_indices`. If `decode(codes)` is not codes @ decoder + bias, it is claimed as well.

    Args:
        signed: whether codes may be negative.
        name: shown in tables; None is the class name.

    Raises:
        ExplanationError: no decoder, no encode, or codes of the wrong shape.

    Example:
        >>> class Tied(torch.nn.Module):
        ...     W_dec = torch.eye(3)
        ...     def encode(self, x):
        ...         return torch.relu(x @ self.W_dec.T)
        >>> from_module(Tied())
        Dictionary('Tied', k=3, d=3, signed=False)
    """
    name = type(module).__name__ if name is None else name
    decoder = _decoder(module, name)
    if not callable(getattr(module, "encode", None)):
        raise ExplanationError(
            f"{name}: expected a method encode(x), found none. "
            "Return gt.Dictionary(decoder=W, encode=function) instead."
        )
    encode = _encoder(module, len(decoder))
    bias = _bias(module, decoder.shape[1])
    decode = _probe(module, name, decoder, bias, encode)
    return Dictionary(decoder, encode, bias, decode, signed=signed, name=name)


@contextmanager
def inference(module: Any) -> Iterator[None]:
    """`eval()` and `no_grad()` inside; every submodule's own training flag outside."""
    flags = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, flag in flags:
            part.training = flag


def _decoder(module: Any, name: str) -> torch.Tensor:
    if isinstance(getattr(module, "W_dec", None), torch.Tensor):
        rows = module.W_dec
    elif callable(getattr(module, "get_dictionary", None)):
        with inference(module):
            rows = module.get_dictionary()
    elif isinstance(getattr(getattr(module, "decoder", None), "weight", None), torch.Tensor):
        rows = module.decoder.weight.T
    else:
        raise ExplanationError(
            f"{name}: expected W_dec (k, d), decoder.weight (d, k) or get_dictionary(), found "
            "none. Return gt.Dictionary(decoder=W, encode=module.encode) instead."
        )
    if rows.ndim != 2:
        raise ExplanationError(f"{name}: expected a decoder (k, d), got {tuple(rows.shape)}.")
    return rows.detach()


def _bias(module: Any, d: int) -> torch.Tensor | None:
    decoder = getattr(module, "decoder", None)
    for owner, attribute in ((module, "b_dec"), (decoder, "bias"), (module, "bias")):
        value: Any = getattr(owner, attribute, None)
        if isinstance(value, torch.Tensor) and value.shape == (d,):
            return value.detach()
    return None


def _encoder(module: Any, k: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def encode(x: torch.Tensor) -> torch.Tensor:
        with inference(module):
            return _codes(module.encode(x), k)

    return encode


def _codes(out: Any, k: int) -> Any:
    if hasattr(out, "top_acts") and hasattr(out, "top_indices"):
        codes = out.top_acts.new_zeros((len(out.top_acts), k))
        return codes.scatter_(1, out.top_indices, out.top_acts)
    if isinstance(out, tuple) and len(out) == 2:
        return out[1]
    return out


def _probe(
    module: Any,
    name: str,
    decoder: torch.Tensor,
    bias: torch.Tensor | None,
    encode: Callable[[torch.Tensor], Any],
) -> Callable[[Any], Any] | None:
    """Check `encode` on a few rows; return `decode` if it is not what decoder and bias say."""
    k, d = decoder.shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(PROBE_ROWS, d, generator=generator).to(decoder)
    try:
        codes = encode(x)
    except RuntimeError as error:
        raise ExplanationError(
            f"{name}: encode failed on activations ({PROBE_ROWS}, {d}): {error}. "
            f"If activations have width {k}, the decoder is transposed: rows are latents, (k, d)."
        ) from error
    shape = tuple(getattr(codes, "shape", ()))
    if shape != (PROBE_ROWS, k):
        raise ExplanationError(
            f"{name}: expected codes ({PROBE_ROWS}, {k}) for {PROBE_ROWS} activations and {k} "
            f"decoder rows, got {shape or type(codes).__name__}."
        )
    if not _takes_codes(getattr(module, "decode", None)):
        return None
    dense = torch.rand(PROBE_ROWS, k, generator=generator).to(decoder)
    with inference(module):
        claimed = module.decode(dense)
    linear = dense @ decoder + (0 if bias is None else bias)
    # Half precision rounds each of k products; float32 is far inside this.
    near = 1e-4 if decoder.dtype in (torch.float32, torch.float64) else 3e-2
    size = linear.abs().max().item() + 1e-12
    if tuple(claimed.shape) == (PROBE_ROWS, d) and (claimed - linear).abs().max() <= near * size:
        return None
    return _decoding(module)


def _takes_codes(decode: Any) -> bool:
    """Whether `decode` needs exactly one argument (sparsify's needs values and indices)."""
    if not callable(decode):
        return False
    needed = [
        p
        for p in inspect.signature(decode).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) == 1


def _decoding(module: Any) -> Callable[[Any], Any]:
    def decode(codes: Any) -> Any:
        with inference(module):
            return module.decode(codes)

    return decode
