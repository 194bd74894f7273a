"""A concept with a spurious correlate that turns round: what a probe reads shows where it fails."""

from __future__ import annotations

import numpy as np
from scipy import special

from groundtruth import hashing, seeds
from groundtruth.errors import InputError, reject
from groundtruth.generators.dictionaries import random_rotation
from groundtruth.probe_truth import Cases, ProbeTruth
from groundtruth.site_subject import LabelledSubject
from groundtruth.site_testbed import ProbeTestbed
from groundtruth.testbed import BLOCK, Recipe

N_SCORE = 20 * BLOCK
NUISANCES = 12
NUISANCE_RATE = 0.1


def concept_shift(
    *,
    correlation: float = 0.9,
    shifted: float = -0.9,
    size: float = 1.0,
    spurious_size: float = 2.0,
    noise: float = 0.4,
    d: int = 24,
    seed: int = 0,
) -> ProbeTestbed:
    """x = size c d_c + spurious_size s d_s + sparse nuisances + noise; labels are c.

    c and s are 0 or 1, each with chance 1/2, and agree with chance (1 + correlation) / 2 where
    methods look, (1 + shifted) / 2 after the shift. Directions are orthonormal, noise is Gaussian
    and alike in all of them. s is larger than c in the noise, so the best probe where methods look
    leans on it, and is wrong after the shift; the planted direction is right equally often in both:
    Phi(size / (2 noise)).

    Args:
        correlation, shifted: of c and s, within (-1, 1).
        size, spurious_size: above 0.
        noise: standard deviation in every direction, above 0.
        d: width, at least 14: c, s and 12 nuisances, each of size 1 in a tenth of the samples.
        seed: of directions and samples.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> testbed = concept_shift()
        >>> round(testbed.truth.shifted.ceiling, 3), round(testbed.truth.familiar.ceiling, 3)
        (0.894, 0.968)
    """
    for name, rho in ("correlation", correlation), ("shifted", shifted):
        if not -1 < rho < 1:
            raise reject(name, rho, "a number within (-1, 1)")
    if not all(0 < value < np.inf for value in (size, spurious_size, noise)):
        raise InputError("size, spurious_size, noise: expected numbers above 0.")
    if d < 2 + NUISANCES:
        raise reject("d", d, f"at least {2 + NUISANCES}")
    parameters = {
        "correlation": correlation,
        "shifted": shifted,
        "size": size,
        "spurious_size": spurious_size,
        "noise": noise,
        "d": d,
    }
    recipe = Recipe("causes/concept-shift", parameters, seeds.check_seed(seed))
    root = seeds.root_of(recipe.name, recipe.seed)
    rows = random_rotation(d, seeds.generator(root, "directions"))[: 2 + NUISANCES]

    def draw(rng: np.random.Generator, n: int, rho: float) -> tuple[np.ndarray, np.ndarray]:
        concept = rng.random(n) < 0.5
        agree = rng.random(n) < (1 + rho) / 2
        nuisances = rng.random((n, NUISANCES)) < NUISANCE_RATE
        codes = np.column_stack([size * concept, spurious_size * (concept == agree), nuisances])
        return codes @ rows + noise * rng.standard_normal((n, d)), concept

    def cases(stream: str, rho: float, ceiling: float, kind: str) -> Cases:
        x, labels = draw(seeds.generator(root, "score", stream), N_SCORE, rho)
        return Cases(x, labels, np.full(N_SCORE, 1 / N_SCORE), False, ceiling, kind)

    best = best_accuracy(size / noise, spurious_size / noise, correlation)
    truth = ProbeTruth(
        concept="concept",
        rival="correlate",
        direction=rows[0],
        rival_direction=rows[1],
        readout=rows[0],
        rival_readout=rows[1],
        threshold=size / 2,
        rival_threshold=spurious_size / 2,
        familiar=cases("familiar", correlation, best, "best probe of any kind"),
        shifted=cases(
            "shifted", shifted, float(special.ndtr(size / (2 * noise))), "planted direction"
        ),
    )

    def pair(seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
        return draw(seeds.generator(root, "train", seed, block), BLOCK, correlation)

    described = {"recipe": recipe.description()}
    found = hashing.content_hash(described, {"directions": rows, "x": np.round(pair(0, 0)[0], 4)})
    return ProbeTestbed(recipe, lambda: LabelledSubject(d, pair), truth, found)


def best_accuracy(size: float, spurious_size: float, correlation: float) -> float:
    """Of the best rule for c from both coordinates, in units of the noise.

    Given c and s the coordinates are independent Gaussians. At a spurious coordinate t, the odds of
    c are g(t) = P(t | c = 1) / P(t | c = 0), and the rule asks whether the concept's coordinate is
    above size / 2 - ln g / size; the average over t is taken by the trapezoid rule on a grid of
    steps 1/200, whose error is far below 1e-6 for a smooth integrand.

    Example, an uncorrelated feature adds nothing to Phi(size / 2):
        >>> round(best_accuracy(2.0, 3.0, 0.0), 6) == round(float(special.ndtr(1.0)), 6)
        True
    """
    t = np.arange(-10, spurious_size + 10, 1 / 200)
    low, high = (np.exp(-((t - at) ** 2) / 2) / np.sqrt(2 * np.pi) for at in (0, spurious_size))
    share = (1 + correlation) / 2
    given = [share * high + (1 - share) * low, share * low + (1 - share) * high]  # c = 1, c = 0
    threshold = size / 2 - np.log(given[0] / given[1]) / size
    right = given[0] * special.ndtr(size - threshold) + given[1] * special.ndtr(threshold)
    return float(np.trapezoid(right, t) / 2)
