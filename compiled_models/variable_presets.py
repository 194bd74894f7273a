"""Compiled library programs as named testbeds of causal variables. Nothing is compiled before one
is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from groundtruth.compiled_models import library
from groundtruth.compiled_models.presets import (
    as_tuples,
    compiled_as,
    program_parameters,
    storable_programs,
)
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.compiled_models.variable_testbeds import variable_testbed
from groundtruth.errors import InputError, reject
from groundtruth.model_preset import ModelPreset
from groundtruth.testbed import Recipe
from groundtruth.variable_testbed import Draw, Sequences, VariableTestbed

MAX_LENGTH = 4
_REPLACED = 0.25

Inputs = Literal["uniform", "example"]
"""Laws of bases and sources: uniform, as `variable_testbed` has it; or the worked example of the
library, each token replaced by a uniform one with a chance of 1/4."""


def _compiled(
    recipe: Recipe,
    source: str,
    *,
    program: str,
    inputs: Inputs,
    variables: Sequence[str] | None,
    **how: Any,
) -> VariableTestbed:
    if variables is not None and (isinstance(variables, str) or not variables):
        raise reject("variables", variables, "a list of names, or None", 'Pass ["length"], say.')
    laws = {
        "uniform": lambda: None,
        "example": lambda: _near_example(program, as_tuples(how["vocab"]), how["max_length"]),
    }
    if inputs not in laws:
        raise reject("inputs", inputs, " or ".join(map(repr, laws)))
    draw = laws[inputs]()
    compiled = compiled_as(program, {**how, "closed": True})
    made = variable_testbed(compiled, variables, draw=draw, seed=recipe.seed)
    return replace(made, recipe=recipe, source=source)


def _near_example(program: str, vocab: Sequence[Any], max_length: int) -> Draw:
    example = library.entry(program).example[0]
    if len(example) > max_length or not set(example) <= set(vocab):
        raise InputError(
            f"inputs: expected 'uniform', since the worked example of {program}, {list(example)}, "
            f"is none of length {max_length} or less over the tokens {list(vocab)}."
        )

    def draw(rng: np.random.Generator, n: int) -> Sequences:
        replaced = rng.random((n, len(example))) < _REPLACED
        other = rng.integers(0, len(vocab), (n, len(example)))
        return [
            [vocab[k] if new else token for token, new, k in zip(example, *row)]
            for row in zip(replaced.tolist(), other.tolist())
        ]

    return draw


def _preset(program: str) -> ModelPreset[VariableTestbed]:
    entry = library.entry(program)
    # Of templates, uniform pairs hardly tell: most are no sentence of theirs.
    template = entry.family == "templates"
    parameters = {
        **program_parameters(entry),
        "max_length": max(MAX_LENGTH, len(entry.example[0])) if template else MAX_LENGTH,
        "variables": None,
        "inputs": "example" if template else "uniform",
    }
    builder = partial(_compiled, program=program)
    return ModelPreset(f"variables/{program}", entry.summary, SOURCE, builder, parameters)


PRESETS: tuple[ModelPreset[VariableTestbed], ...] = tuple(map(_preset, storable_programs()))
"""The program library, compiled for interchange."""
