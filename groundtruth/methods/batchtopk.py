"""BatchTopK: the n l0 largest pre-activations of a batch of n stay; a threshold at inference."""

from __future__ import annotations

from typing import Any

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.sae import SAE, check_l0, check_width, fit, given_rows
from groundtruth.methods.support import support_of
from groundtruth.methods.topk import selected_loss
from groundtruth.methods.trainer import Progress, Training
from groundtruth.testbed import ActivationSubject

MEMORY = 0.98  # per step; the threshold averages the last 50 or so batches


class BatchTopK:
    """In training, the n l0 largest positive pre-activations of the batch; then those above
    `threshold`, the running mean of the smallest one kept."""

    def __init__(self, l0: float, dead: DeadLatents) -> None:
        self.l0, self.dead = l0, dead
        self.threshold = 0.0
        self._sum, self._weight = 0.0, 0.0

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            pre = sae.pre(x)
            kept = self._keep(pre.view(-1), max(1, round(self.l0 * len(x))))
            support = support_of(kept, *pre.shape)
        return selected_loss(sae, x, pre, support, self.dead)

    def _keep(self, pre: torch.Tensor, count: int) -> torch.Tensor:
        """Ascending indices of the `count` largest positive entries."""
        # The answer is nearly always above half the last threshold, and few entries are.
        index = (pre > self.threshold / 2).nonzero().view(-1)
        if len(index) < count:
            index = (pre > 0).nonzero().view(-1)
        values = pre[index]
        if len(index) > count:
            least = values.kthvalue(len(index) - count + 1).values
            index, values = index[values >= least], values[values >= least]
        if len(values):
            self._note(values.min().item())
        return index

    def _note(self, least: float) -> None:
        self._sum = MEMORY * self._sum + (1 - MEMORY) * least
        self._weight = MEMORY * self._weight + (1 - MEMORY)
        self.threshold = self._sum / self._weight

    def codes(self, pre: torch.Tensor) -> torch.Tensor:
        return pre * (pre > self.threshold)

    def rescale(self, factor: float) -> None:
        self.threshold *= factor


def batchtopk(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    decoder: Any = None,
    n_samples: int = 500_000,
    batch_size: int = 512,
    lr: float = 2e-2,
    device: str | None = None,
    progress: Progress | None = None,
) -> Dictionary:
    """A BatchTopK sparse autoencoder.

    codes = z [z > t] with z = (x - b_dec) W_enc^T + b_enc and t = E min{kept z}, the mean over
    the last training batches, so that the codes of a sample do not depend on its batch.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d, or the rows of `decoder`.
        l0: mean active latents per sample; None is max(1, round(d / 10)).
        decoder: (k, d) directions that stay as they are (as unit rows); only the encoder and the
            biases are trained.
        n_samples, batch_size, lr, device, progress: see `Training` and `train`.

    Raises:
        InputError: a parameter out of range, or `decoder` of another shape.
        MethodError: training diverged.

    Source: Bussmann et al., "BatchTopK Sparse Autoencoders", 2024,
    https://arxiv.org/abs/2412.06410
    """
    if decoder is not None:
        rows = len(given_rows(decoder, subject.d))
        if width is not None and width != rows:
            raise reject("width", width, f"None or {rows}, the rows of decoder")
        width = rows
    width = check_width(width, subject.d)
    sparsity = BatchTopK(check_l0(l0, subject.d, width), DeadLatents(width))
    training = Training(
        n_samples=n_samples,
        batch_size=batch_size,
        lr=lr,
        frozen=() if decoder is None else ("W_dec",),
        device=device,
    )
    return fit(
        subject,
        sparsity,
        training,
        seed=seed,
        width=width,
        name="batchtopk",
        decoder=decoder,
        progress=progress,
    )
