"""Why a compiled model can be believed: proven margins, and agreement with the interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import (
    Batch,
    every_sequence,
    n_sequences,
    sampled_sequences,
)
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.transport import Coding
from groundtruth.compiled_models.twin_bounds import Held
from groundtruth.compiled_models.values import Value
from groundtruth.errors import GroundtruthError, reject
from groundtruth.models import Weights

WORK = 5e9
"""Operations that agreement is tested with: half a second or so of one core."""

FEWEST, MOST = 64, 100_000
"""Bounds of how many sequences that is."""

ENTRIES = 1 << 21
"""Entries of the residual stream of sequences that are run at a time."""


class Disagreement(GroundtruthError, RuntimeError):
    """A compiled model does not do what was proven of it; `sequence` shows it."""

    def __init__(self, message: str, sequence: list[Value]) -> None:
        super().__init__(message)
        self.sequence = sequence

    def __reduce__(self) -> tuple[type[Disagreement], tuple[str, list[Value]]]:
        return type(self), (str(self), self.sequence)


@dataclass(frozen=True)
class Margin:
    """How far the value of an expression can be off, and how far it was.

    Fields:
        name: of the expression.
        bound: proven for float32 and every sequence: of each direction of a categorical expression,
            and of the number of a numerical one.
        margin: half the distance between two values; `bound` is less.
        seen: the greatest error on the sequences that were tried.
    """

    name: str
    bound: float
    margin: float
    seen: float


@dataclass(frozen=True)
class Certificate:
    """What was proven and tried; a model without one is never returned.

    Bounds are for float32 whose products have full precision: torch's default, not TF32.

    Fields:
        margins: of each expression that has a value.
        exhaustive: whether all sequences were tried, else a seeded sample.
        n_sequences: how many were tried.
        seed: of the sample.
    """

    margins: tuple[Margin, ...]
    exhaustive: bool
    n_sequences: int
    seed: int

    @property
    def seen(self) -> float:
        """The greatest error of any expression on the sequences that were tried."""
        return max((margin.seen for margin in self.margins), default=0.0)

    def __str__(self) -> str:
        which = "all" if self.exhaustive else f"a sample (seed {self.seed}) of"
        lines = [
            f"agrees with the interpreter on {which} {self.n_sequences} sequences",
            *(
                f"    {m.name}: off by at most {m.bound:.1e}, margin {m.margin:.1e}; "
                f"seen {m.seen:.1e}"
                for m in self.margins
            ),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Readout:
    """How the variables of a twin are read from its residual stream."""

    coding: Coding
    held: Mapping[str, Held]


def certified(
    analysis: Analysis,
    layout: Layout,
    weights: Weights,
    *,
    n: int | None,
    seed: int,
    readout: Readout | None = None,
) -> Certificate:
    """The certificate of `weights` as a torch model in float32.

    Args:
        n: how many sequences to try; as many as `WORK` allows if None.
        readout: of a twin; None where each direction of the layout is an axis.

    Raises:
        Disagreement: the model and the interpreter disagree, or an expression is further off
            than was proven; with the sequence.
    """
    from groundtruth.compiled_models import running  # loads torch

    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise reject("n_sequences", n, "a whole number >= 1, or None")
    total = n_sequences(len(analysis.vocab), analysis.max_length)
    most = affordable(weights, analysis.max_length) if n is None else n
    interpreter, model = BatchInterpreter(analysis), running.as_model(weights)
    output = analysis.program.names[analysis.program.output]
    seen = {variable.name: 0.0 for variable in layout.values()}
    for batch in _batches(analysis, weights, total, most, seed):
        logits, residual = running.outputs_and_residual(model, model_tokens(batch, weights))
        columns = interpreter.run(batch)
        for name, column in columns.items():
            error = _checked(analysis, layout[name], column, residual, batch, readout)
            seen[name] = max(seen[name], error)
        _check_outputs(analysis, columns[output], logits, batch)
    if readout is None:
        held = {v.name: Held(v.error, v.margin) for v in layout.values()}
    else:
        held = readout.held
    margins = tuple(Margin(k, held[k].error, held[k].margin, seen[k]) for k in seen)
    return Certificate(margins, total <= most, min(total, most), seed)


def affordable(weights: Weights, max_length: int) -> int:
    """How many sequences `WORK` allows."""
    per_token = sum(
        sum(array.size for h in block.heads for array in (h.W_Q, h.W_K, h.W_V, h.W_O))
        + sum(max_length * (h.W_Q.shape[1] + h.W_V.shape[1] + 50) for h in block.heads)
        + (0 if block.mlp is None else block.mlp.W_in.size + block.mlp.W_out.size)
        + 100 * weights.d_model
        for block in weights.blocks
    )
    return max(FEWEST, min(MOST, int(WORK / ((per_token + 1) * (max_length + 1)))))


def _batches(
    analysis: Analysis, weights: Weights, total: int, most: int, seed: int
) -> Iterator[Batch]:
    size = ENTRIES // ((analysis.max_length + 1) * weights.d_model) + 1
    n_tokens = len(analysis.vocab)
    if total <= most:
        yield from every_sequence(n_tokens, analysis.max_length, size=size)
        return
    sample = sampled_sequences(n_tokens, analysis.max_length, most, seed=seed)
    for start in range(0, most, size):
        rows = slice(start, start + size)
        yield Batch(sample.ids[rows], sample.lengths[rows])


def _checked(
    analysis: Analysis,
    variable: Variable,
    column: Column,
    residual: np.ndarray,
    batch: Batch,
    readout: Readout | None,
) -> float:
    """The greatest error of `variable`, which must not be beyond what was proven."""
    there = _positions(batch)
    ideal = _ideal(variable, column.at(there))
    if readout is None:
        error = np.abs(residual[..., variable.span][there] - ideal)
        allowed = np.full(error.shape[1], variable.error)
        if variable.numerical and variable.none is not None:
            allowed[1] = variable.total
    else:
        coding = readout.coding
        coordinates = residual[there].astype(float) @ coding.basis[coding.places[variable]].T
        off = coordinates - ideal @ coding.codes[variable]
        error = np.linalg.norm(off, axis=1, keepdims=True)
        allowed = np.array([readout.held[variable.name].error])
    wrong = np.asarray((error > allowed).any(axis=1))
    if wrong.any():
        raise _disagreement(
            analysis,
            batch,
            wrong,
            f"{variable.name} is off by {error[wrong].max():.2e}, beyond the {allowed.max():.2e} "
            "that was proven",
        )
    return float(error.max(initial=0.0))


def _check_outputs(analysis: Analysis, column: Column, logits: np.ndarray, batch: Batch) -> None:
    there = _positions(batch)
    wanted, found = column.at(there), told_apart(column.domain, logits[there])
    wrong = (found.array != wanted.array) & ~wanted.gone() | (found.gone() != wanted.gone())
    if wrong.any():
        raise _disagreement(analysis, batch, wrong, "the model's output is not the interpreter's")


def _positions(batch: Batch) -> np.ndarray:
    """(batch, width) where there is a token."""
    return np.arange(batch.ids.shape[1]) < batch.lengths[:, None]


def _ideal(variable: Variable, column: Column) -> np.ndarray:
    """(position, direction) what the directions should hold."""
    if not variable.numerical:
        return np.eye(len(variable.labels), dtype=np.float32)[column.codes()]
    gone = column.gone()
    number = (column.array / column.domain.denominator).astype(float)
    parts = [np.where(gone, 0.0, number), gone.astype(float)]
    return np.stack(parts[: len(variable.labels)], axis=-1)


def _disagreement(analysis: Analysis, batch: Batch, wrong: np.ndarray, what: str) -> Disagreement:
    """`what`, on the first sequence with a position that is `wrong`."""
    row = int(np.repeat(np.arange(len(batch)), batch.lengths)[wrong.argmax()])
    sequence = [analysis.vocab[k] for k in batch.ids[row, : batch.lengths[row]].tolist()]
    name = analysis.program.name
    message = f"program {name!r}: on {sequence!r}, {what}; no model is returned"
    return Disagreement(message, sequence)
