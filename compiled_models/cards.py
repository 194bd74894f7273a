"""How hard a program is, before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundtruth.compiled_models.analysis import analyse
from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import every_sequence, n_sequences
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    SelectorWidth,
    SequenceMap,
    Tokens,
    Vote,
)
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Value, check_vocab

MOST_SEQUENCES = 20_000
"""A card looks at all sequences up to the greatest length at which they are no more than this."""


@dataclass(frozen=True)
class Card:
    """A program in numbers. The nodes and edges of its model, and how many of them matter, depend
    on a condition: `print(compiled.circuit)`.

    Fields:
        name: of the program.
        expressions: how many, `tokens` and `indices` not counted.
        attention: how many of them attend: aggregates and selector widths.
        maps: how many work position by position.
        attention_depth: the greatest number that attend on one path: layers that are needed.
        trivial: whether on all sequences of the vocabulary up to `max_length` tokens the output at
            a position is a function of the token and the index there, so that no attention is
            needed.
        max_length: see `trivial`.
    """

    name: str
    expressions: int
    attention: int
    maps: int
    attention_depth: int
    trivial: bool
    max_length: int

    def __str__(self) -> str:
        what = "decide" if self.trivial else "do not decide"
        return (
            f"{self.expressions} expressions, {self.attention} of which attend, "
            f"{self.attention_depth} on one path; up to length {self.max_length} token and index "
            f"{what} the output"
        )


def difficulty(program: Program, vocab: Sequence[Value] | str) -> Card:
    """The card of `program` on the sequences of `vocab`.

    Example:
        >>> from groundtruth.compiled_models import library
        >>> card = difficulty(library.program("reverse"), "abc")
        >>> card.expressions, card.attention, card.maps, card.attention_depth, card.trivial
        (5, 2, 1, 2, False)
    """
    n_tokens = len(check_vocab(vocab))
    most = max((k for k in range(1, 9) if n_sequences(n_tokens, k) <= MOST_SEQUENCES), default=1)
    made = [e for e in program.expressions if not isinstance(e, (Tokens, Indices))]
    attending = [e for e in made if isinstance(e, (Aggregate, SelectorWidth))]
    pointwise = [e for e in made if isinstance(e, (Map, SequenceMap, LinearSequenceMap, Vote))]
    depth: dict[Expression, int] = {}
    for e in program.expressions:
        before = max((depth[parent] for parent in e.parents), default=0)
        depth[e] = before + isinstance(e, (Aggregate, SelectorWidth))
    return Card(
        program.name,
        len(made),
        len(attending),
        len(pointwise),
        depth[program.output],
        is_trivial(program, vocab, most),
        most,
    )


def is_trivial(program: Program, vocab: Sequence[Value] | str, max_length: int) -> bool:
    """Whether token and index decide the output on all sequences up to `max_length` tokens."""
    interpreter = BatchInterpreter(analyse(program, vocab, max_length))
    seen = np.full((len(interpreter.analysis.vocab), max_length), None, dtype=object)
    for batch in every_sequence(len(seen), max_length):
        column = interpreter.output(batch)
        entries = np.where(column.gone(), np.iinfo(np.int64).max, column.array)
        for token, index in np.ndindex(len(seen), batch.ids.shape[1]):
            here = np.unique(entries[batch.ids[:, index] == token, index]).tolist()
            if len(here) > 1 or (here and seen[token, index] not in (None, here[0])):
                return False
            seen[token, index] = here[0] if here else seen[token, index]
    return True
