"""Boundless distributed alignment search: how many dimensions a variable has is learned as well."""

from __future__ import annotations

import torch

from groundtruth import seeds
from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import reject
from groundtruth.methods.variables.choosing import each_variable, split
from groundtruth.methods.variables.training import Made, starting, train
from groundtruth.variable_pairs import Edit, site_width
from groundtruth.variable_subject import VariableSubject

_HOT, _COLD = 0.5, 0.02  # widths of the boundary, in shares of the space


def boundless_das(
    subject: VariableSubject,
    *,
    seed: int = 0,
    site: str | None = None,
    n: int = 1000,
    steps: int = 300,
    rate: float = 0.05,
    batch: int = 128,
    penalty: float = 0.2,
) -> Alignment:
    """A trained subspace whose dimension is trained as well, against a penalty.

    There are a rotation R of the whole site and a boundary b; dimension i of R x, of d, is
    interchanged by

        sigmoid((b - (i + 1/2) / d) / t),  t from 0.5 down to 0.02

    and `penalty` times b is added to the loss. What is before the boundary at the end is claimed.

    Args:
        seed: of the start and the pairs.
        site: of the claim; None: the residual site with the highest accuracy on held out pairs.
        n: pairs, a quarter of them held out.
        steps, rate, batch: of Adam.
        penalty: what the whole space costs, in nats.

    Source: Wu et al., "Interpretability at Scale: Identifying Causal Mechanisms in Alpaca", 2023,
    https://arxiv.org/abs/2305.08809 (there several variables divide one rotated space; here each
    has a rotation of its own)
    """
    if not penalty >= 0:
        raise reject("penalty", penalty, "at least 0")

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        pairs = subject.pairs(variable, n, seed=seed)
        fitted, held = (pairs.take(rows) for rows in split(len(pairs)))
        width = site_width(subject.model, at)
        rng = seeds.generator(seeds.root_of("boundless_das", seed), at, variable)
        free = starting(subject, at, rng, width)
        bound = torch.full((), 0.5, dtype=free.dtype, device=free.device, requires_grad=True)
        middles = (torch.arange(width, device=free.device) + 0.5) / width

        def make(done: float) -> Made:
            softness = _HOT * (_COLD / _HOT) ** done
            shares = torch.sigmoid((bound - middles) / softness)
            return _shared(torch.linalg.qr(free).Q.T, shares), penalty * bound

        parameters = [free, bound]
        train(subject, fitted, at, parameters, make, rng, steps=steps, rate=rate, batch=batch)
        kept = max(1, int((middles < bound.detach()).sum()))
        basis = torch.linalg.qr(free.detach().double()).Q.T[:kept].cpu().numpy()
        found = Subspace(at, basis)
        return subject.accuracy(held, found), found

    return each_variable(subject, site, claim, "boundless_das")


def _shared(rotation: torch.Tensor, shares: torch.Tensor) -> Edit:
    """Each row of the rotation interchanged by its share."""
    return lambda x, source: x + ((source - x) @ rotation.T * shares) @ rotation
