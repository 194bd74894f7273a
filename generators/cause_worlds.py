"""Testbeds of what features cause: a dictionary with decoys, and a concept to steer by.

Both are hosts of `feature_hosts` whose truth is a `CauseTruth`. What a feature does under ablation
and steering is the network's closed form; a correlate that nothing reads does nothing, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundtruth import seeds
from groundtruth.cause_truth import CauseTruth
from groundtruth.errors import InputError, reject
from groundtruth.generators.feature_hosts import FeatureHost, InputLaw, feature_host, site_of
from groundtruth.planted_network import Layer, PlantedNetwork
from groundtruth.site_subject import SiteSubject
from groundtruth.site_testbed import CauseTestbed, SteeringTestbed
from groundtruth.testbed import BLOCK, Recipe

MAGNITUDES = np.array([0.0, 1.0, 2.0])
TARGET = 0


def causal_dictionary(
    *,
    strengths: Sequence[float] = (3.0, 1.5, 0.75),
    correlations: Sequence[float] = (0.3, 0.6, 0.9),
    firing: float = 0.3,
    cosine: float = 0.0,
    level: int = 0,
    n_inputs: int = 512,
    seed: int = 0,
) -> CauseTestbed:
    """Features of known effect, each with inert correlates; two mediated ones; a dormant one.

        target = sum_i s_i c_i + 2 ReLU(m0 + m1 - 1) + 2 dormant,     output 1 + i = c_i

    Every c_i has a decoy at each correlation, which nothing reads. m0 and m1 act through the neuron
    alone. The dormant feature never fires, and acts where it is steered. A decoy of a strong
    feature goes along with the target more than a weak cause does, so a ranking by correlation
    puts it first.

    Args:
        strengths: s_i, none 0.
        correlations: of the decoys with their feature, in (0, 1), exact.
        firing: how often a feature fires, with magnitude 1 or 2.
        cosine: between any two directions.
        level: 0: the site before the neuron; 1: behind it, where its output is a feature of its own
            and m0 and m1, which still stand there, are inert.
        n_inputs: how many score.
        seed: of directions and inputs.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> testbed = causal_dictionary(strengths=(2.0,), correlations=(0.9,))
        >>> testbed.truth.names
        ('c0', 'c0~0.9', 'm0', 'm1', 'dormant')
        >>> testbed.truth.kinds
        ('causal', 'inert', 'mediated', 'mediated', 'dormant')
    """
    if not strengths or not all(0 < abs(strength) < np.inf for strength in strengths):
        raise reject("strengths", strengths, "at least one number, none 0")
    if any(not 0 < rho < 1 for rho in correlations):
        raise reject("correlations", correlations, "numbers between 0 and 1")
    if not 0 < firing < 1:
        raise reject("firing", firing, "a number between 0 and 1")
    names, parent, copied = [], [], []
    for i in range(len(strengths)):
        first = len(names)
        names += [f"c{i}", *(f"c{i}~{rho:g}" for rho in correlations)]
        parent += [-1, *[first] * len(correlations)]
        copied += [0.0, *correlations]
    names += ["m0", "m1", "dormant"]
    chances = np.tile([1 - firing, firing / 2, firing / 2], (len(names), 1))
    chances[-1] = [1, 0, 0]
    law = InputLaw(
        MAGNITUDES,
        chances,
        np.array([*parent, -1, -1, -1]),
        np.array([*copied, 0.0, 0.0, 0.0]),
    )
    recipe = Recipe(
        "causes/dictionary",
        {
            "strengths": list(strengths),
            "correlations": list(correlations),
            "firing": firing,
            "cosine": cosine,
            "level": level,
            "n_inputs": n_inputs,
        },
        seeds.check_seed(seed),
    )
    network = _mediating(names, strengths)
    root = seeds.root_of(recipe.name, recipe.seed)
    host = feature_host(network, law, [*names, "mediator"], root, cosine)
    truth = _truth(host, root, level, n_inputs)
    found = host.hash(root, level, truth.tokens)
    return CauseTestbed(
        recipe, lambda: site_subject(host, root, level, 0), truth, found, host.weights
    )


def _mediating(names: Sequence[str], strengths: Sequence[float]) -> PlantedNetwork:
    n = len(names)
    read = np.zeros((n, 1))
    read[[names.index("m0"), names.index("m1")]] = 1
    out = np.zeros((n + 1, 1 + len(strengths)))
    for i, strength in enumerate(strengths):
        out[names.index(f"c{i}"), [TARGET, 1 + i]] = strength, 1
    out[[names.index("dormant"), n], TARGET] = 2
    return PlantedNetwork(
        (Layer(read, np.array([-1.0]), np.ones((1, 1))),), out, np.zeros(out.shape[1])
    )


def steering(
    *,
    correlation: float = 0.9,
    firing: float = 0.4,
    cosine: float = 0.3,
    n_inputs: int = 512,
    seed: int = 0,
) -> SteeringTestbed:
    """A concept to steer by, whose effect is a broken line, and a companion that goes with it.

        target   = v + 2 ReLU(v + o0 - 2) - ReLU(1 - v)
        output 1 = v / 2          the concept's own side effect
        output 2 = companion      the side effect of steering along what only goes with the concept
        output 3 = o1

    The slope of the target in v breaks at 1 and at 2 - o0. Directions have the cosine given, so
    what reads the concept is another vector than what writes it.

    Args:
        correlation: of the companion with the concept, in (0, 1), exact.
        firing: how often a feature fires, with magnitude 1 or 2.
        cosine: between any two directions.
        n_inputs: how many score.
        seed: of directions and inputs.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> testbed = steering()
        >>> testbed.truth.breakpoints(0)[0].tolist() == (
        ...     np.array([2 - testbed.truth.codes[0, 2], 1]) - testbed.truth.codes[0, 0]
        ... ).tolist()
        True
    """
    if not 0 < correlation < 1 or not 0 < firing < 1:
        raise InputError("correlation, firing: expected numbers between 0 and 1.")
    names = ["concept", "companion", "o0", "o1", "above", "below"]
    law = InputLaw(
        MAGNITUDES,
        np.tile([1 - firing, firing / 2, firing / 2], (4, 1)),
        np.array([-1, 0, -1, -1]),
        np.array([0.0, correlation, 0.0, 0.0]),
    )
    read = np.array([[1.0, -1.0], [0, 0], [1, 0], [0, 0]])
    out = np.zeros((6, 4))
    out[0, [TARGET, 1]] = 1, 0.5
    out[1, 2] = out[3, 3] = 1
    out[[4, 5], TARGET] = 2, -1
    network = PlantedNetwork((Layer(read, np.array([-2.0, 1.0]), np.eye(2)),), out, np.zeros(4))
    parameters = {
        "correlation": correlation,
        "firing": firing,
        "cosine": cosine,
        "n_inputs": n_inputs,
    }
    recipe = Recipe("causes/steering", parameters, seeds.check_seed(seed))
    root = seeds.root_of(recipe.name, recipe.seed)
    host = feature_host(network, law, names, root, cosine)
    truth = _truth(host, root, 0, n_inputs)
    found = host.hash(root, 0, truth.tokens)
    return SteeringTestbed(
        recipe, lambda: site_subject(host, root, 0, 0), truth, found, host.weights
    )


def _truth(host: FeatureHost, root: bytes, level: int, n_inputs: int) -> CauseTruth:
    """What a host's features cause at one level, after its model was run on the inputs that score;
    the concept is the first feature."""
    if n_inputs < 2:
        raise reject("n_inputs", n_inputs, "at least 2")
    network, law, m = host.network, host.law, host.network.n_brought
    n = network.width(level)
    tokens = host.tokens(law.draw(seeds.generator(root, "score", "tokens"), n_inputs))
    host.certify(tokens)
    codes = network.codes(host.brought(tokens), level)
    parent, correlation = np.full(n, -1), np.zeros(n)
    inert = ~np.logical_or(*network.read_by(level))[:m]
    parent[:m] = np.where(inert, law.parent, -1)
    correlation[:m] = np.where(inert, law.copied, 0)
    active = np.ones(n, dtype=bool)
    active[:m] = law.chances[:, 0] < 1
    dose = np.full(n, law.magnitudes[-1])
    dose[m:] = codes[:, m:].max(0)
    return CauseTruth(
        network=network,
        level=level,
        site=site_of(level),
        names=host.names[:n],
        directions=host.directions[:n],
        readouts=host.readouts[:, :n],
        dose=dose,
        active=active,
        parent=parent,
        correlation=correlation,
        target=TARGET,
        concept=0,
        tokens=tokens,
        codes=codes,
    )


def site_subject(host: FeatureHost, root: bytes, level: int, concept: int) -> SiteSubject:
    """What a method sees of a host at the site behind `level` layers: inputs of the training
    stream, labelled by whether a feature, brought or computed, fires."""
    import torch

    from groundtruth.models.transformer import Transformer

    network, last = host.network, len(host.network.layers)

    def tokens(seed: int, block: int) -> np.ndarray:
        rng = seeds.generator(root, "train", "tokens", seed, block)
        return host.tokens(host.law.draw(rng, BLOCK))

    def rows(given: np.ndarray) -> np.ndarray:
        return network.codes(host.brought(given), level) @ host.directions[: network.width(level)]

    def labels(given: np.ndarray) -> np.ndarray:
        return network.codes(host.brought(given), last)[:, concept] > 0

    model = Transformer(host.weights, torch.float64)
    return SiteSubject(model, site_of(level), TARGET, tokens, labels, rows)
