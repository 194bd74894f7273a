"""The auxiliary loss that revives dead latents."""

from __future__ import annotations

import torch
from torch.nn.functional import linear

from groundtruth.methods.sae import SAE


class DeadLatents:
    """Counts how long each latent has been silent, and gives the dead ones a gradient.

    loss = E |e - e_hat|^2, where e is the residual of the main reconstruction and e_hat is made
    from the d / 2 largest dead latents of that sample. The source weighs it by 1/32 over runs of
    billions of tokens; here Adam has a few thousand steps to forget the slopes of the living
    time, and weight 1 recovers clearly more planted features.

    Args:
        width: latents.
        patience: samples without firing after which a latent is dead.

    Source: Gao et al., "Scaling and evaluating sparse autoencoders", 2024,
    https://arxiv.org/abs/2406.04093 (appendix A.2)
    """

    def __init__(self, width: int, patience: int = 10_000) -> None:
        self.silent_for = torch.zeros(width, dtype=torch.int64)
        self.patience = patience

    def see(self, active: torch.Tensor, n: int) -> None:
        """Note that in a batch of n samples the latents `active` (indices) fired."""
        if self.silent_for.device != active.device:
            self.silent_for = self.silent_for.to(active.device)
        self.silent_for += n
        self.silent_for[active] = 0

    def loss(self, centred: torch.Tensor, residual: torch.Tensor, sae: SAE) -> torch.Tensor | None:
        """The loss above, or None while every latent lives."""
        dead = (self.silent_for > self.patience).nonzero().view(-1)
        if len(dead) == 0:
            return None
        pre = linear(centred, sae.W_enc[dead], sae.b_enc[dead])
        top = pre.topk(min(len(dead), max(1, centred.shape[1] // 2)), dim=1, sorted=False)
        codes = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
        wrong = residual.detach() - codes @ sae.W_dec[dead]
        return wrong.square().sum(1).mean()
