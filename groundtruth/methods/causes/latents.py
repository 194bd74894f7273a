"""The dictionary that a method ranks or probes: given, learned by a given method, or topk."""

from __future__ import annotations

from collections.abc import Callable

from groundtruth.explanation import Dictionary
from groundtruth.methods.topk import topk
from groundtruth.testbed import ActivationSubject

Latents = Dictionary | Callable[..., Dictionary] | None


def latents(subject: ActivationSubject, dictionary: Latents, seed: int) -> Dictionary:
    """`dictionary`; or what it learns from the subject; or `topk` of width 2 d and L0 d / 4, for
    sites of few features of which many fire."""
    if isinstance(dictionary, Dictionary):
        return dictionary
    if dictionary is not None:
        return dictionary(subject, seed=seed)
    return topk(subject, seed=seed, width=2 * subject.d, l0=max(1, subject.d // 4))
