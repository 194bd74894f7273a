"""A strategy that draws programs of the RASP-style language."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import reject
from hypothesis import strategies as st

from groundtruth.compiled_models.analysis import problems
from groundtruth.compiled_models.growing import DeadEnd, Grower
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.values import Value, check_vocab


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    vocab: Sequence[Value] | str = (0, 1, 2),
    max_length: int = 5,
    max_size: int = 8,
    causal: bool | None = None,
) -> Program:
    """A program without problems on these sequences, under interchange too; it may be trivial.

    Args:
        vocab: tokens; numbers let programs calculate.
        max_length: greatest length of a sequence.
        max_size: most expressions besides tokens and indices.
        causal: of the program; drawn if None.

    Example:
        >>> from hypothesis import find
        >>> print(find(programs(), lambda program: True))
        program: bidirectional, 1 expressions
            tokens
        output: tokens, categorical
    """
    grower = Grower(lambda n: draw(st.integers(0, n - 1)), check_vocab(vocab), max_length)
    try:
        output = grower.sop(draw(st.integers(0, max_size)))
    except DeadEnd:
        reject()
    program = Program(output, causal=draw(st.booleans()) if causal is None else causal)
    if any(problems(program, vocab, max_length, closed=closed) for closed in (False, True)):
        reject()
    return program
