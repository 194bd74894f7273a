"""Testbeds whose truth is a planted dictionary."""

from groundtruth.generators.presets import PRESETS, Preset
from groundtruth.generators.sampling import SparseSampler
from groundtruth.generators.sparse import from_recipe, sparse

__all__ = ["PRESETS", "Preset", "SparseSampler", "from_recipe", "sparse"]
