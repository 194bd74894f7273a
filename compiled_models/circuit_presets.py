"""Compiled library programs as named circuit testbeds. Nothing is compiled before one is built."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from groundtruth.circuit_testbed import CircuitTestbed
from groundtruth.circuit_truth import CircuitTruth
from groundtruth.compiled_models import library
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.circuits import circuit_truth
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.presets import (
    compiled_once,
    program_parameters,
    storable_programs,
)
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.condition import AblationKind
from groundtruth.model_preset import ModelPreset
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
        weights = compiled_once(program, settings).weights
        tokens = model_tokens(Batch(drawn.sequences, lengths), weights)
        return drawn_subject(weights, tokens, ablation, pairing, granularity)

    def by_program(subject: ModelSubject, unit: Unit, tolerance: float) -> CircuitTruth:
        return circuit_truth(compiled_once(program, settings), subject, unit, tolerance=tolerance)

    return CircuitTestbed(
        recipe, make, unit, tolerance, drawn.exhaustive, "compiled", source, by_program
    )


def _preset(program: str) -> ModelPreset[CircuitTestbed]:
    entry = library.entry(program)
    parameters = {
        **program_parameters(entry),
        "max_length": MAX_LENGTH,
        "closed": False,
        "n_inputs": N_INPUTS,
        "ablation": "resample",
        "pairing": None,
        "unit": "edge",
        "granularity": "qkv",
        "tolerance": 1e-6,
    }
    builder = partial(_compiled, program=program)
    return ModelPreset(f"circuit/{program}", entry.summary, SOURCE, builder, parameters)


PRESETS: tuple[ModelPreset[CircuitTestbed], ...] = tuple(map(_preset, storable_programs()))
"""The program library: programs on sequences of one length, all or a sample of them."""
