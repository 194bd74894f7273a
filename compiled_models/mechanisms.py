"""The weights of a compiled model as a sum of components, one for each expression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.decoys import Decoy
from groundtruth.compiled_models.inputs import Inputs
from groundtruth.compiled_models.layout import BOS
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.parts import Part, parts
from groundtruth.mechanism_truth import Mechanism, MechanismTruth
from groundtruth.models import Weights
from groundtruth.models.model_files import weights_of

MARKER, UNEMBEDDING, NORMS = "begin-of-sequence", "unembedding", "norms"
"""Components that belong to no expression; `norms` with the ballast that they need."""

_SEQUENCES = 512  # that are run at a time


def mechanism_truth(compiled: Compiled, inputs: Inputs | None = None) -> MechanismTruth:
    """A component for each s-op: the heads, neurons and embeddings that compute it and what is on
    the way to it; one for the begin-of-sequence marker, one for the unembedding, and one for each
    decoy of a twin.

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
    for name, array, share in _shares(compiled, weights):
        held = shares.setdefault(name, {})
        held[array] = held[array] + share if array in held else share
    mechanisms = tuple(Mechanism(name, arrays) for name, arrays in shares.items())
    truth = MechanismTruth(mechanisms, weights)
    if inputs is None:
        return truth
    return MechanismTruth(mechanisms, weights, inputs.hash, _necessary(compiled, truth, inputs))


Share = tuple[str, str, np.ndarray]
"""A component, an array, and what of it is the component's: in full shape."""


def _shares(compiled: Compiled, weights: Mapping[str, np.ndarray]) -> Iterator[Share]:
    """Shares that sum to the weights."""
    found = parts(compiled)
    for node, array in (("embed", "W_E"), ("pos_embed", "W_pos")):
        here = [part for part in found if part.node == node]
        yield from _embedded(compiled, here, array, weights[array])
    for part in found:
        if part.block >= 0:
            for array, index in _slices(part):
                yield part.expression, array, _alone(weights[array], index)
    for number, decoy in enumerate(compiled.decoys):
        for array, index in _decoy_slices(decoy):
            yield f"decoy {number}", array, _alone(weights[array], index)
    for array in ("W_U", "b_U"):
        yield UNEMBEDDING, array, weights[array]
    for array in weights:
        if "norm" in array:
            yield NORMS, array, weights[array]


def _embedded(
    compiled: Compiled, here: list[Part], array: str, whole: np.ndarray
) -> Iterator[Share]:
    """Each its own coordinates; what noise put elsewhere is of the first."""
    left = whole
    if array == "W_E":
        marker = _alone(whole, np.s_[:, np.flatnonzero(compiled.coding.basis[BOS])])
        yield MARKER, array, marker
        left = left - marker
        if compiled.coding.ballast is not None:
            ballast = _alone(whole, np.s_[:, np.flatnonzero(compiled.coding.ballast)])
            yield NORMS, array, ballast
            left = left - ballast
    for part in here[1:]:
        basis = compiled.coding.basis_of(part.writes)
        share = whole @ basis.T @ basis
        yield part.expression, array, share
        left = left - share
    if here:
        yield here[0].expression, array, left


def _alone(whole: np.ndarray, index: Any) -> np.ndarray:
    share = np.zeros_like(whole)
    share[index] = whole[index]
    return share


def _slices(part: Part) -> list[tuple[str, Any]]:
    if part.neurons is None:
        return _head_slices(part.block, part.node.partition(".h")[2])
    return _neuron_slices(part.block, slice(part.neurons.start, part.neurons.stop))


def _decoy_slices(decoy: Decoy) -> list[tuple[str, Any]]:
    if decoy.neuron is None:
        return _head_slices(decoy.block, str(decoy.head))
    return _neuron_slices(decoy.block, slice(decoy.neuron, decoy.neuron + 1))


def _head_slices(block: int, head: str) -> list[tuple[str, Any]]:
    names = ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O")
    return [(f"blocks.{block}.heads.{head}.{name}", np.s_[:]) for name in names]


def _neuron_slices(block: int, at: slice) -> list[tuple[str, Any]]:
    mlp = f"blocks.{block}.mlp"
    return [(f"{mlp}.W_in", np.s_[:, at]), (f"{mlp}.b_in", at), (f"{mlp}.W_out", at)]


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
