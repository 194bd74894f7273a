"""Functions on an nnsight view of our transformers as circuit methods."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

from groundtruth.adapters.model_methods import model_method
from groundtruth.circuit import Circuit
from groundtruth.model_subject import ModelSubject


def nnsight_method(function: Callable[..., Any]) -> Callable[..., Circuit]:
    """A function that traces an `nnsight.NNsight` model as a circuit method.

    Args:
        function: function(model, tokens, *, paired, metric, seed) -> {node or edge: score}, with
            names as `groundtruth.adapters.model_methods` says. The model is an NNsight around a
            copy of ours, whose modules are our sites: `model.blocks[0].attn.hook_z.output`.
    """

    def view(subject: ModelSubject) -> Any:
        # A copy, because nnsight wraps what it is given in place.
        model = copy.deepcopy(subject.model)
        for point in model.hook_points.values():
            # Some sites are laid out only where a hook asks for them.
            point.register_forward_hook(_nothing)
        return importlib.import_module("nnsight").NNsight(model)

    return model_method(function, view)


def _nothing(*_: Any) -> None:
    """A hook that leaves the activation as it is."""
