"""ReLU with an L1 penalty, and a controller that finds the coefficient for a wanted L0."""

from __future__ import annotations

import math

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.sae import SAE, check_l0, check_width, fit
from groundtruth.methods.trainer import Progress, Training
from groundtruth.testbed import ActivationSubject

GAIN = 0.02  # change of the log coefficient per step when L0 is off by a factor e
DESCENT = 0.6  # share of the steps over which the wanted L0 falls from width / 2 to its goal


class FixedPenalty:
    """The same coefficient throughout."""

    def __init__(self, l1: float) -> None:
        self.l1 = l1

    def see(self, l0: float) -> None:
        """A fixed coefficient does not react."""


class Controller:
    """Moves the coefficient so that L0 follows a falling goal, and then stays at `l0`.

    log l1 += GAIN clip(log(L0 / goal), -1, 1), with log goal falling linearly from that of
    width / 2. Asking for the final L0 at once would silence latents before they have learned.
    """

    def __init__(self, l0: float, width: int, n_steps: int) -> None:
        self.l1 = 0.05
        self.l0, self.start, self.n_steps = l0, max(width / 2, l0), max(1.0, DESCENT * n_steps)
        self.step = 0

    def see(self, l0: float) -> None:
        share = min(1.0, self.step / self.n_steps)
        goal = self.start * (self.l0 / self.start) ** share
        error = math.log(max(l0, 1e-3) / goal)
        self.l1 *= math.exp(GAIN * min(1.0, max(-1.0, error)))
        self.step += 1


class Relu:
    """relu(pre), trained with coefficient * sum of codes (decoder rows have length 1)."""

    def __init__(self, penalty: FixedPenalty | Controller) -> None:
        self.penalty = penalty

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        codes = sae.pre(x).relu()
        wrong = (x - sae.decode(codes)).square().sum() / len(x)
        self.penalty.see((codes.detach() > 0).sum().item() / len(x))
        return wrong + self.penalty.l1 * codes.sum() / len(x)

    def codes(self, pre: torch.Tensor) -> torch.Tensor:
        return pre.relu()

    def rescale(self, factor: float) -> None:
        """relu has no threshold."""


def relu(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    l1: float | None = None,
    n_samples: int = 500_000,
    batch_size: int = 256,
    lr: float = 2e-2,
    device: str | None = None,
    progress: Progress | None = None,
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
        n_samples, batch_size, lr, device, progress: see `Training` and `train`.

    Raises:
        InputError: a parameter out of range, or both l0 and l1.
        MethodError: training diverged.

    Source: Bricken et al., "Towards Monosemanticity", 2023,
    https://transformer-circuits.pub/2023/monosemantic-features
    """
    width = check_width(width, subject.d)
    if l1 is not None and l0 is not None:
        raise reject("l1", l1, "None when l0 is given", "Pass l0 or l1, not both.")
    if l1 is not None and not (math.isfinite(l1) and l1 >= 0):
        raise reject("l1", l1, "a finite number >= 0")
    training = Training(n_samples=n_samples, batch_size=batch_size, lr=lr, device=device)
    penalty = (
        Controller(check_l0(l0, subject.d, width), width, training.n_steps)
        if l1 is None
        else FixedPenalty(l1)
    )
    return fit(
        subject, Relu(penalty), training, seed=seed, width=width, name="relu", progress=progress
    )
