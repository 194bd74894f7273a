"""JumpReLU: a latent is active above a threshold of its own, which is learned."""

from __future__ import annotations

import math
import warnings
from typing import Any, Unpack

import torch
from torch.autograd.function import once_differentiable

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.sae import SAE, check_l0, check_width
from groundtruth.methods.selecting import Selecting
from groundtruth.methods.support import above
from groundtruth.testbed import ActivationSubject

SINK = 0.01  # by which the log threshold of a dead latent falls each step
ROWS = 1024  # of the first activations, to find the first threshold


class JumpReLU(Selecting):
    """z [z > theta], trained with coefficient d (L0 / l0 - 1)^2.

    A step has no slope, so thresholds learn by the straight-through estimate of the source: with
    K = [|z - theta| < bandwidth / 2, z > 0],

        d code / d theta = -theta K / bandwidth,    d [z > theta] / d theta = -K / bandwidth.
    """

    def __init__(
        self,
        l0: float,
        width: int,
        dead: DeadLatents | None,
        *,
        bandwidth: float,
        coefficient: float,
    ) -> None:
        super().__init__(dead)
        self.l0, self.bandwidth, self.coefficient = l0, bandwidth, coefficient
        self.log_threshold = torch.nn.Parameter(torch.zeros(width))

    def begin(self, sae: SAE, x: torch.Tensor) -> None:
        """One threshold for all, at which `l0` latents are active; thresholds are slow to move."""
        pre = sae.pre(x[:ROWS]).detach()
        count = min(pre.numel(), max(1, round(self.l0 * len(pre))))
        least = pre.view(-1).topk(count).values[-1].clamp(min=1e-3)
        self.log_threshold.data.fill_(least.log().item())

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        centred = sae.centred(x)
        pre = sae.pre_for_step(centred)
        threshold = self.log_threshold.exp()
        # Entries in the kernel but below the threshold have code 0, and move the threshold.
        support = above(pre, (threshold - self.bandwidth / 2).clamp(min=0.0))
        values = self.values(sae, centred, pre, support)
        codes, on = _jump(values, threshold.index_select(0, support.cols), self.bandwidth)
        wrong = self.error(sae, x, centred, support, codes)
        # The first term grows with d; so does this, and one coefficient serves every width.
        return wrong + self.coefficient * x.shape[1] * (on.sum() / len(x) / self.l0 - 1).square()

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:
        return pre * (pre > self.log_threshold.exp())

    def restart(self, dead: torch.Tensor) -> None:
        alive = torch.ones_like(self.log_threshold, dtype=torch.bool)
        alive[dead] = False
        if alive.any():
            self.log_threshold.data[dead] = self.log_threshold.data[alive].median()

    def after_step(self, sae: SAE, optimizer: torch.optim.Adam) -> None:
        super().after_step(sae, optimizer)
        if self.dead is not None:
            # Nothing of a dead latent comes near its threshold, so the kernel gives it no slope.
            self.log_threshold.data[self.dead.dead()] -= SINK

    def rescale(self, factor: float) -> None:
        self.log_threshold.data += math.log(factor)


def _jump(
    values: torch.Tensor, threshold: torch.Tensor, bandwidth: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and [value > threshold], both (nnz,), with the slopes of `JumpReLU`."""
    return _Jump.apply(values, threshold, bandwidth)  # pyright: ignore[reportReturnType]


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        values, threshold, ctx.bandwidth = inputs
        on = values > threshold
        ctx.save_for_backward(values, threshold, on)
        return values * on, on.to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_code, by_on = grad_outputs
        values, threshold, on = ctx.saved_tensors
        kernel = ((values - threshold).abs() < ctx.bandwidth / 2) / ctx.bandwidth
        return by_code * on, -kernel * (threshold * by_code + by_on), None


def jumprelu(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    bandwidth: float = 0.2,
    coefficient: float = 10.0,
    dead: Dead = "auxiliary",
    **options: Unpack[Options],
) -> Dictionary:
    """A JumpReLU sparse autoencoder.

    codes = z [z > theta] with z = (x - b_dec) W_enc^T + b_enc and a learned theta per latent;
    loss = E |x - x_hat|^2 + coefficient d (L0 / l0 - 1)^2, the penalty that aims for a wanted
    L0, on activations scaled to variance 1 per coordinate.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: mean active latents to aim for; None is max(1, round(d / 10)).
        bandwidth: of the kernel by which thresholds learn, in scaled units.
        coefficient: of the penalty.
        dead: "auxiliary" loss, "resample" or "none"; see `dead.py`.
        options: see `Options`; here `batch_size` is 256, `lr` 0.01 and `clip` None unless given.

    Warns where the L0 reached is more than twice `l0`: in long trainings at a high rate
    activations can outgrow all thresholds, and the penalty then has no slope left.

    Raises:
        InputError: a parameter out of range.
        MethodError: training diverged.

    Source: Rajamanoharan et al., "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU
    Sparse Autoencoders", 2024, https://arxiv.org/abs/2407.14435
    """
    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    for name, value in (("bandwidth", bandwidth), ("coefficient", coefficient)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
            raise reject(name, value, "a finite number > 0")
    found = fit(
        subject,
        JumpReLU(
            active,
            width,
            dead_latents(dead, width, seed),
            bandwidth=bandwidth,
            coefficient=coefficient,
        ),
        training_of(options, batch_size=256, lr=1e-2, clip=None),
        options,
        seed=seed,
        width=width,
        name="jumprelu",
        l0=active,
        bandwidth=bandwidth,
        coefficient=coefficient,
        dead=dead,
    )
    check_hold(found, subject.sample(ROWS, seed=seed), active)
    return found


def check_hold(found: Dictionary, x: torch.Tensor, l0: float) -> None:
    """Warn if the penalty lost hold of L0: what is active far above its threshold has no slope."""
    assert found.encode is not None
    reached = float((found.encode(x) != 0).sum()) / len(x)
    if reached > 2 * l0:
        warnings.warn(
            f"jumprelu: {reached:.3g} latents are active where l0 asks for {l0:g}. The thresholds "
            "lost hold, since nothing active lies near them. Lower lr, or train on fewer samples.",
            stacklevel=3,
        )
