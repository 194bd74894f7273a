"""What is done about dead latents: an auxiliary loss, or resampling."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import linear

from groundtruth import seeds
from groundtruth.errors import reject
from groundtruth.methods.sae import SAE, unit_rows
from groundtruth.methods.support import decode_at, largest_per_row, pre_at

Dead = Literal["auxiliary", "resample", "none"]


class DeadLatents(torch.nn.Module):
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
        super().__init__()
        self.silent_for: torch.Tensor
        self.register_buffer("silent_for", torch.zeros(width, dtype=torch.int64))
        self.patience = patience

    def plan(self, n_samples: int) -> None:
        """Told before training how many samples there will be; the loss does not care."""

    def see(self, active: torch.Tensor, n: int) -> None:
        """Note that in a batch of n samples the latents `active` (indices) fired."""
        self.silent_for += n
        self.silent_for[active] = 0

    def dead(self) -> torch.Tensor:
        """Indices of the latents that are dead."""
        return (self.silent_for > self.patience).nonzero().view(-1)

    def loss(self, centred: torch.Tensor, residual: torch.Tensor, sae: SAE) -> torch.Tensor | None:
        """The loss above, or None while every latent lives."""
        dead = self.dead()
        if len(dead) == 0:
            return None
        W_enc, b_enc = sae.W_enc[dead], sae.b_enc[dead]
        with torch.no_grad():
            pre = linear(centred, W_enc, b_enc)
        support = largest_per_row(pre, min(len(dead), max(1, centred.shape[1] // 2)))
        values = pre_at(support, pre, centred, W_enc, b_enc)
        wrong = residual.detach() - decode_at(support, values, sae.W_dec[dead])
        return wrong.square().sum(1).mean()

    def after_step(
        self, sae: SAE, optimizer: torch.optim.Adam, x: torch.Tensor, wrong: torch.Tensor
    ) -> None:
        """The auxiliary loss has done its work already."""


class Resampling(DeadLatents):
    """Starts each dead latent again on an activation that is badly reconstructed.

    Every `every` samples, each dead latent takes as decoder row the direction of an activation of
    the last batch, drawn with probability proportional to its squared reconstruction error
    squared; as encoder row the same at 0.2 times the mean length of the living encoder rows; bias
    0, and a fresh Adam state. In the second half of training nothing is resampled: what is new
    needs time to learn, and to come under the penalty.

    Args:
        width, patience: as for `DeadLatents`.
        every: samples between two resamplings.
        seed: of the draws.

    Source: Bricken et al., "Towards Monosemanticity", 2023,
    https://transformer-circuits.pub/2023/monosemantic-features (appendix, "Neuron resampling")
    """

    SHARE = 0.2

    def __init__(self, width: int, seed: int, patience: int = 10_000, every: int = 25_000) -> None:
        super().__init__(width, patience)
        self.every, self.seed = every, seed
        self.until: int | None = None
        self.seen: torch.Tensor
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def plan(self, n_samples: int) -> None:
        self.until = n_samples // 2

    def loss(self, centred: torch.Tensor, residual: torch.Tensor, sae: SAE) -> torch.Tensor | None:
        return None

    def after_step(
        self, sae: SAE, optimizer: torch.optim.Adam, x: torch.Tensor, wrong: torch.Tensor
    ) -> None:
        """Resample if it is time.

        Args:
            x: (n, d) the last batch, centred.
            wrong: (n,) squared reconstruction errors.
        """
        before = int(self.seen) // self.every
        self.seen += len(x)
        dead = self.dead()
        if int(self.seen) // self.every == before or len(dead) == 0:
            return
        if self.until is not None and int(self.seen) > self.until:
            return
        root = seeds.derive(seeds.root_of("resample", self.seed), str(int(self.seen)))
        generator = torch.Generator().manual_seed(int.from_bytes(root[:7], "little"))
        odds = wrong.detach().double().cpu().square()
        if not (odds.isfinite().all() and odds.sum() > 0):
            return
        drawn = torch.multinomial(odds, len(dead), replacement=True, generator=generator)
        rows = unit_rows(x[drawn.to(x.device)] + 1e-12)
        alive = torch.ones(len(sae.W_enc), dtype=torch.bool, device=x.device)
        alive[dead] = False
        length = torch.linalg.vector_norm(sae.W_enc.data[alive], dim=1).mean() if alive.any() else 1
        if not sae.W_dec.requires_grad:
            rows = sae.W_dec.data[dead]  # of a frozen decoder only the encoder can begin again
        if sae.W_enc.requires_grad:
            sae.W_enc.data[dead] = rows * (self.SHARE * length)
        if sae.W_dec.requires_grad:
            sae.W_dec.data[dead] = rows
        sae.b_enc.data[dead] = 0.0
        sae.sparsity.restart(dead)
        for parameter in sae.parameters():
            if parameter is not sae.b_dec:
                for name in ("exp_avg", "exp_avg_sq"):
                    state = optimizer.state.get(parameter, {})
                    if name in state:
                        state[name][dead] = 0.0
        self.silent_for[dead] = 0


def dead_latents(how: str, width: int, seed: int) -> DeadLatents | None:
    """The treatment called `how`; None for "none"."""
    if how == "auxiliary":
        return DeadLatents(width)
    if how == "resample":
        return Resampling(width, seed)
    if how == "none":
        return None
    raise reject("dead", how, '"auxiliary", "resample" or "none"')
