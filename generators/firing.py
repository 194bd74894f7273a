"""Firing laws: how often each feature fires. Each gives p (n_features,), most frequent first
where the law has an order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from groundtruth.errors import UnknownName, reject


def constant(n_features: int, rng: np.random.Generator, *, probability: float) -> np.ndarray:
    """p_i = probability."""
    return np.full(n_features, _probability("firing.probability", probability))


def log_uniform(
    n_features: int, rng: np.random.Generator, *, low: float, high: float
) -> np.ndarray:
    """log p_i uniform on [log low, log high], drawn, then sorted from frequent to rare."""
    low, high = _ordered(low, high)
    return np.sort(np.exp(rng.uniform(np.log(low), np.log(high), n_features)))[::-1].copy()


def zipf(
    n_features: int, rng: np.random.Generator, *, exponent: float = 1.0, first: float
) -> np.ndarray:
    """p_i = first * i^-exponent for i = 1, 2, ...: a true power law, not rescaled to a range."""
    if not np.isfinite(exponent) or exponent < 0:
        raise reject("firing.exponent", exponent, "a finite number >= 0")
    first = _probability("firing.first", first)
    return first * np.arange(1, n_features + 1, dtype=np.float64) ** -exponent


def zipf_range(
    n_features: int, rng: np.random.Generator, *, exponent: float, high: float, low: float
) -> np.ndarray:
    """r_i = i^-exponent moved and stretched to [low, high]: SAELens's "Zipf", no power law.

    p_i = low + (high - low) (r_i - r_n) / (r_1 - r_n).
    """
    if not np.isfinite(exponent) or exponent < 0:
        raise reject("firing.exponent", exponent, "a finite number >= 0")
    low, high = _ordered(low, high)
    rank = np.arange(1, n_features + 1, dtype=np.float64) ** -exponent
    span = rank[0] - rank[-1]
    return low + (high - low) * ((rank - rank[-1]) / span if span > 0 else np.ones(n_features))


def linear(n_features: int, rng: np.random.Generator, *, first: float, last: float) -> np.ndarray:
    """p_i from `first` to `last` in equal steps."""
    first, last = _probability("firing.first", first), _probability("firing.last", last)
    return np.linspace(first, last, n_features)


def given(n_features: int, rng: np.random.Generator, *, values: Any) -> np.ndarray:
    """p_i as given, one per feature."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise reject("firing.values", values, f"{n_features} numbers in [0, 1]") from None
    if array.shape != (n_features,):
        raise reject("firing.values", array.shape, f"shape ({n_features},)")
    return array


LAWS: dict[str, Callable[..., np.ndarray]] = {
    "constant": constant,
    "log-uniform": log_uniform,
    "zipf": zipf,
    "zipf-range": zipf_range,
    "linear": linear,
    "given": given,
}


def firing_probability(
    n_features: int, rng: np.random.Generator, law: str, **parameters: Any
) -> np.ndarray:
    """p (n_features,) of the named law."""
    if law not in LAWS:
        raise UnknownName("firing law", law, LAWS)
    try:
        return LAWS[law](n_features, rng, **parameters)
    except TypeError as error:
        raise reject(f"firing ({law})", parameters, f"its parameters ({error})") from None


def _probability(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise reject(name, value, "a number in [0, 1]")
    if not 0 <= float(value) <= 1:
        raise reject(name, value, "a number in [0, 1]")
    return float(value)


def _ordered(low: object, high: object) -> tuple[float, float]:
    low, high = _probability("firing.low", low), _probability("firing.high", high)
    if not 0 < low <= high:
        raise reject("firing.low, firing.high", (low, high), "0 < low <= high <= 1")
    return low, high
