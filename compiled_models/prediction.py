"""A compiled model as a testbed of prediction: what follows on inputs of other kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from groundtruth import seeds
from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.compiled_models.variables import variable_truth
from groundtruth.errors import InputError, reject
from groundtruth.prediction_testbed import (
    HeldOut,
    Inputs,
    PredictionSubject,
    PredictionTestbed,
    PredictionTruth,
)
from groundtruth.predictor import Interchange, Predictor
from groundtruth.testbed import Recipe

_UNSEEN = 0.2  # share of ordered pairs of tokens that are never neighbours in what is learned from
_TRIES = 1000
_DRAWN = 10  # pairs that are drawn for each that is to be one in which an output moves


def prediction_testbed(
    compiled: Compiled,
    *,
    seen_length: int | None = None,
    queries: int = 256,
    n_test: int = 200,
    seed: int = 0,
) -> PredictionTestbed:
    """Test sets for claims of what a compiled model does.

    Methods learn from sequences of up to `seen_length` tokens in which a fifth of all pairs of
    tokens are never neighbours. The tests are more of these ("iid"); sequences with such a pair
    ("combinations"); longer ones ("longer"); and, of a program compiled with `closed=True`, runs in
    which one variable is what it is on another input, and an output moves ("intervened").

    Args:
        seen_length: half of what the model can read if None.
        queries: inputs whose answers a method may ask for.
        n_test: sequences in each set.
        seed: of all that is drawn.

    Raises:
        InputError: a length that leaves no longer sequence, or the causal model does not say what
            the model does.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> program = library.program("reverse")
        >>> compiled = compile_program(program, vocab="abcd", max_length=6, closed=True)
        >>> prediction_testbed(compiled, n_test=20).truth.sets.keys()
        dict_keys(['iid', 'combinations', 'longer', 'intervened'])
    """
    longest = compiled.analysis.max_length
    seen_length = longest // 2 if seen_length is None else seen_length
    if not 2 <= seen_length < longest:
        raise reject("seen_length", seen_length, f"2 to {longest - 1}", "Compile for longer ones.")
    root = seeds.root_of(f"prediction/{compiled.program.name}", seed)
    draw = _Draw(compiled, seen_length, seeds.generator(root, "pairs"))
    answer = _answers(compiled)
    subspaces = _subspaces(compiled)

    def interchanged(
        n: int, rng: np.random.Generator, site: str, basis: np.ndarray
    ) -> tuple[np.ndarray, Interchange]:
        base, source = (
            model_tokens(draw.sequences("iid", n, rng), compiled.weights) for _ in range(2)
        )
        return base, Interchange(site, basis, source)

    def that_move(index: int, n: int) -> HeldOut | None:
        rng = seeds.generator(root, "test", "intervened", index)
        tokens, given = interchanged(_DRAWN * n, rng, *subspaces[index])
        counted, outputs = _there(tokens, compiled), answer(tokens, given)
        moves = ((outputs != answer(tokens, None)).any(-1) & counted).any(1)
        rows = np.flatnonzero(moves)[:n]
        given = Interchange(given.site, given.basis, given.source[rows])
        return HeldOut(tokens[rows], outputs[rows], counted[rows], given) if len(rows) else None

    sets: dict[str, tuple[HeldOut, ...]] = {}
    for name in ("iid", "combinations", "longer"):
        batch = draw.sequences(name, n_test, seeds.generator(root, "test", name))
        tokens = model_tokens(batch, compiled.weights)
        sets[name] = (HeldOut(tokens, answer(tokens, None), _there(tokens, compiled)),)
    each = -(-n_test // max(1, len(subspaces)))
    parts = [that_move(index, each) for index in range(len(subspaces))]
    if found := tuple(part for part in parts if part is not None):
        sets["intervened"] = found
    domain = compiled.analysis.domains[compiled.program.output]
    truth = PredictionTruth(sets, domain.kind, 0.49 / domain.denominator)
    _certify(compiled, truth)

    def inputs(n: int, seed: int, with_interchange: bool) -> list[Inputs]:
        rng = seeds.generator(root, "train", seed, int(with_interchange))
        if not with_interchange:
            return [(model_tokens(draw.sequences("iid", n, rng), compiled.weights), None)]
        share = max(1, n // len(found))
        return [
            interchanged(share, rng, given.site, given.basis)
            for part in found
            if (given := part.interchange) is not None
        ]

    parameters = {
        "program": str(compiled.program),
        "vocab": list(compiled.analysis.vocab),
        "max_length": longest,
        "seen_length": seen_length,
        "queries": queries,
        "n_test": n_test,
    }
    n_outputs = compiled.weights.n_outputs
    return PredictionTestbed(
        Recipe(f"prediction/{compiled.program.name}", parameters, seed),
        truth,
        lambda: PredictionSubject(compiled.model, queries, n_outputs, bool(found), inputs, answer),
        "compiled",
        SOURCE,
    )


def causal_predictor(compiled: Compiled) -> Predictor:
    """The program as a predictor: what the ceiling of every test is.

    Under an interchange it knows which variable the subspace carries.
    """
    interpreter = BatchInterpreter(compiled.analysis)
    names = {(site, basis.tobytes()): name for name, site, basis in _carried(compiled)}

    def predict(tokens: np.ndarray, interchange: Interchange | None) -> np.ndarray:
        batch, given = _batch(tokens, compiled), None
        if interchange is not None:
            name = names[interchange.site, interchange.basis.tobytes()]
            source = interpreter.run(_batch(interchange.source, compiled), [name])[name]
            where = interchange.where(tokens, compiled.weights.pad)
            given = {name: (where[:, 1:], source)}
        output = compiled.program.names[compiled.program.output]
        column = interpreter.run(batch, [output], given)[output]
        outputs = _as_outputs(column, compiled.weights.n_outputs)
        return np.concatenate([np.zeros_like(outputs[:, :1]), outputs], axis=1)

    return Predictor(predict, name="causal model")


class _Draw:
    """Random sequences, with or without the pairs of tokens that are kept back."""

    def __init__(self, compiled: Compiled, seen_length: int, rng: np.random.Generator) -> None:
        self.longest, self.seen_length = compiled.analysis.max_length, seen_length
        n = len(compiled.analysis.vocab)
        unseen = rng.permutation(n * n) < max(1, round(_UNSEEN * n * n))
        self.unseen = unseen.reshape(n, n)

    def sequences(self, name: str, n: int, rng: np.random.Generator) -> Batch:
        """`n` sequences of one of the test sets, uniform in length and then by rejection."""
        longest = self.longest
        low, high = (self.seen_length + 1, longest) if name == "longer" else (1, self.seen_length)
        low = max(low, 2) if name == "combinations" else low
        ids, lengths = np.zeros((n, longest), dtype=np.int64), rng.integers(low, high + 1, n)
        left = np.arange(n)
        for _ in range(_TRIES):
            ids[left] = rng.integers(0, len(self.unseen), (len(left), longest))
            left = left[~self._fits(name, ids[left], lengths[left])]
            if not len(left):
                return Batch(ids, lengths)
        raise InputError(f"vocab: expected enough tokens for sequences of the set {name!r}.")

    def _fits(self, name: str, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if name == "longer":
            return np.ones(len(ids), dtype=bool)
        pairs = self.unseen[ids[:, :-1], ids[:, 1:]]
        new = (pairs & (np.arange(1, ids.shape[1]) < lengths[:, None])).any(1)
        return new if name == "combinations" else ~new


def _answers(compiled: Compiled) -> Callable[[np.ndarray, Interchange | None], np.ndarray]:
    from groundtruth.compiled_models import running  # loads torch

    def answer(tokens: np.ndarray, given: Interchange | None) -> np.ndarray:
        model = compiled.model
        if given is None:
            outputs = running.outputs(model, tokens)
        else:
            where = given.where(tokens, compiled.weights.pad)
            at = [(given.site, given.basis)]
            outputs = running.interchanged(model, tokens, given.source, at, where)
        # Begin-of-sequence says nothing.
        return np.concatenate([np.zeros_like(outputs[:, :1]), outputs], axis=1)

    return answer


def _carried(compiled: Compiled) -> list[tuple[str, str, np.ndarray]]:
    """Name, site and basis of every variable that the model computes on the way to its output."""
    output = compiled.program.names[compiled.program.output]
    return [
        (v.name, v.site, v.basis)
        for v in variable_truth(compiled).variables
        if v.site != "blocks.0.hook_resid_pre" and v.name != output
    ]


def _subspaces(compiled: Compiled) -> list[tuple[str, np.ndarray]]:
    if not compiled.analysis.closed:
        return []
    return [(site, basis) for _, site, basis in _carried(compiled)]


def _batch(tokens: np.ndarray, compiled: Compiled) -> Batch:
    there = _there(tokens, compiled)[:, 1:]
    return Batch(np.where(there, tokens[:, 1:], 0), there.sum(1))


def _there(tokens: np.ndarray, compiled: Compiled) -> np.ndarray:
    """(n, position) where a token stands."""
    return (tokens != compiled.weights.pad) & (np.arange(tokens.shape[1]) > 0)


def _as_outputs(column: Column, n_outputs: int) -> np.ndarray:
    """(n, width, n_outputs) as the model would put it out."""
    if column.domain.kind == "categorical":
        return np.eye(n_outputs)[np.where(column.array < n_outputs, column.array, 0)]
    numbers = np.zeros((*column.array.shape, n_outputs))
    gone = column.gone()
    numbers[..., 0] = np.where(gone, 0, column.array / column.domain.denominator)
    if column.domain.none:
        numbers[..., 1] = gone
    return numbers


def _certify(compiled: Compiled, truth: PredictionTruth) -> None:
    """The causal model says what the model does, on every test."""
    oracle = causal_predictor(compiled)
    for name, parts in truth.sets.items():
        for part in parts:
            found = oracle(part.tokens, part.interchange, n_outputs=part.outputs.shape[-1])
            if truth.kind == "categorical":
                wrong = found.argmax(-1) != part.outputs.argmax(-1)
            else:
                wrong = (np.abs(found - part.outputs) > truth.tolerance).any(-1)
            if n := int((wrong & part.counted).sum()):
                raise InputError(
                    f"{compiled.program.name}: expected the model to follow its causal model on "
                    f"{name!r}, got {n} positions where it does not."
                )
