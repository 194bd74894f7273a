"""Value analysis: for a vocabulary and a length, what each expression of a program can be.

One pass in order. An s-op is "local" if its value at a position is a function of the token, the
index and the length; those are tabulated, so that what is computed from them is exact, and so are
selections among them (`choices.py`). Everything else takes its arguments to vary independently,
which gives a superset. What cannot be used with this vocabulary is collected as problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from groundtruth.compiled_models.attention_domains import aggregate_values, width_values
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
    Vote,
)
from groundtruth.compiled_models.findings import Findings, Problem
from groundtruth.compiled_models.pointwise_domains import (
    linear_values,
    map_values,
    select_table,
    sequence_map_values,
    vote_values,
)
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import READERS, Value, check_max_length, check_vocab
from groundtruth.errors import InputError, ProgramError, reject


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the expressions of `program` can be on sequences of `vocab` up to `max_length`.

    Fields:
        closed: whether arguments are taken to vary independently throughout. The domains then hold
            under interchange too: with values of any expressions at any positions replaced by
            values that these take on other inputs.
        domains: of each s-op.
        tables: of a Map (n + 1,), of a SequenceMap (n + 1, m + 1): codes of the results by the
            codes of the arguments, -1 where two cannot meet; of a Select (keys + 1, queries + 1):
            whether the pair is chosen. The last row and column are None's.
        counts: of an Aggregate or SelectorWidth, the least and the greatest number of positions
            that a query can choose; of an Aggregate, without those whose value is None.
        problems: why the program cannot be used with these sequences; empty if it can.
    """

    program: Program
    vocab: tuple[Value, ...]
    max_length: int
    closed: bool
    domains: Mapping[SOp, Domain]
    tables: Mapping[Expression, np.ndarray]
    counts: Mapping[Expression, tuple[int, int]]
    problems: tuple[str, ...]

    def __getitem__(self, name: str) -> Domain:
        """The domain of the s-op called `name`."""
        expression = self.program[name]
        if not isinstance(expression, SOp):
            raise InputError(f"{name} is a selector; domains are of s-ops.")
        return self.domains[expression]

    def require(self) -> Analysis:
        """This analysis, if there are no problems.

        Raises:
            ProgramError: with all of them.
        """
        if self.problems:
            what = f"program {self.program.name!r} cannot be used with these sequences"
            raise ProgramError(what, self.problems)
        return self

    def __str__(self) -> str:
        names = self.program.names
        lines = [f"{self.program.name}: {len(self.vocab)} tokens, length {self.max_length}"]
        for expression, domain in self.domains.items():
            lines.append(f"    {names[expression]}: {domain}")
            if expression in self.counts:
                least, most = self.counts[expression]
                lines[-1] += f"; of {least} to {most} positions"
        return "\n".join([*lines, *(f"problem: {problem}" for problem in self.problems)])


def analyse(
    program: Program, vocab: Sequence[Value] | str, max_length: int, *, closed: bool = False
) -> Analysis:
    """The values of each expression of `program`, exactly where it says so, else a superset.

    Args:
        vocab: the tokens.
        max_length: greatest length of a sequence, begin-of-sequence not counted; >= 1.
        closed: see `Analysis`. The sets are larger then.

    Example:
        >>> from groundtruth.compiled_models import library
        >>> print(analyse(library.program("hist"), "ab", 4))
        hist: 2 tokens, length 4
            tokens: categorical {'a', 'b'}
            hist: categorical {1, 2, 3, 4}; of 1 to 4 positions
    """
    if not isinstance(program, Program):
        raise reject("program", program, "a Program", 'Pass library.program("reverse"), say.')
    found = Findings(program, check_vocab(vocab), check_max_length(max_length), closed)
    broken: dict[Expression, str] = {}
    problems: list[str] = []
    for expression in program.expressions:
        cause = next((broken[p] for p in expression.parents if p in broken), None)
        if cause is None:
            cause = _visited(expression, found)
            problems += [] if cause is None else [cause]
        if cause is not None:
            broken[expression] = cause
    return Analysis(
        program,
        found.vocab,
        found.max_length,
        closed,
        {e: d for e, d in found.domains.items() if e in program.names},
        {e: t for e, t in found.tables.items() if e in program.names},
        {e: c for e, c in found.counts.items() if e in program.names},
        tuple(problems),
    )


def problems(
    program: Program, vocab: Sequence[Value] | str, max_length: int, *, closed: bool = False
) -> list[str]:
    """All reasons why `program` cannot be used with these sequences; empty if it can.

    What depends on an expression with a problem is not looked at, so each has a cause of its own.

    Example:
        >>> from groundtruth.compiled_models import Map, tokens
        >>> problems(Program(Map(lambda x: 1 % x, tokens, name="rest")), [0, 1], 3)
        ['rest: its function lambda fails on 0: ZeroDivisionError: integer modulo by zero']
    """
    return list(analyse(program, vocab, max_length, closed=closed).problems)


def _visited(e: Expression, found: Findings) -> str | None:
    """Add what `e` can be to `found`, or say what is wrong with it."""
    try:
        _rule(e, found)
        if isinstance(e, SOp) and found.domains[e].values == ():
            raise Problem("is None everywhere")
    except Problem as problem:
        found.domains.pop(e, None)  # type: ignore[arg-type]
        return f"{found.name(e)}: {problem}"
    return None


def _rule(e: Expression, found: Findings) -> None:
    match e:
        case Tokens():
            found.tabulate(e, found.vocab, found.places[0])
        case Indices():
            found.tabulate(e, range(found.max_length), found.places[2])
        case Constant():
            found.tabulate(e, [READERS[e.kind](e.value)], np.zeros_like(found.places[0]))
        case Map():
            map_values(e, found)
        case SequenceMap():
            sequence_map_values(e, found)
        case LinearSequenceMap():
            linear_values(e, found)
        case Vote():
            vote_values(e, found)
        case Select():
            select_table(e, found)
        case SelectorWidth():
            width_values(e, found)
        case Aggregate():
            aggregate_values(e, found)
        case _:
            pass  # a composite selector is looked at where it is used
