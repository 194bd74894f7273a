"""The expressions of a compiled program as causal variables of its model."""

from __future__ import annotations

import numpy as np

from groundtruth.compiled_models.causal_model import CausalModel
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.expressions import Indices
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.placement import Placement
from groundtruth.variable_truth import CausalVariable, VariableTruth


def variable_truth(compiled: Compiled) -> VariableTruth:
    """Every s-op of the program, with the site and the subspace that carry it.

    Under interchange values meet that do not meet on any sequence. A program compiled with
    `closed=True` computes what follows from them; one without may not.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("hist"), vocab="ab", max_length=3)
        >>> print(variable_truth(compiled))
        tokens: 2 dimensions from blocks.0.hook_resid_pre on
        hist: 3 dimensions from blocks.0.hook_resid_post on
    """
    variables = [
        CausalVariable(
            variable.name,
            site_of(variable, compiled.placement),
            compiled.coding.basis_of(variable),
            *values_with_points(variable, compiled.coding.codes[variable]),
        )
        for variable in compiled.layout.values()
    ]
    variables.sort(key=lambda variable: residual_sites(compiled.placement).index(variable.site))
    return VariableTruth(tuple(variables), CausalModel(compiled.program))


def residual_sites(placement: Placement) -> list[str]:
    """Sites of the residual stream, in order; the embeddings where there are no blocks."""
    if not placement.blocks:
        return ["hook_embed", "hook_pos_embed"]
    later = [f"blocks.{b}.hook_resid_{p}" for b in range(len(placement.blocks)) for p in _HALVES]
    return ["blocks.0.hook_resid_pre", *later]


_HALVES = ("mid", "post")


def site_of(variable: Variable, placement: Placement) -> str:
    """The site of the residual stream from which on it carries `variable`."""
    if not placement.blocks:
        return "hook_pos_embed" if isinstance(variable.expression, Indices) else "hook_embed"
    for b, block in enumerate(placement.blocks):
        if any(head.writes == variable for head in block.heads):
            return f"blocks.{b}.hook_resid_mid"
        if any(neurons.writes == variable for neurons in block.neurons):
            return f"blocks.{b}.hook_resid_post"
    return "blocks.0.hook_resid_pre"


def embedded(layout: Layout, placement: Placement) -> list[Variable]:
    """What no head and no neurons compute; whether or not any reads it."""
    parts = [part for block in placement.blocks for part in (*block.heads, *block.neurons)]
    computed = {part.writes for part in parts}
    return [variable for variable in layout.variables if variable not in computed]


def values_with_points(
    variable: Variable, code: np.ndarray
) -> tuple[tuple[object, ...] | None, np.ndarray]:
    """The values of a variable, and the coordinates that stand for them.

    Args:
        code: (label, coordinate) of its directions.
    """
    domain = variable.domain
    if not variable.numerical:
        return variable.labels, code
    assert domain is not None
    if domain.values is None:
        return None, np.zeros((0, code.shape[1]))
    numbers = np.array([float(value) for value in domain.listed])[:, None] * code[0]
    if variable.none is None:
        return domain.listed, numbers
    return (*domain.listed, None), np.vstack([numbers, code[-1]])
