"""The sparse autoencoder: weights, and a `Sparsity` that says which latents are active.

One variant is one `Sparsity`, in a file of its own: `relu.py`, `topk.py`, `batchtopk.py`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import linear

from groundtruth import arrays, seeds
from groundtruth.errors import InputError, reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.trainer import Progress, Training, train
from groundtruth.testbed import ActivationSubject


class Sparsity(Protocol):
    """What makes one variant differ from another."""

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        """The training loss on a batch (n, d)."""
        ...

    def codes(self, pre: torch.Tensor) -> torch.Tensor:
        """Codes (n, k) for pre-activations (n, k); row i depends on row i alone."""
        ...

    def rescale(self, factor: float) -> None:
        """Multiply every threshold that is in activation units."""
        ...


class SAE(torch.nn.Module):
    """codes = sparsity((x - b_dec) W_enc^T + b_enc); x_hat = codes W_dec + b_dec.

    Args:
        W_dec: (k, d) starting decoder, rows of length 1; the encoder starts as its copy.
        sparsity: the variant.
    """

    def __init__(self, W_dec: torch.Tensor, sparsity: Sparsity) -> None:
        super().__init__()
        k, d = W_dec.shape
        self.sparsity = sparsity
        self.W_enc = torch.nn.Parameter(W_dec.clone())
        self.b_enc = torch.nn.Parameter(W_dec.new_zeros(k))
        self.W_dec = torch.nn.Parameter(W_dec.clone())
        self.b_dec = torch.nn.Parameter(W_dec.new_zeros(d))

    def centred(self, x: torch.Tensor) -> torch.Tensor:
        """x - b_dec. The encoder takes b_dec as given: its gradient comes from the decoder alone,
        since b_enc can learn the same shift and the extra product would cost a quarter more."""
        return x - self.b_dec.detach()

    def pre(self, x: torch.Tensor) -> torch.Tensor:
        """Pre-activations (n, k)."""
        return linear(self.centred(x), self.W_enc, self.b_enc)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Codes (n, k) in inference mode."""
        with torch.no_grad():
            return self.sparsity.codes(self.pre(x))

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """x_hat (n, d)."""
        return codes @ self.W_dec + self.b_dec

    def start(self, x: torch.Tensor) -> None:
        self.b_dec.data.copy_(x.mean(0))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.sparsity.loss(self, x)

    def after_step(self) -> None:
        if self.W_dec.requires_grad:
            rows = self.W_dec.data
            rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12))

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


def fit(
    subject: ActivationSubject,
    sparsity: Sparsity,
    training: Training,
    *,
    seed: int,
    width: int,
    name: str,
    decoder: Any = None,
    progress: Progress | None = None,
) -> Dictionary:
    """Train an SAE of `width` latents from random unit rows, or on a frozen `decoder`."""
    generator = torch.Generator().manual_seed(init_seed(name, seed))
    if decoder is None:
        rows = unit_rows(torch.randn(width, subject.d, generator=generator))
    else:
        rows = given_rows(decoder, subject.d)
    sae = SAE(rows.to(training.device), sparsity)
    train(sae, subject, training, seed=seed, progress=progress)
    sae.requires_grad_(False)
    return sae.dictionary(name)


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


def check_l0(l0: float | None, d: int, width: int) -> float:
    """`l0`, or the default max(1, round(d / 10)); at most `width`."""
    if l0 is None:
        return float(min(max(1, round(d / 10)), width))
    if isinstance(l0, bool) or not isinstance(l0, (int, float, np.number)) or not 0 < l0 <= width:
        raise reject("l0", l0, f"a number above 0 and at most the width {width}")
    return float(l0)
