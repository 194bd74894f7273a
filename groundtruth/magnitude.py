"""Laws of the magnitude that a feature has when it fires.

A law is a name with parameters, each a number or one value per feature. It can draw, and it
knows its moments exactly, so that no truth has to be re-estimated from samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import ndtr

from groundtruth.errors import InputError, UnknownName, reject

PARAMETERS: dict[str, dict[str, float]] = {
    "constant": {"value": 1.0},
    "uniform": {"low": 0.0, "high": 1.0},
    "log-normal": {"mu": 0.0, "sigma": 0.25},
    "rectified-normal": {"mean": 1.0, "std": 0.25},
    "exponential": {"mean": 1.0},
}
"""Each law's parameters with their defaults; `sigma` and `std` are standard deviations (of the
logarithm for the log-normal), never variances."""

_POSITIVE = {"value", "high", "sigma", "mean"}


@dataclass(frozen=True)
class MagnitudeLaw:
    """The law of m in a_i = m when feature i fires, else 0.

    Args:
        name: one of "constant", "uniform", "log-normal", "rectified-normal", "exponential".
        parameters: values by name, each a number or an array (n_features,).
        scale: a factor on every draw (> 0), in the units of the activations.

    The rectified normal is max(0, mean + std N(0, 1)): with probability `zero_probability` it
    gives 0, and then the feature did not fire. Moments below are those of a draw that is not 0.

    Example:
        >>> law = MagnitudeLaw("log-normal", {"mu": 0.0, "sigma": 0.25})
        >>> round(float(law.mean), 4)
        1.0317
    """

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in PARAMETERS:
            raise UnknownName("magnitude law", self.name, PARAMETERS)
        defaults = PARAMETERS[self.name]
        for key in self.parameters:
            if key not in defaults:
                raise UnknownName(f"parameter of the {self.name} magnitude law", key, defaults)
        merged = {k: _parameter(k, self.parameters.get(k, v)) for k, v in defaults.items()}
        if self.name == "uniform" and np.any(merged["low"] >= merged["high"]):
            raise InputError(
                f"uniform magnitude: expected low < high, got low={merged['low']} and "
                f"high={merged['high']}. Swap them."
            )
        if self.name == "uniform" and np.any(merged["low"] < 0):
            raise reject("magnitude.low", merged["low"], "a number >= 0")
        object.__setattr__(self, "parameters", merged)

    def check_features(self, n_features: int) -> None:
        """Raise unless every per-feature parameter has one value per feature."""
        for key, value in self.parameters.items():
            if value.ndim and value.shape != (n_features,):
                raise reject(f"magnitude.{key}", value.shape, f"a number or shape ({n_features},)")

    def draw(self, rng: np.random.Generator, features: np.ndarray) -> np.ndarray:
        """One magnitude (n,) for each feature index in `features` (n,); may be 0 if rectified."""
        p = {k: v[features] if v.ndim else v for k, v in self.parameters.items()}
        n = len(features)
        if self.name == "constant":
            out = np.broadcast_to(p["value"], n)
        elif self.name == "uniform":
            # 1 - U is in (0, 1]: a draw from low = 0 is never exactly 0.
            out = p["low"] + (p["high"] - p["low"]) * (1.0 - rng.random(n))
        elif self.name == "log-normal":
            out = np.exp(p["mu"] + p["sigma"] * rng.standard_normal(n))
        elif self.name == "rectified-normal":
            out = np.maximum(0.0, p["mean"] + p["std"] * rng.standard_normal(n))
        else:
            out = p["mean"] * rng.standard_exponential(n)
        return self.scale * out

    @property
    def zero_probability(self) -> np.ndarray:
        """P(draw = 0), () or (n_features,)."""
        if self.name != "rectified-normal":
            return np.zeros(())
        mean, std = self.parameters["mean"], self.parameters["std"]
        safe = np.where(std > 0, std, 1.0)
        return np.where(std > 0, ndtr(-mean / safe), 0.0)

    @property
    def mean(self) -> np.ndarray:
        """E[m | m > 0], () or (n_features,)."""
        return self.scale * self._moments()[0]

    @property
    def second_moment(self) -> np.ndarray:
        """E[m^2 | m > 0], () or (n_features,)."""
        return self.scale**2 * self._moments()[1]

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        p = self.parameters
        if self.name == "constant":
            return p["value"], p["value"] ** 2
        if self.name == "uniform":
            low, high = p["low"], p["high"]
            return (low + high) / 2, (low**2 + low * high + high**2) / 3
        if self.name == "log-normal":
            mu, var = p["mu"], p["sigma"] ** 2
            return np.exp(mu + var / 2), np.exp(2 * mu + 2 * var)
        if self.name == "exponential":
            return p["mean"], 2 * p["mean"] ** 2
        mean, std = p["mean"], p["std"]
        safe = np.where(std > 0, std, 1.0)
        t = mean / safe
        # Truncated normal: hazard h = pdf(t)/cdf(t).
        h = stats.norm.pdf(t) / ndtr(t)
        first = np.where(std > 0, mean + safe * h, mean)
        second = np.where(std > 0, mean**2 + safe**2 + mean * safe * h, mean**2)
        return first, second

    def nodes(self, n_nodes: int = 9) -> tuple[np.ndarray, np.ndarray]:
        """Equal-probability quadrature of m given m > 0: nodes (n_nodes,) or (n_features, n_nodes).

        Node q is the quantile at (q + 1/2) / n_nodes; weights (n_nodes,) are equal. It is a
        summary for solvers that need the prior, not a source of moments.
        """
        u = (np.arange(n_nodes) + 0.5) / n_nodes
        p = {k: v[..., None] for k, v in self.parameters.items()}
        if self.name == "constant":
            nodes = p["value"] + 0 * u
        elif self.name == "uniform":
            nodes = p["low"] + (p["high"] - p["low"]) * u
        elif self.name == "log-normal":
            nodes = np.exp(p["mu"] + p["sigma"] * stats.norm.ppf(u))
        elif self.name == "exponential":
            nodes = -p["mean"] * np.log1p(-u)
        else:
            z = np.asarray(self.zero_probability)[..., None]
            nodes = np.maximum(1e-9, p["mean"] + p["std"] * stats.norm.ppf(z + (1 - z) * u))
        return self.scale * nodes, np.full(n_nodes, 1.0 / n_nodes)

    def description(self) -> dict[str, Any]:
        """Plain JSON of the law, from which it can be made again."""
        values = {k: v.tolist() for k, v in self.parameters.items()}
        return {"law": self.name, **values}


def _parameter(name: str, value: object) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise reject(f"magnitude.{name}", value, "a number or one per feature") from None
    if array.ndim > 1 or not np.all(np.isfinite(array)):
        raise reject(f"magnitude.{name}", value, "a finite number or one per feature")
    if name in _POSITIVE and np.any(array <= 0):
        raise reject(f"magnitude.{name}", value, "a number > 0")
    if name == "std" and np.any(array < 0):
        raise reject(f"magnitude.{name}", value, "a number >= 0")
    array.setflags(write=False)
    return array
