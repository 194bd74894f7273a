"""What a twin is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.compiled_models.norms import NormKind
from groundtruth.errors import reject


@dataclass(frozen=True)
class Request:
    """The arguments of `Compiled.twin`, checked."""

    superpose: float | None
    rotate: bool
    decoys: int
    noise: float
    norm: NormKind | None
    seed: int
    n_sequences: int | None

    def __post_init__(self) -> None:
        share = self.superpose
        if share is not None and not (isinstance(share, (int, float)) and 0 < share < 1):
            raise reject("superpose", share, "a number between 0 and 1, or None")
        if isinstance(self.decoys, bool) or not isinstance(self.decoys, int) or self.decoys < 0:
            raise reject("decoys", self.decoys, "a whole number >= 0")
        if not (isinstance(self.noise, (int, float)) and 0 <= self.noise < 1):
            raise reject("noise", self.noise, "a number from 0 to 1")
        if self.norm not in (None, "layer", "rms"):
            raise reject("norm", self.norm, '"layer", "rms" or None')
        seeds.check_seed(self.seed)

    def after(self, earlier: Request | None) -> Request:
        """This, asked of a twin that `earlier` made: both at once."""
        if earlier is None:
            return self
        return replace(
            self,
            superpose=earlier.superpose if self.superpose is None else self.superpose,
            rotate=self.rotate or earlier.rotate,
            decoys=self.decoys + earlier.decoys,
            noise=self.noise + earlier.noise,
            norm=earlier.norm if self.norm is None else self.norm,
        )

    def description(self) -> dict[str, Any]:
        """Plain JSON, from which the twin can be asked for again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def rng(self, what: str) -> np.random.Generator:
        return seeds.generator(seeds.root_of("compiled.twin", self.seed), what)
