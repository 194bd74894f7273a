"""Hypothesis strategies over worlds, claims and programs, for tests of metrics and methods.

Needs `pip install "groundtruth[testing]"`. Nothing else in the library imports this package.
"""

from groundtruth.testing.program_strategies import programs
from groundtruth.testing.strategies import (
    LATENT_KINDS,
    MAGNITUDES,
    SMALL,
    dictionaries,
    feature_truths,
    firing_probabilities,
    magnitude_laws,
    outputs,
    score_data,
    testbeds,
)

__all__ = [
    "LATENT_KINDS",
    "MAGNITUDES",
    "SMALL",
    "dictionaries",
    "feature_truths",
    "firing_probabilities",
    "magnitude_laws",
    "outputs",
    "programs",
    "score_data",
    "testbeds",
]
