"""p-annealing: the L1 penalty turns slowly into an L_p penalty with p < 1."""

from __future__ import annotations

from typing import Unpack

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.penalty import Penalty, penalty_of
from groundtruth.methods.relu import Relu
from groundtruth.methods.sae import SAE, check_width
from groundtruth.testbed import ActivationSubject

# The slope of c^p is infinite at 0; (c + OFFSET)^p has a bounded one.
OFFSET = 1e-2


class PAnnealing(Relu):
    """relu(pre), trained with coefficient * sum of codes^p, p falling linearly from 1 to `p_end`
    between `begin` and the last step.

    A smaller p costs small codes more and large ones less, so the penalty shrinks less as it
    comes nearer to counting. When p changes, the coefficient is multiplied so that the penalty
    of the batch stays what it was.
    """

    def __init__(
        self,
        penalty: Penalty,
        dead: DeadLatents | None,
        *,
        n_steps: int,
        p_end: float,
        begin: float,
    ) -> None:
        super().__init__(penalty, dead)
        self.n_steps, self.p_end, self.begin_at = n_steps, p_end, begin
        self.step = 0
        self.p = 1.0

    def cost(self, sae: SAE, codes: torch.Tensor, cols: torch.Tensor | None) -> torch.Tensor:
        share = max(0.0, self.step / self.n_steps - self.begin_at) / max(1e-9, 1 - self.begin_at)
        p = 1.0 - (1.0 - self.p_end) * min(1.0, share)
        if p != self.p:
            with torch.no_grad():
                before, now = self._sum(codes, self.p).item(), self._sum(codes, p).item()
            if before > 0 and now > 0:
                self.penalty.l1 *= before / now
            self.p = p
        self.step += 1
        return self._sum(codes, p)

    @staticmethod
    def _sum(codes: torch.Tensor, p: float) -> torch.Tensor:
        return codes.sum() if p == 1.0 else ((codes + OFFSET).pow(p) - OFFSET**p).sum()

    def get_extra_state(self) -> list[float]:
        return [float(self.step), self.p, *super().get_extra_state()]

    def set_extra_state(self, state: list[float]) -> None:
        self.step, self.p = int(state[0]), state[1]
        super().set_extra_state(state[2:])


def p_annealing(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    l1: float | None = None,
    p_end: float = 0.2,
    begin: float = 0.2,
    dead: Dead = "none",
    **options: Unpack[Options],
) -> Dictionary:
    """A ReLU sparse autoencoder whose penalty anneals from L1 to L_p.

    codes = relu((x - b_dec) W_enc^T + b_enc); loss = E |x - x_hat|^2 + coefficient E sum codes^p.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: mean active latents to aim for; a controller moves the coefficient during training.
            None is max(1, round(d / 10)).
        l1: a fixed first coefficient instead; then l0 must be None.
        p_end: the last p, above 0 and at most 1.
        begin: share of the steps after which p falls.
        dead: "auxiliary" loss, "resample" or "none"; see `dead.py`.
        options: see `Options`; here `batch_size` is 256 unless given.

    Raises:
        InputError: a parameter out of range, or both l0 and l1.
        MethodError: training diverged.

    Source: Karvonen et al., "Measuring Progress in Dictionary Learning for Language Model
    Interpretability with Board Game Models", 2024, https://arxiv.org/abs/2408.00113
    """
    width = check_width(width, subject.d)
    if isinstance(p_end, bool) or not (isinstance(p_end, (int, float)) and 0 < p_end <= 1):
        raise reject("p_end", p_end, "a number above 0 and at most 1")
    if not (isinstance(begin, (int, float)) and 0 <= begin < 1):
        raise reject("begin", begin, "a share of the steps, at least 0 and below 1")
    training = training_of(options, batch_size=256)
    penalty = penalty_of(l0, l1, subject.d, width, training.n_steps)
    return fit(
        subject,
        PAnnealing(
            penalty,
            dead_latents(dead, width, seed),
            n_steps=training.n_steps,
            p_end=p_end,
            begin=begin,
        ),
        training,
        options,
        seed=seed,
        width=width,
        name="p-annealing",
        l0=l0,
        l1=l1,
        p_end=p_end,
        begin=begin,
        dead=dead,
    )
