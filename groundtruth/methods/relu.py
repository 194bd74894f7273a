"""ReLU with an L1 penalty, and a controller that finds the coefficient for a wanted L0."""

from __future__ import annotations

from typing import Unpack

import torch

from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.penalty import Penalty, penalty_of
from groundtruth.methods.sae import SAE, check_width
from groundtruth.methods.selecting import Selecting
from groundtruth.methods.support import above, relu_codes
from groundtruth.testbed import ActivationSubject

# Dense products are faster than sparse ones where a larger share of the codes is active.
DENSE_ABOVE = 0.12


class Relu(Selecting):
    """relu(pre), trained with coefficient * sum of codes (decoder rows have length 1)."""

    def __init__(self, penalty: Penalty, dead: DeadLatents | None) -> None:
        super().__init__(dead)
        self.penalty = penalty
        self._share = 1.0  # of active codes in the last batch

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        centred = sae.centred(x)
        pre = sae.pre_for_step(centred)
        if self._share > DENSE_ABOVE:
            codes = relu_codes(pre, centred, sae.W_enc, sae.b_enc)
            wrong = (sae.target(x) - sae.decode(codes)).square().sum() / len(x)
            # While L0 is this far from its goal, an eighth of the rows tells it well enough.
            some = codes.detach()[: -(-len(x) // 8)]
            l0, total = int((some > 0).sum()) / len(some), self.cost(sae, codes, None)
            if self.dead is not None:
                self.dead.see((codes.detach() > 0).any(0).nonzero().view(-1), len(x))
        else:
            support = above(pre, 0.0)
            codes = self.values(sae, centred, pre, support)
            wrong = self.error(sae, x, centred, support, codes)
            l0, total = len(support.flat) / len(x), self.cost(sae, codes, support.cols)
        self._share = l0 / len(sae.W_enc)
        self.penalty.see(l0)
        return wrong + self.penalty.l1 * total / len(x)

    def cost(self, sae: SAE, codes: torch.Tensor, cols: torch.Tensor | None) -> torch.Tensor:
        """What is penalised, summed over all codes given; 0 for a code of 0.

        Args:
            codes: (n, k), or with `cols` (nnz,) the entries of these latents.
        """
        return codes.sum()

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:
        return pre.relu()

    def get_extra_state(self) -> list[float]:
        return [self._share, *self.penalty.state()]

    def set_extra_state(self, state: list[float]) -> None:
        self._share = state[0]
        self.penalty.restore(state[1:])


def relu(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    l1: float | None = None,
    dead: Dead = "none",
    **options: Unpack[Options],
) -> Dictionary:
    """A ReLU sparse autoencoder with an L1 penalty.

    codes = relu((x - b_dec) W_enc^T + b_enc); loss = E |x - x_hat|^2 + l1 E sum codes, on
    activations scaled to variance 1 per coordinate, with decoder rows of length 1.

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

    Source: Bricken et al., "Towards Monosemanticity", 2023,
    https://transformer-circuits.pub/2023/monosemantic-features
    """
    width = check_width(width, subject.d)
    training = training_of(options, batch_size=256)
    penalty = penalty_of(l0, l1, subject.d, width, training.n_steps)
    return fit(
        subject,
        Relu(penalty, dead_latents(dead, width, seed)),
        training,
        options,
        seed=seed,
        width=width,
        name="relu",
        l0=l0,
        l1=l1,
        dead=dead,
    )
