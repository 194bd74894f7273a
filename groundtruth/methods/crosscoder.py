"""Crosscoder: one dictionary over several activation spaces side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch

from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import Dead, DeadLatents, dead_latents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.penalty import Penalty, penalty_of
from groundtruth.methods.relu import Relu
from groundtruth.methods.sae import SAE, check_parts, check_width
from groundtruth.testbed import ActivationSubject


class Crosscoder(Relu):
    """ReLU codes, each penalised by the summed lengths of its decoder row within the parts.

    A row has length 1 as a whole, so the sum is 1 for a latent of one part and sqrt 2 for one that
    two parts share evenly.
    """

    def __init__(self, penalty: Penalty, dead: DeadLatents | None, parts: Sequence[int]) -> None:
        super().__init__(penalty, dead)
        self.parts = list(parts)

    def cost(self, sae: SAE, codes: torch.Tensor, cols: torch.Tensor | None) -> torch.Tensor:
        pieces = sae.W_dec.split(self.parts, dim=1)
        # The slope of a length at 0 is none; a part that is left out stays so.
        lengths = sum((piece.square().sum(1) + 1e-12).sqrt() for piece in pieces)
        assert isinstance(lengths, torch.Tensor)
        return (codes * (lengths if cols is None else lengths[cols])).sum()


def crosscoder(
    subject: ActivationSubject,
    *,
    seed: int,
    parts: Sequence[int] | None = None,
    width: int | None = None,
    l0: float | None = None,
    l1: float | None = None,
    dead: Dead = "none",
    **options: Unpack[Options],
) -> Dictionary:
    """A crosscoder with the L1 penalty of its source.

    codes = relu((x - b_dec) W_enc^T + b_enc) from all parts together; loss = E |x - x_hat|^2 +
    l1 E sum_j codes_j sum_p |W_dec[j, part p]|. A part whose share of a feature is small is then
    left out entirely ("complete shrinkage"); `sae/batchtopk` on the same activations is the
    crosscoder without that penalty.

    Args:
        seed: of starting weights and stream.
        parts: widths of the parts, in order; two halves if None.
        width, l0, l1, dead, options: as `relu`.

    Raises:
        InputError: a parameter out of range, or parts that do not sum to the subject's width.
        MethodError: training diverged.

    Source: Lindsey et al., "Sparse Crosscoders for Cross-Layer Features and Model Diffing", 2024,
    https://transformer-circuits.pub/2024/crosscoders
    """
    given = check_parts(parts, subject.d)
    width = check_width(width, subject.d)
    training = training_of(options, batch_size=256)
    penalty = penalty_of(l0, l1, subject.d, width, training.n_steps)
    return fit(
        subject,
        Crosscoder(penalty, dead_latents(dead, width, seed), given),
        training,
        options,
        seed=seed,
        width=width,
        name="crosscoder",
        parts=given,
        l0=l0,
        l1=l1,
        dead=dead,
    )
