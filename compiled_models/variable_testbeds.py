"""A compiled program as a testbed for methods that look for its causal variables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundtruth import seeds
from groundtruth.compiled_models.batches import encode
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.expressions import Constant, Indices, Tokens
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.compiled_models.variables import (
    residual_sites,
    values_with_points,
    variable_truth,
)
from groundtruth.errors import InputError
from groundtruth.testbed import Recipe
from groundtruth.variable_pairs import Answers
from groundtruth.variable_testbed import Draw, Sequences, VariableTestbed


def variable_testbed(
    compiled: Compiled,
    variables: Sequence[str] | None = None,
    *,
    draw: Draw | None = None,
    seed: int = 0,
) -> VariableTestbed:
    """The testbed of a program compiled with `closed=True`.

    Args:
        variables: that a method is asked for; None: all but tokens, indices and constants, and
            those whose values are not listed.
        draw: (generator, n) -> n sequences; None: their length is uniform on 1 to the longest,
            their tokens uniform and independent. Of a program that says the same on nearly all of
            those (`greater_than`, `addition`), few pairs tell.
        seed: of all streams.

    Raises:
        InputError: a program that is not closed: values that meet under interchange may have no
            row in its tables; one without a block; a variable whose values are not listed.
        UnknownName: no such variable.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> program = library.program("reverse")
        >>> compiled = compile_program(program, vocab="abc", max_length=4, closed=True)
        >>> testbed = variable_testbed(compiled)
        >>> testbed
        <VariableTestbed variables/reverse: length, opposite, reverse>
        >>> pairs = testbed.pairs("length", 100)
        >>> testbed.subject.values["length"]
        (1, 2, 3, 4)
    """
    analysis, program = compiled.analysis, compiled.program
    if not analysis.closed:
        raise InputError(
            f"{program.name}: expected a program compiled for interchange. Pass closed=True to "
            "compile_program."
        )
    if not compiled.placement.blocks:
        raise InputError(f"{program.name}: expected a program with a block, got embeddings alone.")
    truth = variable_truth(compiled)
    given = [v.name for v in truth.variables if v.values is not None]
    if variables is None:
        plain = (Tokens, Indices, Constant)
        variables = [name for name in given if not isinstance(program[name], plain)]
    output = program.names[program.output]
    (said,) = (v for v in compiled.layout.values() if v.name == output)
    # Of a superposed twin the outputs are not what the residual stream holds: the greatest is
    # the nearest code word.
    values, points = values_with_points(said, np.eye(len(said.labels)))
    answers = Answers(() if values is None else values, points)
    parameters = {
        "program": str(program),
        "vocab": list(analysis.vocab),
        "max_length": analysis.max_length,
        "variables": list(variables),
    }

    def uniform(rng: np.random.Generator, n: int) -> Sequences:
        lengths = rng.integers(1, analysis.max_length + 1, n)
        drawn = rng.integers(0, len(analysis.vocab), (n, analysis.max_length))
        return [[analysis.vocab[k] for k in row[:m]] for row, m in zip(drawn.tolist(), lengths)]

    def encoded(sequences: Sequences) -> np.ndarray:
        tokens = model_tokens(encode(sequences, analysis.vocab), compiled.weights)
        short = 1 + analysis.max_length - tokens.shape[1]
        return np.pad(tokens, ((0, 0), (0, short)), constant_values=compiled.weights.pad)

    return VariableTestbed(
        Recipe(f"variables/{program.name}", parameters, seeds.check_seed(seed)),
        "compiled",
        SOURCE,
        compiled.model,
        tuple(residual_sites(compiled.placement)),
        truth,
        output,
        answers,
        tuple(variables),
        uniform if draw is None else draw,
        encoded,
    )
