"""A network that believes one thing and may report another."""

from __future__ import annotations

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError
from groundtruth.generators.cause_worlds import site_subject
from groundtruth.generators.feature_hosts import FeatureHost, InputLaw, feature_host
from groundtruth.planted_network import Layer, PlantedNetwork
from groundtruth.probe_truth import Cases, ProbeTruth
from groundtruth.site_testbed import ProbeTestbed
from groundtruth.testbed import Recipe

REPORT = 2.0
"""The report is written at twice the belief's size, as what is said is often plainer than what is
thought: a mean difference then follows the report."""


def belief(*, flag_rate: float = 0.05, cosine: float = 0.0, seed: int = 0) -> ProbeTestbed:
    """Two outputs: act on the belief, and report it, unless a flag turns the report round.

        belief = ReLU(e0 + e1 - 1)                             both pieces of evidence
        report = ReLU(belief - flag) + ReLU(flag - belief)     the belief; not it under the flag
        action = belief,    said = report

    At the site behind both layers, belief and report each have a direction. Labels are beliefs.
    Familiar cases are those without the flag, where the two agree; under the flag they always
    differ, and a probe of the one is wrong on every case about the other.

    Args:
        flag_rate: how often the flag is set where methods look; 0 leaves belief and report the same
            thing to them.
        cosine: between any two directions.
        seed: of directions and inputs.

    Raises:
        InputError: a rate outside [0, 1).

    Example:
        >>> truth = belief().truth
        >>> reported = truth.shifted.x @ truth.rival_readout > truth.rival_threshold
        >>> bool((reported == truth.shifted.labels).any())
        False
    """
    if not 0 <= flag_rate < 1:
        raise InputError(f"flag_rate: expected a rate in [0, 1), got {flag_rate}.")
    names = ["e0", "e1", "flag", "n0", "n1", "n2", "belief", "report"]
    evidence = np.sqrt(0.5)  # so that half of the inputs are believed
    rate = np.array([evidence, evidence, flag_rate, 0.3, 0.3, 0.3])
    law = InputLaw(np.array([0.0, 1.0]), np.stack([1 - rate, rate], 1), np.full(6, -1), np.zeros(6))
    both, unless = np.zeros((6, 1)), np.zeros((7, 2))
    both[:2] = 1
    unless[6], unless[2] = (1, -1), (-1, 1)
    out = np.zeros((8, 2))
    out[6, 0], out[7, 1] = 1, 1 / REPORT
    layers = (
        Layer(both, np.array([-1.0]), np.ones((1, 1))),
        Layer(unless, np.zeros(2), np.full((2, 1), REPORT)),
    )
    recipe = Recipe(
        "causes/belief", {"flag_rate": flag_rate, "cosine": cosine}, seeds.check_seed(seed)
    )
    root = seeds.root_of(recipe.name, recipe.seed)
    host = feature_host(PlantedNetwork(layers, out, np.zeros(2)), law, names, root, cosine)
    truth = ProbeTruth(
        concept="belief",
        rival="report",
        direction=host.directions[6],
        rival_direction=host.directions[7],
        readout=host.readouts[:, 6],
        rival_readout=host.readouts[:, 7],
        threshold=0.5,
        rival_threshold=REPORT / 2,
        familiar=_cases(host, 0),
        shifted=_cases(host, 1),
    )
    found = host.hash(root, 2, host.tokens(law.every()[0]))
    return ProbeTestbed(recipe, lambda: site_subject(host, root, 2, 6), truth, found, host.weights)


def _cases(host: FeatureHost, flag: int) -> Cases:
    """Every input with this flag, weighted by its chance given the flag."""
    fixed = host.law.chances.copy()
    fixed[2] = [1 - flag, flag]
    law = InputLaw(host.law.magnitudes, fixed, host.law.parent, host.law.copied)
    levels, weights = law.every()
    tokens = host.tokens(levels)
    host.certify(tokens)
    codes = host.network.codes(host.brought(tokens), 2)
    return Cases(
        x=codes @ host.directions,
        labels=codes[:, 6] > 0.5,
        weights=weights / weights.sum(),
        exhaustive=True,
        ceiling=1.0,
        ceiling_kind="planted direction",
    )
