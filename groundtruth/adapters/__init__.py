"""Outside objects as explanations and as methods. One file per outside kind; none is imported,
nor is its library, before an object of that kind arrives. jax needs no file: a jax decoder makes
`Dictionary` call `encode` with jax arrays.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from groundtruth.arrays import kind_of
from groundtruth.errors import ExplanationError, InputError
from groundtruth.explanation import Dictionary

__all__ = ["as_explanation", "as_method", "is_method"]

FIX = "Return gt.Dictionary(decoder=directions, encode=function)"


def as_explanation(obj: Any) -> Dictionary:
    """`obj` as a `Dictionary`: one already, a torch module, or a fitted scikit-learn estimator.

    Raises:
        ExplanationError: anything else; it names what came and how to fix it.

    Example:
        >>> import numpy as np
        >>> claim = Dictionary(decoder=np.eye(2))
        >>> as_explanation(claim) is claim
        True
    """
    if isinstance(obj, Dictionary):
        return obj
    if _is_torch_module(obj):
        from groundtruth.adapters.torch_module import from_module

        return from_module(obj)
    if _is_estimator(obj):
        from groundtruth.adapters.sklearn import from_sklearn

        return from_sklearn(obj)
    raise ExplanationError(f"A method must return a Dictionary, got {_what(obj)}")


def as_method(obj: Any) -> Callable[..., Any]:
    """`obj` as a callable (subject, *, seed): one already, or an unfitted scikit-learn estimator,
    which is cloned, seeded where it takes a random_state, and fitted on samples.

    Raises:
        InputError: an explanation, or a callable that does not take (subject, *, seed).
    """
    if isinstance(obj, Dictionary) or _is_torch_module(obj):
        raise _explanation_given(obj)
    if _is_estimator(obj):
        from groundtruth.adapters.sklearn import EstimatorMethod, is_fitted

        if is_fitted(obj):
            raise _explanation_given(obj)
        return EstimatorMethod(obj)
    if not callable(obj):
        raise InputError(
            f"method: expected a callable (subject, *, seed), got {type(obj).__name__}. "
            "Write for example def method(subject, *, seed): return gt.Dictionary(...)."
        )
    if not _takes_subject_and_seed(obj):
        label = getattr(obj, "__name__", type(obj).__name__)
        raise InputError(
            f"method: expected {label} to take (subject, *, seed), but it takes "
            f"{inspect.signature(obj)}. Bind other parameters with functools.partial."
        )
    return obj


def is_method(obj: Any) -> bool:
    """Whether `obj` has to be run to give an explanation: a callable that is no torch module, or
    an unfitted scikit-learn estimator."""
    if _is_estimator(obj):
        from groundtruth.adapters.sklearn import is_fitted

        return not is_fitted(obj)
    return callable(obj) and not isinstance(obj, Dictionary) and not _is_torch_module(obj)


def _is_torch_module(obj: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def _is_estimator(obj: Any) -> bool:
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(obj, base.BaseEstimator)


def _what(obj: Any) -> str:
    kind = kind_of(obj)
    if kind is not None:
        return f"a {kind} array. Return gt.Dictionary(decoder=array) with one row per direction."
    if obj is None:
        return f"None. {FIX}; is a return statement missing?"
    if isinstance(obj, dict):
        keys = ", ".join(map(repr, list(obj)[:5]))
        return f"a dict with keys {keys or '(none)'}. {FIX} with its entries."
    return f"{type(obj).__name__}. {FIX}."


def _explanation_given(obj: Any) -> InputError:
    return InputError(
        f"method: expected a callable (subject, *, seed), got an explanation "
        f"({type(obj).__name__}). To score it as it is, pass lambda subject, *, seed: explanation."
    )


def _takes_subject_and_seed(obj: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(obj)
    except ValueError:
        return True  # some builtins have no signature; the call itself will tell
    try:
        signature.bind(None, seed=0)
    except TypeError:
        return False
    return True
