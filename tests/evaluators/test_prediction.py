"""Prediction on novel inputs: who is right where, by how much, and beside whom."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.compiled_models import compile_program, library, prediction_inputs
from groundtruth.compiled_models.prediction import causal_predictor, prediction_testbed
from groundtruth.compiled_models.prediction_inputs import Draw, nearest
from groundtruth.errors import ExplanationError, InputError
from groundtruth.evaluators.prediction import (
    LEAST_CHANCE,
    METRICS,
    SETS,
    best_constant,
    best_on_each,
    score_prediction,
)
from groundtruth.evaluators.prediction_answers import answers_of
from groundtruth.evaluators.prediction_certainty import risk_of_surest
from groundtruth.evaluators.statistics import clopper_pearson
from groundtruth.methods.prediction import (
    circuit_predictor,
    majority,
    nearest_neighbour,
    random_forest,
)
from groundtruth.models.interchange import interchange
from groundtruth.prediction import Prediction
from groundtruth.predictor import Predictor
from groundtruth.universe import universe_of


def made(name, closed=True, max_length=6, **settings):
    program = library.example_program(name)
    vocab = library.entry(name).vocab[:4]
    compiled = compile_program(program, vocab=vocab, max_length=max_length, closed=closed)
    return compiled, prediction_testbed(compiled, n_test=60, **settings)


@pytest.fixture(scope="module")
def reverse():
    return made("reverse")


@pytest.fixture(scope="module")
def long_reverse():
    """Of 1,364 sequences to learn from 256 may be asked for."""
    return made("reverse", max_length=10)


def values(testbed, predictor, *surrogates):
    found = score_prediction(testbed, predictor, surrogates=surrogates)
    return {id.removeprefix("pred."): result.value for id, result in found.items()}


@pytest.mark.parametrize("name", ["reverse", "running_sum", "hist", "average"])
def test_the_causal_model_is_right_everywhere(name):
    _, testbed = made(name)
    found = score_prediction(testbed, testbed.oracle)
    assert found.keys() == METRICS.keys()
    numbers, absent = testbed.truth.kind == "numerical", set(SETS) - set(testbed.truth.sets)
    for id, result in found.items():
        family, value = id.split(".")[1], result.value
        undefined = {"skill", "kl"} if numbers else {"skill", "r2", "coverage", "width"}
        if family in undefined or id.split(".")[-1] in absent:
            assert value is None and result.reason
        elif family == "width":
            assert value == pytest.approx(result.ceiling)
        elif family == "r2":  # to float32 rounding of the model's own outputs
            assert value == pytest.approx(1, abs=1e-4)
        else:
            assert value == (1 if family in ("agreement", "coverage") else 0), id


@pytest.mark.parametrize("twin", [{"superpose": 0.7}, {"norm": "layer"}])
def test_the_causal_model_is_right_of_twins(reverse, twin):
    testbed = prediction_testbed(reverse[0].twin(**twin), n_test=30)
    found = score_prediction(testbed, testbed.oracle)
    assert {found[f"pred.agreement.{name}"].value for name in testbed.truth.sets} == {1}
    assert found["pred.kl.longer"].value == found["pred.guarantee_violations"].value == 0
    # The outputs of categories may be of another size than the program's, which does not count.
    says = testbed.oracle(testbed.truth.sets["iid"][0].tokens, n_outputs=5)
    sizes = np.abs(testbed.truth.sets["iid"][0].outputs - says)[:, 1].max()
    assert (sizes > 0.5) == ("superpose" in twin)
    assert "categories" in found["pred.r2.iid"].reason


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
    assert seen["frequencies"][0] <= pairs


def test_frequencies_halve_from_token_to_token():
    draw = Draw(4, 6, 3, np.random.default_rng(0))
    halves = np.sort(draw.skewed)
    assert halves[1:] / halves[:-1] == pytest.approx(2)
    batch = draw.sequences("frequencies", 4000, np.random.default_rng(1))
    alone = batch.ids[batch.lengths == 1, 0]  # of these none is rejected for a pair
    often = np.bincount(alone, minlength=4)
    for n, chance in zip(often, draw.skewed):
        # Four intervals at 99.99 %: a false alarm in one of 2,500 seeds, and the seed is fixed.
        _, low, high = clopper_pearson(n, len(alone), 0.9999)
        assert low <= chance <= high


def test_mined_inputs_mislead_who_answers_as_what_looks_alike(reverse, long_reverse):
    _, testbed = long_reverse
    (part,) = testbed.truth.sets["mined"]
    assert len(np.unique(part.tokens, axis=0)) == len(part.tokens)
    # Of what is answered by the next of any other inputs, what was mined is answered worst.
    ((seen, _),) = testbed.subject.inputs(256)
    answers = testbed.subject.ask(seen)

    def lookup(tokens, given):
        return answers[nearest(seen, tokens)]

    found = values(testbed, Predictor(lookup))
    assert found["agreement.iid"] > found["agreement.mined"] + 0.2
    assert found["agreement.mined"] < 0.7
    assert values(testbed, testbed.oracle)["agreement.mined"] == 1
    # Of 84 sequences nearly all are asked for, so that there is nothing to be mined.
    _, small = reverse
    missing = score_prediction(small, small.oracle)["pred.agreement.mined"]
    assert missing.value is None and "answered otherwise" in missing.reason


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
        moves = (~testbed.truth.agrees(plain, outputs) & part.counted).any(1)
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
    told = {"queries": 256, "surrogate": best[1], "surrogate_agreement": best[0]}
    assert scored.parameters == told
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
    assert "intervened" not in testbed.truth.sets
    result = score_prediction(testbed, testbed.oracle)["pred.agreement.intervened"]
    assert result.status == "undefined" and "closed=True" in result.reason


@pytest.mark.parametrize("name", ["hist", "average"])
def test_rounding_makes_no_other_testbed(name):
    _, testbed = made(name)

    def off(size):
        rng = np.random.default_rng(0)
        sets = {
            which: tuple(
                replace(p, outputs=p.outputs + size * rng.uniform(-1, 1, p.outputs.shape))
                for p in parts
            )
            for which, parts in testbed.truth.sets.items()
        }
        return replace(testbed, truth=replace(testbed.truth, sets=sets)).hash

    assert off(1e-4) == testbed.hash != off(1.0)


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
    other = universe_of(made("hist")[0].weights)
    with pytest.raises(ExplanationError, match="It was found in another model"):
        circuit_predictor(subject, Circuit(other, members=[]))
    ranked = circuit_of(edges, np.arange(len(edges)))
    with pytest.raises(ExplanationError, match="Say where it ends: size="):
        circuit_predictor(subject, ranked)
    assert circuit_predictor(subject, ranked, size=3).name == "circuit of 3 edges"


# --- chances, intervals, confidence, guarantees ------------------------------------------------


def altered(testbed, change, **claims):
    """The oracle, of which `change(prediction, tokens)` makes another claim."""
    oracle = testbed.oracle

    def predict(tokens, given):
        n_outputs = next(iter(testbed.truth.sets.values()))[0].outputs.shape[-1]
        return change(oracle.claim(tokens, given, n_outputs=n_outputs), tokens)

    return Predictor(predict, **claims)


def test_kl_is_the_log_loss_and_its_floor_the_entropy_of_the_answers(reverse):
    _, testbed = reverse
    n = testbed.truth.sets["iid"][0].outputs.shape[-1]

    def mixed(share):
        return altered(
            testbed,
            lambda p, t: Prediction(share * p.outputs + (1 - share) / n, distribution=True),
        )

    for share in (0.0, 0.4, 1.0):
        # Begin-of-sequence has no answer there; it does not count, so its chances need not sum.
        found = score_prediction(testbed, mixed(share))["pred.kl.longer"]
        assert found.value == pytest.approx(-np.log(share + (1 - share) / n))
    (part,) = testbed.truth.sets["iid"]
    often = np.bincount(part.outputs.argmax(-1)[part.counted]) / part.counted.sum()
    often = often[often > 0]
    assert found.parameters["ruled_out"] == 0
    iid = score_prediction(testbed, mixed(0.4))["pred.kl.iid"]
    assert iid.floor == pytest.approx(-(often * np.log(often)).sum())
    frequencies = np.bincount(part.outputs.argmax(-1)[part.counted], minlength=n)
    frequencies = frequencies / frequencies.sum()
    base_rate = Predictor(
        lambda tokens, given: Prediction(
            np.broadcast_to(frequencies, (*tokens.shape, n)), distribution=True
        )
    )
    assert score_prediction(testbed, base_rate)["pred.kl.iid"].normalised == pytest.approx(0)


def test_a_claim_that_rules_out_what_happens_is_bad_and_not_undefined(reverse):
    _, testbed = reverse
    wrong = altered(
        testbed, lambda p, t: Prediction(np.roll(p.outputs, 1, axis=-1), distribution=True)
    )
    found = score_prediction(testbed, wrong)["pred.kl.iid"]
    assert found.value == pytest.approx(-np.log(LEAST_CHANCE))
    assert found.parameters["ruled_out"] == found.n_units
    none = score_prediction(testbed, altered(testbed, lambda p, t: p.outputs))["pred.kl.iid"]
    assert none.reason == "the claim is no distribution over outputs"
    twice = altered(testbed, lambda p, t: Prediction(2 * p.outputs, distribution=True))
    with pytest.raises(ExplanationError, match="expected chances that sum to 1, got others at"):
        score_prediction(testbed, twice)


@pytest.fixture(scope="module")
def numbers():
    return made("running_sum")[1]


def test_intervals_are_told_by_coverage_and_width_together(numbers):
    def within(low, high):
        return score_prediction(
            numbers,
            altered(
                numbers, lambda p, t: Prediction(p.outputs, low=p.low + low, high=p.high + high)
            ),
        )

    for name in numbers.truth.sets:
        exact, wide, beside = within(0, 0), within(-100, 100), within(5, 5)
        coverage, width = f"pred.coverage.{name}", f"pred.width.{name}"
        assert exact[coverage].value == 1 > exact[coverage].floor
        assert wide[coverage].value == wide[coverage].floor == 1  # it says nothing
        assert wide[width].value == pytest.approx(exact[width].value + 200)
        assert wide[width].value > wide[width].floor
        assert beside[coverage].value == 0
    none = score_prediction(numbers, altered(numbers, lambda p, t: p.outputs))
    assert none["pred.coverage.iid"].reason == "the claim has no intervals"


def test_the_floor_of_coverage_is_that_of_intervals_dealt_at_random(numbers):
    result = score_prediction(numbers, numbers.oracle)["pred.coverage.iid"]
    (part,) = numbers.truth.sets["iid"]
    outputs = np.round(part.outputs[part.counted])
    _, counts = np.unique(outputs, axis=0, return_counts=True)
    assert result.floor == pytest.approx(((counts / counts.sum()) ** 2).sum())


def test_the_risk_of_the_surest_takes_ties_in_part():
    wrong, sure = np.array([1, 0, 0, 1, 1]), np.array([1, 5, 3, 3, 3])
    # Four of five: the surest, all of the second, and none of the last.
    assert risk_of_surest(wrong, sure, 0.8) == pytest.approx(2 / 4)
    assert risk_of_surest(wrong, sure, 0.4) == pytest.approx((2 / 3) / 2)
    assert risk_of_surest(wrong, -sure, 0.2) == 1
    assert risk_of_surest(wrong, np.zeros(5), 0.8) == pytest.approx(wrong.mean())
    assert risk_of_surest(wrong, sure, 1.0) == wrong.mean()


def test_who_knows_where_it_errs_has_no_selective_risk_and_who_brags_has_more(reverse):
    _, testbed = reverse

    def wrong_on(tokens):
        return tokens[:, 1] == 0  # of four tokens, so of fewer answers than a fifth and a bit

    def claim(surer):
        def change(prediction, tokens):
            outputs = prediction.outputs.copy()
            outputs[wrong_on(tokens)] = np.roll(outputs[wrong_on(tokens)], 1, axis=-1)
            confidence = np.where(wrong_on(tokens), surer, 0.0)[:, None] + np.zeros(tokens.shape)
            return Prediction(outputs, confidence=confidence)

        return score_prediction(testbed, altered(testbed, change))["pred.selective_risk.longer"]

    risk = 1 - claim(0.0).value
    modest, same, bold = claim(-1.0), claim(0.0), claim(1.0)
    assert modest.floor == same.floor == bold.floor == pytest.approx(same.value)
    share = same.floor
    assert modest.value == pytest.approx(max(0, share - 0.2) / 0.8)
    assert claim(-np.inf).value == modest.value  # an abstention
    assert bold.value == pytest.approx(min(share, 0.8) / 0.8) and risk > 0


def test_a_guarantee_is_tried_on_every_sequence(reverse):
    compiled, testbed = reverse
    right = score_prediction(testbed, testbed.oracle)["pred.guarantee_violations"]
    assert right.value == 0 and right.parameters["exhaustive"]
    assert right.n_units == right.parameters["domain"] == sum(4**k for k in range(1, 7))
    assert right.parameters["at_most"] == 0 and right.parameters["level"] == 1
    once = compiled.weights.bos, 3, 2, 1, 0

    def almost(tokens, given):
        outputs = testbed.oracle(tokens, given, n_outputs=compiled.weights.n_outputs)
        width = len(once)
        if tokens.shape[1] >= width:
            here = (tokens[:, :width] == once).all(1)
            here &= (tokens[:, width:] == compiled.weights.pad).all(1)
            outputs[here] = np.roll(outputs[here], 1, axis=-1)
        return outputs

    found = score_prediction(testbed, Predictor(almost, guaranteed=4))
    assert found["pred.guarantee_violations"].value == 1 / sum(4**k for k in range(1, 5))
    shorter = score_prediction(testbed, Predictor(almost, guaranteed=3))
    assert shorter["pred.guarantee_violations"].value == 0
    nothing = score_prediction(testbed, Predictor(almost))["pred.guarantee_violations"]
    assert nothing.reason == "nothing is guaranteed"


def test_a_guarantee_on_more_sequences_is_tried_on_a_sample(reverse, monkeypatch):
    _, testbed = reverse
    monkeypatch.setattr(prediction_inputs, "MOST_SEQUENCES", 100)
    monkeypatch.setattr(prediction_inputs, "SAMPLED", 300)
    result = score_prediction(testbed, testbed.oracle)["pred.guarantee_violations"]
    assert not result.parameters["exhaustive"] and result.n_units == 300
    # Without a violation the bound at 95 % is 1 - .05^(1/n), about 3 / n.
    assert result.high == pytest.approx(1 - 0.05 ** (1 / 300)) == result.parameters["at_most"]
    assert result.high == pytest.approx(3 / 300, rel=0.01)
    with pytest.raises(ExplanationError, match="guaranteed: expected at most 6 tokens"):
        score_prediction(testbed, altered(testbed, lambda p, t: p, guaranteed=7))


def test_sampled_sequences_are_uniform_over_the_domain(monkeypatch):
    monkeypatch.setattr(prediction_inputs, "MOST_SEQUENCES", 1)
    size, exhaustive, batches = prediction_inputs.domain(3, 3, np.random.default_rng(0))
    (batch,) = batches
    assert size == 39 and not exhaustive
    for length in (1, 2, 3):
        n = int((batch.lengths == length).sum())
        _, low, high = clopper_pearson(n, len(batch), 0.9999)
        assert low <= 3**length / 39 <= high


@pytest.mark.parametrize("name", ["reverse", "running_sum"])
def test_black_boxes_say_how_sure_they_are(name):
    _, testbed = made(name, max_length=10)
    forest, near, most = (
        score_prediction(testbed, method(testbed.subject))
        for method in (random_forest, nearest_neighbour, majority)
    )
    for found in forest, near:
        risk = found["pred.selective_risk.intervened"]
        assert risk.value < risk.floor  # what it is sure of is more often right
    assert most["pred.selective_risk.iid"].reason == "the claim is equally sure everywhere"
    if testbed.truth.kind == "categorical":
        assert forest["pred.kl.iid"].value < forest["pred.kl.iid"].floor
        assert most["pred.kl.iid"].normalised == pytest.approx(0, abs=0.2)
        assert near["pred.kl.iid"].value is None
    else:
        assert forest["pred.coverage.iid"].value > 0.9 > forest["pred.coverage.longer"].value
        assert most["pred.coverage.iid"].value == pytest.approx(most["pred.coverage.iid"].floor)
    iid = most["pred.agreement.iid"]
    assert iid.value <= iid.floor + 1e-12


def test_novel_is_the_mean_over_all_sets_but_iid(long_reverse):
    _, testbed = long_reverse
    boxes = [method(testbed.subject) for method in (nearest_neighbour, random_forest)]
    asked = [answers_of(testbed, box) for box in boxes]
    found = score_prediction(testbed, boxes[0], surrogates=asked)
    others = [name for name in testbed.truth.sets if name != "iid"]
    mean = np.mean([found[f"pred.agreement.{name}"].value for name in others])
    assert found["pred.agreement.novel"].value == pytest.approx(mean)
    best = score_prediction(testbed, best_on_each(testbed.truth, asked), surrogates=asked)
    for name in (*testbed.truth.sets, "novel"):
        assert best[f"pred.skill.{name}"].value == pytest.approx(0, abs=1e-12)
        assert found[f"pred.skill.{name}"].value <= 1e-12
    constant = best_constant(testbed.truth, "longer")
    assert constant[0] == found["pred.agreement.longer"].floor


def test_claims_that_contradict_themselves_are_refused(reverse):
    _, testbed = reverse
    ones = lambda tokens: np.ones((*tokens.shape, 5))  # noqa: E731

    def claimed(**fields):
        return Predictor(lambda t, g: Prediction(ones(t), **{k: f(t) for k, f in fields.items()}))

    with pytest.raises(ExplanationError, match="expected low and high, or neither"):
        score_prediction(testbed, claimed(low=ones))
    with pytest.raises(ExplanationError, match="low, high: expected low <= high, got 2100 above"):
        score_prediction(testbed, claimed(low=lambda t: ones(t) + 1, high=ones))
    with pytest.raises(ExplanationError, match=r"confidence: expected shape \(60, 7\), got"):
        score_prediction(testbed, claimed(confidence=ones))
    with pytest.raises(ExplanationError, match="confidence: expected numbers, got 420 that are"):
        score_prediction(testbed, claimed(confidence=lambda t: np.full(t.shape, np.nan)))
    with pytest.raises(ExplanationError, match="guaranteed: expected a number of tokens, or None"):
        Predictor(ones, guaranteed=0)
