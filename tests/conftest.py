"""One Hypothesis profile for the whole suite, one thread, and a cache that is thrown away."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    derandomize=True,
    # Worlds are made by a sampler: an example takes tens of milliseconds, as it should.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# HYPOTHESIS_PROFILE=random looks at other examples each time, for hunting; CI must not.
settings.register_profile("random", settings.get_profile("ci"), derandomize=False, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Integration tests are collected only where they are asked for: a library that is missing
    there is an error, never a skip."""
    asked = config.getoption("markexpr") == "integration"
    return True if collection_path.name == "integrations" and not asked else None


@pytest.fixture(scope="session", autouse=True)
def throwaway_cache():
    """GROUNDTRUTH_CACHE points to a folder of this run."""
    held = os.environ.get("GROUNDTRUTH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROUNDTRUTH_CACHE"] = folder
        yield
        if held is None:
            os.environ.pop("GROUNDTRUTH_CACHE", None)
        else:
            os.environ["GROUNDTRUTH_CACHE"] = held
