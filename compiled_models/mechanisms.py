"""The weights of a compiled model as a sum of components, one for each expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.inputs import Inputs
from groundtruth.compiled_models.layout import BOS
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.parts import Part, parts
from groundtruth.mechanism_truth import Mechanism, MechanismTruth
from groundtruth.models import Weights
from groundtruth.models.model_files import weights_of

MARKER, UNEMBEDDING = "begin-of-sequence", "unembedding"
"""The two components that belong to no expression."""

_SEQUENCES = 512  # that are run at a time


def mechanism_truth(compiled: Compiled, inputs: Inputs | None = None) -> MechanismTruth:
    """A component for each s-op: the heads, neurons and embeddings that compute it and what is on
    the way to it; one for the begin-of-sequence marker and one for the unembedding.

    Every weight that is not 0 belongs to exactly one component.

    Args:
        inputs: on which it is asked whether each component is necessary; not at all if None.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("hist"), vocab="ab", max_length=3)
        >>> truth = mechanism_truth(compiled)
        >>> [mechanism.name for mechanism in truth.mechanisms]
        ['begin-of-sequence', 'tokens', 'hist', 'unembedding']
        >>> sorted(truth["tokens"].arrays)
        ['W_E']
    """
    weights = compiled.weights.arrays()
    shares: dict[str, dict[str, np.ndarray]] = {}
    for name, array, index in _entries(compiled):
        held = shares.setdefault(name, {})
        share = held.setdefault(array, np.zeros_like(weights[array]))
        share[index] = weights[array][index]
    mechanisms = tuple(Mechanism(name, arrays) for name, arrays in shares.items())
    truth = MechanismTruth(mechanisms, weights)
    if inputs is None:
        return truth
    return MechanismTruth(mechanisms, weights, inputs.hash, _necessary(compiled, truth, inputs))


def _entries(compiled: Compiled) -> Iterator[tuple[str, str, Any]]:
    """(component, array, index) of all that may be other than 0."""
    yield MARKER, "W_E", np.s_[:, BOS]
    for part in parts(compiled):
        for array, index in _slices(part):
            yield part.expression, array, index
    yield UNEMBEDDING, "W_U", np.s_[:]
    yield UNEMBEDDING, "b_U", np.s_[:]


def _slices(part: Part) -> Iterator[tuple[str, Any]]:
    if part.block < 0:
        columns = list(part.writes.directions)
        yield ("W_pos" if part.node == "pos_embed" else "W_E"), np.s_[:, columns]
    elif part.neurons is None:
        head = part.node.partition(".h")[2]
        for name in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O"):
            yield f"blocks.{part.block}.heads.{head}.{name}", np.s_[:]
    else:
        at = slice(part.neurons.start, part.neurons.stop)
        mlp = f"blocks.{part.block}.mlp"
        yield f"{mlp}.W_in", np.s_[:, at]
        yield f"{mlp}.b_in", np.s_[at]
        yield f"{mlp}.W_out", np.s_[at]


def _necessary(compiled: Compiled, truth: MechanismTruth, inputs: Inputs) -> np.ndarray:
    """(n_mechanisms, n_inputs) whether the output differs at any token without the component."""
    from groundtruth.compiled_models import running  # loads torch

    domain = compiled.analysis.domains[compiled.program.output]
    tokens, batch = model_tokens(inputs.batch, compiled.weights), inputs.batch
    there = np.arange(batch.ids.shape[1]) < batch.lengths[:, None]

    def codes(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        model = running.as_model(weights)
        pieces = range(0, len(tokens), _SEQUENCES)
        found = [running.outputs(model, tokens[k : k + _SEQUENCES]) for k in pieces]
        column = told_apart(domain, np.concatenate(found))
        return column.array, column.gone()

    array, gone = codes(compiled.weights)
    rows = []
    for mechanism in truth.mechanisms:
        left = truth.without(mechanism.name)
        other, other_gone = codes(weights_of(compiled.weights.settings(), left))
        differs = (gone != other_gone) | ((array != other) & ~gone)
        rows.append((differs & there).any(axis=1))
    return np.array(rows)
