"""A few rows through an encoder and a decoder before they are scored: shapes, orientation, and
whether decoding is what decoder and bias say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError, GroundtruthError

ROWS = 3  # differs from most k and d, so that a mixed-up axis shows

Function = Callable[[Any], Any]
FIX = "Pass gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it is now."


def nonlinear_decode(
    name: str,
    decoder: np.ndarray,
    bias: np.ndarray | None,
    encode: Function,
    decode: Function | None,
    feed: Function,
) -> Function | None:
    """`decode` if it is not codes @ decoder + bias; None if that says it all.

    Args:
        decoder: (k, d) float.
        bias: (d,), or None for zeros.
        feed: float32 numpy array -> the array that `encode` and `decode` take.

    Raises:
        ExplanationError: encode or decode fails, codes have the wrong shape, or the decoder is
            transposed. For k = d that shows only if there is a `decode` to compare with.
    """
    k, d = decoder.shape
    # Not negative: some encoders (non-negative factorisations) refuse anything below 0.
    rng = np.random.default_rng(0)
    x, wide, codes = (rng.random((ROWS, n), dtype=np.float32) for n in (d, k, k))
    try:
        _check_codes(name, encode(feed(x)), k)
    except GroundtruthError:
        if _is_transposed(encode, feed(wide), k, d):
            raise _transposed(name, k, d) from None
        raise
    except Exception as error:
        if _is_transposed(encode, feed(wide), k, d):
            raise _transposed(name, k, d) from error
        raise ExplanationError(
            f"{name}: encode failed on activations ({ROWS}, {d}): {type(error).__name__}: {error}"
        ) from error
    if decode is None:
        return None
    claimed = _decoded(name, decode, feed(codes))
    offset = 0 if bias is None else bias
    if _close(claimed, codes @ decoder + offset):
        return None
    if k == d and _close(claimed, codes @ decoder.T + offset):
        raise ExplanationError(
            f"{name}: expected a decoder (k, d) with one row per latent, got its transpose: "
            f"k = d = {d}, and decode(codes) is codes @ W.T + bias, not codes @ W + bias. {FIX}"
        )
    return decode


def _check_codes(name: str, codes: Any, k: int) -> None:
    shape = tuple(getattr(codes, "shape", ()))
    if shape != (ROWS, k):
        raise ExplanationError(
            f"{name}: expected codes ({ROWS}, {k}) for {ROWS} activations and {k} decoder rows, "
            f"got {shape or type(codes).__name__}."
        )


def _is_transposed(encode: Function, wide: Any, k: int, d: int) -> bool:
    """Whether encode takes rows of width k and gives d codes."""
    try:
        return k != d and tuple(encode(wide).shape) == (ROWS, d)
    except Exception:
        return False  # then it is wrong in another way, which the caller's own error tells


def _transposed(name: str, k: int, d: int) -> ExplanationError:
    return ExplanationError(
        f"{name}: expected a decoder (k, d) with one row per latent, got ({k}, {d}); but encode "
        f"takes activations of width {k} and gives {d} codes: the decoder is transposed. {FIX}"
    )


def _decoded(name: str, decode: Function, codes: Any) -> Any:
    try:
        return decode(codes)
    except Exception as error:
        raise ExplanationError(
            f"{name}: decode failed on codes {tuple(codes.shape)}: {type(error).__name__}: {error}"
        ) from error


def _close(claimed: Any, linear: np.ndarray) -> bool:
    # Half precision rounds each of k products; float32 is far inside this.
    near = 1e-4 if claimed.dtype.itemsize >= 4 else 3e-2
    x_hat = arrays.to_numpy("decode", claimed)
    size = np.abs(linear).max() + 1e-12
    return x_hat.shape == linear.shape and bool(np.abs(x_hat - linear).max() <= near * size)
