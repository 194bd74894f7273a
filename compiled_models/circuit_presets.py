"""Compiled library programs as named circuit testbeds. Nothing is compiled before one is built."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from groundtruth.circuit_testbed import CircuitPreset, CircuitTestbed
from groundtruth.compiled_models import library
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.compiler import compile_program
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.condition import AblationKind
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Granularity
from groundtruth.models.weights import Weights
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
    arguments: Sequence[Any],
    vocab: Sequence[Any],
    max_length: int,
    n_inputs: int,
    ablation: AblationKind,
    pairing: str | None,
    unit: Unit,
    granularity: Granularity,
    tolerance: float,
) -> CircuitTestbed:
    drawn = sequences(len(vocab), max_length, n_inputs, recipe.seed)
    lengths = np.full(len(drawn.sequences), max_length)

    def make() -> ModelSubject:
        weights = _weights(program, _hashable(arguments), _hashable(vocab), max_length)
        tokens = model_tokens(Batch(drawn.sequences, lengths), weights)
        return drawn_subject(weights, tokens, ablation, pairing, granularity)

    exhaustive = drawn.exhaustive
    return CircuitTestbed(recipe, make, unit, tolerance, exhaustive, "compiled", source)


@cache
def _weights(
    program: str, arguments: tuple[Any, ...], vocab: tuple[Any, ...], max_length: int
) -> Weights:
    made = library.program(program, *arguments)
    return compile_program(made, vocab=vocab, max_length=max_length).weights


def _hashable(value: Any) -> Any:
    """Lists, which is what tuples are in a stored recipe, as tuples."""
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _preset(program: str) -> CircuitPreset:
    entry = library.entry(program)
    parameters = {
        "arguments": list(entry.arguments),
        "vocab": list(entry.vocab),
        "max_length": MAX_LENGTH,
        "n_inputs": N_INPUTS,
        "ablation": "resample",
        "pairing": None,
        "unit": "edge",
        "granularity": "qkv",
        "tolerance": 1e-6,
    }
    builder = partial(_compiled, program=program)
    return CircuitPreset(f"circuit/{program}", entry.summary, SOURCE, builder, parameters)


def _has_recipe(program: str) -> bool:
    """Whether its arguments can be stored: functions and expressions cannot."""
    return all(isinstance(value, (str, int, tuple)) for value in library.entry(program).arguments)


PRESETS: tuple[CircuitPreset, ...] = tuple(map(_preset, filter(_has_recipe, library.names())))
"""The program library: programs on sequences of one length, all or a sample of them."""
