"""Any pair of an encoder and a decoder: a tuple (encode, decoder), or an object that has both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.adapters.attributes import bias_of, decode_of, decoder_of
from groundtruth.adapters.probe import nonlinear_decode
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary


def from_pair(pair: tuple[Any, ...]) -> Dictionary:
    """What (encode, decoder) or (encode, decoder, bias) claims.

    Args:
        pair: encode, x (n, d) -> codes (n, k), called with arrays of the decoder's kind; decoder
            (k, d), numpy, torch or jax; bias (d,).

    Raises:
        ExplanationError: not such a pair, codes of the wrong shape, a transposed decoder.

    Example:
        >>> from_pair((lambda x: np.maximum(x, 0), np.eye(3)))
        Dictionary(k=3, d=3, signed=False)
    """
    encode, decoder, *rest = pair
    if arrays.kind_of(decoder) is None or len(rest) > 1 or not callable(encode):
        shown = ", ".join(type(part).__name__ for part in pair)
        raise ExplanationError(
            f"pair: expected (encode, decoder) or (encode, decoder, bias), a function and arrays "
            f"(k, d) and (d,), got ({shown}). The directions claimed cannot be read off a "
            "function: pass the decoder as an array."
        )
    return _from_parts(decoder, encode, rest[0] if rest else None, None, signed=False, name=None)


def from_object(obj: Any) -> Dictionary:
    """What an object with a method encode(x) and a decoder claims.

    Decoder and bias have the names that `attributes.py` lists. If it has decode(codes) and that
    is not codes @ decoder + bias, it is claimed as well. Codes may be negative if `obj.signed`
    is True.

    Raises:
        ExplanationError: codes of the wrong shape, or a transposed decoder.

    Example:
        >>> class Tied:
        ...     components_ = np.eye(3)
        ...     def encode(self, x):
        ...         return np.maximum(x @ self.components_.T, 0)
        >>> from_object(Tied())
        Dictionary('Tied', k=3, d=3, signed=False)
    """
    decoder = decoder_of(obj)
    return _from_parts(
        decoder,
        obj.encode,
        bias_of(obj, decoder.shape[-1]),
        decode_of(obj),
        signed=getattr(obj, "signed", False) is True,
        name=type(obj).__name__,
    )


def is_encoder_decoder(obj: Any) -> bool:
    """Whether `obj` is an instance with a method encode and a decoder by one of the known names."""
    if isinstance(obj, type) or not callable(getattr(obj, "encode", None)):
        return False
    return arrays.kind_of(decoder_of(obj)) is not None


def _from_parts(
    decoder: Any,
    encode: Callable[[Any], Any],
    bias: Any,
    decode: Callable[[Any], Any] | None,
    *,
    signed: bool,
    name: str | None,
) -> Dictionary:
    if arrays.kind_of(decoder) == "jax":
        from groundtruth.adapters.jax import from_jax

        return from_jax(encode, decoder, bias, decode, signed=signed, name=name)
    plain = Dictionary(decoder, encode, bias, signed=signed, name=name)  # checks the arrays
    feed = _feeder(plain)
    decode = nonlinear_decode(name or "pair", plain.decoder, plain.bias, encode, decode, feed)
    return Dictionary(decoder, encode, bias, decode, signed=signed, name=name)


def _feeder(claim: Dictionary) -> Callable[[np.ndarray], Any]:
    """Numpy to the kind of array that encode takes: the decoder's, or else another, as when it
    is scored."""
    assert claim.encode is not None
    kinds: list[Any] = [claim.kind, "torch", "numpy"]
    x = np.zeros((1, claim.d), dtype=np.float32)
    for kind in kinds:
        try:
            claim.encode(arrays.from_numpy(x, kind, claim.like))
        except (TypeError, AttributeError):
            continue
        except Exception:
            pass  # it takes this kind, and fails on something else: for the probe to tell
        return partial(arrays.from_numpy, kind=kind, like=claim.like)
    return partial(arrays.from_numpy, kind=kinds[0], like=claim.like)
