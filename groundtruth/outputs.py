"""An explanation as arrays: its decoder, and its codes on the data that scores.

`take_outputs` is the only place where a method's encode runs for scoring. It runs in inference
mode on copies of the activations, and everything that comes back is checked and copied.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp

from groundtruth import arrays, guard
from groundtruth.errors import ExplanationError, GroundtruthError, MemoryRefused, MethodError
from groundtruth.explanation import Dictionary
from groundtruth.score_data import PARTS, ScoreData
from groundtruth.slabs import Slabs

BATCH_DEPENDENT = "batch_dependent"
NONDETERMINISTIC = "nondeterministic"
MUTATES_INPUT = "mutates_input"

FLAGS = {
    BATCH_DEPENDENT: (
        "codes of a sample depend on the other samples in its batch; scores hold for batches of "
        "1,024 only. Score the inference-mode encoder (a global threshold) instead."
    ),
    NONDETERMINISTIC: "two calls of encode on the same samples gave different codes.",
    MUTATES_INPUT: "encode changes its input in place (it was given a copy).",
}

_LARGEST = 1e150  # squares of larger numbers, summed over samples, leave the range of a double
MEMORY_LIMIT = 8 << 30
"""Bytes that the codes of one explanation may take."""

# Multiplications of one block, from which codes @ decoder may be taken in float32; fewer take
# milliseconds.
_SHORT_ABOVE = 1e7
_SHORT_ERROR = 1e-5

_PROBE = 256  # rows on which encode is called again to see whether codes are stable


@dataclass(frozen=True)
class Outputs:
    """What an explanation says, as arrays.

    Fields:
        decoder: (k, d) float64.
        bias: (d,).
        signed: whether codes may be negative.
        select, score, positives: codes (n, k) CSR on the three parts; None if not claimed.
        reconstruction: (n_score, d) on `score`; None if there are no codes.
        flags: names from `FLAGS`, and "changed <global state>".
    """

    decoder: np.ndarray
    bias: np.ndarray
    signed: bool = False
    select: sp.csr_array | None = None
    score: sp.csr_array | None = None
    positives: sp.csr_array | None = None
    reconstruction: np.ndarray | None = None
    flags: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        return self.decoder.shape[0]


def take_outputs(
    dictionary: Dictionary, data: ScoreData, *, tick: Callable[[], None] | None = None
) -> Outputs:
    """The arrays of `dictionary` on `data`.

    Args:
        tick: called after each block, for progress.

    Raises:
        ExplanationError: codes or reconstruction of the wrong shape, not finite, not floating
            point, or negative where `signed` is False.
        MethodError: encode or decode raised; the cause is chained.
    """
    dictionary.check_width(data.truth.d)
    if dictionary.encode is None:
        return Outputs(dictionary.decoder, dictionary.bias, dictionary.signed)
    encoder = _Encoder(dictionary)
    with guard.restored() as changed, _inference_mode(dictionary.encode):
        chunks = {part: data.chunks(part) for part in PARTS}
        first = next(chunks["select"])
        probed, flags = encoder.probe(first[0][:_PROBE])
        _check_memory(probed, data)
        # Drawing the first block costs as much as any other: it is taken up again.
        chunks["select"] = chain([first], chunks["select"])
        codes: dict[str, sp.csr_array] = {}
        reconstruction = np.empty((data.scoring.n_score, dictionary.d))
        for part in PARTS:
            blocks, done = [], 0
            for x, _ in chunks[part]:
                blocks.append(encoder.codes(x, part))
                if part == "score":
                    encoder.reconstruct(blocks[-1], x, reconstruction[done : done + len(x)])
                    done += len(x)
                if tick is not None:
                    tick()
            codes[part] = _stack(blocks, dictionary.k)
    flags += [f"changed {name}" for name in changed]
    return Outputs(
        dictionary.decoder,
        dictionary.bias,
        dictionary.signed,
        reconstruction=reconstruction,
        flags=tuple(flags),
        **codes,
    )


def codes_of(dictionary: Dictionary, x: np.ndarray) -> sp.csr_array:
    """Codes CSR (n, k) of activations x (n, d), in inference mode and checked.

    Raises:
        ExplanationError, MethodError: see `take_outputs`; or no codes are claimed.
    """
    if dictionary.encode is None:
        raise ExplanationError("encode: expected a function, got None: no codes are claimed.")
    with _inference_mode(dictionary.encode):
        return _Encoder(dictionary).codes(x, "given")


def linear_outputs(
    decoder: np.ndarray,
    bias: np.ndarray,
    select: sp.csr_array,
    score: sp.csr_array,
    positives: sp.csr_array,
    *,
    signed: bool = False,
) -> Outputs:
    """Outputs of codes that are already at hand, with x_hat = codes @ decoder + bias."""
    reconstruction = np.asarray(score.astype(np.float64) @ decoder + bias)
    return Outputs(decoder, bias, signed, select, score, positives, reconstruction)


def dense_to_csr(codes: np.ndarray) -> sp.csr_array:
    """CSR of a dense (n, k) array, a latent firing where the code is not 0."""
    n, k = codes.shape
    # Of a mask: on floats, flatnonzero takes ten times as long.
    flat = np.flatnonzero(codes != 0)
    start = np.searchsorted(flat, np.arange(n + 1) * k)
    columns = (flat % max(1, k)).astype(np.int32)
    out = sp.csr_array((codes.ravel()[flat], columns, start), codes.shape)
    out.has_sorted_indices = True
    return out


def _check_memory(probe: sp.csr_array, data: ScoreData) -> None:
    """Refuse codes that would not fit, before they are taken."""
    rows = data.scoring.n_select + data.scoring.n_score + len(data.forced)
    l0 = probe.nnz / max(1, probe.shape[0])
    # A value and an index for each firing, and the same again while scores are computed.
    needed = int(2 * 12 * l0 * rows)
    if needed > MEMORY_LIMIT:
        raise MemoryRefused(
            f"codes: {l0:,.0f} latents fire per sample, so {rows:,} samples need about "
            f"{needed / 2**30:.1f} GiB; the limit is {MEMORY_LIMIT / 2**30:.0f} GiB. Score fewer: "
            "scoring=gt.Scoring(n_select=2000, n_score=4000, n_positives=20)."
        )


class _Encoder:
    """Calls encode and decode with the array kind they take, and checks what comes back."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        others = [k for k in ("torch", "numpy") if k != dictionary.kind]
        self._kinds: list[Any] = [dictionary.kind, *others]
        self._last: Any = None

    def codes(self, x: np.ndarray, part: str) -> sp.csr_array:
        """encode(x) as CSR (n, k)."""
        raw = self._call("encode", self.dictionary.encode, x)
        return self._checked(raw, len(x), part)

    def reconstruct(self, codes: sp.csr_array, x: np.ndarray, out: np.ndarray) -> None:
        """x_hat (n, d) of the codes of activations x (n, d), written to `out`."""
        claim = self.dictionary
        if claim.decode is None:
            with np.errstate(over="ignore", invalid="ignore"):
                self._decoder.decode(codes, x, out)
            _check_range("codes @ decoder + bias", out)
            return
        raw = arrays.to_numpy("decode", self._call("decode", claim.decode, codes.toarray()))
        if raw.shape != out.shape:
            raise ExplanationError(f"decode: expected shape {out.shape}, got {raw.shape}.")
        out[:] = raw
        _check_range("decode", out)

    @cached_property
    def _decoder(self) -> _Decoder:
        return _Decoder(self.dictionary.decoder, self.dictionary.bias)

    def probe(self, x: np.ndarray) -> tuple[sp.csr_array, list[str]]:
        """Codes of x, and flags of an encode whose codes are not a function of the sample alone."""
        flags = []
        mutated: list[bool] = []

        def watched(argument: Any) -> Any:
            before = arrays.to_numpy("x", argument).copy()
            out = self.dictionary.encode(argument)  # type: ignore[misc]
            mutated.append(not np.array_equal(before, arrays.to_numpy("x", argument)))
            return out

        first = self._checked(self._call("encode", watched, x), len(x), "select")
        if mutated[-1]:
            flags.append(MUTATES_INPUT)
        again = self.codes(x, "select")
        if _differ(first, again):
            return first, [*flags, NONDETERMINISTIC]
        cut = min(7, len(x) - 1)
        if cut > 0:
            parts = [self.codes(x[:cut], "select"), self.codes(x[cut:], "select")]
            if _differ(first, _stack(parts, self.dictionary.k)):
                flags.append(BATCH_DEPENDENT)
        return first, flags

    def _call(self, label: str, function: Any, array: np.ndarray) -> Any:
        failures: list[Exception] = []
        for kind in self._kinds:
            # A copy: an encode that edits its input must not edit the data.
            argument = arrays.from_numpy(array.copy(), kind, self._like(kind))
            try:
                with _no_grad():
                    out = function(argument)
            except GroundtruthError:
                raise
            except (TypeError, AttributeError) as error:
                failures.append(error)
                continue
            except (Exception, SystemExit) as error:
                raise MethodError(f"{label} raised {type(error).__name__}: {error}") from error
            self._kinds = [kind]
            # Held until the next call: with all of a block's arrays freed at once, the allocator
            # gives their memory back to the system, and getting it again costs a fifth of encode.
            self._last = out
            return out
        error = failures[0]
        raise MethodError(f"{label} raised {type(error).__name__}: {error}") from error

    def _like(self, kind: str) -> Any:
        return self.dictionary.like if kind == "torch" else None

    def _checked(self, raw: Any, n: int, part: str) -> sp.csr_array:
        k = self.dictionary.k
        if raw is None or isinstance(raw, (dict, str)):
            raise ExplanationError(
                f"encode: expected codes (n, {k}) as an array, got {type(raw).__name__}."
            )
        if sp.issparse(raw):
            out = sp.csr_array(raw)
            arrays.to_numpy("encode", out.data)  # refuses integers and complex numbers
            out.sum_duplicates()
            out.eliminate_zeros()
        else:
            dense = arrays.to_numpy("encode", raw)
            if dense.ndim != 2:
                raise ExplanationError(f"encode: expected shape ({n}, {k}), got {dense.shape}.")
            out = dense_to_csr(dense)
        if out.shape != (n, k):
            hint = " Codes look transposed." if out.shape == (k, n) else ""
            raise ExplanationError(
                f"encode: expected shape ({n}, {k}) for {n} samples and {k} latents, got "
                f"{out.shape}.{hint}"
            )
        self._check_values(out, part)
        return out.copy()

    def _check_values(self, codes: sp.csr_array, part: str) -> None:
        bad = np.flatnonzero(~np.isfinite(codes.data))
        if bad.size:
            row = int(np.searchsorted(codes.indptr, bad[0], side="right") - 1)
            raise ExplanationError(
                f"encode: expected finite codes, got {codes.data[bad[0]]} ({bad.size} of them), "
                f"first at sample {row} of its block, latent {codes.indices[bad[0]]}, on the "
                f"{part} data."
            )
        if float(np.abs(codes.data).max(initial=0.0)) > _LARGEST:
            at = int(np.abs(codes.data).argmax())
            raise ExplanationError(
                f"encode: expected codes of size at most {_LARGEST:g}, got {codes.data[at]:.4g} "
                f"for latent {codes.indices[at]}, on the {part} data. Move the scale into the "
                "decoder."
            )
        if not self.dictionary.signed and np.any(codes.data < 0):
            at = int(np.argmin(codes.data))
            raise ExplanationError(
                f"encode: expected codes >= 0, got {codes.data[at]:.4g} for latent "
                f"{codes.indices[at]}. If negative codes are meant, pass "
                "gt.Dictionary(..., signed=True); otherwise apply the activation function."
            )


class _Decoder:
    """codes @ decoder + bias, in float32 where that is faster and costs no digit of a score.

    A float32 sum of m terms is off by about sqrt(m) 2^-24 of the sum of their sizes: much, where
    terms cancel or carry a large constant. It is kept only if for every sample this is at most
    `_SHORT_ERROR` of the deviation of x, on which explained variance rests, and of the length of
    x_hat, on which cosines and norm ratios do. Scores are off by far less than the one part in
    100,000 that is left, because the errors have no sign in common with what they add to.

    Source: Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019,
    https://doi.org/10.1137/18M1226312
    """

    def __init__(self, rows: np.ndarray, bias: np.ndarray) -> None:
        self.rows, self.bias, self._short = rows, bias, Slabs(rows)

    def decode(self, codes: sp.csr_array, x: np.ndarray, out: np.ndarray) -> None:
        """x_hat (n, d) of codes (n, k), written to `out`; x (n, d) are the activations."""
        large = codes.nnz * self.rows.shape[1] >= _SHORT_ABOVE
        if large and codes.dtype == np.float32 and self._lengths.max() < 1e30:
            np.add(self._short.product(codes), self.bias, out=out)
            if self._suffices(codes, x, out):
                return
        np.add(codes.astype(np.float64) @ self.rows, self.bias, out=out)

    def _suffices(self, codes: sp.csr_array, x: np.ndarray, x_hat: np.ndarray) -> bool:
        sizes = abs(codes) @ self._lengths
        # Numbers below 1e-37 have fewer digits, or none.
        error = np.sqrt(np.diff(codes.indptr)) * (2**-24 * sizes + 1e-36)
        deviation = np.linalg.norm(x[::8].std(axis=0, dtype=np.float64))
        allowed = _SHORT_ERROR * np.minimum(deviation, np.linalg.norm(x_hat, axis=1))
        return bool((error <= allowed).all() and sizes.max() < 1e37)

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.linalg.norm(self.rows, axis=1)


def _check_range(name: str, x_hat: np.ndarray) -> None:
    largest = max(float(x_hat.max(initial=0.0)), -float(x_hat.min(initial=0.0)))
    if not np.isfinite(largest):
        arrays.check_finite(name, x_hat)
    if largest > _LARGEST:
        raise ExplanationError(
            f"{name}: expected a reconstruction of size at most {_LARGEST:g}, got {largest:.4g}. "
            "Do codes and decoder have the scale of the activations?"
        )


def _differ(first: sp.csr_array, second: sp.csr_array) -> bool:
    """Whether codes differ by more than round-off: in over 0.1 % of the firings."""
    scale = np.abs(first.data).max(initial=0.0)
    gap = abs(first - second)
    return int((gap.data > 1e-3 * scale).sum()) > 1e-3 * max(first.nnz, second.nnz)


def _stack(blocks: list[sp.csr_array], k: int) -> sp.csr_array:
    if not blocks:
        return sp.csr_array((0, k), dtype=np.float32)
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def _no_grad() -> Any:
    torch = sys.modules.get("torch")
    return contextlib.nullcontext() if torch is None else torch.no_grad()


@contextlib.contextmanager
def _inference_mode(encode: Any) -> Iterator[None]:
    """If `encode` is a torch module's method (or a module), that module in eval mode."""
    owner = getattr(encode, "__self__", encode)
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(owner, torch.nn.Module) or not owner.training:
        yield
        return
    owner.eval()
    try:
        yield
    finally:
        owner.train()
