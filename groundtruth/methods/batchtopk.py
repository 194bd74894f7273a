"""BatchTopK: the n l0 largest pre-activations of a batch of n stay; a threshold at inference."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.sae import SAE, check_l0, check_width, given_rows
from groundtruth.methods.selecting import Selecting
from groundtruth.methods.support import Support, largest
from groundtruth.testbed import ActivationSubject

MEMORY = 0.98  # per step; the threshold averages the last 50 or so batches
# The smallest kept entry of a batch is nearly always above this share of the last one.
NEAR = 0.9


class BatchTopK(Selecting):
    """In training, the n l0 largest positive pre-activations of the batch; then those above
    `threshold`, the running mean of the smallest one kept."""

    def __init__(self, l0: float, dead: DeadLatents | None) -> None:
        super().__init__(dead)
        self.l0 = l0
        self._sum, self._weight, self._least = 0.0, 0.0, 0.0

    @property
    def threshold(self) -> float:
        """Above it a latent is active, in the units that the model sees."""
        return self._sum / self._weight if self._weight else 0.0

    def loss(self, sae: SAE, x: torch.Tensor) -> torch.Tensor:
        centred = sae.centred(x)
        pre = sae.pre_for_step(centred)
        support = self.select(pre)
        return self.error(sae, x, centred, support, self.values(sae, centred, pre, support))

    def select(self, pre: torch.Tensor) -> Support:
        """The n l0 largest positive entries, and a note of the smallest."""
        count = max(1, round(self.l0 * len(pre)))
        support, least = largest(pre, count, NEAR * self._least)
        if len(support.flat):
            self._least = least
            self._sum = MEMORY * self._sum + (1 - MEMORY) * least
            self._weight = MEMORY * self._weight + (1 - MEMORY)
        return support

    def codes(self, sae: SAE, pre: torch.Tensor) -> torch.Tensor:
        return pre * (pre > self.threshold)

    def rescale(self, factor: float) -> None:
        self._sum *= factor
        self._least *= factor

    def get_extra_state(self) -> list[float]:
        return [self._sum, self._weight, self._least]

    def set_extra_state(self, state: list[float]) -> None:
        self._sum, self._weight, self._least = state


def batchtopk(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    decoder: Any = None,
    dead: Dead = "auxiliary",
    **options: Unpack[Options],
) -> Dictionary:
    """A BatchTopK sparse autoencoder.

    codes = z [z > t] with z = (x - b_dec) W_enc^T + b_enc and t = E min{kept z}, the mean over
    the last training batches, so that the codes of a sample do not depend on its batch.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d, or the rows of `decoder`.
        l0: mean active latents per sample; None is max(1, round(d / 10)).
        decoder: (k, d) directions that stay as they are (as unit rows); only the encoder and the
            biases are trained.
        dead: "auxiliary" loss, "resample" or "none"; see `dead.py`.
        options: see `Options`.

    Raises:
        InputError: a parameter out of range, or `decoder` of another shape.
        MethodError: training diverged.

    Source: Bussmann et al., "BatchTopK Sparse Autoencoders", 2024,
    https://arxiv.org/abs/2412.06410
    """
    rows = None if decoder is None else given_rows(decoder, subject.d)
    if rows is not None:
        if width is not None and width != len(rows):
            raise reject("width", width, f"None or {len(rows)}, the rows of decoder")
        width = len(rows)
    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    frozen = () if rows is None else ("W_dec",)
    return fit(
        subject,
        BatchTopK(active, dead_latents(dead, width, seed)),
        training_of(options, frozen=frozen),
        options,
        seed=seed,
        width=width,
        name="batchtopk",
        rows=rows,
        l0=active,
        dead=dead,
    )
