"""Matryoshka BatchTopK: each prefix of the dictionary has to reconstruct alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.batchtopk import BatchTopK
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.sae import SAE, check_l0, check_width
from groundtruth.methods.support import Support, decode_at
from groundtruth.testbed import ActivationSubject


class Matryoshka(BatchTopK):
    """BatchTopK whose loss is the mean over prefixes of E |x - x_hat of the prefix|^2.

    Args:
        ends: (m,) ascending widths of the prefixes; the last is the whole width.
    """

    def __init__(self, l0: float, ends: Sequence[int], dead: DeadLatents | None) -> None:
        super().__init__(l0, dead)
        self.ends = tuple(ends)

    def error(
        self,
        sae: SAE,
        x: torch.Tensor,
        centred: torch.Tensor,
        support: Support,
        codes: torch.Tensor,
    ) -> torch.Tensor:
        residual, total, begin = sae.target(x) - sae.b_dec, x.new_zeros(()), 0
        wrong = total
        for end in self.ends:
            here = (support.cols >= begin) & (support.cols < end)
            residual = residual - decode_at(support.where(here), codes[here], sae.W_dec)
            wrong = residual.square().sum(1)
            total, begin = total + wrong.mean(), end
        fired = support.cols[codes.detach() > 0]
        return total / len(self.ends) + self.dead_loss(sae, centred, fired, residual, wrong)


def matryoshka(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    groups: Sequence[float] = (1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2),
    dead: Dead = "auxiliary",
    **options: Unpack[Options],
) -> Dictionary:
    """A Matryoshka BatchTopK sparse autoencoder.

    As `batchtopk`, with loss = mean over prefixes m of E |x - x_hat_m|^2, where x_hat_m uses the
    first m latents only. General features are then learned early in the dictionary.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: mean active latents per sample; None is max(1, round(d / 10)).
        groups: shares of the width, in order; they sum to 1.
        dead: "auxiliary" loss, "resample" or "none"; see `dead.py`.
        options: see `Options`.

    Raises:
        InputError: a parameter out of range.
        MethodError: training diverged.

    Source: Bussmann et al., "Learning Multi-Level Features with Matryoshka Sparse Autoencoders",
    2025, https://arxiv.org/abs/2503.17547
    """
    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    ends = prefix_widths(groups, width)
    return fit(
        subject,
        Matryoshka(active, ends, dead_latents(dead, width, seed)),
        training_of(options),
        options,
        seed=seed,
        width=width,
        name="matryoshka",
        l0=active,
        groups=list(groups),
        dead=dead,
    )


def prefix_widths(groups: Sequence[float], width: int) -> list[int]:
    """Widths of the prefixes, ascending and distinct, the last one `width`.

    Example:
        >>> prefix_widths((0.5, 0.3, 0.2), 10)
        [5, 8, 10]
    """
    try:
        shares = np.asarray(groups, dtype=np.float64)
    except (TypeError, ValueError):
        raise reject("groups", groups, "shares of the width that sum to 1") from None
    if shares.ndim != 1 or not len(shares) or not np.all(shares > 0):
        raise reject("groups", groups, "positive shares of the width that sum to 1")
    if abs(shares.sum() - 1) > 1e-6:
        raise reject("groups", groups, f"shares that sum to 1 (these sum to {shares.sum():.6g})")
    ends = np.round(np.cumsum(shares) * width).astype(int)
    return [int(end) for end in np.unique(ends[ends > 0])]
