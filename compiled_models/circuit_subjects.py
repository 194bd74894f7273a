"""A compiled model as a subject of circuit methods: its inputs, what ablated edges carry, and a
metric. Nothing of the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from groundtruth import seeds
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.inputs import Inputs, listed_inputs, uniform_inputs
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.values import Value
from groundtruth.condition import AblationKind
from groundtruth.errors import reject
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Granularity
from groundtruth.models.transformer import Transformer
from groundtruth.output_metrics import answering

N_INPUTS = 64
"""Sequences of the default condition, or all if there are no more."""

Pairing = Literal["equal length", "mixed length"]
PAIRINGS: tuple[Pairing, ...] = ("equal length", "mixed length")


def circuit_subject(
    compiled: Compiled,
    *,
    inputs: Inputs | Sequence[Sequence[Value]] | None = None,
    ablation: AblationKind = "resample",
    pairing: Pairing = "equal length",
    granularity: Granularity = "qkv",
    seed: int = 0,
) -> ModelSubject:
    """The model in double precision, under one condition.

    Outputs count at tokens, not at begin-of-sequence. The metric is the `answer_difference` of what
    the model answers and what it answers where everything is ablated.

    Args:
        inputs: sequences, or such with weights; 64 of `uniform_inputs` if None.
        ablation: "zero"; "mean", over the inputs at each position; or "resample".
        pairing: of "resample", with which random sequence an input is paired. "equal length", the
            default, puts in the place of a value one that the program has at that position: no
            node meets what it was not made for. What depends on length and position alone then
            varies with nothing, and no edge that carries it is found. "mixed length" shows the
            length as well; past the end of a shorter partner edges carry what its padding makes.
        granularity: "qkv" or "head".
        seed: of the inputs and of the partners.

    Raises:
        InputError: no sequence, one that is empty or too long, or a token not in the vocabulary;
            no such ablation or pairing.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("hist"), vocab="ab", max_length=4)
        >>> subject = circuit_subject(compiled, ablation="mean")
        >>> tuple(subject.tokens.shape), str(subject.condition)[:22]
        ((30, 5), 'mean ablation on input')
    """
    if pairing not in PAIRINGS:
        raise reject("pairing", pairing, " or ".join(map(repr, PAIRINGS)))
    seed = seeds.check_seed(seed)
    listed = _inputs(compiled, inputs, seed)
    tokens = model_tokens(listed.batch, compiled.weights)
    paired, how = None, ""
    if ablation == "resample":
        partners = _partners(compiled, listed.batch, pairing, seed)
        paired = model_tokens(partners, compiled.weights)
        how = f"random sequences of {pairing}, seed {seed}"
    model = Transformer(compiled.weights, torch.float64)
    subject = ModelSubject(
        model,
        tokens,
        lambda outputs: outputs.sum((-2, -1)),
        ablation,
        paired,
        how,
        listed.weights,
        (tokens != model.pad) & (tokens != model.bos),
        granularity,
    )
    return answering(subject)


def _inputs(
    compiled: Compiled, inputs: Inputs | Sequence[Sequence[Value]] | None, seed: int
) -> Inputs:
    vocab, longest = compiled.analysis.vocab, compiled.analysis.max_length
    if inputs is None:
        return uniform_inputs(len(vocab), longest, n=N_INPUTS, seed=seed)
    listed = inputs if isinstance(inputs, Inputs) else listed_inputs(inputs, vocab)
    if listed.batch.ids.shape[1] > longest:
        raise reject("inputs", f"a width of {listed.batch.ids.shape[1]}", f"at most {longest}")
    return listed


def _partners(compiled: Compiled, batch: Batch, pairing: Pairing, seed: int) -> Batch:
    """A random sequence for each, as wide as the batch."""
    (n, width), n_tokens = batch.ids.shape, len(compiled.analysis.vocab)
    rng = seeds.generator(seeds.root_of("partners", seed), pairing)
    ids = rng.integers(0, n_tokens, (n, width))
    lengths = batch.lengths if pairing == "equal length" else rng.integers(1, width + 1, n)
    return Batch(ids, lengths)
