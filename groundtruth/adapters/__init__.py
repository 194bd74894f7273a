"""Outside objects as explanations and as methods. One file per outside kind; none is imported,
nor is its library, before an object of that kind arrives. `docs/adapters.md` lists the kinds.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from groundtruth.arrays import kind_of
from groundtruth.errors import ExplanationError, InputError
from groundtruth.explanation import Dictionary
from groundtruth.predictor import Predictor

__all__ = ["as_explanation", "as_method", "is_method"]

FIX = "Return gt.Dictionary(decoder=directions, encode=function)"


def as_explanation(obj: Any) -> Dictionary:
    """`obj` as a `Dictionary`: one already, or what an outside object claims.

    Args:
        obj: a `Dictionary`; a torch module with encode and a decoder (SAELens, sparsify,
            dictionary_learning, overcomplete, or one's own); a fitted scikit-learn estimator; a
            folder that SAELens or sparsify saved; a tuple (encode, decoder); any object with a
            method encode and a decoder.

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
    read = _reader(obj)
    if read is None:
        raise ExplanationError(f"A method must return a Dictionary, got {_what(obj)}")
    return read(obj)


def as_method(obj: Any) -> Callable[..., Any]:
    """`obj` as a callable (subject, *, seed): one already, or made from one of the kinds below.

    An unfitted scikit-learn estimator, or factorisation of overcomplete, is copied, seeded, and
    fitted on samples. A training config of SAELens is trained by SAELens's own trainer.

    Raises:
        InputError: an explanation, or a callable that does not take (subject, *, seed).
    """
    if not is_method(obj) and (isinstance(obj, Dictionary) or _reader(obj) is not None):
        raise _explanation_given(obj)
    if _is_estimator(obj):
        from groundtruth.adapters.sklearn import EstimatorMethod

        return EstimatorMethod(obj)
    if _is_config(obj):
        from groundtruth.adapters.saelens import train

        return partial(train, config=obj)
    if _is_torch_module(obj):
        from groundtruth.adapters.overcomplete import FactorisationMethod

        return FactorisationMethod(obj)
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
    """Whether `obj` has to be run to give an explanation: what `as_method` takes."""
    if _is_estimator(obj):
        from groundtruth.adapters.sklearn import is_fitted

        return not is_fitted(obj)
    if _is_config(obj):
        return True
    if isinstance(obj, (Dictionary, Predictor)):
        return False
    if _is_torch_module(obj):
        return _is_unfitted_factorisation(obj)
    return callable(obj) and (_takes_subject_and_seed(obj) or _reader(obj) is None)


def _reader(obj: Any) -> Callable[[Any], Dictionary] | None:
    """The function that reads `obj` as a dictionary; None if there is none."""
    if _is_torch_module(obj):
        return _module_reader(obj)
    if _is_estimator(obj):
        from groundtruth.adapters.sklearn import from_sklearn

        return from_sklearn
    if isinstance(obj, Path) or (isinstance(obj, str) and Path(obj).is_dir()):
        from groundtruth.adapters.folder import from_folder

        return from_folder
    if isinstance(obj, tuple) and len(obj) > 1 and callable(obj[0]):
        from groundtruth.adapters.pair import from_pair

        return from_pair
    if callable(getattr(obj, "encode", None)):
        from groundtruth.adapters.pair import from_object, is_encoder_decoder

        return from_object if is_encoder_decoder(obj) else None
    return None


def _module_reader(module: Any) -> Callable[[Any], Dictionary]:
    libraries = _libraries(module)
    if "sae_lens" in libraries:
        from groundtruth.adapters.saelens import from_saelens

        return from_saelens
    if "sparsify" in libraries:
        from groundtruth.adapters.sparsify import from_sparsify

        return from_sparsify
    if "overcomplete" in libraries:
        from groundtruth.adapters.overcomplete import from_overcomplete

        return from_overcomplete
    from groundtruth.adapters.torch_module import from_module

    return from_module


def _libraries(obj: Any) -> set[str]:
    """The packages that define the class of `obj` and its bases."""
    return {base.__module__.partition(".")[0] for base in type(obj).__mro__}


def _is_torch_module(obj: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def _is_estimator(obj: Any) -> bool:
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(obj, base.BaseEstimator)


def _is_config(obj: Any) -> bool:
    base = getattr(sys.modules.get("sae_lens"), "SAEConfig", None)
    return base is not None and isinstance(obj, base)


def _is_unfitted_factorisation(module: Any) -> bool:
    if "overcomplete" not in _libraries(module):
        return False
    from groundtruth.adapters.overcomplete import is_factorisation

    return is_factorisation(module) and not module.fitted


def _what(obj: Any) -> str:
    kind = kind_of(obj)
    if kind is not None:
        return f"a {kind} array. Return gt.Dictionary(decoder=array) with one row per direction."
    if obj is None:
        return f"None. {FIX}; is a return statement missing?"
    if isinstance(obj, dict):
        keys = ", ".join(map(repr, list(obj)[:5]))
        return f"a dict with keys {keys or '(none)'}. {FIX} with its entries."
    if isinstance(obj, str):
        return f"the string {obj!r}, which names no folder. {FIX}."
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
