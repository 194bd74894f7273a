"""From a program to a model, one call per stage. Each stage's output can be printed."""

from __future__ import annotations

from collections.abc import Sequence

from groundtruth import seeds
from groundtruth.compiled_models.analysis import analyse
from groundtruth.compiled_models.assembly import assembled
from groundtruth.compiled_models.certificate import certified
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.lowering import planned
from groundtruth.compiled_models.placement import placed
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.transport import on_axes
from groundtruth.compiled_models.values import Value


def compile_program(
    program: Program,
    *,
    vocab: Sequence[Value] | str,
    max_length: int,
    closed: bool = False,
    n_sequences: int | None = None,
    seed: int = 0,
) -> Compiled:
    """A transformer that computes `program` on sequences of `vocab` up to `max_length` tokens.

    Args:
        vocab: the tokens.
        max_length: greatest length of a sequence, begin-of-sequence not counted.
        closed: whether it also computes what follows when values of expressions are interchanged
            between inputs; it is larger then. See `Analysis`.
        n_sequences: how many sequences the certificate tries, or all if there are no more; as many
            as half a second or so allows if None.
        seed: of the sample, where not all are tried.

    Raises:
        InputError: no program, or an argument out of range.
        ProgramError: it cannot be compiled; with all reasons.
        Disagreement: the model does not do what was proven of it.

    Example:
        >>> from groundtruth.compiled_models import library
        >>> reverse = compile_program(library.program("reverse"), vocab="abc", max_length=5)
        >>> reverse.run(["ba", "cab"])
        [['a', 'b'], ['b', 'a', 'c']]
    """
    seed = seeds.check_seed(seed)
    analysis = analyse(program, vocab, max_length, closed=closed)
    plan = planned(analysis)
    layout, placement = plan.layout(), placed(plan.components)
    weights = assembled(analysis, layout, placement)
    certificate = certified(analysis, layout, weights, n=n_sequences, seed=seed)
    return Compiled(analysis, layout, placement, weights, certificate, on_axes(layout))
