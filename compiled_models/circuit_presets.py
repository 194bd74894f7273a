"""Compiled library programs as named circuit testbeds. Nothing is compiled before one is built."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

import numpy as np

from groundtruth.circuit_testbed import CircuitPreset, CircuitTestbed
from groundtruth.circuit_truth import CircuitTruth
from groundtruth.compiled_models import library
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.circuits import circuit_truth
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.presets import compiled_as
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.condition import AblationKind
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Granularity
from groundtruth.paired_inputs import drawn_subject, sequences
from groundtruth.testbed import Recipe
from groundtruth.universe import Unit

MAX_LENGTH = 4
N_INPUTS = 32


def _compiled(
    recipe: Recipe,
    source: str,
    *,
    program: str,
    n_inputs: int,
    ablation: AblationKind,
    pairing: str | None,
    unit: Unit,
    granularity: Granularity,
    tolerance: float,
    **how: Any,
) -> CircuitTestbed:
    length = how["max_length"]
    drawn = sequences(len(how["vocab"]), length, n_inputs, recipe.seed)
    lengths = np.full(len(drawn.sequences), length)
    settings = json.dumps(how, sort_keys=True)

    def make() -> ModelSubject:
        weights = model_of(program, settings).weights
        tokens = model_tokens(Batch(drawn.sequences, lengths), weights)
        return drawn_subject(weights, tokens, ablation, pairing, granularity)

    def by_program(subject: ModelSubject, unit: Unit, tolerance: float) -> CircuitTruth:
        return circuit_truth(model_of(program, settings), subject, unit, tolerance=tolerance)

    return CircuitTestbed(
        recipe, make, unit, tolerance, drawn.exhaustive, "compiled", source, by_program
    )


@cache
def model_of(program: str, settings: str) -> Compiled:
    """A program of the library, compiled by `model_parameters` as JSON."""
    return compiled_as(program, json.loads(settings))


def model_parameters(program: str, *, max_length: int, closed: bool) -> dict[str, Any]:
    """What can be changed of the model of a program, with defaults."""
    entry = library.entry(program)
    return {
        "arguments": list(entry.arguments),
        "beside": [],
        "redundant": [],
        "vocab": list(entry.vocab),
        "max_length": max_length,
        "closed": closed,
        "twin": None,
    }


def _preset(program: str) -> CircuitPreset:
    entry = library.entry(program)
    parameters = {
        **model_parameters(program, max_length=MAX_LENGTH, closed=False),
        "n_inputs": N_INPUTS,
        "ablation": "resample",
        "pairing": None,
        "unit": "edge",
        "granularity": "qkv",
        "tolerance": 1e-6,
    }
    builder = partial(_compiled, program=program)
    return CircuitPreset(f"circuit/{program}", entry.summary, SOURCE, builder, parameters)


def has_recipe(program: str) -> bool:
    """Whether its arguments can be stored: functions and expressions cannot."""
    return all(isinstance(value, (str, int, tuple)) for value in library.entry(program).arguments)


PRESETS: tuple[CircuitPreset, ...] = tuple(map(_preset, filter(has_recipe, library.names())))
"""The program library: programs on sequences of one length, all or a sample of them."""
