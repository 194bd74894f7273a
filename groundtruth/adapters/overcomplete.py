"""overcomplete (KempnerInstitute): trained autoencoders and fitted factorisations as
dictionaries, unfitted factorisations as methods.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from groundtruth.adapters.randomness import torch_seeded
from groundtruth.adapters.sklearn import from_sklearn, random_state
from groundtruth.adapters.torch_module import from_module
from groundtruth.errors import ExplanationError
from groundtruth.explanation import Dictionary
from groundtruth.testbed import ActivationSubject


def from_overcomplete(model: Any, *, name: str | None = None) -> Dictionary:
    """What a model of overcomplete claims.

    Autoencoders: `get_dictionary()` as fused for inference, and the codes of `encode`; those of
    matching pursuit are signed. Factorisations (`NMF`, `SemiNMF`): the fitted dictionary, and
    codes solved for from one and the same random start, since another start gives other codes.
    `ConvexNMF` encodes no activations but those it was fitted on: its dictionary alone is
    claimed. The wrappers around scikit-learn (`SkPCA`, `SkICA`, ...) are read as the estimator
    that they hold.

    Args:
        model: trained, or fitted.
        name: shown in tables; None is the class name.

    Raises:
        ExplanationError: not fitted, or weights that cannot be scored.
    """
    name = type(model).__name__ if name is None else name
    if not is_factorisation(model):
        # encode gives (pre-activations, codes).
        return from_module(model, signed="MpSAE" in _names(model), name=name, part=1)
    if not model.fitted:
        raise ExplanationError(
            f"{name}: expected a fitted model, got an unfitted one. "
            "Call .fit(x) first, or pass it where a method is expected."
        )
    if hasattr(model, "model"):
        return from_sklearn(model.model, name=name)
    rows = model.get_dictionary().detach()
    if "ConvexNMF" in _names(model):
        return Dictionary(rows, name=name)
    return Dictionary(rows, _solver(model), name=name)


def is_factorisation(model: Any) -> bool:
    """Whether `model` is fitted by optimisation, and not trained like an autoencoder."""
    return "BaseOptimDictionaryLearning" in _names(model)


@dataclass(frozen=True)
class FactorisationMethod:
    """A method that copies an unfitted factorisation and fits it on samples of the subject.

    Fields:
        model: never changed itself.
        n_samples: activations to fit on.
    """

    model: Any
    n_samples: int = 20_000

    def __call__(self, subject: ActivationSubject, *, seed: int) -> Dictionary:
        fresh = copy.deepcopy(self.model)
        estimator = getattr(fresh, "model", None)
        if estimator is not None and "random_state" in estimator.get_params(deep=False):
            estimator.set_params(random_state=random_state(seed))
        with torch_seeded("overcomplete", seed):
            fresh.fit(subject.sample(self.n_samples, seed=seed))
        return from_overcomplete(fresh)


def _solver(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def encode(x: torch.Tensor) -> torch.Tensor:
        # Some of its solvers take gradient steps on the codes.
        with torch_seeded("overcomplete", 0), torch.enable_grad():
            return model.encode(x).detach()

    return encode


def _names(model: Any) -> set[str]:
    return {base.__name__ for base in type(model).__mro__}
