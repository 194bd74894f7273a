"""Steering vectors from examples with and without the concept."""

from __future__ import annotations

from groundtruth import seeds
from groundtruth.methods.causes.probes import contrast, fit
from groundtruth.site_subject import LabelledSubject
from groundtruth.steering_vector import SteeringVector


def mean_difference(subject: LabelledSubject, *, seed: int = 0, n: int = 4096) -> SteeringVector:
    """mean of x with the concept - mean of x without.

    It holds a share of every feature that goes along with the concept.

    Args:
        seed: of the examples.
        n: examples.

    Raises:
        InputError: examples of one kind only.

    Source: Rimsky et al., "Steering Llama 2 via Contrastive Activation Addition", 2023,
    https://arxiv.org/abs/2312.06681
    """
    x, labels = contrast(subject, seed, n)
    return SteeringVector(x[labels].mean(0) - x[~labels].mean(0), name="mean_difference")


def probe_vector(
    subject: LabelledSubject, *, seed: int = 0, n: int = 4096, penalty: float = 1e-3
) -> SteeringVector:
    """The weights of a logistic probe.

    They are what tells the concept best, which need not be what writes it: where directions are not
    orthogonal the two differ.

    Args:
        seed: of the examples.
        n: examples.
        penalty: as for `probe_raw`.

    Raises:
        InputError: examples of one kind only, or a penalty that is not above 0.

    Source: Li et al., "Inference-Time Intervention: Eliciting Truthful Answers from a Language
    Model", 2023, https://arxiv.org/abs/2306.03341
    """
    weights, _ = fit(*contrast(subject, seed, n), penalty)
    return SteeringVector(weights, name="probe_vector")


def random_vector(subject: LabelledSubject, *, seed: int = 0) -> SteeringVector:
    """The control: a uniform direction.

    Args:
        seed: of the direction.
    """
    draws = seeds.generator(seeds.root_of("random_vector", seed))
    return SteeringVector(draws.standard_normal(subject.d), name="random_vector")
