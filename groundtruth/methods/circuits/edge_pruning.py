"""Edge pruning: a mask over edges is learned that keeps the metric and closes what it can."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.circuit import Circuit, circuit_of
from groundtruth.errors import reject
from groundtruth.methods.adam import Adam
from groundtruth.model_subject import ModelSubject

_TEMPERATURE, _LOW, _HIGH = 2 / 3, -0.1, 1.1


def edge_pruning(
    subject: ModelSubject,
    *,
    seed: int = 0,
    steps: int = 300,
    rate: float = 0.1,
    sparsity: float = 0.1,
    samples: int = 8,
) -> Circuit:
    """Masks drawn from hard concrete laws, whose openness is trained by gradient descent on

        mean (metric - metric under the mask)^2 + sparsity * expected share of open edges

    A mask of 1 leaves an edge as it is, 0 ablates it, and between it carries a mixture.

    Args:
        seed: of the masks drawn.
        steps: of Adam.
        rate: its learning rate.
        sparsity: what an open edge costs, in the square of the metric's unit.
        samples: masks per step.

    Returns:
        Strengths are log odds of being open; claimed is what is more open than closed.

    Raises:
        InputError: a parameter that is not positive.

    Source: Bhaskar et al., "Finding Transformer Circuits with Edge Pruning", 2024,
    https://arxiv.org/abs/2406.16778; hard concrete: Louizos, Welling and Kingma, "Learning Sparse
    Neural Networks through L0 Regularization", 2018, https://arxiv.org/abs/1712.01312
    """
    settings = {"steps": steps, "rate": rate, "sparsity": sparsity, "samples": samples}
    for name, value in settings.items():
        if not value > 0:
            raise reject(name, value, "a positive number")
    universe = subject.universe("edge")
    draws = seeds.generator(seeds.root_of("edge_pruning", seed))
    intact = subject.metric(subject.outputs())
    # Open at first: log odds of 2 pass nearly all.
    odds = torch.full((len(universe),), 2.0, dtype=torch.float64, requires_grad=True)
    adam = Adam([odds])
    for _ in range(steps):
        noise = torch.as_tensor(draws.uniform(1e-6, 1 - 1e-6, (samples, len(universe))))
        outputs = subject.run(1 - _hard_concrete(odds, noise))
        loss = ((intact - subject.metric(outputs)).square() @ subject.weights).mean()
        cost = sparsity * torch.sigmoid(odds - _TEMPERATURE * np.log(-_LOW / _HIGH)).mean()
        adam.step(torch.autograd.grad(loss.double().cpu() + cost, [odds]), rate)
    strengths = odds.detach().numpy()
    return circuit_of(
        universe,
        strengths,
        claimed=strengths > 0,
        condition=subject.condition,
        name="edge_pruning",
    )


def _hard_concrete(odds: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Masks in [0, 1], with weight on both ends."""
    soft = torch.sigmoid((torch.logit(noise) + odds) / _TEMPERATURE)
    return (soft * (_HIGH - _LOW) + _LOW).clamp(0, 1)
