"""Which part of a compiled model reads what another wrote: by its weights, not by its program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.parts import Part, parts

ROUNDING = 1e-12
"""Of a product of weights, as a fraction of the sum of its terms."""


class Connection(NamedTuple):
    """A path of weights, not all 0, from what a part writes into what another reads.

    Fields:
        writer: index in `parts`.
        reader: index in `parts`; their number for the logits.
        port: "q", "k" or "v" of a head; "" elsewhere.
    """

    writer: int
    reader: int
    port: str


def connections(compiled: Compiled) -> tuple[Connection, ...]:
    """All of them, in the order of the readers.

    The direction that marks begin-of-sequence is written by the token embedding and read by every
    head and every neuron; it varies with no input and is left out.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("hist"), vocab="ab", max_length=3)
        >>> named = [part.writes.name for part in parts(compiled)] + ["logits"]
        >>> [(named[w], named[r], port) for w, r, port in connections(compiled)][1:]
        [('tokens', 'hist.share', 'k'), ('hist.share', 'hist', ''), ('hist', 'logits', '')]
    """
    found, all_parts = [], parts(compiled)
    for reader, part in enumerate(all_parts):
        for port, matrix in _readings(compiled, part):
            heard = _heard(compiled, all_parts[:reader], matrix)
            found += [Connection(writer, reader, port) for writer in heard]
    logits = _heard(compiled, all_parts, compiled.weights.W_U)
    return (*found, *(Connection(writer, len(all_parts), "") for writer in logits))


def _readings(compiled: Compiled, part: Part) -> Iterator[tuple[str, np.ndarray]]:
    """Port and (d_model, width) matrix of all that the part reads."""
    if part.block < 0:
        return
    block = compiled.weights.blocks[part.block]
    if part.neurons is not None:
        assert block.mlp is not None
        yield "", block.mlp.W_in[:, part.neurons.start : part.neurons.stop]
        return
    head = block.heads[int(part.node.partition(".h")[2])]
    # A query matters where keys differ, and a key where any query asks for it.
    yield "q", head.W_Q @ head.W_K.T
    yield "k", head.W_K @ np.vstack([head.W_Q, head.b_Q]).T
    yield "v", head.W_V @ head.W_O


def _heard(compiled: Compiled, writers: tuple[Part, ...], matrix: np.ndarray) -> list[int]:
    """Which writers a reader hears, whose weights are `matrix` (d_model, width).

    What rounding, and noise on the weights of a twin, can leave of a product that is 0 is not
    heard.
    """
    noise = 0.0 if compiled.request is None else compiled.request.noise
    found = []
    for k, writer in enumerate(writers):
        words = compiled.directions[writer.writes.span]
        least = (ROUNDING + 4 * noise) * (np.abs(words) @ np.abs(matrix))
        if (np.abs(words @ matrix) > least).any():
            found.append(k)
    return found
