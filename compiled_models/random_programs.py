"""Random programs of a given size: valid, not trivial, no two alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from groundtruth import seeds
from groundtruth.compiled_models.analysis import Analysis, analyse, problems
from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import every_sequence
from groundtruth.compiled_models.cards import is_trivial
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.expressions import (
    Constant,
    Indices,
    Select,
    SOp,
    Tokens,
)
from groundtruth.compiled_models.growing import Choose, DeadEnd, Grower
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Value, check_max_length, check_vocab
from groundtruth.errors import GroundtruthError, reject

_ATTEMPTS = 2_000  # per program; about one in five grown programs is kept
_LOOKED_AT = 4  # tokens of the sequences on which behaviours are compared


def random_program(
    size: int,
    *,
    seed: int,
    vocab: Sequence[Value] | str = (0, 1, 2),
    max_length: int = 6,
    causal: bool = False,
) -> Program:
    """The first of `random_programs`.

    Example:
        >>> print(random_program(4, seed=4))
        random-4-4-2: bidirectional, 5 expressions
            tokens
            select_1 = select(tokens, tokens, key <= query)
            aggregate_1 = aggregate(select_1, tokens, max)
            select_2 = select(tokens, aggregate_1, key == query)
            selector_width_1 = selector_width(select_2, numerical)
        output: selector_width_1, numerical
    """
    return next(random_programs(size, seed=seed, vocab=vocab, max_length=max_length, causal=causal))


def random_programs(
    size: int,
    *,
    seed: int,
    vocab: Sequence[Value] | str = (0, 1, 2),
    max_length: int = 6,
    causal: bool = False,
) -> Iterator[Program]:
    """Programs without end, of which no two give the same outputs.

    Each is free of problems for `vocab` and `max_length`, under interchange too. On all sequences
    of up to 4 tokens its output depends on the tokens, but not on token and index alone, takes two
    values besides None, and is None at fewer than half of the positions. Each expression varies.

    Args:
        size: expressions besides tokens and indices; from 2 on, since one cannot attend.
        seed: the same seed gives the same programs.
        vocab: tokens; numbers let programs calculate.
        max_length: greatest length of a sequence.
        causal: of the programs.

    Raises:
        GroundtruthError: where new ones are not found any more.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 2:
        raise reject("size", size, "a whole number >= 2", "Attention needs a selector.")
    vocab, max_length = check_vocab(vocab), check_max_length(max_length)
    root = seeds.root_of("random programs", seed)
    seen: set[str] = set()
    since = attempt = 0
    while since < _ATTEMPTS:
        rng = seeds.generator(root, size, attempt)
        attempt, since = attempt + 1, since + 1
        try:
            output = Grower(_drawn(rng), vocab, max_length).sop(size)
            program = Program(output, f"random-{size}-{seed}-{attempt}", causal)
        except DeadEnd:
            continue
        made = [e for e in program.expressions if not isinstance(e, (Tokens, Indices))]
        if len(made) != size or not useful(program, vocab, max_length):
            continue
        digest = behaviour(program, vocab, min(max_length, _LOOKED_AT))
        if digest not in seen:
            seen.add(digest)
            since = 0
            yield program
    raise GroundtruthError(
        f"random_programs: no further program of {size} expressions in {_ATTEMPTS} attempts. Ask "
        "for a larger size, or for fewer."
    )


def _drawn(rng: np.random.Generator) -> Choose:
    return lambda n: int(rng.integers(n))


def useful(program: Program, vocab: Sequence[Value], max_length: int) -> bool:
    """Whether `program` is what `random_programs` promises, apart from being new."""
    short = min(max_length, _LOOKED_AT)
    cases = ((max_length, True), (max_length, False), (short, False))
    if any(problems(program, vocab, length, closed=closed) for length, closed in cases):
        return False
    interpreter = BatchInterpreter(analyse(program, vocab, short))
    runs = [interpreter.run(batch) for batch in every_sequence(len(vocab), short)]
    if _idle(interpreter.analysis, runs) or is_trivial(program, vocab, short):
        return False
    outputs = [run[program.names[program.output]] for run in runs]
    none = np.concatenate([column.gone().ravel() for column in outputs])
    values = np.concatenate([column.array.ravel() for column in outputs])[~none]
    reads_tokens = any((rows != rows[0]).any() for rows in map(_entries, outputs))
    return reads_tokens and len(np.unique(values)) > 1 and 2 * none.sum() < len(none)


def _idle(analysis: Analysis, runs: list[dict[str, Column]]) -> bool:
    """Whether an expression does nothing: an s-op that is always the same, a selector that chooses
    everything or nothing; constants and "true" by itself are what they say."""
    names = analysis.program.names
    for e in names:
        if isinstance(e, Select) and e.predicate != "true":
            if len(np.unique(analysis.tables[e][:-1, :-1])) < 2:
                return True
        elif isinstance(e, SOp) and not isinstance(e, Constant):
            columns = [run[names[e]] for run in runs]
            if len(np.unique(np.concatenate([_entries(c).ravel() for c in columns]))) < 2:
                return True
        elif any(isinstance(p, Select) and p.predicate == "true" for p in e.parents):
            return True
    return False


def _entries(column: Column) -> np.ndarray:
    """(batch, width) what tells values apart, None among them."""
    return np.where(column.gone(), np.iinfo(np.int64).min, column.array)


def behaviour(program: Program, vocab: Sequence[Value], max_length: int) -> str:
    """A digest of the outputs on all sequences up to `max_length` tokens.

    Two programs have the same if they compute the same, however they do it.
    """
    interpreter = BatchInterpreter(analyse(program, vocab, max_length))
    digest = hashlib.sha256()
    for batch in every_sequence(len(vocab), max_length):
        digest.update(repr(interpreter.output(batch).lists(batch.lengths)).encode())
    return digest.hexdigest()
