"""TopK: the `l0` largest pre-activations of each sample stay, all others are 0."""

from __future__ import annotations

from typing import Unpack

import torch

from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.sae import SAE, check_width, whole_l0
from groundtruth.methods.selecting import Selecting
from groundtruth.methods.support import largest_per_row
from groundtruth.testbed import ActivationSubject


class TopK(Selecting):
    """relu of the `l0` largest pre-activations of each row; fewer if fewer are positive."""

    def __init__(self, l0: int, dead: DeadLatents | None) -> None:
        super().__init__(dead)
        self.l0 = l0

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        centred = sae.centred(x)
        pre = sae.pre_for_step(centred)
        support = largest_per_row(pre, self.l0)
        return self.error(sae, x, centred, support, self.values(sae, centred, pre, support))

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:
        top = pre.topk(self.l0, dim=1, sorted=False)
        return torch.zeros_like(pre).scatter_(1, top.indices, top.values.relu())


def topk(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: int | None = None,
    dead: Dead = "auxiliary",
    **options: Unpack[Options],
) -> Dictionary:
    """A TopK sparse autoencoder.

    codes = relu(TopK((x - b_dec) W_enc^T + b_enc)); loss = E |x - x_hat|^2 + dead-latent loss.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: active latents per sample, whole; None is max(1, round(d / 10)).
        dead: "auxiliary" loss, "resample" or "none"; see `dead.py`.
        options: see `Options`.

    Raises:
        InputError: a parameter out of range.
        MethodError: training diverged.

    Source: Gao et al., "Scaling and evaluating sparse autoencoders", 2024,
    https://arxiv.org/abs/2406.04093
    """
    width = check_width(width, subject.d)
    active = whole_l0(l0, subject.d, width)
    sparsity = TopK(active, dead_latents(dead, width, seed))
    return fit(
        subject,
        sparsity,
        training_of(options),
        options,
        seed=seed,
        width=width,
        name="topk",
        l0=active,
        dead=dead,
    )
