"""Distributed alignment search: a subspace, trained until interchange does what it should."""

from __future__ import annotations

import torch

from groundtruth import seeds
from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import reject
from groundtruth.methods.variables.choosing import dimensions, each_variable, split
from groundtruth.methods.variables.training import Made, starting, train
from groundtruth.variable_pairs import interchanging, site_width
from groundtruth.variable_subject import VariableSubject


def das(
    subject: VariableSubject,
    *,
    seed: int = 0,
    site: str | None = None,
    dim: int | None = None,
    n: int = 1000,
    steps: int = 300,
    rate: float = 0.05,
    batch: int = 128,
    starts: int = 3,
) -> Alignment:
    """A subspace that is trained until its interchange has the answers of the causal model.

    With orthonormal rows V what is interchanged is x_base + (x_source - x_base) V'V.

    Args:
        seed: of the start and the pairs.
        site: of the claim; None: the residual site with the highest accuracy on held out pairs.
        dim: rows of V; None: one less than the variable has values.
        n: pairs, a quarter of them held out.
        steps, rate, batch: of Adam.
        starts: random starts, of which the best on held out pairs is taken: single ones often end
            in local minima.

    Source: Geiger et al., "Finding Alignments Between Interpretable Causal Variables and
    Distributed Neural Representations", 2023, https://arxiv.org/abs/2303.02536
    """

    if starts < 1:
        raise reject("starts", starts, "at least 1")

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        pairs = subject.pairs(variable, n, seed=seed)
        fitted, held = (pairs.take(rows) for rows in split(len(pairs)))
        size = dimensions(subject, variable, dim, site_width(subject.model, at))
        found = []
        for start in range(starts):
            root = seeds.root_of("das", seed)
            rng = seeds.generator(root, at, variable, start)
            free = starting(subject, at, rng, size)

            def make(done: float, free: torch.Tensor = free) -> Made:
                return interchanging(torch.linalg.qr(free).Q.T), free.new_zeros(())

            train(subject, fitted, at, [free], make, rng, steps=steps, rate=rate, batch=batch)
            basis = torch.linalg.qr(free.detach().double()).Q.T.cpu().numpy()
            subspace = Subspace(at, basis)
            found.append((subject.accuracy(held, subspace), subspace))
        return max(found, key=lambda scored: scored[0])

    return each_variable(subject, site, claim, "das")
