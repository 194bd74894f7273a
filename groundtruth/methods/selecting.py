"""The base of the variants whose loss touches active latents only."""

from __future__ import annotations

import torch

from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.sae import SAE, Sparsity
from groundtruth.methods.support import Support, decode_at, pre_at


class Selecting(Sparsity):
    """A `Sparsity` that selects a `Support`, then works on its entries.

    Args:
        dead: what is done about dead latents; None for nothing.
    """

    def __init__(self, dead: DeadLatents | None) -> None:
        super().__init__()
        self.dead = dead
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def plan(self, n_samples: int) -> None:
        if self.dead is not None:
            self.dead.plan(n_samples)

    def values(
        self, sae: SAE, centred: torch.Tensor, pre: torch.Tensor, support: Support
    ) -> torch.Tensor:
        """Pre-activations (nnz,) on the support, with gradient."""
        return pre_at(support, pre, centred, sae.W_enc, sae.b_enc)

    def error(
        self,
        sae: SAE,
        x: torch.Tensor,
        centred: torch.Tensor,
        support: Support,
        codes: torch.Tensor,
    ) -> torch.Tensor:
        """E |target - x_hat|^2 for codes (nnz,) on the support, plus the loss for dead latents."""
        residual = sae.target(x) - sae.b_dec - decode_at(support, codes, sae.W_dec)
        wrong = residual.square().sum(1)
        fired = support.cols[codes.detach() > 0]
        return wrong.mean() + self.dead_loss(sae, centred, fired, residual, wrong)

    def dead_loss(
        self,
        sae: SAE,
        centred: torch.Tensor,
        fired: torch.Tensor,
        residual: torch.Tensor,
        wrong: torch.Tensor,
    ) -> torch.Tensor | float:
        """Note the latents that fired (indices), and give the auxiliary loss."""
        if self.dead is None:
            return 0.0
        self._last = (centred, wrong.detach())
        self.dead.see(fired, len(centred))
        extra = self.dead.loss(centred, residual, sae)
        return 0.0 if extra is None else extra

    def after_step(self, sae: SAE, optimizer: torch.optim.Adam) -> None:
        if self.dead is not None and self._last is not None:
            self.dead.after_step(sae, optimizer, *self._last)
        self._last = None
