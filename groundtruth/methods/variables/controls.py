"""Controls that know nothing: a random subspace, and everything at a site."""

from __future__ import annotations

import numpy as np

from groundtruth import seeds
from groundtruth.alignment import Alignment, Subspace
from groundtruth.methods.variables.choosing import dimensions, each_variable
from groundtruth.variable_subject import VariableSubject


def random_subspace(
    subject: VariableSubject, *, seed: int = 0, site: str | None = None, dim: int | None = None
) -> Alignment:
    """A subspace of uniform direction.

    Args:
        seed: of the site and the subspace.
        site: of the claim; None: a random one of the residual stream.
        dim: None: one less than the variable has values.
    """
    rng = seeds.generator(seeds.root_of("random_subspace", seed))
    width = subject.model.W_E.shape[1]
    found = {}
    for variable in subject.values:
        size = dimensions(subject, variable, dim, width)
        at = str(rng.choice(subject.sites)) if site is None else site
        found[variable] = Subspace(at, np.linalg.qr(rng.normal(size=(width, size)))[0].T)
    return Alignment(found, name="random_subspace")


def whole_layer(
    subject: VariableSubject, *, seed: int = 0, site: str | None = None, n: int = 400
) -> Alignment:
    """All of a site, so that every variable there is interchanged with the one that is meant.

    Args:
        seed: of the pairs.
        site: of the claim; None: the residual site with the highest accuracy on `n` pairs.
    """
    everything = np.eye(subject.model.W_E.shape[1])

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        found = Subspace(at, everything)
        return subject.accuracy(subject.pairs(variable, n, seed=seed), found), found

    return each_variable(subject, site, claim, "whole_layer")
