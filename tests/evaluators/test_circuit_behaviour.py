"""What circuits of gates do, in closed form: at (1, 1), patched from (0, 0), unless said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_cases import ALL, H0L, H0M, H1M, K0, ML, OFF, V0, V1, gate_subject, last
from random_weights import random_tokens, random_weights

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.errors import ExplanationError, InputError
from groundtruth.evaluators import circuit_runs
from groundtruth.evaluators.circuit_behaviour import score_behaviour
from groundtruth.evaluators.circuit_curves import MIB_GRID, connected
from groundtruth.evaluators.circuit_tests import score_circuit_tests
from groundtruth.methods import circuits as methods
from groundtruth.model_subject import ModelSubject
from groundtruth.models.transformer import Transformer

WAY = [V0, H0M, ML]


def scores(subject, members, **settings):
    claim = Circuit(subject.universe("edge"), members=members)
    return score_behaviour(subject, claim, **{"all_inputs": True} | settings)


def values(subject, members, **settings):
    found = scores(subject, members, **settings)
    return {id.removeprefix("circuit."): result.value for id, result in found.items()}


def test_all_of_and_is_faithful_complete_and_minimal():
    found = values(gate_subject("and"), [V0, V1, H0M, H1M, ML])
    assert found["faith"] == found["minimality"] == 1
    assert found["faith_gap"] == found["completeness_comp"] == found["completeness_wang"] == 0


def test_one_way_of_or_is_faithful_and_only_wangs_completeness_says_what_is_missing():
    found = values(gate_subject("or"), WAY)
    # Without the neuron nothing is left, so the complement looks complete.
    assert (found["faith"], found["completeness_comp"]) == (1, 0)
    # Cut the head: the circuit is 0, the model still 1 by the other head.
    assert found["completeness_wang"] == 1
    both = values(gate_subject("or"), [V0, V1, H0M, H1M, ML])
    assert (both["completeness_wang"], both["minimality"]) == (0, 1)


def test_the_complement_of_one_way_of_backup_does_its_work():
    found = values(gate_subject("backup"), [V0, H0L])
    assert found["faith"] == 1
    # H0M is left, and carries a = 0: the backup answers.
    assert found["completeness_comp"] == 1


def test_what_has_no_effect_is_not_minimal():
    assert values(gate_subject("and"), [V0, V1, H0M, H1M, ML, K0])["minimality"] == 5 / 6
    assert scores(gate_subject("and"), [])["circuit.minimality"].reason == "the circuit is empty"


def test_the_empty_circuit_lies_at_the_floors_and_the_model_at_the_ceilings():
    subject = gate_subject("and")
    of_sets = ("faith", "faith_gap", "completeness_comp", "completeness_wang")
    for members, wanted in ([], "floor"), (subject.universe("edge").candidates, "ceiling"):
        found = scores(subject, members)
        for name in of_sets:
            result = found[f"circuit.{name}"]
            assert result.value == getattr(result, wanted), name


def test_faithfulness_is_a_ratio_of_means():
    # AND over (1, 0) and (1, 1), the latter three times as often; from (0, 0).
    tokens, weights = [[0, 3, 2], [0, 3, 3]], [0.25, 0.75]
    subject = gate_subject("and", tokens=tokens, weights=weights)
    assert values(subject, [V0, H0M, ML])["faith"] == 0
    everything = scores(subject, [V0, V1, H0M, H1M, ML])
    assert everything["circuit.faith"].value == 1
    assert everything["circuit.faith_gap"].floor == 0.75
    # OR over the same, by a's head alone: right on both, and so is b's on three in four.
    either = gate_subject("or", tokens=tokens, weights=weights)
    assert values(either, [V0, H0M, ML])["faith"] == 1
    assert values(either, [V1, H1M, ML])["faith"] == 0.75


def test_a_mean_that_is_the_models_leaves_nothing_to_explain():
    # Mean ablation over all four inputs: the neuron's mean is what the model is on average.
    found = scores(gate_subject("and", "mean", ALL), [ML])["circuit.faith"]
    assert found.reason == "m(M) - m(0) is 0 on 4 inputs"


def test_ratios_within_noise_are_undefined():
    one = scores(gate_subject("and"), WAY, all_inputs=False)["circuit.faith"]
    assert (one.status, one.reason) == (
        "undefined",
        "m(M) - m(0) is within three standard errors of 0 on 1 inputs",
    )
    nothing = scores(gate_subject("cancelling"), [V0])["circuit.faith"]
    assert nothing.reason == "m(M) - m(0) is 0 on 1 inputs"
    many = gate_subject("and", tokens=[[0, 3, 3]] * 20 + [[0, 3, 2]], paired=[OFF] * 21)
    found = scores(many, [V0, V1, H0M, H1M, ML], all_inputs=False)["circuit.faith"]
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_curves_of_the_oracle_in_closed_form():
    # Of 21 edges the grid keeps 0, 0, 0, 0, 0, 1, 2, 4, 10 and 21; AND needs 5.
    found = score_behaviour(
        gate_subject("and"), methods.group_ablation(gate_subject("and")), all_inputs=True
    )
    assert found["circuit.cpr"].evidence["faith"].tolist() == [0.0] * 8 + [1.0] * 2
    assert found["circuit.cpr"].value == pytest.approx(0.5 + 0.3 / 2)
    assert found["circuit.cmd"].value == pytest.approx(0.999 - 0.65)
    assert found["circuit.cpr_log"].evidence["size"].tolist() == [
        *(1, 2, 3, 4, 5, 6, 8, 9, 11, 14, 17, 21)
    ]
    # Half of the step from 4 to 5, and all from there.
    log = (np.log(21 / 5) + np.log(5 / 4) / 2) / np.log(21)
    assert found["circuit.cpr_log"].value == pytest.approx(log)
    assert found["circuit.cmd_log"].value == pytest.approx(1 - log)
    assert (found["circuit.cpr_log"].ceiling, found["circuit.cpr_log"].metric.version) == (1, 2)
    assert found["circuit.cpr"].ceiling == pytest.approx(0.999)
    assert found["circuit.cmd"].ceiling == 0


def test_a_constant_ranking_lies_at_the_floor_of_random_ones():
    subject = gate_subject("saturated")
    constant = circuit_of(subject.universe("edge"), np.zeros(13))
    found = [
        score_behaviour(subject, constant, size=0, all_inputs=True, seed=seed)["circuit.cpr"]
        for seed in range(25)
    ]
    value, floor = (np.array([getattr(r, name) for r in found]) for name in ("value", "floor"))
    # Four standard errors: a false alarm in 16,000 seeds.
    assert abs((value - floor).mean()) < 4 * (value - floor).std() / np.sqrt(25)
    assert value.std() > 0


def test_sets_have_no_curve_and_rankings_no_end():
    subject = gate_subject("and")
    found = scores(subject, WAY)
    assert found["circuit.cpr"].reason == "the circuit is a set: a curve needs a ranking"
    ranked = methods.eap(subject)
    found = score_behaviour(subject, ranked, all_inputs=True)
    assert found["circuit.faith"].reason == (
        "the circuit is a ranking: say where it ends with size="
    )
    cut = score_behaviour(subject, ranked, size=5, all_inputs=True)
    assert (cut["circuit.faith"].value, cut["circuit.faith"].parameters["size"]) == (1, 5)


def test_nodes_are_circuits_too():
    subject = gate_subject("or")
    claim = Circuit(subject.universe("node"), members=["embed", "a0.h0", "m0"])
    found = score_behaviour(subject, claim, all_inputs=True)
    assert found["circuit.faith"].value == found["circuit.completeness_wang"].value == 1


def test_large_circuits_are_searched_and_find_what_all_subsets_do(monkeypatch):
    exhaustive = values(gate_subject("or"), WAY)
    monkeypatch.setattr(circuit_runs, "MOST_EXHAUSTIVE", 2)
    found = scores(gate_subject("or"), WAY)
    assert found["circuit.completeness_wang"].parameters["subsets"] == "256 at random"
    for name in ("completeness_wang", "minimality"):
        assert found[f"circuit.{name}"].value == exhaustive[name]
    # Greedily alone, without any subset drawn.
    monkeypatch.setattr(circuit_runs, "SUBSETS", 1)
    assert values(gate_subject("or"), WAY, seed=3)["completeness_wang"] == 1


def test_divergence_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    weights = random_weights(rng, heads=[[(2, 2)]], d_mlp=[4])
    tokens, paired = (random_tokens(rng, weights, [4, 4, 4]) for _ in range(2))
    subject = ModelSubject(
        Transformer(weights, torch.float64), tokens, last, "resample", paired, "at random"
    )
    kept = subject.universe("edge").candidates[::2]
    flags = np.array([[c in kept for c in subject.universe("edge").candidates]])
    p, q = (
        torch.softmax(x, -1).detach().numpy()
        for x in (subject.outputs()[0], subject.ablated("edge", flags)[0])
    )
    expected = (p * np.log(p / q)).sum(-1).mean()
    found = values(subject, kept)
    assert found["faith_kl"] == pytest.approx(expected)
    assert expected > 0.01
    assert values(subject, subject.universe("edge").candidates)["faith_kl"] == 0
    one = scores(gate_subject("and"), WAY)["circuit.faith_kl"]
    assert one.reason == "a model with one output has no distribution over outputs"


def test_a_metric_that_is_not_finite_is_undefined_and_no_number():
    half = replace(gate_subject("and"), metric=lambda out: torch.log(out[..., -1, 0] - 0.5))
    claim = Circuit(half.universe("edge"), np.arange(21.0))
    found = score_behaviour(half, claim, size=5) | score_circuit_tests(half, claim, size=5)
    reasons = {m: r.reason for m, r in found.items() if m != "circuit.faith_kl"}
    assert set(reasons.values()) == {"the metric of an ablated model is infinite or NaN"}


def test_what_a_ranking_rules_out_is_not_run():
    subject = gate_subject("and")
    strengths = np.full(len(subject.universe("edge")), -np.inf)
    nothing = Circuit(subject.universe("edge"), strengths)
    found = score_behaviour(subject, nothing, size=5, all_inputs=True)
    assert found["circuit.faith"].value == 0
    assert found["circuit.faith"].parameters["size"] == 0


def test_what_cannot_be_run_is_refused():
    subject = gate_subject("or")
    with pytest.raises(ExplanationError, match="It was found in another model"):
        score_behaviour(subject, methods.acdc(gate_subject("and")))
    with pytest.raises(InputError, match="condition: expected resample ablation with both 0"):
        score_behaviour(subject, methods.acdc(gate_subject("or", "zero")))
    for size in (22, 2.5):
        with pytest.raises(InputError, match=f"size: expected 0 to 21, got {size}"):
            scores(subject, WAY, size=size)
    with pytest.raises(InputError, match="epsilon: expected a positive number, got 0"):
        scores(subject, WAY, epsilon=0)


def test_only_connected_circuits_count_where_that_is_asked():
    # Under zero ablation an edge that nothing leads to still carries the neuron's constant, and
    # faithfulness falls where it is taken off.
    subject = gate_subject("saturated", "zero", ALL)
    universe = subject.universe("edge")
    order = [ML, *(edge for edge in universe.edges if edge != ML)]
    ranked = circuit_of(universe, [-order.index(edge) for edge in universe.edges])
    found = score_behaviour(subject, ranked, all_inputs=True)
    plain, pruned = (found[f"circuit.{name}"].evidence for name in ("cpr", "cpr_connected"))
    assert plain["size"].tolist() == pruned["size"].tolist() == [0, 0, 0, 0, 0, 1, 1, 3, 6, 13]
    assert (plain["faith"][5], pruned["faith"][5]) != (0, 0)
    assert pruned["faith"][5] == 0
    assert plain["faith"][-1] == pruned["faith"][-1] == 1


def test_what_is_on_no_path_is_taken_off():
    universe = gate_subject("or").universe("edge")

    def left(*members):
        kept = np.array([edge in members for edge in universe.edges])
        return universe.members(connected(universe, kept))

    assert left(V0, H0M, ML) == {V0, H0M, ML}
    assert left(V0, H0M, ML, H1M, V1) == {V0, H0M, ML, H1M, V1}
    assert left(V0, H0M, ML, H1M) == {V0, H0M, ML}
    assert left(V0, H0M, H1M) == left(H0M, ML) == left(ML) == set()
    assert left(K0, H0M, ML) == {K0, H0M, ML}
    nodes = gate_subject("or").universe("node")
    assert connected(nodes, np.array([False, False, True, False, False])).tolist().count(True) == 1


def test_the_grid_is_mibs():
    assert MIB_GRID == (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
