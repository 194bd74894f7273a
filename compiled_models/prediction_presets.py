"""Compiled library programs as named testbeds of prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from groundtruth.compiled_models import library
from groundtruth.compiled_models.prediction import prediction_testbed
from groundtruth.compiled_models.presets import (
    MAX_LENGTH,
    compiled_once,
    program_parameters,
    storable_programs,
)
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.model_preset import ModelPreset
from groundtruth.prediction_testbed import PredictionTestbed
from groundtruth.testbed import Recipe


def _predicted(
    recipe: Recipe,
    source: str,
    *,
    program: str,
    seen_length: int | None,
    queries: int,
    n_test: int,
    **how: Any,
) -> PredictionTestbed:
    compiled = compiled_once(program, json.dumps(how, sort_keys=True))
    made = prediction_testbed(
        compiled, seen_length=seen_length, queries=queries, n_test=n_test, seed=recipe.seed
    )
    return replace(made, recipe=recipe, source=source)


def _preset(program: str) -> ModelPreset[PredictionTestbed]:
    entry = library.entry(program)
    parameters = {
        **program_parameters(entry),
        "max_length": MAX_LENGTH,
        "closed": True,
        "seen_length": None,
        "queries": 256,
        "n_test": 200,
    }
    builder = partial(_predicted, program=program)
    return ModelPreset(f"prediction/{program}", entry.summary, SOURCE, builder, parameters)


PRESETS: tuple[ModelPreset[PredictionTestbed], ...] = tuple(map(_preset, storable_programs()))
"""The program library: what follows on inputs of other kinds than those that are learned from."""
