"""The circuit of a compiled model, found twice: in its program and in its weights.

By the program, values flow along the plan (`value_flow`, `flow_circuits`); by the weights, sets of
edges are tried on the model (`circuit_enumeration`). Where the two disagree there is no truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.circuit_truth import CircuitTruth, Members, from_circuits
from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.certificate import check_variable
from groundtruth.compiled_models.circuit_subjects import circuit_subject
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.flow_circuits import FlowCircuits
from groundtruth.compiled_models.parts import parts
from groundtruth.compiled_models.value_flow import Contents, ValueFlow
from groundtruth.compiled_models.wiring import carried, constants
from groundtruth.errors import GroundtruthError, InputError
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import LOGITS, Edge, owners
from groundtruth.universe import Candidate, Unit, Universe, shown, universe_of

PROGRAM, ENUMERATION = "program", "enumeration"

QUICK = 14
"""Candidates all of whose sets are tried on the weights in a second or so."""


class CircuitDisagreement(GroundtruthError, RuntimeError):
    """The program and the weights of a compiled model say different things of its circuit.

    Fields:
        program, weights: what only the one or the other has.
    """

    def __init__(self, what: str, program: Iterable[Candidate], weights: Iterable[Candidate]):
        self.what = what
        self.program, self.weights = frozenset(program), frozenset(weights)
        super().__init__(
            f"{what}: only by the program {_listed(self.program)}; only by the weights "
            f"{_listed(self.weights)}; no truth is returned"
        )

    def __reduce__(self) -> tuple[type[CircuitDisagreement], tuple[object, ...]]:
        return type(self), (self.what, self.program, self.weights)


def circuit_truth(
    compiled: Compiled,
    subject: ModelSubject | None = None,
    unit: Unit = "edge",
    *,
    tolerance: float = 1e-6,
    limit: int = 20,
) -> CircuitTruth:
    """The circuit of a compiled model under the condition of `subject`, from program and weights.

    Of a twin the weights alone say it: turned directions, offsets, norms and decoys are not in the
    plan, and zero ablation means another thing.

    Args:
        subject: of this model, in double precision; the default `circuit_subject` if None.
        unit: "edge", at the subject's granularity, or "node".
        tolerance: the largest change of an output that counts as none.
        limit: structural candidates up to which all sets are tried on the weights, a minute of work
            for 20. Of more, they are tried if no more than 14 can have an effect. Beyond, circuits
            come from the program alone, and must lie within the bounds that the weights give.

    Returns:
        The truth. Its `routes` say what circuits rest on: structural and singly active sets always
        on both. If the program's values take too many states as well, core and relevant are bounds.

    Raises:
        CircuitDisagreement: the two routes differ; with the candidates.
        Disagreement: on an input the program's interpreter has other values than its plan.
        InputError: another model's subject; tolerance or limit out of range.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("reverse"), vocab="abc", max_length=4)
        >>> truth = circuit_truth(compiled)
        >>> sorted(" > ".join(edge) for edge in truth.members("relevant"))
        ['a2.h0 > logits', 'embed > a2.h0.v']
        >>> truth.routes, truth.expressions["a2.h0"], len(truth.structural)
        (('program', 'enumeration'), ('reverse',), 13)
    """
    subject = circuit_subject(compiled) if subject is None else subject
    universe = subject.universe(unit)
    if universe.model != universe_of(compiled.weights, unit).model:
        raise InputError("subject: expected one of this compiled model, got another model's.")
    carrying = _carrying(compiled, universe)
    tried = limit if len(carrying) <= limit else min(limit, QUICK)
    found = enumerate_circuits(subject, unit, tolerance=tolerance, limit=tried)
    if compiled.request is not None:
        return replace(found, expressions=_expressions(compiled))
    program = flow_circuits(compiled, subject, unit, tolerance)
    what = f"{compiled.program.name}, {unit}s under {subject.condition}"
    _check_same(f"{what}: structural", frozenset(carrying), found.structural)
    _check_same(f"{what}: singly active", program.singly_active(), found.singly_active)
    fixed, circuits = constants(compiled), program.minimal()
    settled = replace(
        found,
        constant=frozenset(c for c, names in carrying.items() if names <= fixed),
        expressions=_expressions(compiled),
    )
    return settled if circuits is None else _joined(what, settled, circuits)


def _joined(what: str, found: CircuitTruth, circuits: tuple[Members, ...]) -> CircuitTruth:
    """The enumerated truth with the program's circuits, which must agree as far as it goes."""
    core, relevant = from_circuits(circuits)
    program, weights = set(circuits), set(found.circuits)
    within = (
        found.core.lower <= core.lower <= found.core.upper
        and found.relevant.lower <= relevant.lower <= found.relevant.upper
    )
    if weights - program or not within or (found.complete and program - weights):
        only_program, only_weights = program - weights, weights - program
        raise CircuitDisagreement(
            f"{what}: minimal valid circuits",
            frozenset().union(*only_program),
            frozenset().union(*only_weights),
        )
    routes = (PROGRAM, ENUMERATION) if found.complete else (PROGRAM,)
    return replace(
        found, core=core, relevant=relevant, circuits=circuits, complete=True, routes=routes
    )


def flow_circuits(
    compiled: Compiled, subject: ModelSubject, unit: Unit, tolerance: float
) -> FlowCircuits:
    """The program's route alone: what is valid and minimal by the values that flow.

    Raises:
        Disagreement: on an input the program's interpreter has other values than its plan.
    """
    tokens = subject.tokens.cpu().numpy()
    flow = ValueFlow(compiled, tokens)
    _check_values(compiled, flow)
    ablated = _ablated(compiled, subject, flow)
    counted = subject.counted.cpu().numpy()
    return FlowCircuits(flow, ablated, subject.universe(unit), counted, tolerance)


def _check_values(compiled: Compiled, flow: ValueFlow) -> None:
    """On the inputs, the plan gives every expression the value that the interpreter gives it."""
    tokens, analysis = flow.tokens[:, 1:], compiled.analysis
    there = tokens < len(analysis.vocab)
    batch = Batch(np.where(there, tokens, 0), there.sum(1))
    residual = np.zeros((*tokens.shape, compiled.layout.d_model))
    for name, directions in flow.outlets.items():
        residual[..., list(directions)] = flow.written[name][:, 1:] if directions else 0
    for name, column in BatchInterpreter(analysis).run(batch).items():
        check_variable(analysis, compiled.layout[name], column, residual, batch)


def _ablated(compiled: Compiled, subject: ModelSubject, flow: ValueFlow) -> Contents:
    """What ablated edges carry, by writer."""
    written = {name: content for name, content in flow.written.items() if name != LOGITS}
    if subject.paired is not None:
        partner = ValueFlow(compiled, subject.paired.cpu().numpy()).written
        return {name: partner[name] for name in written}
    if subject.ablation == "zero":
        return {name: np.zeros_like(content) for name, content in written.items()}
    there = flow.tokens != subject.model.pad
    weights = subject.weights.cpu().numpy()[:, None] * there
    weights = weights / np.maximum(weights.sum(0), np.finfo(float).tiny)
    return {
        name: np.einsum("bp,bpd->pd", weights, content)[None] for name, content in written.items()
    }


def _carrying(compiled: Compiled, universe: Universe) -> dict[Candidate, frozenset[str]]:
    """What each candidate carries, of those that carry anything that is read."""
    owner = owners(compiled.weights)
    found: dict[Candidate, frozenset[str]] = {}
    for edge, names in carried(compiled).items():
        candidate: Candidate = edge
        if universe.unit == "node":
            candidate = edge.writer
        elif universe.granularity == "head":
            candidate = Edge(edge.writer, owner[edge.reader])
        found[candidate] = found.get(candidate, frozenset()) | set(names)
    return found


def _expressions(compiled: Compiled) -> dict[str, tuple[str, ...]]:
    """What of the program each node computes, or leads to."""
    found: dict[str, dict[str, None]] = {}
    for part in parts(compiled):
        found.setdefault(part.node, {})[part.expression] = None
    found[LOGITS] = {compiled.program.names[compiled.program.output]: None}
    return {node: tuple(names) for node, names in found.items()}


def _check_same(what: str, program: Members, weights: Members) -> None:
    if program != weights:
        raise CircuitDisagreement(what, program - weights, weights - program)


def _listed(candidates: Members) -> str:
    return ", ".join(sorted(map(shown, candidates))) or "nothing"
