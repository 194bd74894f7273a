"""The circuit of a compiled model: two routes that agree, and what each trap of scoring asks for.

T1 to T10 are the traps that `docs/circuits.md` lists.
"""

from __future__ import annotations

import functools
import itertools
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.compiled_models import (
    Aggregate,
    CircuitDisagreement,
    Compiled,
    Disagreement,
    Program,
    Select,
    SequenceMap,
    circuit_subject,
    circuit_truth,
    compile_program,
    flow_circuits,
    indices,
    library,
    random_programs,
    tokens,
)
from groundtruth.compiled_models.assembly import assembled
from groundtruth.compiled_models.placement import PlacedBlock, Placement
from groundtruth.errors import ExplanationError, InputError, ProgramError, Undefined
from groundtruth.evaluators.circuits import score_circuit
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Edge
from groundtruth.output_metrics import answer_difference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "circuits.md"
PROGRAMS = ("reverse", "frac_prevs", "hist", "sort_unique")
CONDITIONS = {
    "zero": {"ablation": "zero"},
    "mean": {"ablation": "mean"},
    "equal length": {"pairing": "equal length"},
    "mixed length": {"pairing": "mixed length"},
}


@functools.cache
def compiled_of(name: str, length: int = 5) -> Compiled:
    vocab = library.entry(name).vocab[:5]
    return compile_program(
        library.example_program(name), vocab=vocab, max_length=length, n_sequences=64
    )


@functools.cache
def of_length_five(name: str) -> list[tuple]:
    """60 inputs, as Tracr's counts are of."""
    vocab = compiled_of(name).analysis.vocab
    drawn = np.random.default_rng(0).integers(0, len(vocab), (60, 5))
    return [tuple(vocab[k] for k in row) for row in drawn.tolist()]


@functools.cache
def subject_of(name: str, condition: str) -> ModelSubject:
    return circuit_subject(compiled_of(name), inputs=of_length_five(name), **CONDITIONS[condition])


@functools.cache
def truth_of(name: str, condition: str):
    return circuit_truth(compiled_of(name), subject_of(name, condition))


def effects(subject: ModelSubject) -> np.ndarray:
    """(edge,) the largest change of an output when it is ablated alone."""
    kept = ~np.eye(len(subject.universe("edge")), dtype=bool)
    moved = subject.ablated("edge", kept) - subject.outputs()
    return moved[:, subject.counted].abs().amax((1, 2)).numpy()


def majority() -> Compiled:
    """The first token, copied by three heads; two that agree are believed."""
    first = Select(indices, indices, lambda key, query: key == 0)
    one, two, three = (Aggregate(first, tokens, "only") for _ in range(3))
    pair = SequenceMap(lambda x, y: f"{x}{y}", one, two)
    voted = SequenceMap(lambda xy, z: max("ab", key=(xy + z).count), pair, three)
    return compile_program(Program(voted, "voted"), vocab="ab", max_length=4, closed=True)


# --- both routes ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", library.names())
def test_every_library_program_has_the_circuit_that_its_weights_have(name):
    truth = circuit_truth(compiled_of(name), limit=12)
    assert truth.complete and truth.routes[0] == "program"
    assert truth.constant < truth.structural
    assert not truth.constant & truth.members("relevant")


@pytest.mark.parametrize(
    ("unit", "granularity"), [("edge", "qkv"), ("edge", "head"), ("node", "qkv")]
)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_so_have_random_programs(condition, unit, granularity):
    both = 0
    for size, causal in ((3, False), (5, True)):
        for program in itertools.islice(random_programs(size, seed=3, causal=causal), 2):
            try:
                compiled = compile_program(program, vocab=(0, 1, 2), max_length=5, n_sequences=64)
            except ProgramError:
                continue
            subject = circuit_subject(compiled, granularity=granularity, **CONDITIONS[condition])
            truth = circuit_truth(compiled, subject, unit, limit=12)
            both += truth.routes == ("program", "enumeration")
    assert both > 2


def changed(compiled: Compiled, change) -> Compiled:
    """With other weights in the last block's first head."""
    *before, last = compiled.weights.blocks
    heads = (change(last.heads[0]), *last.heads[1:])
    weights = replace(compiled.weights, blocks=(*before, replace(last, heads=heads)))
    return replace(compiled, weights=weights)


def test_weights_that_read_less_than_the_program_are_refused():
    wrong = changed(compiled_of("reverse"), lambda h: replace(h, W_V=0 * h.W_V))
    with pytest.raises(CircuitDisagreement) as error:
        circuit_truth(wrong)
    assert Edge("embed", "a2.h0.v") in error.value.program and not error.value.weights
    assert "structural: only by the program a0.h0 > m0, a2.h0 > logits" in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_weights_that_read_more_are_refused():
    d = compiled_of("reverse").layout["length"].start
    extra = np.zeros((compiled_of("reverse").layout.d_model, 1))
    extra[d] = 1
    wrong = changed(compiled_of("reverse"), lambda h: replace(h, W_V=h.W_V + extra))
    with pytest.raises(CircuitDisagreement, match=r"only by the weights m0 > a2\.h0\.v; no truth"):
        circuit_truth(wrong)


def test_weights_that_read_the_same_and_do_less_are_refused():
    # All keys alike: what the query asks for does not matter any more.
    wrong = changed(compiled_of("reverse"), lambda h: replace(h, W_Q=1e-9 * h.W_Q))
    subject = circuit_subject(wrong, pairing="mixed length")
    with pytest.raises(
        CircuitDisagreement, match=r"singly active: only by the program .*a2\.h0\.q"
    ):
        circuit_truth(wrong, subject)


def test_a_plan_that_is_not_the_program_is_refused():
    compiled = compiled_of("hist")
    (block,) = compiled.placement.blocks
    slower = replace(block.neurons[0], units=block.neurons[0].units[:-1])
    wrong = replace(compiled, placement=Placement((PlacedBlock(block.heads, (slower,)),)))
    with pytest.raises(Disagreement, match="hist is off by"):
        circuit_truth(wrong)


def test_another_model_is_refused():
    with pytest.raises(InputError, match="subject: expected one of this compiled model"):
        circuit_truth(compiled_of("hist"), subject_of("reverse", "mean"))


def test_beyond_the_limit_the_program_alone_has_the_circuits():
    exact = truth_of("sort_unique", "zero")
    beyond = circuit_truth(compiled_of("sort_unique"), subject_of("sort_unique", "zero"), limit=3)
    assert (exact.routes, beyond.routes) == (("program", "enumeration"), ("program",))
    assert beyond.complete and beyond.circuits == exact.circuits


def test_beyond_both_limits_there_are_bounds(monkeypatch):
    monkeypatch.setattr(flow_circuits, "MOST_SETS", 4)
    exact = truth_of("sort_unique", "zero")
    found = circuit_truth(compiled_of("sort_unique"), subject_of("sort_unique", "zero"), limit=3)
    assert found.routes == ("enumeration",) and not found.complete
    assert found.relevant.lower <= exact.members("relevant") <= found.relevant.upper
    with pytest.raises(Undefined, match="the relevant set is not known: between"):
        found.members("relevant")
    assert found.singly_active == exact.singly_active


# --- the surface -----------------------------------------------------------------------------


def test_the_default_is_one_condition_for_truth_and_methods():
    compiled = compiled_of("reverse")
    subject = compiled.testbed.circuit_subject()
    assert compiled.circuit is compiled.circuit
    assert compiled.circuit.condition == subject.condition
    assert str(subject.condition).startswith("resample ablation with random sequences of equal")
    assert compiled.circuit.expressions == {
        "pos_embed": ("indices",),
        "embed": ("tokens",),
        "a0.h0": ("length",),
        "m0": ("length",),
        "m1": ("opposite",),
        "a2.h0": ("reverse",),
        "logits": ("reverse",),
    }


@pytest.mark.parametrize("name", ["reverse", "frac_prevs", "shift_by"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_metric_is_highest_where_nothing_is_ablated(name, condition):
    subject = circuit_subject(compiled_of(name), **CONDITIONS[condition])
    all_or_none = np.array([[True], [False]]) & np.ones(len(subject.universe("edge")), dtype=bool)
    whole, nothing = subject.value(subject.ablated("edge", all_or_none)).tolist()
    assert whole > nothing + 0.1


def test_answers_of_other_shapes_are_refused():
    answers, counted = np.zeros((2, 3, 1)), np.ones((2, 3), dtype=bool)
    with pytest.raises(InputError, match="right, wrong, counted: expected"):
        answer_difference(answers, answers[:1], counted)
    counted[1] = False
    with pytest.raises(InputError, match="counted: expected one position or more of each"):
        answer_difference(answers, answers, counted)


def test_begin_of_sequence_does_not_count():
    subject = subject_of("reverse", "zero")
    assert not subject.counted[:, 0].any() and subject.counted[:, 1:].all()


def test_wrong_conditions_are_refused():
    compiled = compiled_of("hist")
    with pytest.raises(InputError, match="pairing: expected 'equal length' or 'mixed length'"):
        circuit_subject(compiled, pairing="equal")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="inputs: expected at most 5, got 'a width of 6'"):
        circuit_subject(compiled, inputs=["aaaaaa"])
    with pytest.raises(InputError, match="sequences: expected one or more, none of them empty"):
        circuit_subject(compiled, inputs=[])


# --- traps -----------------------------------------------------------------------------------


def counts(name: str) -> tuple[int, ...]:
    """Candidates, structural, constant, and relevant under each condition."""
    truths = [truth_of(name, condition) for condition in CONDITIONS]
    assert len({truth.structural for truth in truths}) == 1
    first = truths[0]
    relevant = [len(truth.members("relevant")) for truth in truths]
    return len(first.universe), len(first.structural), len(first.constant), *relevant


@pytest.mark.parametrize("name", PROGRAMS)
def test_t1_the_truth_depends_on_the_ablation_as_the_page_says(name):
    rows = re.findall(rf"^\| {name} \| ours \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert [tuple(map(int, row.split("|"))) for row in rows] == [counts(name)]
    for condition in CONDITIONS:
        truth, subject = truth_of(name, condition), subject_of(name, condition)
        assert truth.routes == ("program", "enumeration")
        # Each has one minimal circuit, whose edges are those that matter alone.
        assert truth.singly_active == truth.members("core") == truth.members("relevant")
        outside = [c not in truth.structural for c in truth.universe.candidates]
        assert effects(subject)[outside].max() == 0


def test_t2_a_truth_is_no_answer_under_another_condition():
    zero, resample = truth_of("reverse", "zero"), truth_of("reverse", "equal length")
    assert resample.members("relevant") == {("embed", "a2.h0.v"), ("a2.h0", "logits")}
    assert resample.members("relevant") < zero.members("relevant")
    claim = Circuit(
        resample.universe, members=resample.members("relevant"), condition=resample.condition
    )
    assert score_circuit(resample, claim)["circuit.edge_f1"].value == 1
    with pytest.raises(InputError, match="condition: expected zero ablation"):
        score_circuit(zero, claim)


@pytest.mark.parametrize("condition", ["mean", "equal length", "mixed length"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_t3_constant_paths_are_structural_and_never_active(name, condition):
    truth = truth_of(name, condition)
    assert truth.constant and truth.constant <= truth.structural
    assert not truth.constant & truth.singly_active
    assert {edge.writer for edge in truth.constant} == {"embed"}


def test_t3_zero_ablation_takes_constants_away():
    truth = truth_of("hist", "zero")
    assert truth.constant == {("embed", "a0.h0.v"), ("embed", "m0")}
    # Without its mark begin-of-sequence has no share to give, and all widths look alike.
    assert truth.constant & truth.singly_active == {("embed", "a0.h0.v")}


def test_t4_patching_one_edge_at_a_time_misses_what_is_redundant():
    compiled = majority()
    subject = circuit_subject(compiled)
    truth = circuit_truth(compiled, subject)
    copies = [{Edge("embed", f"a0.h{h}.v"), Edge(f"a0.h{h}", "m0")} for h in range(3)]
    copies[2].add(Edge("m0", "m2"))
    voting = {Edge("m0", "m1"), Edge("m1", "m2"), Edge("m2", "logits")}
    assert truth.singly_active == truth.members("core") == voting
    pairs = itertools.combinations(copies, 2)
    assert {*truth.circuits} == {frozenset(voting | a | b) for a, b in pairs}
    ranked = circuit_of(truth.universe, effects(subject))
    assert (ranked.strengths > 0).sum() == 3 < len(truth.members("relevant")) == 10
    assert score_circuit(truth, ranked)["circuit.edge_auroc"].value < 0.7


def test_t5_heads_and_their_queries_keys_and_values_have_truths_of_their_own():
    compiled = compiled_of("sort_unique")
    apart = circuit_truth(compiled)
    whole = circuit_truth(compiled, circuit_subject(compiled, granularity="head"))
    joined = {Edge(e.writer, re.sub(r"\.[qkv]$", "", e.reader)) for e in apart.members("relevant")}
    assert joined == whole.members("relevant")
    assert len(joined) < len(apart.members("relevant"))
    with pytest.raises(ExplanationError, match="Compare with the truth of its unit and granular"):
        score_circuit(apart, Circuit(whole.universe, members=joined))


def test_t6_trivial_edges_flatter_and_can_be_left_out():
    truth = truth_of("sort_unique", "mixed length")
    trivial = circuit_of(truth.universe, truth.universe.trivial.astype(float))
    kept = [truth.universe.place[c] for c in truth.members("relevant")]
    assert truth.universe.trivial[kept].sum() == 4
    with_them = score_circuit(truth, trivial, metrics=["auroc"])["circuit.edge_auroc"]
    without = score_circuit(truth, trivial, trivial=False, metrics=["auroc"])["circuit.edge_auroc"]
    assert with_them.value != 0.5 and without.value == 0.5


def test_t7_pairs_that_change_nothing_show_nothing():
    compiled = compiled_of("reverse")
    subject = circuit_subject(compiled)
    assert subject.changed() > 0.7
    same = replace(subject, paired=subject.tokens, pairing="itself")
    truth = circuit_truth(compiled, same)
    assert same.changed() == 0
    assert truth.members("relevant") == frozenset() and truth.circuits == (frozenset(),)
    assert truth.structural == compiled.circuit.structural


def test_t8_heads_in_another_order_have_the_same_circuit_by_other_names():
    compiled = majority()
    turned = PlacedBlock(
        compiled.placement.blocks[0].heads[::-1], compiled.placement.blocks[0].neurons
    )
    placement = Placement((turned, *compiled.placement.blocks[1:]))
    weights = assembled(compiled.analysis, compiled.layout, placement)
    other = replace(compiled, placement=placement, weights=weights)
    truth, permuted = compiled.circuit, circuit_truth(other)

    def renamed(name: str) -> str:
        return re.sub(r"^a0\.h(\d)", lambda m: f"a0.h{2 - int(m[1])}", name)

    expected = {frozenset(Edge(*map(renamed, edge)) for edge in c) for c in truth.circuits}
    assert {*permuted.circuits} == expected


def test_t8_any_of_several_valid_circuits_is_a_full_answer():
    truth = majority().circuit
    for circuit in truth.circuits:
        scores = score_circuit(truth, Circuit(truth.universe, members=circuit))
        assert scores["circuit.edge_best_f1"].value == 1 > scores["circuit.edge_recall"].value


def test_t9_ties_are_no_order():
    truth, subject = truth_of("reverse", "equal length"), subject_of("reverse", "equal length")
    moved = effects(subject)
    assert (moved == 0).sum() == len(truth.universe) - 2
    constant = circuit_of(truth.universe, np.zeros(len(truth.universe)))
    found = score_circuit(truth, constant)
    assert found["circuit.edge_auroc"].value == 0.5
    assert score_circuit(truth, circuit_of(truth.universe, moved))["circuit.edge_auroc"].value == 1


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_t10_nothing_leaks_around_the_circuit(name, condition):
    truth, subject = truth_of(name, condition), subject_of(name, condition)
    structural, relevant = (
        np.array([[c in members for c in truth.universe.candidates]])
        for members in (truth.structural, truth.members("relevant"))
    )
    assert (subject.ablated("edge", structural) == subject.outputs()).all()
    rest = (subject.ablated("edge", relevant) - subject.outputs())[:, subject.counted]
    assert rest.abs().max() < 1e-9
    # No effect is near the tolerance: each is none, or a change that a person would see.
    moved = effects(subject)
    active = [c in truth.singly_active for c in truth.universe.candidates]
    assert moved[active].min() > 0.01 and moved[np.invert(active)].max() < 1e-9
