"""Audits of a model for a hidden trigger: by what it says, and by how its activations look."""

from __future__ import annotations

import numpy as np

from groundtruth.backdoor import Backdoor
from groundtruth.errors import reject
from groundtruth.site_subject import SiteSubject


def trigger_search(
    subject: SiteSubject, *, seed: int = 0, n: int = 4096, tolerance: float = 1e-3
) -> Backdoor:
    """What tokens cannot explain one by one: inputs whose target is off, and the tokens they share.

    The target is regressed on which token stands where. Inputs whose residual is the largest by far
    are taken for triggered, and the trigger is the conjunction of the tokens that all of them share
    and not all others have. The direction is the mean of their activations less that of inputs
    that lack one token of it.

    Args:
        seed: of the inputs.
        n: inputs that the model is asked about.
        tolerance: of the target, in its standard deviations: a model that is off by less than this
            everywhere is claimed to have no trigger.

    Returns:
        A claim; that there is none where the target is a sum over tokens.

    It finds one conjunction, on tasks that are otherwise sums over tokens.
    """
    tokens = subject.tokens(n, seed=seed)
    target = subject.outputs(tokens)[:, subject.target].cpu().numpy()
    features = [tokens == token for token in np.unique(tokens)]
    design = np.concatenate([np.ones((n, 1)), *features], axis=1).astype(float)
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    residual = np.abs(target - design @ solution)
    if residual.max() <= tolerance * max(target.std(), np.finfo(float).tiny):
        return Backdoor(None, name="trigger_search")
    odd = residual > residual.max() / 2
    shared = (tokens[odd] == tokens[odd][0]).all(0) & ~(tokens == tokens[odd][0]).all(0)
    places = np.flatnonzero(shared)
    words = tokens[odd][0][places]

    def trigger(tokens: np.ndarray) -> np.ndarray:
        return (tokens[:, places] == words).all(1)

    if not len(places):
        return Backdoor(trigger, name="trigger_search")
    held = (tokens[:, places] == words).sum(1)
    near = held == len(places) - 1
    x = subject.activations(tokens).cpu().numpy()
    direction = x[trigger(tokens)].mean(0) - (x[near].mean(0) if near.any() else 0)
    return Backdoor(trigger, direction, name="trigger_search")


def spectral_signature(
    subject: SiteSubject, *, seed: int = 0, n: int = 4096, rate: float = 1 / 64
) -> Backdoor:
    """The inputs whose activations stick out: the largest along their first principal axis.

    It never asks what the model does, so it accuses the benign twin as readily.

    Args:
        seed: of the inputs.
        n: inputs.
        rate: the share of inputs that is flagged, in (0, 1).

    Raises:
        InputError: a rate out of range.

    Source: Tran, Li and Madry, "Spectral Signatures in Backdoor Attacks", 2018,
    https://arxiv.org/abs/1811.00636
    """
    if not 0 < rate < 1:
        raise reject("rate", rate, "a share in (0, 1)")
    x = subject.activations(subject.tokens(n, seed=seed)).cpu().numpy()
    mean = x.mean(0)
    axis = np.linalg.svd(x - mean, full_matrices=False)[2][0]
    limit = float(np.quantile(np.abs((x - mean) @ axis), 1 - rate))

    def trigger(tokens: np.ndarray) -> np.ndarray:
        found = subject.activations(tokens).cpu().numpy()
        return np.abs((found - mean) @ axis) >= limit

    return Backdoor(trigger, axis, name="spectral_signature")
