"""What a method claims. `Dictionary`: feature directions, and codes that say when each fires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from groundtruth import arrays
from groundtruth.errors import ExplanationError


class Dictionary:
    """A claimed dictionary: x is about codes @ decoder + bias.

    Args:
        decoder: (k, d) rows are feature directions in activation space; any length, numpy, torch
            or jax.
        encode: x (n, d) -> codes (n, k), in inference mode. It is called with arrays of the kind
            that the decoder has (a torch decoder: torch tensors, on its device, in its dtype);
            if that fails with a TypeError, with the other kinds. It may return dense or scipy
            sparse codes. A latent fires where its code is not 0. None: only the decoder is
            claimed; scores that need codes are then undefined.
        bias: (d,) added to the reconstruction; zeros if None.
        decode: codes (n, k) -> x_hat (n, d) where the reconstruction is not linear; called with
            what `encode` returned, made dense.
        signed: whether codes may be negative. If not, a negative code is an error, and a decoder
            row that points the wrong way does not recover a feature.
        unit_norm: claim that decoder rows are unit vectors; checked.
        name: shown in tables.

    Raises:
        ExplanationError: wrong shapes, non-finite or non-float values, an encode that cannot be
            called, rows that are not unit though `unit_norm` says so.

    Example:
        >>> import numpy as np
        >>> claim = Dictionary(decoder=np.eye(3), encode=lambda x: x.clip(min=0))
        >>> claim.k, claim.d
        (3, 3)
    """

    def __init__(
        self,
        decoder: Any,
        encode: Callable[[Any], Any] | None = None,
        bias: Any = None,
        decode: Callable[[Any], Any] | None = None,
        *,
        signed: bool = False,
        unit_norm: bool = False,
        name: str | None = None,
    ) -> None:
        self.kind = arrays.kind_of(decoder) or "numpy"
        self.like = decoder if self.kind == "torch" else None
        if callable(decoder) and arrays.kind_of(decoder) is None:
            raise ExplanationError(
                "decoder: expected an array (k, d), got a function. "
                "Pass the directions as decoder= and the function as encode=."
            )
        rows = arrays.to_numpy("decoder", decoder).astype(np.float64)
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise ExplanationError(
                f"decoder: expected shape (k, d), got {rows.shape}. One row per latent."
            )
        if rows.shape[0] == 0:
            raise ExplanationError(
                "decoder: expected at least one latent, got k = 0. An empty dictionary claims "
                "nothing; return the rows that the method did learn."
            )
        arrays.check_finite("decoder", rows)
        if unit_norm:
            _check_unit(rows)
        self.decoder = rows
        self.decoder.setflags(write=False)
        self.bias = _bias(bias, rows.shape[1])
        for label, function in (("encode", encode), ("decode", decode)):
            if function is not None and not callable(function):
                raise ExplanationError(
                    f"{label}: expected a function or None, got {type(function).__name__}. "
                    f"Pass for example {label}=sae.{label}."
                )
        if not isinstance(signed, bool):
            raise ExplanationError(f"signed: expected True or False, got {signed!r}.")
        self.encode, self.decode = encode, decode
        self.signed, self.name = signed, name

    @property
    def k(self) -> int:
        """Latents."""
        return self.decoder.shape[0]

    @property
    def d(self) -> int:
        """Activation width."""
        return self.decoder.shape[1]

    def check_width(self, d: int) -> None:
        """Raise unless the decoder has rows of width `d`."""
        if self.d == d:
            return
        hint = (
            "The decoder looks transposed: pass decoder=W.T."
            if self.k == d
            else "Was it made for another testbed?"
        )
        raise ExplanationError(
            f"decoder: expected shape (k, {d}) for this testbed, got ({self.k}, {self.d}). {hint}"
        )

    def __repr__(self) -> str:
        label = "" if self.name is None else f"{self.name!r}, "
        return f"Dictionary({label}k={self.k}, d={self.d}, signed={self.signed})"


def _bias(bias: Any, d: int) -> np.ndarray:
    if bias is None:
        return np.zeros(d)
    array = arrays.to_numpy("bias", bias).astype(np.float64)
    if array.shape != (d,):
        raise ExplanationError(f"bias: expected shape ({d},), got {array.shape}.")
    arrays.check_finite("bias", array)
    return array


def _check_unit(rows: np.ndarray) -> None:
    norms = np.linalg.norm(rows, axis=1)
    bad = np.flatnonzero(np.abs(norms - 1) > 1e-3)
    if bad.size:
        raise ExplanationError(
            f"decoder: declared unit_norm=True, but row {bad[0]} has norm {norms[bad[0]]:.4g} "
            f"({bad.size} of {len(norms)} rows). Divide the rows by their norms (and multiply the "
            "codes), or drop unit_norm."
        )
