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
from groundtruth.compiled_models.decoys import Decoy
from groundtruth.compiled_models.layout import Layout
from groundtruth.compiled_models.norms import NormKind
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.placement import Placement
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.request import Request
from groundtruth.compiled_models.transport import Coding
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
        coding: where the directions of the layout lie in the residual stream: on its axes, but
            for twins.
        decoys: of a twin, what reads and writes and does not matter.
        request: what a twin was asked to be; None if this is none.
    """

    analysis: Analysis
    layout: Layout
    placement: Placement
    weights: Weights
    certificate: Certificate
    coding: Coding
    decoys: tuple[Decoy, ...] = ()
    request: Request | None = None

    @property
    def directions(self) -> np.ndarray:
        """(direction of the layout, d_model) what each adds to the residual stream where it is 1:
        the planted dictionary. Several of a superposed variable are linearly dependent."""
        return self.coding.directions

    @property
    def labels(self) -> tuple[str, ...]:
        """What each of `directions` stands for, such as hist = 2."""
        named = (f"{v.name} = {label!r}" for v in self.layout.variables for label in v.labels)
        return ("begin-of-sequence", *named)

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

    def run(
        self, sequences: Sequence[Sequence[Value]], *, of: str | None = None
    ) -> list[list[Value]]:
        """The program's output on each sequence, by the model.

        Args:
            of: name of another s-op, to read its values off the last residual vector.

        Raises:
            InputError: a sequence that is empty or too long, or a token not in the vocabulary.
            UnknownName: no such s-op.
        """
        from groundtruth.compiled_models import running  # loads torch

        batch = encode(sequences, self.analysis.vocab)
        longest = self.analysis.max_length
        if len(batch) and not 1 <= batch.lengths.min() <= batch.lengths.max() <= longest:
            given = sorted(set(batch.lengths.tolist()))
            raise InputError(f"sequences: expected 1 to {longest} tokens in each, got {given}.")
        if not len(batch):
            return []
        tokens = model_tokens(batch, self.weights)
        if of is None:
            outputs = running.outputs(self.model, tokens)
            domain = self.analysis.domains[self.program.output]
        else:
            variable, domain = self.layout[of], self.analysis[of]
            _, residual = running.outputs_and_residual(self.model, tokens)
            outputs = self.coding.held(variable, residual.astype(float))
        return told_apart(domain, outputs).lists(batch.lengths)

    def describe(self) -> str:
        """Sizes, what each block computes, and the certificate."""
        lines = [str(self.sizes), str(self.placement), *map(str, self.decoys)]
        return "\n".join([*lines, str(self.certificate)])

    def twin(
        self,
        *,
        superpose: float | None = None,
        rotate: bool = True,
        decoys: int = 0,
        noise: float = 0.0,
        norm: NormKind | None = None,
        seed: int = 0,
        n_sequences: int | None = None,
    ) -> Compiled:
        """A model of the same behaviour on other directions, with a certificate of its own.

        A twin of a twin is what both calls ask for, on fresh directions: decoys and noise add up.

        Args:
            superpose: on how many coordinates its variables lie, as a share of the layout's
                directions; None for as many. See `codes.py`.
            rotate: by a random rotation; begin-of-sequence keeps its axis, and where nothing else
                can be proven, so does what heads compare by order, and so do numbers.
            decoys: how many heads and neurons to add that do not matter.
            noise: how far each weight may be from what it should be, as a fraction of it. See
                `noise.py`.
            norm: "layer" or "rms": before each block's heads and MLP and before the outputs. See
                `norms.py`.
            seed: of rotation, codes, decoys, noise and the sample of the certificate.
            n_sequences: as in `compile_program`.

        Raises:
            InputError: an argument out of range.
            ProgramError: no such twin can be certified; with the smallest share that can, and why.
            Disagreement: the twin does not do what was proven of it.

        Example:
            >>> from groundtruth.compiled_models import compile_program, library
            >>> hist = compile_program(library.program("hist"), vocab="abc", max_length=5)
            >>> twin = hist.twin(superpose=0.7, decoys=2)
            >>> twin.run(["aba"]), hist.sizes.d_model, twin.sizes.d_model
            ([[2, 1, 2]], 10, 8)
        """
        from groundtruth.compiled_models import twins  # which imports this file

        request = Request(superpose, rotate, decoys, noise, norm, seed, n_sequences)
        both = request.after(self.request)
        # As above: two classes to pyright.
        return twins.twin_of(self, both)  # pyright: ignore[reportArgumentType, reportReturnType]

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
    arrays = weights.arrays().values()
    return Sizes(
        weights.d_model,
        tuple(len(block.heads) for block in weights.blocks),
        tuple(0 if b.mlp is None else b.mlp.W_in.shape[1] for b in weights.blocks),
        sum(array.size for array in arrays),
        sum(int(np.count_nonzero(array)) for array in arrays),
    )


def _listed(numbers: Sequence[int]) -> str:
    return "+".join(map(str, numbers)) or "0"
