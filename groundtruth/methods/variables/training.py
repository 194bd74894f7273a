"""Interchanges that are trained: by gradient descent on what the causal model says should follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.variable_pairs import Edit, Pairs, patched_outputs
from groundtruth.variable_subject import VariableSubject

Made = tuple[Edit, torch.Tensor]
"""An edit, and a penalty that is added to the loss."""


def train(
    subject: VariableSubject,
    pairs: Pairs,
    site: str,
    parameters: list[torch.Tensor],
    make: Callable[[float], Made],
    *,
    steps: int,
    rate: float,
    batch: int,
    seed: int,
) -> None:
    """Adam on the mean cross-entropy of the answers after the edit, plus its penalty.

    Args:
        parameters: trained in place.
        make: share of the steps done -> the edit and its penalty, from the parameters.
    """
    rng = seeds.generator(seeds.root_of("train", seed), site, pairs.variable)
    device = subject.model.W_E.device
    optimizer = torch.optim.Adam(parameters, rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    for step in range(steps):
        some = pairs.take(rng.choice(len(pairs), min(batch, len(pairs)), replace=False))
        edit, penalty = make(step / steps)
        scores = subject.answers.scores(patched_outputs(subject.model, some, site, edit))
        counted = torch.as_tensor(some.counted, device=device)
        wanted = torch.as_tensor(some.expected, device=device)[counted]
        loss = torch.nn.functional.cross_entropy(scores[counted], wanted) + penalty
        optimizer.zero_grad()
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = slope
        optimizer.step()
        schedule.step()


def starting(subject: VariableSubject, site: str, variable: str, seed: int, dim: int) -> torch.Tensor:
    """(width, dim) normal numbers to start from, on the model's device, with a gradient."""
    rng = seeds.generator(seeds.root_of("start", seed), site, variable)
    model = subject.model
    drawn = rng.normal(size=(site_width(subject, site), dim))
    return torch.tensor(drawn, device=model.W_E.device, dtype=model.W_E.dtype, requires_grad=True)


def site_width(subject: VariableSubject, site: str) -> int:
    """How many numbers stand at a position of `site`."""
    with torch.no_grad():
        _, cache = subject.model.run_with_cache(np.array([[subject.model.bos]]), site)
    return cache[site].shape[-1]
