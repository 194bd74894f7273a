"""Matching pursuit: latents are chosen one after another, each on what is still unexplained."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch.autograd.function import once_differentiable

from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.sae import SAE, Sparsity, check_width, whole_l0
from groundtruth.testbed import ActivationSubject


class MatchingPursuit(Sparsity):
    """`l0` steps; in each, the latent j with the largest r . W_j is added with that code, and
    r becomes r - (r . W_j) W_j. It ends early where no product is positive.

    A latent that is chosen twice has the sum as its code. Encoder and decoder are one matrix with
    rows of length 1.
    """

    def __init__(self, l0: int, dead: DeadLatents) -> None:
        super().__init__()
        self.l0, self.dead = l0, dead

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        centred = x - sae.b_dec
        rows = sae.W_dec.detach()
        chosen, sizes = self._pursue(rows, centred.detach() @ rows.T)
        residual = _Pursued.apply(centred, sae.W_dec, chosen, sizes)
        assert isinstance(residual, torch.Tensor)
        self.dead.see(chosen[sizes > 0], len(x))
        return residual.square().sum(1).mean() + self._revive(sae, residual.detach())

    def _revive(self, sae: SAE, residual: torch.Tensor) -> torch.Tensor | float:
        """The dead latents try to explain the residual by one step of their own."""
        dead = self.dead.dead()
        if len(dead) == 0:
            return 0.0
        rows = sae.W_dec[dead]
        size, at = (residual @ rows.detach().T).max(1)
        return (residual - size.relu()[:, None] * rows[at]).square().sum(1).mean()

    def _pursue(
        self, rows: torch.Tensor, products: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents chosen and their codes, both (n, l0) in order; code 0 after the end.

        Args:
            products: (n, k) = x rows^T, used up. The Gram matrix keeps them those of the
                residual, at one row per sample and step; taking them again would cost d rows.
        """
        with torch.no_grad():
            gram = rows @ rows.T
            chosen = torch.empty(len(products), self.l0, dtype=torch.int64, device=rows.device)
            sizes = products.new_empty(len(products), self.l0)
            for step in range(self.l0):
                size, at = products.max(1)
                size = size.relu()
                chosen[:, step], sizes[:, step] = at, size
                products -= size[:, None] * gram.index_select(0, at)
        return chosen, sizes

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:
        # `pre` is x W^T, for the weights are tied and there is no bias; x itself is not needed.
        chosen, sizes = self._pursue(sae.W_dec, pre.clone())
        return torch.zeros_like(pre).scatter_add_(1, chosen, sizes)


class _Pursued(torch.autograd.Function):
    """The residual (n, d) after the pursuit, differentiable in x and the rows through every step
    (not through which latent was chosen).

    With r' = r - (r . w) w and slope g of r': the slope of r is g - (g . w) w, and that of w is
    -(r . w) g - (g . w) r.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        x, rows, chosen, sizes = inputs
        residual = x.clone()
        for step in range(chosen.shape[1]):
            residual -= sizes[:, step, None] * rows.index_select(0, chosen[:, step])
        ctx.save_for_backward(residual, rows, chosen, sizes)
        return residual

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slope,) = grad_outputs
        residual, rows, chosen, sizes = ctx.saved_tensors
        residual, d_rows = residual.clone(), torch.zeros_like(rows)
        for step in reversed(range(chosen.shape[1])):
            size, at = sizes[:, step, None], chosen[:, step]
            w = rows.index_select(0, at)
            residual += size * w  # what the step saw
            along = (slope * w).sum(1, keepdim=True) * (size > 0)
            d_rows.index_add_(0, at, -(size * slope + along * residual))
            slope = slope - along * w
        return slope, d_rows, None, None


def matching_pursuit(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: int | None = None,
    **options: Unpack[Options],
) -> Dictionary:
    """A matching pursuit sparse autoencoder.

    codes by `l0` steps of matching pursuit on the rows of the decoder; loss = E |x - x_hat|^2.
    Its weights are tied, so `tied` changes nothing.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: steps per sample, whole; None is max(1, round(d / 10)).
        options: see `Options`.

    Raises:
        InputError: a parameter out of range.
        MethodError: training diverged.

    Source: Costa et al., "From Flat to Hierarchical: Extracting Sparse Representations with
    Matching Pursuit", 2025, https://arxiv.org/abs/2506.03093
    """
    width = check_width(width, subject.d)
    active = whole_l0(l0, subject.d, width)
    return fit(
        subject,
        MatchingPursuit(active, DeadLatents(width)),
        training_of(options, frozen=("b_enc",)),
        {**options, "tied": True},
        seed=seed,
        width=width,
        name="matching-pursuit",
        l0=active,
    )
