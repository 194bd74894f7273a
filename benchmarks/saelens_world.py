"""One world on both sides: ours, and SAELens's generator with the same directions and laws.

The marginals are those of SynthSAEBench-16k: firing probabilities r_i = i^-0.5 rescaled to run
from 0.4 to 5e-4, magnitudes max(0, mean_i + std_i N(0, 1)) with means falling from 5 to 4. Firing
is independent.

Source: Chanin and Garriga-Alonso, "SynthSAEBench", 2026, https://arxiv.org/abs/2602.14687
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from groundtruth.generators.dictionaries import unit_rows
from groundtruth.generators.sampling import SparseSampler
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.testbed import Recipe, Testbed
from groundtruth.truth import FeatureTruth, Truth

N_FEATURES, WIDTH = 16_384, 768


@dataclass(frozen=True)
class Laws:
    """What both sides are told. Arrays (n_features,), directions (n_features, d)."""

    directions: np.ndarray
    firing_probability: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def laws(n_features: int = N_FEATURES, d: int = WIDTH, *, l0: float | None = None) -> Laws:
    """SynthSAEBench's marginals; with `l0`, probabilities scaled to that many active features."""
    rng = np.random.default_rng(0)
    rank = np.arange(1, n_features + 1) ** -0.5
    p = 5e-4 + (0.4 - 5e-4) * (rank - rank[-1]) / (rank[0] - rank[-1])
    if l0 is not None:
        p = np.minimum(0.8, p * l0 / p.sum())
    directions = unit_rows(rng.standard_normal((n_features, d)))
    return Laws(
        directions, p, np.linspace(5, 4, n_features), np.abs(rng.normal(0.5, 0.5, n_features))
    )


def our_testbed(law: Laws) -> Testbed:
    """The testbed, built from its truth: a recipe would carry every direction as JSON."""
    magnitude = MagnitudeLaw("rectified-normal", {"mean": law.mean, "std": law.std})
    truth = FeatureTruth(
        directions=law.directions,
        firing_probability=law.firing_probability * (1 - magnitude.zero_probability),
        magnitude=magnitude,
        bias=np.zeros(law.directions.shape[1]),
    )
    sampler = SparseSampler(truth, law.firing_probability)
    return Testbed("synthsaebench", Recipe("synthsaebench", {}, 0), Truth(truth), sampler, b"bench")


def their_sides(law: Laws):
    """SAELens's (FeatureDictionary, ActivationGenerator) of the same laws."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sae_lens.synthetic import ActivationGenerator, FeatureDictionary

    n_features, d = law.directions.shape
    dictionary = FeatureDictionary(n_features, d, initializer=None)
    dictionary.feature_vectors.data = torch.from_numpy(law.directions).float()
    generator = ActivationGenerator(
        n_features,
        torch.from_numpy(law.firing_probability).float(),
        mean_firing_magnitudes=torch.from_numpy(law.mean).float(),
        std_firing_magnitudes=torch.from_numpy(law.std).float(),
    )
    return dictionary, generator


def synthsaebench():
    """SAELens's SynthSAEBench-16k generator as published: correlated, hierarchical firing.

    Its directions are not pushed apart, which takes a long time and costs a sample nothing.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sae_lens.synthetic import (
        FoldedNormalMagnitudeConfig,
        HierarchyConfig,
        LinearMagnitudeConfig,
        LowRankCorrelationConfig,
        SyntheticModel,
        SyntheticModelConfig,
        ZipfianFiringProbabilityConfig,
    )

    hierarchy = HierarchyConfig(
        total_root_nodes=128,
        branching_factor=4,
        max_depth=3,
        mutually_exclusive_portion=1.0,
        compensate_probabilities=True,
        scale_children_by_parent=True,
    )
    config = SyntheticModelConfig(
        num_features=16_384,
        hidden_dim=768,
        firing_probability=ZipfianFiringProbabilityConfig(0.5, 0.4, 5e-4),
        hierarchy=hierarchy,
        correlation=LowRankCorrelationConfig(rank=25, correlation_scale=0.1),
        std_firing_magnitudes=FoldedNormalMagnitudeConfig(0.5, 0.5),
        mean_firing_magnitudes=LinearMagnitudeConfig(5.0, 4.0),
        bias=0.5,
        seed=42,
    )
    return SyntheticModel(config)


def one_thread() -> None:
    """CPU seconds compare fairly on one thread: no thread spends them waiting."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def cpu_seconds(first: Callable[[], object], second: Callable[[], object], repetitions: int):
    """Medians of the CPU seconds of both, taken in turns after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    for repetition in range(repetitions + 1):
        for function, spent in zip((first, second), times):
            start = time.process_time()
            function()
            if repetition:
                spent.append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def kilobytes(name: str) -> int:
    """Memory of this process by its name in Linux: VmRSS, held now; VmHWM, the most so far."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])
