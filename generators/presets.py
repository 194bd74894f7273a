"""Named worlds. Each states its source, what it is for, and its parameters in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from groundtruth.errors import UnknownName
from groundtruth.generators.sparse import sparse
from groundtruth.testbed import Testbed

SANITY = 'Korznikov et al., "Sanity Checks for Sparse Autoencoders", 2026, arXiv 2602.14111'


@dataclass(frozen=True)
class Preset:
    """A named world: what it is, where it comes from, and the parameters of `sparse`."""

    name: str
    summary: str
    source: str
    version: int
    parameters: dict[str, Any] = field(default_factory=dict)

    def build(self, /, *, seed: int = 0, **changes: Any) -> Testbed:
        """The world at `seed`, with any parameter of `sparse` changed by name."""
        parameters = {**self.parameters, **changes}
        if "log_normal" in self.parameters:
            parameters["magnitude"] = _log_normal(parameters)
            del parameters["log_normal"]
        known = set(sparse.__kwdefaults__ or {}) - {"name", "source", "seed"}
        unknown = set(parameters) - known
        if unknown:
            raise UnknownName(f"parameter of {self.name}", sorted(unknown)[0], known)
        return sparse(seed=seed, name=self.name, source=self.source, **parameters)


def _log_normal(parameters: dict[str, Any]) -> Any:
    """The two readings of "LogNormal(0, 0.25)": sigma = 0.25, or variance = 0.25."""
    reading = parameters["log_normal"]
    sigmas = {"sigma": 0.25, "variance": 0.5}
    if reading not in sigmas:
        raise UnknownName("reading of log_normal", str(reading), sigmas)
    default = {"law": "log-normal", "mu": 0.0, "sigma": sigmas[reading]}
    return parameters.get("magnitude", default)


PRESETS: tuple[Preset, ...] = (
    Preset(
        "sparse/small",
        "128 features in 32 dimensions, about 5 at a time, probabilities 0.01 to 0.1: small enough "
        "that sparse autoencoders land between floor and ceiling in seconds.",
        "groundtruth",
        1,
        {
            "n_features": 128,
            "d": 32,
            "firing": {"law": "log-uniform", "low": 0.01, "high": 0.1},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
        },
    ),
    Preset(
        "sparse/sanity-constant",
        "3,200 features in 100 dimensions, all with probability 0.00625 (20 at a time).",
        SANITY,
        1,
        {
            "n_features": 3200,
            "d": 100,
            "firing": {"law": "constant", "probability": 0.00625},
            "log_normal": "sigma",
        },
    ),
    Preset(
        "sparse/sanity-variable",
        "3,200 features in 100 dimensions, log-uniform probabilities from 10^-5.5 to 10^-1.2 "
        "(about 20 at a time).",
        SANITY,
        1,
        {
            "n_features": 3200,
            "d": 100,
            "firing": {"law": "log-uniform", "low": 10**-5.5, "high": 10**-1.2},
            "log_normal": "sigma",
        },
    ),
    Preset(
        "sparse/orthonormal",
        "64 orthonormal features in 64 dimensions: no superposition; the easy limit.",
        "groundtruth",
        1,
        {
            "n_features": 64,
            "d": 64,
            "firing": {"law": "constant", "probability": 0.05},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
            "dictionary": {"law": "orthonormal"},
        },
    ),
    Preset(
        "sparse/zipf",
        "512 features in 64 dimensions, firing probability 0.25 / rank^0.7 (a true power law, "
        "about 5 at a time), with bias and a little noise: many rare features.",
        "groundtruth",
        1,
        {
            "n_features": 512,
            "d": 64,
            "firing": {"law": "zipf", "exponent": 0.7, "first": 0.25},
            "magnitude": {"law": "rectified-normal", "mean": 1.0, "std": 0.25},
            "dictionary": {"law": "low-coherence", "n_steps": 60},
            "noise": 0.01,
            "bias": 0.5,
        },
    ),
)

BUILDERS: dict[str, Callable[..., Testbed]] = {preset.name: preset.build for preset in PRESETS}
