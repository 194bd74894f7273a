"""TopK: the `l0` largest pre-activations of each sample stay, all others are 0."""

from __future__ import annotations

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.sae import SAE, check_l0, check_width, fit
from groundtruth.methods.support import Support, reconstruct
from groundtruth.methods.trainer import Progress, Training
from groundtruth.testbed import ActivationSubject


class TopK:
    """relu of the `l0` largest pre-activations of each row; fewer if fewer are positive."""

    def __init__(self, l0: int, dead: DeadLatents) -> None:
        self.l0, self.dead = l0, dead

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            pre = sae.pre(x)
            support = self._support(pre)
        return selected_loss(sae, x, pre, support, self.dead)

    def _support(self, pre: torch.Tensor) -> Support:
        n, k = pre.shape
        cols = pre.topk(self.l0, dim=1, sorted=False).indices
        first = torch.arange(n, device=pre.device)
        rows = first.repeat_interleave(self.l0)
        flat = rows * k + cols.view(-1)
        return Support(rows, cols.reshape(-1), first * self.l0, flat)

    def codes(self, pre: torch.Tensor) -> torch.Tensor:
        top = pre.topk(self.l0, dim=1, sorted=False)
        return torch.zeros_like(pre).scatter_(1, top.indices, top.values.relu())

    def rescale(self, factor: float) -> None:
        """Nothing to do: which latents are largest does not depend on units."""


def selected_loss(
    sae: SAE, x: torch.Tensor, pre: torch.Tensor, support: Support, dead: DeadLatents
) -> torch.Tensor:
    """E |x - x_hat|^2 with the support given, plus the loss for dead latents."""
    centred = sae.centred(x)
    weights = (sae.W_enc, sae.b_enc, sae.W_dec)
    residual = x - sae.b_dec - reconstruct(centred, pre, support, weights)
    loss = residual.square().sum(1).mean()
    dead.see(support.cols, len(x))
    extra = dead.loss(centred, residual, sae)
    return loss if extra is None else loss + extra


def topk(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: int | None = None,
    n_samples: int = 500_000,
    batch_size: int = 512,
    lr: float = 2e-2,
    device: str | None = None,
    progress: Progress | None = None,
) -> Dictionary:
    """A TopK sparse autoencoder.

    codes = relu(TopK((x - b_dec) W_enc^T + b_enc)); loss = E |x - x_hat|^2 + dead-latent loss.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: active latents per sample, whole; None is max(1, round(d / 10)).
        n_samples, batch_size, lr, device, progress: see `Training` and `train`.

    Raises:
        InputError: a parameter out of range.
        MethodError: training diverged.

    Source: Gao et al., "Scaling and evaluating sparse autoencoders", 2024,
    https://arxiv.org/abs/2406.04093
    """
    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    if active != int(active):
        raise reject("l0", l0, "a whole number", "For a mean that is not whole use batchtopk.")
    training = Training(n_samples=n_samples, batch_size=batch_size, lr=lr, device=device)
    sparsity = TopK(int(active), DeadLatents(width))
    return fit(subject, sparsity, training, seed=seed, width=width, name="topk", progress=progress)
