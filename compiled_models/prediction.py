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
from groundtruth.compiled_models.prediction_inputs import Draw, domain, nearest
from groundtruth.compiled_models.testbed import SOURCE
from groundtruth.compiled_models.variables import variable_truth
from groundtruth.errors import ExplanationError, InputError, reject
from groundtruth.prediction import Prediction
from groundtruth.prediction_testbed import (
    Domain,
    HeldOut,
    Inputs,
    Kind,
    PredictionSubject,
    PredictionTestbed,
    PredictionTruth,
    agrees,
)
from groundtruth.predictor import Interchange, Predictor
from groundtruth.testbed import Recipe

_FEWEST = 20  # inputs that are a test set
_MOST = 100_000  # queries, or inputs of a set: mined ones are sought among ten times as many
_DRAWN = 10  # inputs that are drawn for each in which an answer is to move, or to be mined


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
    ("combinations"); longer ones ("longer"); some in which each token is half as frequent as the
    next ("frequencies"); of a program compiled with `closed=True`, runs in which one variable is
    what it is on another input, and an answer moves ("intervened"); and those that are answered
    otherwise than the most alike of `queries` sequences, the worst of ten times as many ("mined").
    The last two are left out where there are none, or fewer than 20 mined ones.

    Args:
        seen_length: half of what the model can read if None.
        queries: inputs whose answers a method may ask for.
        n_test: sequences in each set.
        seed: of all that is drawn.

    Raises:
        InputError: a length that leaves no longer sequence, queries or n_test out of range, or the
            causal model does not say what the model does.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> program = library.program("reverse")
        >>> compiled = compile_program(program, vocab="abcd", max_length=6, closed=True)
        >>> prediction_testbed(compiled, n_test=20).truth.sets.keys()
        dict_keys(['iid', 'combinations', 'longer', 'frequencies', 'intervened'])
    """
    longest = compiled.analysis.max_length
    seen_length = longest // 2 if seen_length is None else seen_length
    if not 2 <= seen_length < longest:
        raise reject("seen_length", seen_length, f"2 to {longest - 1}", "Compile for longer ones.")
    for name, value in ("queries", queries), ("n_test", n_test):
        if not (isinstance(value, int) and 1 <= value <= _MOST):
            raise reject(name, value, f"a whole number from 1 to {_MOST:,}")
    made = _Inputs(compiled, seen_length, seeds.check_seed(seed))
    sets: dict[str, tuple[HeldOut, ...]] = {
        name: (made.held_out(made.drawn(name, n_test, made.stream("test", name))),)
        for name in ("iid", "combinations", "longer", "frequencies")
    }
    if moved := made.moving(n_test):
        sets["intervened"] = moved
    if mined := made.mined(n_test, queries):
        sets["mined"] = mined
    truth = PredictionTruth(sets, made.kind, made.tolerance)
    oracle = causal_predictor(compiled)
    _certify(compiled.program.name, oracle, truth)
    parameters = {
        "program": str(compiled.program),
        "vocab": list(compiled.analysis.vocab),
        "max_length": longest,
        "seen_length": seen_length,
        "queries": queries,
        "n_test": n_test,
    }
    return PredictionTestbed(
        Recipe(f"prediction/{compiled.program.name}", parameters, seed),
        truth,
        lambda: made.subject(queries, moved),
        oracle,
        made.domain,
        "compiled",
        SOURCE,
    )


class _Inputs:
    """Inputs of a compiled model, with what it says on them."""

    def __init__(self, compiled: Compiled, seen_length: int, seed: int) -> None:
        self.compiled = compiled
        self.root = seeds.root_of(f"prediction/{compiled.program.name}", seed)
        self.n_tokens = len(compiled.analysis.vocab)
        longest = compiled.analysis.max_length
        self.draw = Draw(self.n_tokens, longest, seen_length, self.stream("pairs"))
        self.answer = _answers(compiled)
        self.subspaces = _subspaces(compiled)
        output = compiled.analysis.domains[compiled.program.output]
        self.kind: Kind = output.kind
        self.tolerance = 0.49 / output.denominator

    def stream(self, *names: str | int) -> np.random.Generator:
        return seeds.generator(self.root, *names)

    def drawn(self, name: str, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, position) token ids of one of the sets."""
        return model_tokens(self.draw.sequences(name, n, rng), self.compiled.weights)

    def held_out(self, tokens: np.ndarray) -> HeldOut:
        return HeldOut(tokens, self.answer(tokens, None), _there(tokens, self.compiled))

    def interchanged(
        self, n: int, rng: np.random.Generator, site: str, basis: np.ndarray
    ) -> tuple[np.ndarray, Interchange]:
        base, source = (self.drawn("iid", n, rng) for _ in range(2))
        return base, Interchange(site, basis, source)

    def moving(self, n: int) -> tuple[HeldOut, ...]:
        """About `n` interchanges in which an answer moves, those of one variable in each part."""
        each = -(-n // max(1, len(self.subspaces)))
        parts = [self._moving(index, each) for index in range(len(self.subspaces))]
        return tuple(part for part in parts if len(part.tokens))

    def _moving(self, index: int, n: int) -> HeldOut:
        rng = self.stream("test", "intervened", index)
        tokens, given = self.interchanged(_DRAWN * n, rng, *self.subspaces[index])
        counted, outputs = _there(tokens, self.compiled), self.answer(tokens, given)
        same = agrees(self.kind, self.tolerance, self.answer(tokens, None), outputs)
        rows = np.flatnonzero((~same & counted).any(1))[:n]
        given = Interchange(given.site, given.basis, given.source[rows])
        return HeldOut(tokens[rows], outputs[rows], counted[rows], given)

    def mined(self, n: int, n_seen: int) -> tuple[HeldOut, ...]:
        """Inputs whose answers are not those of the most alike of `n_seen` others."""
        rng = self.stream("test", "mined")
        seen = self.held_out(self.drawn("iid", n_seen, rng))
        tried = self.held_out(np.unique(self.drawn("iid", _DRAWN * n, rng), axis=0))
        alike = seen.outputs[nearest(seen.tokens, tried.tokens)]
        wrong = ~agrees(self.kind, self.tolerance, tried.outputs, alike) & tried.counted
        share = wrong.sum(1) / tried.counted.sum(1)
        worst = np.argsort(-share, kind="stable")[:n]
        rows = worst[share[worst] > 0]
        if len(rows) < _FEWEST:
            return ()
        return (HeldOut(tried.tokens[rows], tried.outputs[rows], tried.counted[rows]),)

    def domain(self, length: int) -> Domain:
        longest = self.draw.longest
        if length > longest:
            raise ExplanationError(
                f"guaranteed: expected at most {longest} tokens, which the model can read, got "
                f"{length}."
            )
        size, all_of_them, batches = domain(self.n_tokens, length, self.stream("domain", length))
        parts = (self.held_out(model_tokens(b, self.compiled.weights)) for b in batches)
        return Domain(size, all_of_them, parts)

    def subject(self, queries: int, moved: tuple[HeldOut, ...]) -> PredictionSubject:
        from groundtruth.compiled_models import running  # loads torch

        def inputs(n: int, seed: int, with_interchange: bool) -> list[Inputs]:
            rng = self.stream("train", seed, int(with_interchange))
            if not with_interchange:
                return [(self.drawn("iid", n, rng), None)]
            given = [part.interchange for part in moved if part.interchange is not None]
            share = max(1, n // len(given))
            return [self.interchanged(share, rng, one.site, one.basis) for one in given]

        weights = self.compiled.weights
        return PredictionSubject(
            running.as_model(weights),
            queries,
            weights.n_outputs,
            self.kind,
            bool(moved),
            inputs,
            self.answer,
        )


def causal_predictor(compiled: Compiled) -> Predictor:
    """The program as a predictor: what the ceiling of every test is.

    Under an interchange it knows which variable the subspace carries. It is sure of every answer
    and guarantees all; numbers are exact up to the rounding of the model, so that their interval is
    what still agrees.
    """
    interpreter = BatchInterpreter(compiled.analysis)
    names = {(site, basis.tobytes()): name for name, site, basis in _carried(compiled)}

    def predict(tokens: np.ndarray, interchange: Interchange | None) -> Prediction:
        batch, given = _batch(tokens, compiled), None
        if interchange is not None:
            name = names[interchange.site, interchange.basis.tobytes()]
            source = interpreter.run(_batch(interchange.source, compiled), [name])[name]
            where = interchange.where(tokens, compiled.weights.pad)
            given = {name: (where[:, 1:], source)}
        output = compiled.program.names[compiled.program.output]
        column = interpreter.run(batch, [output], given)[output]
        outputs = _as_outputs(column, compiled.weights.n_outputs)
        outputs = np.concatenate([np.zeros_like(outputs[:, :1]), outputs], axis=1)
        sure = np.ones(tokens.shape)
        if column.domain.kind == "categorical":
            return Prediction(outputs, distribution=True, confidence=sure)
        off = 0.49 / column.domain.denominator
        return Prediction(outputs, low=outputs - off, high=outputs + off, confidence=sure)

    return Predictor(predict, guaranteed=compiled.analysis.max_length, name="causal model")


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


def _certify(name: str, oracle: Predictor, truth: PredictionTruth) -> None:
    """The causal model says what the model does, on every test."""
    for which, parts in truth.sets.items():
        for part in parts:
            found = oracle(part.tokens, part.interchange, n_outputs=part.outputs.shape[-1])
            if n := int((~truth.agrees(part.outputs, found) & part.counted).sum()):
                raise InputError(
                    f"{name}: expected the model to follow its causal model on {which!r}, got {n} "
                    "positions where it does not."
                )
