"""Interchanges that are trained: by gradient descent, towards what the causal model says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from groundtruth.errors import reject
from groundtruth.methods.adam import Adam
from groundtruth.variable_pairs import (
    Edit,
    Pairs,
    activations_at,
    patched_outputs,
    site_width,
)
from groundtruth.variable_subject import VariableSubject

Made = tuple[Edit, torch.Tensor]
"""An edit, and a penalty that is added to the loss."""


def train(
    subject: VariableSubject,
    pairs: Pairs,
    site: str,
    parameters: list[torch.Tensor],
    make: Callable[[float], Made],
    rng: np.random.Generator,
    *,
    steps: int,
    rate: float,
    batch: int,
) -> None:
    """Adam on the mean cross-entropy of the answers after the edit, plus its penalty, at a rate
    that falls to a tenth.

    Args:
        parameters: trained in place.
        make: share of the steps done -> the edit and its penalty, from the parameters.
        rng: which pairs are in a batch.

    Raises:
        InputError: steps or batch out of range.
    """
    for name, value, least in ("steps", steps, 0), ("batch", batch, 1):
        if value < least:
            raise reject(name, value, f"at least {least}")
    device = subject.model.W_E.device
    adam = Adam(parameters)
    sources = activations_at(subject.model, pairs.source, site)
    for step in range(steps):
        rows = rng.choice(len(pairs), min(batch, len(pairs)), replace=False)
        some, source = pairs.take(rows), sources[torch.as_tensor(rows, device=device)]
        edit, penalty = make(step / steps)
        outputs = patched_outputs(subject.model, some, site, source, edit)
        scores = subject.answers.scores(outputs)
        counted = torch.as_tensor(some.counted, device=device)
        wanted = torch.as_tensor(some.expected, device=device)[counted]
        loss = torch.nn.functional.cross_entropy(scores[counted], wanted) + penalty
        adam.step(torch.autograd.grad(loss, parameters), rate * (1 - 0.9 * step / steps))


def starting(
    subject: VariableSubject, site: str, rng: np.random.Generator, dim: int
) -> torch.Tensor:
    """(width, dim) normal numbers to start from, on the model's device, with a gradient."""
    like = subject.model.W_E
    drawn = rng.normal(size=(site_width(subject.model, site), dim))
    return torch.tensor(drawn, device=like.device, dtype=like.dtype, requires_grad=True)
