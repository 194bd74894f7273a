"""The vectorised interpreter: many padded sequences at once, for exhaustive certificates.

It gives what the plain interpreter gives, from the tables of a value analysis. What does not depend
on the tokens, such as a comparison of indices, is computed once for a whole part of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.columns import Column, aggregated, counted, linear, looked_up
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
    Vote,
)
from groundtruth.errors import InputError, UnknownName, reject

_CELLS = 1 << 18  # entries of a selector at a time: they stay in the processor's cache

Interventions = Mapping[str, tuple[np.ndarray, Column]]
"""By the name of an s-op: where (batch, width) its value is replaced, and by what."""


@dataclass(frozen=True)
class BatchInterpreter:
    """A program as a function of batches.

    Args:
        analysis: of the program, without problems.

    Raises:
        ProgramError: the analysis has problems.

    Example:
        >>> from groundtruth.compiled_models import analyse, encode, library
        >>> interpreter = BatchInterpreter(analyse(library.program("hist"), "abc", 4))
        >>> batch = encode(["abac", "b"], "abc")
        >>> interpreter.output(batch).lists(batch.lengths)
        [[2, 1, 2, 1], [1]]
    """

    analysis: Analysis

    def __post_init__(self) -> None:
        self.analysis.require()

    def output(self, batch: Batch) -> Column:
        """The program's output on `batch`."""
        program = self.analysis.program
        name = program.names[program.output]
        return self.run(batch, [name])[name]

    def run(
        self,
        batch: Batch,
        wanted: Iterable[str] | None = None,
        interventions: Interventions | None = None,
    ) -> dict[str, Column]:
        """The values of s-ops on `batch`, by name.

        Args:
            wanted: names of s-ops; all if None.
            interventions: for an s-op, where its value is replaced and by the values of which
                column, for example of another batch's run. What depends on it then sees these.
                Needs a closed analysis: values can meet that do not meet by themselves.

        Raises:
            InputError: ids or lengths that the analysis does not cover; interventions of another
                shape or domain, or without a closed analysis.
            UnknownName: no s-op has the name.
        """
        _check_batch(batch, self.analysis)
        program = self.analysis.program
        sops = {name: e for e, name in program.names.items() if isinstance(e, SOp)}
        names = list(sops) if wanted is None else list(wanted)
        for name in (*names, *(interventions or {})):
            if name not in sops:
                raise UnknownName(f"s-op of {program.name}", name, sops)
        given = {sops[name]: what for name, what in (interventions or {}).items()}
        _check_interventions(given, batch, self.analysis)
        step = max(1, _CELLS // max(1, batch.ids.shape[1]) ** 2)
        parts = []
        for start in range(0, max(len(batch), 1), step):
            run = _Run(self.analysis, batch, slice(start, start + step), given)
            parts.append([run.finished(sops[name]) for name in names])
        return {name: _joined(columns) for name, *columns in zip(names, *parts)}


@dataclass
class _Run:
    """One pass over the sequences `rows` of a batch."""

    analysis: Analysis
    batch: Batch
    rows: slice
    given: Mapping[SOp, tuple[np.ndarray, Column]]

    def __post_init__(self) -> None:
        self.columns: dict[SOp, Column] = {}
        self.selections: dict[Selector, np.ndarray] = {}
        self.lengths = self.batch.lengths[self.rows]
        self.width = self.batch.ids.shape[1]
        ids = self.batch.ids[self.rows].T
        self.ids = np.where(np.arange(self.width)[:, None] < self.lengths, ids, 0)

    def finished(self, e: SOp) -> Column:
        """The values of `e`, (batch, width)."""
        column = self.column(e)
        array, none = (
            None if held is None else np.broadcast_to(held, self.ids.shape).T
            for held in (column.array, column.none)
        )
        assert array is not None
        return Column(column.domain, array, none)

    def column(self, e: SOp) -> Column:
        """The values of `e`, (width, batch); 1 for a batch that makes no difference."""
        if e not in self.columns:
            column = self._computed(e)
            self.columns[e] = self._replaced(column, *self.given[e]) if e in self.given else column
        return self.columns[e]

    def _replaced(self, column: Column, where: np.ndarray, what: Column) -> Column:
        where = where[self.rows].T
        array = np.where(where, what.array[self.rows].T, column.array)
        if column.none is None and what.none is None:
            return Column(column.domain, array)
        none = np.where(where, what.gone()[self.rows].T, column.gone())
        return Column(column.domain, array, none)

    def _computed(self, e: SOp) -> Column:
        domain, tables = self.analysis.domains[e], self.analysis.tables
        match e:
            case Tokens():
                codes = np.array([domain.code[token] for token in self.analysis.vocab])
                return looked_up(domain, codes[self.ids])
            case Indices():
                return looked_up(domain, np.arange(self.width)[:, None])
            case Constant():
                return looked_up(domain, np.zeros((self.width, 1), dtype=np.int64))
            case Map():
                return looked_up(domain, tables[e][self.column(e.argument).codes()])
            case SequenceMap():
                pairs = _pairs(self.column(e.first), self.column(e.second), axis=None)
                return looked_up(domain, tables[e].ravel()[pairs])
            case LinearSequenceMap():
                return linear(e, self.column(e.first), self.column(e.second), domain)
            case Vote():
                return looked_up(domain, self._voted(e, domain))
            case SelectorWidth():
                codes = [domain.code.get(k, -1) for k in range(self.width + 1)]
                return looked_up(domain, np.array(codes)[counted(self._seen(e.selector))])
            case Aggregate():
                return aggregated(e, self._seen(e.selector), self.column(e.values), domain)
        raise AssertionError(f"no rule for {e!r}")

    def _voted(self, e: Vote, domain: Domain) -> np.ndarray:
        """The codes of what two agree on."""
        three = []
        for column in map(self.column, (e.first, e.second, e.third)):
            known = [domain.code.get(value, -1) for value in (*column.domain.listed, None)]
            three.append(np.array(known)[column.codes()])
        first, second, third = np.broadcast_arrays(*three)
        agreed = (first == second) | (first == third)
        return np.where(agreed, first, np.where(second == third, second, domain.none_code))

    def _seen(self, selector: Selector) -> np.ndarray:
        """(query, key, batch) which keys are chosen, exist and may be seen."""
        if selector not in self.selections:
            chosen = self._chosen(selector)
            seen = chosen if self._visible is None else chosen & self._visible
            self.selections[selector] = seen
        return self.selections[selector]

    def _chosen(self, e: Expression) -> np.ndarray:
        match e:
            case Select():
                pairs = _pairs(self.column(e.keys), self.column(e.queries), axis=1)
                return self.analysis.tables[e].ravel()[pairs]
            case SelectorAnd():
                return self._chosen(e.first) & self._chosen(e.second)
            case SelectorOr():
                return self._chosen(e.first) | self._chosen(e.second)
            case SelectorNot():
                return ~self._chosen(e.selector)
        raise AssertionError(f"no rule for {e!r}")

    @cached_property
    def _visible(self) -> np.ndarray | None:
        """(query, key, batch or 1) which keys exist and may be seen; None if all."""
        place = np.arange(self.width)
        seen = (place <= place[:, None])[:, :, None] if self.analysis.program.causal else None
        if (self.lengths == self.width).all():
            return seen
        there = (place[:, None] < self.lengths)[None]
        return there if seen is None else there & seen


def _pairs(first: Column, second: Column, *, axis: int | None) -> np.ndarray:
    """Where the pairs of codes stand in a flattened table; each first (key) with each second
    (query) if an axis is given at which the keys go."""
    rows, columns = first.codes() * (second.domain.none_code + 1), second.codes()
    return rows + columns if axis is None else rows[None] + np.expand_dims(columns, axis)


def _joined(parts: list[Column]) -> Column:
    if len(parts) == 1:
        return parts[0]
    none = None if parts[0].none is None else np.concatenate([part.gone() for part in parts])
    return Column(parts[0].domain, np.concatenate([part.array for part in parts]), none)


def _check_batch(batch: Batch, analysis: Analysis) -> None:
    ids, lengths = batch.ids, batch.lengths
    if ids.ndim != 2 or lengths.shape != ids.shape[:1]:
        raise reject("batch", f"ids {ids.shape}, lengths {lengths.shape}", "(n, width) and (n,)")
    width = ids.shape[1]
    if width > analysis.max_length:
        raise reject("batch", f"width {width}", f"at most {analysis.max_length}, as analysed")
    if lengths.size and (lengths.min() < 0 or lengths.max() > width):
        raise reject("batch.lengths", lengths, f"lengths from 0 to the width, {width}")
    used = ids[np.arange(width) < lengths[:, None]]
    if used.size and (used.min() < 0 or used.max() >= len(analysis.vocab)):
        raise reject("batch.ids", ids, f"indices into {len(analysis.vocab)} tokens")


def _check_interventions(
    given: Mapping[SOp, tuple[np.ndarray, Column]], batch: Batch, analysis: Analysis
) -> None:
    if given and not analysis.closed:
        raise InputError(
            "interventions: expected an analysis that holds under them. Use "
            "analyse(program, vocab, max_length, closed=True)."
        )
    for e, (where, what) in given.items():
        name = f"interventions[{analysis.program.names[e]!r}]"
        if not where.shape == what.array.shape == batch.ids.shape:
            shapes = (where.shape, what.array.shape)
            raise reject(name, shapes, f"two arrays of shape {batch.ids.shape}")
        if what.domain is not analysis.domains[e]:
            raise reject(name, what.domain, "a column of this s-op, from the same analysis")
