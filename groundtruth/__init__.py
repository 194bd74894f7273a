"""A testbed for interpretability methods: planted truth, one adapter, scores between chance and
oracle.

Public names load on first use, so that `import groundtruth` stays light.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ActivationSubject": "groundtruth.testbed",
    "Alignment": "groundtruth.alignment",
    "Backdoor": "groundtruth.backdoor",
    "Circuit": "groundtruth.circuit",
    "CircuitScoring": "groundtruth.trials",
    "CircuitTestbed": "groundtruth.circuit_testbed",
    "ClaimReport": "groundtruth.claim_report",
    "Dictionary": "groundtruth.explanation",
    "FeatureTruth": "groundtruth.truth",
    "GroundtruthError": "groundtruth.errors",
    "Monitor": "groundtruth.monitor",
    "Prediction": "groundtruth.prediction",
    "Predictor": "groundtruth.predictor",
    "Probe": "groundtruth.probe",
    "RankedDictionary": "groundtruth.ranked_dictionary",
    "Report": "groundtruth.report",
    "Result": "groundtruth.result",
    "Scoring": "groundtruth.score_data",
    "SteeringVector": "groundtruth.steering_vector",
    "Subspace": "groundtruth.alignment",
    "Testbed": "groundtruth.testbed",
    "VariableTestbed": "groundtruth.variable_testbed",
    "agreement": "groundtruth.consistency",
    "build": "groundtruth.catalogue",
    "evaluate": "groundtruth.evaluation",
    "load_testbed": "groundtruth.generators.world_files",
    "meta_sae": "groundtruth.methods.meta",
    "run_suite": "groundtruth.runner",
    "save_testbed": "groundtruth.generators.world_files",
    "stability": "groundtruth.consistency",
    "stitch": "groundtruth.stitching",
    "sweep": "groundtruth.sweeps",
    "testbeds": "groundtruth.catalogue",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'groundtruth' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
