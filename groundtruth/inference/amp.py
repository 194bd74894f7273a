"""Approximate message passing: the Bayes codes of sparse samples when the prior is known.

The best code in mean squared error when the dictionary looks random and the prior is the true
one, at the price of a few products with the dictionary per iteration.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from numpy.typing import ArrayLike

from groundtruth.errors import reject
from groundtruth.inference.arrays import as_problem, as_tensor, check_finite, check_unit_rows

# exp of less is nothing beside 1; its square would be a denormal, far slower to compute with.
LEAST_EXPONENT = -40.0
# Buffers of this many entries stay in the cache, where the node-by-node sums are made.
BLOCK_ELEMENTS = 1 << 17


class AmpPosterior(NamedTuple):
    """Posterior mean and firing probability of every feature, both float32 (n, F)."""

    mean: torch.Tensor
    firing_probability: torch.Tensor


class _Prior(NamedTuple):
    """Log odds of each magnitude against silence, and the magnitudes: (Q, F) each."""

    log_odds: torch.Tensor
    nodes: torch.Tensor


class _Estimate(NamedTuple):
    """What the scalar channel r = z + N(0, variance) says of z: (n, F) each."""

    mean: torch.Tensor
    variance: torch.Tensor
    firing: torch.Tensor


def amp(
    x: ArrayLike | torch.Tensor,
    dictionary: ArrayLike | torch.Tensor,
    firing_probability: ArrayLike | torch.Tensor,
    magnitude_nodes: ArrayLike | torch.Tensor,
    magnitude_weights: ArrayLike | torch.Tensor,
    *,
    noise: float = 0.0,
    n_iterations: int = 50,
    damping: float = 0.3,
) -> AmpPosterior:
    """Posterior of z in x = z D + noise, z_i = 0 with probability 1 - p_i, else a magnitude.

    Repeats, with eta the posterior mean of z_i given r_i = z_i + N(0, tau^2):
    z = eta(r), r = z + v D^T, v = x - z D + v_old * sum_i eta'(r_i) / d, tau^2 = |v|^2 / d.
    The last term of v (Onsager) makes r behave as the true z plus Gaussian noise when D is
    random; eta' = posterior variance / tau^2. Damping mixes each new z and v with the old, so that
    a structured dictionary slows convergence rather than breaking it; on one the result is a
    heuristic. The state kept per sample is the one of smallest tau, so that a sample that
    oscillates is not judged by where it stopped.

    The result is dense: pass the samples in parts.

    Args:
        x: samples, (n, d).
        dictionary: unit rows, (F, d).
        firing_probability: p, (F,), strictly between 0 and 1.
        magnitude_nodes: magnitudes given firing, (Q,) shared or (F, Q). Let them span the whole
            range closely: without noise a magnitude between two nodes is taken for the nearest.
        magnitude_weights: their probabilities, of the same shape, each row summing to 1.
        noise: standard deviation of the noise per dimension.
        n_iterations: iterations.
        damping: share of the old state kept, from 0 (none) to below 1.

    Returns:
        `AmpPosterior`: finite, probabilities in [0, 1].

    Raises:
        InputError: shapes disagree, entries not finite or out of range.

    Example:
        >>> import numpy as np
        >>> found = amp(np.eye(4)[:1], np.eye(4), [0.1] * 4, [1.0], [1.0], noise=0.1)
        >>> found.firing_probability.round().tolist()
        [[1.0, 0.0, 0.0, 0.0]]

    Source: "Message-passing algorithms for compressed sensing" (2009),
        https://arxiv.org/abs/0907.3574; Bayes denoiser: "Generalized Approximate Message Passing
        for Estimation with Random Linear Mixing" (2011), https://arxiv.org/abs/1010.5141.
    """
    samples, atoms = as_problem(x, dictionary)
    check_unit_rows("dictionary", atoms)
    samples, atoms = samples.float(), atoms.float()
    prior = _prior(firing_probability, magnitude_nodes, magnitude_weights, atoms)
    for name, value, most in (("noise", noise, float("inf")), ("damping", damping, 1.0)):
        if not 0 <= value < most:
            raise reject(name, value, f"a number from 0 to below {most}")
    if n_iterations < 1:
        raise reject("n_iterations", n_iterations, "a whole number of at least 1")
    if samples.numel() == 0 or len(atoms) == 0:
        empty = samples.new_zeros((len(samples), len(atoms)))
        return AmpPosterior(empty, empty.clone())
    rows = max(1, BLOCK_ELEMENTS // len(atoms))
    parts = [
        _iterate(block, atoms, prior, noise, n_iterations, damping) for block in samples.split(rows)
    ]
    return AmpPosterior(*(torch.cat(part) for part in zip(*parts)))


def _prior(
    firing_probability: ArrayLike | torch.Tensor,
    magnitude_nodes: ArrayLike | torch.Tensor,
    magnitude_weights: ArrayLike | torch.Tensor,
    atoms: torch.Tensor,
) -> _Prior:
    p = as_tensor("firing_probability", firing_probability).double()
    nodes = as_tensor("magnitude_nodes", magnitude_nodes).double()
    weights = as_tensor("magnitude_weights", magnitude_weights).double()
    low, high = check_finite("firing_probability", p)
    if p.shape != (len(atoms),) or (p.numel() and not 0 < low <= high < 1):
        raise reject(
            "firing_probability",
            (tuple(p.shape), low, high),
            f"({len(atoms)},) probabilities strictly between 0 and 1 (shape, smallest, largest)",
        )
    check_finite("magnitude_nodes", nodes)
    check_finite("magnitude_weights", weights)
    if nodes.ndim not in (1, 2) or nodes.numel() == 0 or (nodes.ndim == 2 and len(nodes) != len(p)):
        raise reject("magnitude_nodes", tuple(nodes.shape), f"shape (Q,) or ({len(p)}, Q)")
    if weights.shape != nodes.shape:
        raise reject("magnitude_weights", tuple(weights.shape), f"shape {tuple(nodes.shape)}")
    # Quadrature weights kept in float32 sum to 1 only to about 1e-6.
    if bool((weights < 0).any()) or bool(((weights.sum(-1) - 1).abs() > 1e-4).any()):
        raise reject("magnitude_weights", magnitude_weights, "weights of at least 0 that sum to 1")
    odds = (weights.clamp_min(1e-300).log() + (p.log() - (-p).log1p())[:, None]).T
    spread = nodes.expand(len(p), -1).T
    return _Prior(odds.to(atoms).contiguous(), spread.to(atoms).contiguous())


def _denoise(r: torch.Tensor, tau2: torch.Tensor, prior: _Prior) -> _Estimate:
    """Posterior of z given r = z + N(0, tau2), node by node to keep memory at (n, F)."""
    precision = 1 / tau2
    scaled = r * precision

    def log_odds(odds: torch.Tensor, node: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(odds - node * node / 2 * precision, scaled, node)

    top = torch.zeros_like(r)  # silence has log odds 0
    for odds, node in zip(prior.log_odds, prior.nodes):
        torch.maximum(top, log_odds(odds, node), out=top)
    silence = (-top).clamp_min_(LEAST_EXPONENT).exp_()
    total, first, second = silence.clone(), torch.zeros_like(r), torch.zeros_like(r)
    for odds, node in zip(prior.log_odds, prior.nodes):
        share = (log_odds(odds, node) - top).clamp_min_(LEAST_EXPONENT).exp_()
        total += share
        first.addcmul_(share, node)
        second.addcmul_(share, node * node)
    mean = first / total  # total >= 1: the largest term is 1
    return _Estimate(mean, (second / total - mean**2).clamp_min_(0), 1 - silence / total)


def _iterate(
    x: torch.Tensor,
    atoms: torch.Tensor,
    prior: _Prior,
    noise: float,
    n_iterations: int,
    damping: float,
) -> AmpPosterior:
    width = x.shape[1]
    # Below this tau, r * node / tau2 has no correct digit left in float32.
    power = (x**2).mean(dim=1, keepdim=True)
    floor = (1e-6 * power + noise**2).clamp_min(1e-20)
    z, v, tau2 = x.new_zeros((len(x), len(atoms))), x, power.maximum(floor)
    best = AmpPosterior(z, z)
    least = torch.full_like(tau2, torch.inf)
    for _ in range(n_iterations):
        found = _denoise(z + v @ atoms.T, tau2, prior)
        better = tau2 < least
        least = torch.where(better, tau2, least)
        best = AmpPosterior(
            torch.where(better, found.mean, best.mean),
            torch.where(better, found.firing, best.firing_probability),
        )
        z = torch.lerp(found.mean, z, damping)
        onsager = (found.variance.sum(dim=1, keepdim=True) / (tau2 * width)).clamp_max(1e3)
        v = torch.lerp(x - z @ atoms + onsager * v, v, damping)
        tau2 = (v**2).mean(dim=1, keepdim=True).maximum(floor)
        if not bool(torch.isfinite(tau2).all()):
            break
    return AmpPosterior(best.mean, best.firing_probability.clamp(0, 1))
