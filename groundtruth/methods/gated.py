"""Gated: one path decides which latents are active, another how much."""

from __future__ import annotations

from typing import Unpack

import torch

from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.penalty import Penalty, penalty_of
from groundtruth.methods.sae import SAE, check_width
from groundtruth.methods.selecting import Selecting
from groundtruth.methods.support import above, decode_at
from groundtruth.testbed import ActivationSubject


class Gated(Selecting):
    """codes = [g > 0] relu(exp(r) (g - b_enc) + b_mag) with gate g = (x - b_dec) W_enc^T + b_enc.

    loss = E |x - x_hat|^2 + coefficient E sum relu(g) + E |x - relu(g) W_dec - b_dec|^2, the
    last with the decoder held fixed: the gate learns from it alone.
    """

    def __init__(self, width: int, penalty: Penalty, dead: DeadLatents | None) -> None:
        super().__init__(dead)
        self.penalty = penalty
        self.r_mag = torch.nn.Parameter(torch.zeros(width))
        self.b_mag = torch.nn.Parameter(torch.zeros(width))

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        centred = sae.centred(x)
        pre = sae.pre_for_step(centred)
        support = above(pre, 0.0)
        gate = self.values(sae, centred, pre, support)
        cols = support.cols
        codes = self._magnitude(gate - sae.b_enc[cols], self.r_mag[cols], self.b_mag[cols])
        wrong = self.error(sae, x, centred, support, codes)
        by_gate = decode_at(support, gate, sae.W_dec.detach()) + sae.b_dec.detach()
        l0 = len(cols) / len(x)
        self.penalty.see(l0)
        auxiliary = (sae.target(x) - by_gate).square().sum() / len(x)
        return wrong + auxiliary + self.penalty.l1 * gate.sum() / len(x)

    @staticmethod
    def _magnitude(linear: torch.Tensor, r: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (r.exp() * linear + b).relu()

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:

        return self._magnitude(pre - sae.b_enc, self.r_mag, self.b_mag) * (pre > 0)

    def rescale(self, factor: float) -> None:
        self.b_mag.data.mul_(factor)

    def restart(self, dead: torch.Tensor) -> None:
        self.r_mag.data[dead] = 0.0
        self.b_mag.data[dead] = 0.0

    def get_extra_state(self) -> list[float]:
        return self.penalty.state()

    def set_extra_state(self, state: list[float]) -> None:
        self.penalty.restore(state)


def gated(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    l1: float | None = None,
    dead: Dead = "none",
    **options: Unpack[Options],
) -> Dictionary:
    """A Gated sparse autoencoder.

    codes = [g > 0] relu(exp(r) (g - b_enc) + b_mag) with gate g = (x - b_dec) W_enc^T + b_enc, so
    that the penalty, which acts on the gate, does not shrink the codes.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: mean active latents to aim for; a controller moves the coefficient during training.
            None is max(1, round(d / 10)).
        l1: a fixed coefficient instead; then l0 must be None.
        dead: "auxiliary" loss, "resample" or "none"; see `dead.py`.
        options: see `Options`; here `batch_size` is 256 unless given.

    Raises:
        InputError: a parameter out of range, or both l0 and l1.
        MethodError: training diverged.

    Source: Rajamanoharan et al., "Improving Dictionary Learning with Gated Sparse Autoencoders",
    2024, https://arxiv.org/abs/2404.16014
    """
    width = check_width(width, subject.d)
    training = training_of(options, batch_size=256)
    penalty = penalty_of(l0, l1, subject.d, width, training.n_steps)
    return fit(
        subject,
        Gated(width, penalty, dead_latents(dead, width, seed)),
        training,
        options,
        seed=seed,
        width=width,
        name="gated",
        l0=l0,
        l1=l1,
        dead=dead,
    )
