"""Probes of a labelled concept: on activations, and on the latents of a dictionary."""

from __future__ import annotations

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError, reject
from groundtruth.methods.causes.latents import Latents, latents
from groundtruth.outputs import codes_of
from groundtruth.probe import Probe, linear_probe
from groundtruth.site_subject import LabelledSubject


def probe_raw(
    subject: LabelledSubject, *, seed: int = 0, n: int = 4096, penalty: float = 1e-3
) -> Probe:
    """Logistic regression on activations.

    min over w, b of mean log(1 + exp(-y (x w + b))) + penalty / 2 |w|^2, y being 1 or -1.

    Args:
        seed: of the examples.
        n: examples.
        penalty: above 0; activations are taken as they are.

    Raises:
        InputError: examples of one kind only, or a penalty that is not above 0.

    Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes",
    2016, https://arxiv.org/abs/1610.01644
    """
    weights, intercept = fit(*contrast(subject, seed, n), penalty)
    return linear_probe(weights, -intercept, name="probe_raw")


def probe_latents(
    subject: LabelledSubject,
    *,
    seed: int = 0,
    dictionary: Latents = None,
    n_latents: int = 1,
    n: int = 4096,
    penalty: float = 1e-3,
) -> Probe:
    """Logistic regression on the few latents whose means differ most with the label.

    Args:
        seed: of the examples, and of the dictionary if it is learned.
        dictionary: the latents; or a method that learns them from the subject; None is `topk`.
        n_latents: how many are read: those of the largest |difference of means| / deviation.
        n, penalty: as for `probe_raw`; codes are divided by their deviations.

    Returns:
        A probe whose direction is the sum of the latents' decoder rows by their weights.

    Raises:
        InputError: as for `probe_raw`; more latents than there are.

    Source: Gurnee et al., "Finding Neurons in a Haystack: Case Studies with Sparse Probing", 2023,
    https://arxiv.org/abs/2305.01610; on latents in Kantamneni et al., "Are Sparse Autoencoders
    Useful? A Case Study in Sparse Probing", 2025, https://arxiv.org/abs/2502.16681
    """
    found = latents(subject, dictionary, seed)
    if not 1 <= n_latents <= found.k:
        raise reject("n_latents", n_latents, f"1 to {found.k}, the width of the dictionary")
    x, labels = contrast(subject, seed, n)
    codes = codes_of(found, x).toarray().astype(np.float64)
    deviation = codes.std(0)
    gap = np.abs(codes[labels].mean(0) - codes[~labels].mean(0))
    gap = np.divide(gap, deviation, out=np.zeros(found.k), where=deviation > 0)
    chosen = np.argsort(-gap, kind="stable")[:n_latents]
    scale = np.where(deviation[chosen] > 0, deviation[chosen], 1.0)
    weights, intercept = fit(codes[:, chosen] / scale, labels, penalty)
    weights = weights / scale

    def decide(x: np.ndarray) -> np.ndarray:
        return codes_of(found, x).toarray()[:, chosen] @ weights + intercept > 0

    direction = weights @ found.decoder[chosen]
    return Probe(decide, direction if direction.any() else None, name="probe_latents")


def random_probe(subject: LabelledSubject, *, seed: int = 0, n: int = 4096) -> Probe:
    """The control: a uniform direction, cut at the mean activation.

    Args:
        seed: of the direction.
        n: activations that the mean is taken of.
    """
    x, _ = subject.labelled(n, seed=seed)
    direction = seeds.generator(seeds.root_of("random_probe", seed)).standard_normal(subject.d)
    return linear_probe(direction, float(x.mean(0) @ direction), name="random_probe")


def contrast(subject: LabelledSubject, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labelled examples of both kinds.

    Raises:
        InputError: there are none of one kind.
    """
    x, labels = subject.labelled(n, seed=seed)
    if labels.all() or not labels.any():
        shown = "show" if labels.all() else "lack"
        raise InputError(f"examples: expected both kinds, got {n} that all {shown} the concept.")
    return x, labels


def fit(x: np.ndarray, labels: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """(d,) weights and the intercept of the logistic regression that `probe_raw` states."""
    if not penalty > 0:
        raise reject("penalty", penalty, "a number above 0")
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-8, max_iter=10_000)
    model.fit(x, labels)
    return model.coef_[0], float(model.intercept_[0])
