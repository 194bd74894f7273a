"""What is certified about a trained toy model, and the error where it does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from groundtruth import hashing
from groundtruth.errors import GroundtruthError


class CertificateError(GroundtruthError, ValueError):
    """A trained model is not what theory predicts; `certificate` says by how much."""

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate

    def __reduce__(self) -> tuple[type[CertificateError], tuple[str, Certificate]]:
        return type(self), (str(self), self.certificate)


@dataclass(frozen=True)
class Check:
    """One requirement: it holds if measured <= allowed.

    Fields:
        name: what is measured.
        measured, allowed: in the unit of the check; infinite if nothing could be measured.
        detail: where the worst is, in words.
    """

    name: str
    measured: float
    allowed: float
    detail: str

    @property
    def passed(self) -> bool:
        return self.measured <= self.allowed


@dataclass(frozen=True)
class Group:
    """Features that interfere with one another, and the known geometry that they form."""

    geometry: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """What was examined and found.

    Fields:
        represented, left_out: names of features ("f0", ...); all others are half represented.
        left_out_length: sum of |W_i| over `left_out`: no input moves h = W x by more through them.
        groups: the geometries; empty for a linear model.
        checks: every requirement with its measurement.
    """

    represented: tuple[str, ...]
    left_out: tuple[str, ...]
    left_out_length: float
    groups: tuple[Group, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def description(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "passed": self.passed,
            "represented": list(self.represented),
            "left_out": list(self.left_out),
            "left_out_length": self.left_out_length,
            "groups": [{"geometry": g.geometry, "features": list(g.features)} for g in self.groups],
            "checks": [hashing.jsonable(vars(check)) for check in self.checks],
        }
