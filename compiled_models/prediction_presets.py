"""Compiled library programs as named testbeds of prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from groundtruth.compiled_models import library
from groundtruth.compiled_models.circuit_presets import has_recipe, model_of, model_parameters
from groundtruth.compiled_models.prediction import prediction_testbed
from groundtruth.compiled_models.presets import MAX_LENGTH
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.prediction_testbed import PredictionPreset, PredictionTestbed
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
    compiled = model_of(program, json.dumps(how, sort_keys=True))
    made = prediction_testbed(
        compiled, seen_length=seen_length, queries=queries, n_test=n_test, seed=recipe.seed
    )
    return replace(made, recipe=recipe, source=source)


def _preset(program: str) -> PredictionPreset:
    entry = library.entry(program)
    parameters = {
        **model_parameters(program, max_length=MAX_LENGTH, closed=True),
        "seen_length": None,
        "queries": 256,
        "n_test": 200,
    }
    builder = partial(_predicted, program=program)
    return PredictionPreset(f"prediction/{program}", entry.summary, SOURCE, builder, parameters)


PRESETS: tuple[PredictionPreset, ...] = tuple(map(_preset, filter(has_recipe, library.names())))
"""The program library: what follows on inputs of other kinds than those that are learned from."""
