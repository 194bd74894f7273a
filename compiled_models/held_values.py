"""What the variables of a compiled model hold on inputs: by its program and its plan, not by its
weights."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.components import Entries
from groundtruth.compiled_models.decoys import BIAS, Decoy
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.value_flow import ValueFlow
from groundtruth.models.graph import head_name


class HeldValues:
    """The variables of `compiled` at each token of `batch`, in one row for each.

    Of expressions their values, by the interpreter; of what is on the way to them what the plan
    makes of the inputs (see `value_flow.py`), in which what is off by no more than was proven is 0.

    Fields:
        there: (sequence, position) where there is a token.
    """

    def __init__(self, compiled: Compiled, batch: Batch) -> None:
        self._compiled, self._batch = compiled, batch
        self._columns = BatchInterpreter(compiled.analysis).run(batch)
        self.there = np.arange(batch.ids.shape[1]) < batch.lengths[:, None]
        self._held: dict[Variable, np.ndarray] = {}

    @cached_property
    def _flow(self) -> ValueFlow:
        return ValueFlow(self._compiled, model_tokens(self._batch, self._compiled.weights))

    def of(self, variable: Variable) -> np.ndarray:
        """(row, label) what each of its directions holds."""
        if variable not in self._held:
            if variable.name in self._columns:
                held = _values(variable, self._columns[variable.name].at(self.there))
            else:
                held = self._on_the_way(variable)
            self._held[variable] = held
        return self._held[variable]

    def read(self, weights: Entries) -> np.ndarray:
        """(row,) the sum of what directions of the layout hold, with these weights."""
        total = np.zeros(np.count_nonzero(self.there))
        for direction, weight in weights.items():
            variable = self._compiled.layout.at(direction)
            total = total + weight * self.of(variable)[:, direction - variable.start]
        return total

    def of_decoy(self, decoy: Decoy) -> np.ndarray:
        """(row,) how much of its direction a decoy writes."""
        if decoy.like is None:
            return np.maximum(self.read(decoy.weights) + BIAS, 0)
        moved = np.zeros(self._flow.tokens.shape)
        for direction, weight in decoy.weights.items():
            variable = self._compiled.layout.at(direction)
            moved = moved + weight * self._flow.held(variable)[..., direction - variable.start]
        attention = self._flow.attention(head_name(decoy.block, decoy.like))
        return np.einsum("bqk,bk->bq", attention, moved)[:, 1:][self.there]

    def _on_the_way(self, variable: Variable) -> np.ndarray:
        held = self._flow.held(variable)[:, 1:][self.there]
        return np.where(np.abs(held) <= variable.error, 0.0, held)


def _values(variable: Variable, column: Column) -> np.ndarray:
    """(row, label) of the values of an expression."""
    if not variable.numerical:
        return (column.codes()[:, None] == np.arange(len(variable.labels))).astype(np.float64)
    number = np.where(column.gone(), 0, column.array) / column.domain.denominator
    held = [number, column.gone()] if variable.none is not None else [number]
    return np.stack(held, axis=1).astype(np.float64)
