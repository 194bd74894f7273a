"""The sparse autoencoder: weights, and a `Sparsity` that says which latents are active.

One variant is one `Sparsity`, in a file of its own: `relu.py`, `topk.py`, `batchtopk.py`, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear

from groundtruth import arrays, seeds
from groundtruth.errors import InputError, reject
from groundtruth.explanation import Dictionary


class Sparsity(torch.nn.Module):
    """What makes one variant differ from another. What it learns or counts is in its state."""

    def plan(self, n_samples: int) -> None:
        """Told before training how many samples there will be."""

    def begin(self, sae: SAE, x: torch.Tensor) -> None:
        """Set starting values from the first activations (n, d)."""

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        """The training loss on a batch (n, d)."""
        raise NotImplementedError

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:
        """Codes (n, k) for pre-activations (n, k); row i depends on row i alone."""
        raise NotImplementedError

    def rescale(self, factor: float) -> None:
        """Multiply every threshold that is in activation units."""

    def restart(self, dead: torch.Tensor) -> None:
        """Set what belongs to the latents `dead` (indices) to where a living one could begin."""

    def after_step(self, sae: SAE, optimizer: torch.optim.Adam) -> None:
        """What has to happen between steps, such as resampling dead latents."""


class SAE(torch.nn.Module):
    """codes = sparsity((x - b_dec) W_enc^T + b_enc); x_hat = codes W_dec + b_dec.

    Args:
        W_dec: (k, d) starting decoder, rows of length 1; the encoder starts as its copy.
        sparsity: the variant.
        tied: one matrix serves as both.
        hold: least cosine between each decoder row and its start; None: rows turn freely.
    """

    def __init__(
        self,
        W_dec: torch.Tensor,
        sparsity: Sparsity,
        *,
        tied: bool = False,
        hold: float | None = None,
    ) -> None:
        super().__init__()
        k, d = W_dec.shape
        self.sparsity, self.hold = sparsity, hold
        self.W_dec = torch.nn.Parameter(W_dec.clone())
        self.W_enc = self.W_dec if tied else torch.nn.Parameter(W_dec.clone())
        self.b_enc = torch.nn.Parameter(W_dec.new_zeros(k))
        self.b_dec = torch.nn.Parameter(W_dec.new_zeros(d))
        self.W_start: torch.Tensor | None
        self.register_buffer("W_start", None if hold is None else W_dec.clone())
        self._held: dict[str, torch.Tensor] = {}

    def centred(self, x: torch.Tensor) -> torch.Tensor:
        """x - b_dec. The encoder takes b_dec as given: its gradient comes from the decoder alone,
        since b_enc can learn the same shift and the extra product would cost a quarter more."""
        return x - self.b_dec.detach()

    def target(self, x: torch.Tensor) -> torch.Tensor:
        """What x_hat is compared with: x itself."""
        return x

    def pre(self, x: torch.Tensor) -> torch.Tensor:
        """Pre-activations (n, k)."""
        return linear(self.centred(x), self.W_enc, self.b_enc)

    @torch.no_grad()
    def pre_for_step(self, centred: torch.Tensor) -> torch.Tensor:
        """Pre-activations (n, k) of (n, d) centred activations, without gradient; valid until the
        next call. Writing into memory already held saves a quarter of the product's time."""
        shape = (len(centred), len(self.W_enc))
        held = self._held.get("pre")
        if held is None or held.shape != shape or held.device != centred.device:
            held = self._held["pre"] = centred.new_empty(shape)
        return torch.addmm(self.b_enc, centred, self.W_enc.T, out=held)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Codes (n, k) in inference mode."""
        with torch.no_grad():
            return self.sparsity.codes(self, self.pre(x))

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """x_hat (n, d)."""
        return codes @ self.W_dec + self.b_dec

    def start(self, x: torch.Tensor) -> None:
        self.b_dec.data.copy_(x.mean(0))
        self.sparsity.begin(self, x)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.sparsity.loss(self, x)

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Adam) -> None:
        self.sparsity.after_step(self, optimizer)
        if self.W_dec.requires_grad:
            _shorten(self.W_dec.data)
            if self.W_start is not None and self.hold is not None:
                _turn_back(self.W_dec.data, self.W_start, self.hold)

    def rescale(self, factor: float) -> None:
        # Every activation here is homogeneous: scaling x and all biases scales the codes.
        self.b_enc.data.mul_(factor)
        self.b_dec.data.mul_(factor)
        self.sparsity.rescale(factor)

    def dictionary(self, name: str | None = None) -> Dictionary:
        """The claim that this model makes."""
        return Dictionary(
            self.W_dec.detach(), self.encode, bias=self.b_dec.detach(), unit_norm=True, name=name
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> SAE:
        import copy

        self._held.clear()
        made = SAE.__new__(type(self))
        memo[id(self)] = made
        made.__dict__ = copy.deepcopy(self.__dict__, memo)
        return made


def _shorten(rows: torch.Tensor) -> None:
    """Rows to length 1, in place."""
    rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12))


def _turn_back(rows: torch.Tensor, start: torch.Tensor, least: float) -> None:
    """Unit rows whose cosine to `start` is below `least` go to the nearest unit row where it is
    `least`, in place: the plane that both span is kept."""
    cosine = (rows * start).sum(1, keepdim=True)
    far = cosine.view(-1) < least
    if not far.any():
        return
    aside = rows[far] - cosine[far] * start[far]
    aside /= torch.linalg.vector_norm(aside, dim=1, keepdim=True).clamp_(min=1e-12)
    rows[far] = least * start[far] + (1 - least * least) ** 0.5 * aside
    _shorten(rows)  # a row opposite to its start has no plane


def init_seed(name: str, seed: int) -> int:
    """Seed of the starting weights, apart from the stream of activations."""
    return int.from_bytes(seeds.derive(seeds.root_of(name, seed), "init")[:7], "little")


def unit_rows(rows: torch.Tensor) -> torch.Tensor:
    """`rows` divided by their lengths."""
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def given_rows(decoder: Any, d: int) -> torch.Tensor:
    """A decoder (k, d) from outside as float32 unit rows, or an error."""
    rows = arrays.to_numpy("decoder", decoder)
    if rows.ndim != 2 or rows.shape[1] != d or len(rows) == 0:
        raise reject("decoder.shape", rows.shape, f"(k, {d})", "Pass one row per latent.")
    arrays.check_finite("decoder", rows)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if np.any(lengths == 0):
        raise InputError("decoder: expected rows of length > 0, got a row of zeros.")
    return torch.from_numpy((rows / lengths).astype(np.float32))


def check_width(width: int | None, d: int) -> int:
    """`width`, or the default 4 d."""
    if width is None:
        return 4 * d
    if isinstance(width, bool) or not isinstance(width, (int, np.integer)) or width < 1:
        raise reject("width", width, "a whole number >= 1, or None for 4 d")
    return int(width)


def check_parts(parts: Sequence[int] | None, d: int) -> list[int]:
    """Widths of the spaces that lie side by side in the activations; two halves if None."""
    given = [d // 2, d - d // 2] if parts is None else parts
    given = list(given) if isinstance(given, Sequence) else []
    whole = all(isinstance(p, int) and not isinstance(p, bool) and p >= 1 for p in given)
    if not whole or sum(given) != d:
        raise reject("parts", parts, f"widths >= 1 that sum to {d}")
    return given


def check_l0(l0: float | None, d: int, width: int) -> float:
    """`l0`, or the default max(1, round(d / 10)); at most `width`."""
    if l0 is None:
        return float(min(max(1, round(d / 10)), width))
    if isinstance(l0, bool) or not isinstance(l0, (int, float, np.number)) or not 0 < l0 <= width:
        raise reject("l0", l0, f"a number above 0 and at most the width {width}")
    return float(l0)


def whole_l0(l0: float | None, d: int, width: int) -> int:
    """As `check_l0`, for variants that keep a whole number of latents."""
    active = check_l0(l0, d, width)
    if active != int(active):
        raise reject("l0", l0, "a whole number", "For a mean that is not whole use batchtopk.")
    return int(active)
