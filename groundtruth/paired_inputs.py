"""Inputs drawn for a circuit testbed, each with a partner to be patched from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.condition import AblationKind
from groundtruth.errors import InputError, reject
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Granularity
from groundtruth.models.transformer import Transformer
from groundtruth.models.weights import Weights
from groundtruth.output_metrics import answering

SHUFFLED = "shuffled"
"""The next of the inputs in a random order, the first after the last."""


class Drawn(NamedTuple):
    """Sequences (n, length) of token numbers, none twice; and whether these are all there are."""

    sequences: np.ndarray
    exhaustive: bool


def sequences(n_tokens: int, length: int, n: int, seed: int) -> Drawn:
    """All sequences of a length in a random order, or `n` of them if they are more.

    Args:
        n_tokens: in the vocabulary; sequences hold their numbers, from 0.
        n: at least 2.

    Example:
        >>> drawn = sequences(2, 2, 10, seed=0)
        >>> sorted(drawn.sequences.tolist()), drawn.exhaustive
        ([[0, 0], [0, 1], [1, 0], [1, 1]], True)
    """
    for name, value, least in (
        ("vocab", n_tokens, 1),
        ("max_length", length, 1),
        ("n_inputs", n, 2),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise reject(name, value, f"a whole number >= {least}")
    draws = seeds.generator(seeds.root_of("circuit inputs", seed))
    if n_tokens**length <= n:
        every = np.indices((n_tokens,) * length).reshape(length, -1).T
        return Drawn(draws.permutation(every), True)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < n:
        drawn = draws.integers(n_tokens, size=(n, length)).tolist()
        found |= dict.fromkeys(map(tuple, drawn))
    return Drawn(np.array(list(found)[:n]), False)


def drawn_subject(
    weights: Weights,
    tokens: np.ndarray,
    ablation: AblationKind,
    pairing: str | None,
    granularity: Granularity,
) -> ModelSubject:
    """A model in double precision on `tokens`, whose metric is that of `output_metrics.answering`.

    Outputs count at tokens, not at begin-of-sequence.

    Args:
        tokens: (batch, position) in random order, so that the next is a random partner.
        pairing: "shuffled", or None for the one that there is.

    Raises:
        InputError: another pairing, or one for an ablation that has none.
    """
    partners: dict[str, Any] = {}
    if ablation == "resample":
        if pairing not in (None, SHUFFLED):
            raise reject("pairing", pairing, f'"{SHUFFLED}"')
        partners = {"paired": np.roll(tokens, -1, axis=0), "pairing": SHUFFLED}
    elif pairing is not None:
        raise InputError(f"pairing: expected none for {ablation} ablation, got {pairing!r}.")
    model = Transformer(weights, torch.float64)
    subject = ModelSubject(
        model,
        tokens,
        lambda outputs: outputs.sum((-2, -1)),
        ablation,
        granularity=granularity,
        counted=(tokens != model.pad) & (tokens != model.bos),
        **partners,
    )
    return answering(subject)
