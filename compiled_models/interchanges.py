"""Interchange on a compiled model, beside what its causal model says should follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from groundtruth import seeds
from groundtruth.compiled_models.batches import encode, sampled_sequences
from groundtruth.compiled_models.causal_model import CausalModel
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.compiled_models.values import Value
from groundtruth.compiled_models.variables import variable_truth
from groundtruth.errors import InputError, UnknownName, reject

Subspaces = Mapping[str, tuple[str, Any]]
"""Variable -> (site, orthonormal rows) that are said to carry it."""


def interchange(
    compiled: Compiled,
    base: Sequence[Sequence[Value]],
    source: Sequence[Sequence[Value]],
    variables: Iterable[str],
    positions: Iterable[int] | None = None,
    *,
    subspaces: Subspaces | None = None,
) -> list[list[Value]]:
    """The model's output on each `base`, where `variables` are what they are on its `source`.

    Args:
        base, source: as many sequences of tokens.
        variables: names of s-ops.
        positions: where they are replaced, at those that both sequences have; all if None.
        subspaces: what is patched instead of the truth's subspaces: a claim.

    Raises:
        InputError: not as many sources; an unknown token, or a sequence that is too long; a
            position that no sequence has.
        UnknownName: no such variable or site, or one without a subspace.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> program = library.program("reverse")
        >>> compiled = compile_program(program, vocab="abc", max_length=4, closed=True)
        >>> interchange(compiled, ["abcc"], ["ba"], ["length"])
        [['b', 'a', 'b', 'a']]
    """
    if len(base) != len(source):
        raise InputError(f"source: expected {len(base)} sequences, as in base, got {len(source)}.")
    if len(base) == 0:
        return []
    wanted = None if positions is None else set(positions)
    if wanted is not None and not wanted <= (known := set(range(compiled.analysis.max_length))):
        given, last = sorted(wanted - known), compiled.analysis.max_length - 1
        raise reject("positions", given, f"indices from 0 to {last}")
    shared = [range(min(len(b), len(s))) for b, s in zip(base, source)]
    places = [[p for p in both if wanted is None or p in wanted] for both in shared]
    return _interchanged(compiled, list(zip(base, source, places)), variables, subspaces)


def interchange_accuracy(
    compiled: Compiled,
    variables: Sequence[str],
    *,
    n: int = 100,
    seed: int = 0,
    subspaces: Subspaces | None = None,
) -> float:
    """Share of `n` random pairs on which the model's output is the causal model's.

    Each pair is interchanged at a random half of the positions that both sequences have. It is 1
    on the truth of a program compiled with `closed=True`. It is no measure by itself: of a variable
    that rarely changes the output most claims look right, so compare with that of no interchange.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> program = library.program("hist")
        >>> compiled = compile_program(program, vocab="ab", max_length=4, closed=True)
        >>> interchange_accuracy(compiled, ["tokens"])
        1.0
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise reject("n", n, "a whole number >= 1")
    causal = CausalModel(compiled.program)
    pairs = random_pairs(compiled, n, seed=seed)
    output = compiled.program.names[compiled.program.output]
    wanted = []
    for base, source, places in pairs:
        given = {name: causal.take(name, source, places) for name in variables}
        wanted.append(causal.run(base, given)[output])
    found = _interchanged(compiled, pairs, variables, subspaces)
    return float(np.mean([one == other for one, other in zip(found, wanted)]))


Pair = tuple[Sequence[Value], Sequence[Value], list[int]]
"""A base, a source, and the positions that are replaced."""


def random_pairs(compiled: Compiled, n: int, *, seed: int) -> list[Pair]:
    """`n` random pairs of sequences, with about half of the positions that both have."""
    vocab, length = compiled.analysis.vocab, compiled.analysis.max_length
    batch = sampled_sequences(len(vocab), length, 2 * n, seed=seed)
    drawn = [[vocab[k] for k in row[:m]] for row, m in zip(batch.ids.tolist(), batch.lengths)]
    rng = seeds.generator(seeds.root_of("interchange", seed))
    return [
        (base, source, np.flatnonzero(rng.random(min(len(base), len(source))) < 0.5).tolist())
        for base, source in zip(drawn[:n], drawn[n:])
    ]


def _interchanged(
    compiled: Compiled,
    pairs: Sequence[Pair],
    variables: Iterable[str],
    subspaces: Subspaces | None,
) -> list[list[Value]]:
    """The model's output on each base."""
    from groundtruth.compiled_models import running  # loads torch

    n = len(pairs)
    both = encode([p[0] for p in pairs] + [p[1] for p in pairs], compiled.analysis.vocab)
    tokens = model_tokens(both, compiled.weights)
    where = np.zeros((n, tokens.shape[1]), dtype=bool)
    for row, (_, _, places) in enumerate(pairs):
        where[row, [1 + place for place in places]] = True
    truth = variable_truth(compiled)
    named = {name: truth[name] for name in variables}
    at = [(v.site, v.basis) for v in named.values()]
    if subspaces is not None:
        for name in named:
            if name not in subspaces:
                raise UnknownName("subspace", name, subspaces)
        at = [subspaces[name] for name in named]
    outputs = running.interchanged(compiled.model, tokens[:n], tokens[n:], at, where)
    domain = compiled.analysis.domains[compiled.program.output]
    return told_apart(domain, outputs).lists(both.lengths[:n])
