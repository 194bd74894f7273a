"""A compiled program: a model with its certificate, and what of the program lives where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.batches import encode
from groundtruth.compiled_models.certificate import Certificate
from groundtruth.compiled_models.layout import Layout
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.placement import Placement
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Value
from groundtruth.errors import InputError
from groundtruth.models import Weights

if TYPE_CHECKING:
    from groundtruth.circuit_truth import CircuitTruth
    from groundtruth.compiled_models.testbed import CompiledTestbed
    from groundtruth.models.transformer import Transformer


@dataclass(frozen=True, eq=False, repr=False)
class Compiled:
    """A transformer that computes a program, as `certificate` says.

    Fields:
        analysis: what each expression can be.
        layout: which directions of the residual stream carry what.
        placement: which head or neurons compute it.
        weights: in float64; `model` runs them in float32.
        certificate: proven margins, and how agreement was tried.
    """

    analysis: Analysis
    layout: Layout
    placement: Placement
    weights: Weights
    certificate: Certificate

    @property
    def program(self) -> Program:
        return self.analysis.program

    @cached_property
    def model(self) -> Transformer:
        """The weights as a torch module, in float32."""
        from groundtruth.compiled_models import running  # loads torch

        return running.as_model(self.weights)

    @cached_property
    def testbed(self) -> CompiledTestbed:
        """The model as a testbed, on random inputs of every length."""
        from groundtruth.compiled_models.testbed import model_testbed  # it knows this class

        # Pyright reads this file by two paths, and sees two classes.
        return model_testbed(self)  # pyright: ignore[reportArgumentType]

    @cached_property
    def circuit(self) -> CircuitTruth:
        """Which edges the model uses, under the default condition of `circuit_subject`: 64 random
        inputs, resampled from others of equal length. See `circuits.circuit_truth`."""
        from groundtruth.compiled_models.circuits import circuit_truth  # it knows this class

        return circuit_truth(self)  # pyright: ignore[reportArgumentType]

    def run(self, sequences: Sequence[Sequence[Value]]) -> list[list[Value]]:
        """The program's output on each sequence, by the model.

        Raises:
            InputError: a sequence that is empty or too long, or a token not in the vocabulary.
        """
        from groundtruth.compiled_models import running  # loads torch

        batch = encode(sequences, self.analysis.vocab)
        longest = self.analysis.max_length
        if len(batch) and not 1 <= batch.lengths.min() <= batch.lengths.max() <= longest:
            given = sorted(set(batch.lengths.tolist()))
            raise InputError(f"sequences: expected 1 to {longest} tokens in each, got {given}.")
        if not len(batch):
            return []
        outputs = running.outputs(self.model, model_tokens(batch, self.weights))
        domain = self.analysis.domains[self.program.output]
        return told_apart(domain, outputs).lists(batch.lengths)

    def describe(self) -> str:
        """Sizes, what each block computes, and the certificate."""
        return "\n".join([str(self.sizes), str(self.placement), str(self.certificate)])

    @cached_property
    def sizes(self) -> Sizes:
        return sizes(self.weights)

    def __repr__(self) -> str:
        return f"<Compiled {self.program.name}: {self.sizes}>"


@dataclass(frozen=True)
class Sizes:
    """How large a model is.

    Fields:
        heads: in each block.
        hidden: neurons in each block.
        parameters, non_zero: numbers in the weights, and those that are not 0.
    """

    d_model: int
    heads: tuple[int, ...]
    hidden: tuple[int, ...]
    parameters: int
    non_zero: int

    def __str__(self) -> str:
        return (
            f"d_model {self.d_model}, {len(self.heads)} blocks, heads {_listed(self.heads)}, "
            f"neurons {_listed(self.hidden)}, {self.non_zero:,} of {self.parameters:,} parameters "
            "not 0"
        )


def sizes(weights: Weights) -> Sizes:
    """The sizes of `weights`."""
    arrays = [weights.W_E, weights.W_pos, weights.W_U, weights.b_U]
    for block in weights.blocks:
        arrays.append(block.b_O)
        for h in block.heads:
            arrays += [h.W_Q, h.b_Q, h.W_K, h.b_K, h.W_V, h.b_V, h.W_O]
        if (mlp := block.mlp) is not None:
            arrays += [mlp.W_in, mlp.b_in, mlp.W_out, mlp.b_out]
    return Sizes(
        weights.d_model,
        tuple(len(block.heads) for block in weights.blocks),
        tuple(0 if b.mlp is None else b.mlp.W_in.shape[1] for b in weights.blocks),
        sum(array.size for array in arrays),
        sum(int(np.count_nonzero(array)) for array in arrays),
    )


def _listed(numbers: Sequence[int]) -> str:
    return "+".join(map(str, numbers)) or "0"
