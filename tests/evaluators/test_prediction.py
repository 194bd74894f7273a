"""Prediction on novel inputs: who is right where, by how much, and beside whom."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.prediction import causal_predictor, prediction_testbed
from groundtruth.errors import ExplanationError, InputError
from groundtruth.evaluators.prediction import score_prediction
from groundtruth.methods.prediction import circuit_predictor, nearest_neighbour, random_forest
from groundtruth.models.interchange import interchange
from groundtruth.predictor import Predictor
from groundtruth.universe import universe_of


def made(name, closed=True, **settings):
    program = library.example_program(name)
    vocab = library.entry(name).vocab[:4]
    compiled = compile_program(program, vocab=vocab, max_length=6, closed=closed)
    return compiled, prediction_testbed(compiled, n_test=60, **settings)


@pytest.fixture(scope="module")
def reverse():
    return made("reverse")


def values(testbed, predictor, *surrogates):
    found = score_prediction(testbed, predictor, surrogates=surrogates)
    return {id.removeprefix("pred."): result.value for id, result in found.items()}


@pytest.mark.parametrize("name", ["reverse", "running_sum", "hist", "average"])
def test_the_causal_model_is_right_everywhere(name):
    compiled, testbed = made(name)
    for id, value in values(testbed, causal_predictor(compiled)).items():
        if "skill" in id:
            assert value is None
        else:
            # R2 is to float32 rounding of the model's own outputs.
            assert value == pytest.approx(0 if "gap" in id else 1, abs=1e-4), id
            assert value == (0 if "gap" in id else 1) or "r2" in id


def test_sets_are_what_they_say(reverse):
    compiled, testbed = reverse
    sets, seen = testbed.truth.sets, {}
    for name, parts in sets.items():
        tokens = np.concatenate([part.tokens for part in parts])
        lengths = ((tokens != compiled.weights.pad).sum(1) - 1).tolist()
        rows = [row[1 : n + 1] for row, n in zip(tokens.tolist(), lengths)]
        seen[name] = {pair for row in rows for pair in pairwise(row)}, set(lengths)
    ((tokens, _),) = testbed.subject.inputs(500)
    pairs = {p for row in tokens.tolist() for p in pairwise(row[1:]) if max(p) < 4}
    assert seen["iid"][0] <= pairs and seen["intervened"][0] <= pairs
    assert seen["combinations"][0] - pairs and len(pairs) == 16 - 3  # a fifth of 16
    assert seen["iid"][1] == {1, 2, 3} and seen["longer"][1] == {4, 5, 6}


def test_interventions_are_those_of_the_model(reverse):
    compiled, testbed = reverse
    moved = 0
    for part in testbed.truth.sets["intervened"]:
        given = part.interchange
        at = [(given.site, given.basis)]
        where = given.where(part.tokens, compiled.weights.pad)
        outputs = interchange(compiled.model, part.tokens, given.source, at, where).numpy()
        assert np.array_equal(outputs[part.counted], part.outputs[part.counted])
        plain = compiled.model(part.tokens).detach().numpy()
        moves = ((plain != outputs).any(-1) & part.counted).any(1)
        assert moves.all()
        moved += len(moves)
    assert moved >= 60


def test_the_whole_model_as_a_circuit_is_right_and_an_empty_one_is_not(reverse):
    compiled, testbed = reverse
    universe = universe_of(compiled.weights)
    whole = circuit_predictor(testbed.subject, Circuit(universe, members=universe.edges))
    assert all(
        value == pytest.approx(0 if "gap" in id else 1, abs=1e-4)
        for id, value in values(testbed, whole).items()
        if value is not None
    )
    nothing = circuit_predictor(testbed.subject, Circuit(universe, members=[]))
    found = score_prediction(testbed, nothing)
    for name in testbed.truth.sets:
        result = found[f"pred.agreement.{name}"]
        # It says one thing at each position, which is no constant.
        assert result.value < result.floor + 0.15


def test_a_circuit_without_an_edge_it_needs_is_wrong(reverse):
    compiled, testbed = reverse
    universe = universe_of(compiled.weights)
    last = [edge.reader for edge in universe.edges if edge.reader.endswith(".q")][-1]
    kept = Circuit(universe, members=[e for e in universe.edges if e.reader != last])
    found = values(testbed, circuit_predictor(testbed.subject, kept))
    assert found["agreement.iid"] < 0.7
    by_head = universe_of(compiled.weights, "edge", "head")
    whole = Circuit(by_head, members=by_head.edges)
    assert values(testbed, circuit_predictor(testbed.subject, whole))["agreement.longer"] == 1


def test_surrogates_are_right_where_they_have_looked_and_skill_counts_from_the_best(reverse):
    compiled, testbed = reverse
    near, forest = (method(testbed.subject) for method in (nearest_neighbour, random_forest))
    for surrogate in near, forest:
        found = values(testbed, surrogate)
        assert found["agreement.iid"] > 0.8 > found["agreement.longer"]
        assert found["ood_gap.longer"] == pytest.approx(
            found["agreement.iid"] - found["agreement.longer"]
        )
    best = max((values(testbed, s)["agreement.longer"], s.name) for s in (near, forest))
    scored = score_prediction(testbed, near, surrogates=[near, forest])["pred.skill.longer"]
    assert scored.parameters == {"surrogate": best[1], "surrogate_agreement": best[0]}
    oracle = causal_predictor(compiled)
    assert values(testbed, oracle, near, forest)["skill.longer"] == 1
    assert values(testbed, forest, forest)["skill.longer"] == 0
    always = score_prediction(testbed, near, surrogates=[oracle])["pred.skill.longer"]
    assert always.reason == "causal model is always right: nothing is left to explain"
    none = score_prediction(testbed, near)["pred.skill.iid"]
    assert none.reason == "no surrogate was given"


def test_the_floor_is_the_best_constant(reverse):
    _, testbed = reverse
    n_outputs = testbed.truth.sets["iid"][0].outputs.shape[-1]

    def says(k):
        row = np.eye(n_outputs)[k]
        return Predictor(lambda tokens, given: np.broadcast_to(row, (*tokens.shape, n_outputs)))

    found = [score_prediction(testbed, says(k))["pred.agreement.iid"] for k in range(n_outputs)]
    assert max(r.value for r in found) == found[0].floor
    _, numbers = made("running_sum")
    mean = np.concatenate([p.outputs[p.counted] for p in numbers.truth.sets["iid"]]).mean(0)
    constant = Predictor(lambda tokens, given: np.broadcast_to(mean, (*tokens.shape, len(mean))))
    assert values(numbers, constant)["r2.iid"] == pytest.approx(0, abs=1e-6)


def test_without_closed_domains_nothing_is_intervened_on():
    _, testbed = made("reverse", closed=False)
    assert list(testbed.truth.sets) == ["iid", "combinations", "longer"]


def test_a_testbed_is_its_content():
    first, again, other = (made("hist", seed=seed)[1] for seed in (0, 0, 1))
    assert first.hash == again.hash != other.hash
    assert first.name == "prediction/hist"


def test_what_cannot_be_asked_or_claimed_is_refused(reverse):
    compiled, testbed = reverse
    subject = testbed.subject
    ((tokens, _),) = subject.inputs(200)
    subject.ask(tokens)
    with pytest.raises(InputError, match="queries: expected at most 56 more of 256, got 200"):
        subject.ask(tokens)
    with pytest.raises(InputError, match="seen_length: expected 2 to 5, got 6"):
        prediction_testbed(compiled, seen_length=6)
    with pytest.raises(ExplanationError, match=r"predict: expected shape \(60, 7, 5\), got"):
        score_prediction(testbed, Predictor(lambda tokens, given: tokens))
    with pytest.raises(ExplanationError, match="predict: expected a function"):
        Predictor(3)
    with pytest.raises(ExplanationError, match="expected finite numbers, got 2100 that are not"):
        score_prediction(
            testbed, Predictor(lambda tokens, given: np.full((*tokens.shape, 5), np.nan))
        )
    edges, nodes = (universe_of(compiled.weights, unit) for unit in ("edge", "node"))
    with pytest.raises(ExplanationError, match="circuit: expected edges, got nodes"):
        circuit_predictor(subject, Circuit(nodes, members=[]))
    ranked = circuit_of(edges, np.arange(len(edges)))
    with pytest.raises(ExplanationError, match="Say where it ends: size="):
        circuit_predictor(subject, ranked)
    assert circuit_predictor(subject, ranked, size=3).name == "circuit of 3 edges"
