"""Causal variables of models by hand, as named testbeds."""

from __future__ import annotations

from groundtruth.generators.hierarchical_equality import SOURCE, hierarchical_equality
from groundtruth.model_preset import ModelPreset
from groundtruth.testbed import Recipe
from groundtruth.variable_testbed import VariableTestbed


def _equality(recipe: Recipe, source: str, *, n_objects: int, rotated: bool) -> VariableTestbed:
    return hierarchical_equality(n_objects, rotated=rotated, seed=recipe.seed)


PRESETS: tuple[ModelPreset[VariableTestbed], ...] = (
    ModelPreset(
        "variables/hierarchical_equality",
        "Whether W = X is what Y = Z is: two equalities, a direction of the residual stream each.",
        SOURCE,
        _equality,
        {"n_objects": 16, "rotated": True},
    ),
)
