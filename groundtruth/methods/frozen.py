"""Autoencoders of which a part is never learned: controls for what learning it brings.

They differ from a trained BatchTopK in one thing each, so a score that they reach is not evidence
of a learned dictionary.
"""

from __future__ import annotations

from typing import Literal, Unpack

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.batchtopk import BatchTopK
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.fit import Options, covariance_rows, fit, training_of
from groundtruth.methods.sae import check_l0, check_width, init_seed, unit_rows
from groundtruth.testbed import ActivationSubject

Start = Literal["isotropic", "covariance"]


def frozen_decoder(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    start: Start = "isotropic",
    **options: Unpack[Options],
) -> Dictionary:
    """A BatchTopK whose decoder rows stay the random directions they started as.

    Args:
        seed: of starting weights and stream.
        width: latents k; None is 4 d.
        l0: mean active latents per sample; None is max(1, round(d / 10)).
        start: rows "isotropic", uniform on the sphere, or "covariance", along draws from a normal
            law with the covariance of the activations.
        options: see `Options`.

    Raises:
        InputError: a parameter out of range.
        MethodError: training diverged.

    Source: Korznikov et al., "Sanity Checks for Sparse Autoencoders", 2026,
    https://arxiv.org/abs/2602.14111
    """
    return _fit(subject, seed, width, l0, start, options, "frozen-decoder", frozen=("W_dec",))


def soft_frozen_decoder(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    start: Start = "isotropic",
    least_cosine: float = 0.8,
    **options: Unpack[Options],
) -> Dictionary:
    """A BatchTopK whose decoder rows keep a least cosine to their random start.

    Args:
        least_cosine: between -1 and 1; after each step a row beyond goes back to the nearest
            direction that has it.
        subject, seed, width, l0, start, options: as for `frozen_decoder`.

    Raises, Source: as for `frozen_decoder`.
    """
    if isinstance(least_cosine, bool) or not (
        isinstance(least_cosine, (int, float)) and -1 <= least_cosine <= 1
    ):
        raise reject("least_cosine", least_cosine, "a number between -1 and 1")
    hold = float(least_cosine)
    return _fit(subject, seed, width, l0, start, options, "soft-frozen-decoder", hold=hold)


def frozen_encoder(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    start: Start = "isotropic",
    **options: Unpack[Options],
) -> Dictionary:
    """A BatchTopK whose encoder rows stay the random directions they started as.

    Its decoder and biases are learned.

    Args:
        subject, seed, width, l0, start, options: as for `frozen_decoder`.

    Raises, Source: as for `frozen_decoder`.
    """
    return _fit(subject, seed, width, l0, start, options, "frozen-encoder", frozen=("W_enc",))


def _fit(
    subject: ActivationSubject,
    seed: int,
    width: int | None,
    l0: float | None,
    start: Start,
    options: Options,
    name: str,
    *,
    frozen: tuple[str, ...] = (),
    hold: float | None = None,
) -> Dictionary:
    if options.get("tied"):
        raise reject("tied", True, f"False: {name} trains one matrix and not the other")
    width = check_width(width, subject.d)
    active = check_l0(l0, subject.d, width)
    if start == "covariance":
        rows = covariance_rows(subject, width, seed=seed)
    elif start == "isotropic":
        generator = torch.Generator().manual_seed(init_seed(name, seed))
        rows = unit_rows(torch.randn(width, subject.d, generator=generator))
    else:
        raise reject("start", start, '"isotropic" or "covariance"')
    return fit(
        subject,
        BatchTopK(active, DeadLatents(width)),
        training_of(options, frozen=frozen),
        options,
        seed=seed,
        width=width,
        name=name,
        rows=rows,
        hold=hold,
        l0=active,
        start=start,
    )
