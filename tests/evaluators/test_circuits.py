"""Recovery of circuits: laws, closed forms, and a published bug that empty claims exploit."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_cases import H0L, H0M, H1M, ML, RESAMPLED, V0, V1, gate_subject

from groundtruth.circuit import Circuit, circuit_of
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.circuit_truth import Bounds
from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.evaluators.circuits import score_circuit
from groundtruth.methods import circuits as methods
from groundtruth.model_subject import ModelSubject
from groundtruth.models import Weights
from groundtruth.models.transformer import Transformer

OR = enumerate_circuits(gate_subject("or"))
AND = enumerate_circuits(gate_subject("and"))
BACKUP = enumerate_circuits(gate_subject("backup"))
CANCELLING = enumerate_circuits(gate_subject("cancelling"))


def values(truth, circuit, **settings):
    scores = score_circuit(truth, circuit, **settings)
    return {id.removeprefix("circuit.edge_"): r.value for id, r in scores.items()}


def claim(truth, *members):
    return Circuit(truth.universe, members=members)


@pytest.mark.parametrize("truth", [OR, AND, BACKUP])
def test_the_truth_scores_best_everywhere(truth):
    found = score_circuit(truth, claim(truth, *truth.members("relevant")))
    perfect = {id: r.ceiling for id, r in found.items() if id != "circuit.edge_best_f1"}
    assert {id: found[id].value for id in perfect if found[id].value is not None} == {
        id: v for id, v in perfect.items() if found[id].value is not None
    }


def test_one_valid_circuit_is_a_full_answer_to_its_class_and_half_of_the_union():
    found = values(BACKUP, claim(BACKUP, V0, H0L))
    assert found["best_f1"] == found["class_hit"] == found["precision"] == 1
    assert found["union_precision"] == 1
    assert (found["recall"], found["f1"]) == (2 / 5, 4 / 7)
    assert found["core_recall"] is None
    both = values(BACKUP, claim(BACKUP, *BACKUP.members("relevant")))
    assert (both["best_f1"], both["class_hit"], both["f1"]) == (6 / 8, 1, 1)


def test_an_empty_claim_recalls_nothing():
    # Scripts that count what both leave out as found give it recall 1.
    found = score_circuit(OR, claim(OR))
    assert found["circuit.edge_recall"].value == 0
    assert found["circuit.edge_f1"].value == 0
    assert found["circuit.edge_shd"].value == 5
    assert found["circuit.edge_precision"].status == "undefined"
    assert found["circuit.edge_precision"].reason == "nothing is claimed"
    assert found["circuit.edge_class_hit"].value == 0


def test_everything_is_recalled_by_claiming_it():
    found = values(OR, claim(OR, *OR.universe.candidates))
    assert (found["recall"], found["precision"]) == (1, 5 / 21)
    assert found["size_ratio"] == 21 / 5


def test_a_constant_strength_has_auroc_one_half_and_the_prevalence_as_auprc():
    constant = circuit_of(OR.universe, np.full(21, 0.3))
    found = values(OR, constant)
    assert (found["auroc"], found["auprc"]) == (0.5, pytest.approx(5 / 21))


def test_rankings_do_not_depend_on_the_order_of_ties_or_on_the_scale():
    rng = np.random.default_rng(0)
    strengths = rng.integers(0, 4, 21).astype(float)
    found = values(OR, circuit_of(OR.universe, strengths))
    true = np.array([c in OR.members("relevant") for c in OR.universe.candidates])
    pairs = [(a > b) + (a == b) / 2 for a in strengths[true] for b in strengths[~true]]
    assert found["auroc"] == pytest.approx(np.mean(pairs))
    scaled = values(OR, circuit_of(OR.universe, np.exp(strengths)))
    assert (scaled["auroc"], scaled["auprc"]) == (found["auroc"], found["auprc"])
    ruled_out = np.where(strengths == 0, -np.inf, strengths)
    assert values(OR, circuit_of(OR.universe, ruled_out)) == found


def test_reversed_rankings_add_up_to_one():
    strengths = np.random.default_rng(1).standard_normal(21)
    up, down = (values(OR, circuit_of(OR.universe, s))["auroc"] for s in (strengths, -strengths))
    assert up + down == pytest.approx(1)


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_floors_are_the_mean_over_all_claims_of_the_size(size):
    # Without trivial edges two are left in "or", and every claim can be tried.
    universe = OR.universe
    counted = [c for c, trivial in zip(universe.candidates, universe.trivial) if not trivial]
    found = [
        score_circuit(OR, claim(OR, *members), trivial=False)
        for members in itertools.combinations(counted, min(size, len(counted)))
    ]
    for id, result in found[0].items():
        if result.floor is None or result.floor_kind != "random claim of the same size":
            continue
        if any(scores[id].value is None for scores in found):
            continue
        mean = np.mean([scores[id].value for scores in found])
        assert result.floor == pytest.approx(mean), id


def test_the_floor_of_equivalence_aware_scores_is_exact_too():
    rng = np.random.default_rng(2)
    chosen = [rng.permutation(21)[:3] for _ in range(1000)]
    for metric in ("best_f1", "class_hit"):
        found = [
            score_circuit(
                BACKUP,
                claim(BACKUP, *(BACKUP.universe.candidates[i] for i in c)),
                metrics=[metric],
            )[f"circuit.edge_{metric}"]
            for c in chosen
        ]
        mean = np.mean([r.value for r in found])
        error = np.std([r.value for r in found]) / np.sqrt(len(found))
        # Four standard errors: a false alarm in 16,000 seeds.
        assert abs(mean - found[0].floor) < 4 * error + 1e-12


def test_the_floor_of_auprc_is_the_mean_over_all_orders():
    truth = enumerate_circuits(gate_subject("decoy"), "node")
    n = len(truth.universe)
    found = [
        score_circuit(
            truth, circuit_of(truth.universe, np.array(order)), metrics=["auprc", "auroc"]
        )
        for order in itertools.permutations(range(n))
    ]
    for id in ("circuit.node_auprc", "circuit.node_auroc"):
        mean = np.mean([scores[id].value for scores in found])
        assert found[0][id].floor == pytest.approx(mean)


def test_random_circuits_lie_at_their_floors():
    subject, names = gate_subject("or"), ["auroc", "auprc", "f1"]
    scores = [
        score_circuit(OR, methods.random_circuit(subject, seed=seed), metrics=names)
        for seed in range(200)
    ]
    for id, first in scores[0].items():
        found = np.array([results[id].value for results in scores])
        # Four standard errors: a false alarm in 16,000 seeds.
        assert abs(found.mean() - first.floor) < 4 * found.std() / np.sqrt(200)


@pytest.mark.parametrize("name", [name for name in RESAMPLED if name != "cancelling"])
def test_the_oracle_scores_one_on_the_relevant_truth(name):
    truth = replace_by_closed_form(name)
    found = values(truth, methods.group_ablation(gate_subject(name)))
    assert found["f1"] == found["auroc"] == found["auprc"] == found["class_hit"] == 1


def replace_by_closed_form(name):
    """The truth as `circuit_cases` has it by hand, so that the oracle is not its own judge."""
    structural, singly, circuits = (
        [frozenset(c) for c in part] if isinstance(part, list) else frozenset(part)
        for part in RESAMPLED[name]
    )
    core, union = frozenset.intersection(*circuits), frozenset.union(*circuits)
    return replace(
        enumerate_circuits(gate_subject(name), limit=0),
        structural=structural,
        singly_active=singly,
        circuits=tuple(circuits),
        core=Bounds(core, core),
        relevant=Bounds(union, union),
        complete=True,
    )


def test_patching_one_edge_at_a_time_misses_what_is_redundant():
    for name, missed in (("or", {V0, V1, H0M, H1M}), ("backup", {V0, V1, H1M, ML})):
        truth = replace_by_closed_form(name)
        found = methods.edge_patching(gate_subject(name))
        silent = {
            c for c in truth.members("relevant") if found.strengths[found.universe.place[c]] == 0
        }
        assert silent == missed
        assert values(truth, found)["auroc"] < 1
        # Of what it can see it finds all.
        assert values(truth, found, against="singly_active")["auprc"] == 1


def test_nothing_is_relevant_where_parts_cancel():
    found = score_circuit(CANCELLING, claim(CANCELLING, V0))
    assert found["circuit.edge_recall"].reason == "nothing is right"
    assert found["circuit.edge_auroc"].reason == "none is right"
    singly = values(CANCELLING, claim(CANCELLING, V0), against="singly_active")
    assert singly["recall"] == 0.25


def test_trivial_edges_flatter():
    trivial_only = claim(AND, V0, V1, ML)
    assert values(AND, trivial_only)["recall"] == 0.6
    without = values(AND, trivial_only, trivial=False)
    assert (without["recall"], without["precision"]) == (0, None)


def test_a_ranking_is_cut_at_the_size_of_the_truth():
    ranked = Circuit(
        OR.universe, {c: float(c in OR.members("relevant")) for c in OR.universe.edges}
    )
    result = score_circuit(OR, ranked)["circuit.edge_f1"]
    assert (result.value, result.parameters["size"]) == (1, "of the truth")


def test_what_a_ranking_rules_out_is_not_claimed():
    nothing = Circuit(OR.universe, np.full(len(OR.universe), -np.inf))
    found = values(OR, nothing)
    assert (found["recall"], found["precision"], found["shd"]) == (0, None, 5)
    assert (found["auroc"], found["size_ratio"]) == (0.5, 0)
    one = np.full(len(OR.universe), -np.inf)
    one[OR.universe.place[ML]] = 0.0
    found = values(OR, Circuit(OR.universe, one))
    assert (found["recall"], found["precision"]) == (0.2, 1)


def test_results_name_their_condition():
    parameters = score_circuit(OR, claim(OR, ML))["circuit.edge_recall"].parameters
    assert parameters == {
        "against": "relevant",
        "inputs": OR.condition.inputs,
        "ablation": "resample",
        "pairing": "both 0",
        "tolerance": 1e-6,
        "granularity": "qkv",
        "trivial": True,
        "size": "claimed",
    }


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="condition: expected resample ablation with both 0"):
        score_circuit(OR, methods.eap(gate_subject("or", "zero")))
    with pytest.raises(ExplanationError, match="It was found in another model"):
        score_circuit(OR, methods.eap(gate_subject("and")))
    with pytest.raises(ExplanationError, match="Compare with the truth of its unit"):
        score_circuit(OR, methods.activation_patching(gate_subject("or")))
    with pytest.raises(InputError, match="which: expected one of structural"):
        score_circuit(OR, claim(OR), "active")
    with pytest.raises(UnknownName, match=r"No circuit metric is called 'f2'\. Nearest: f1"):
        score_circuit(OR, claim(OR), metrics=["f2"])


def test_what_is_only_known_in_bounds_is_not_scored():
    bounded = enumerate_circuits(gate_subject("backup"), limit=3)
    found = score_circuit(bounded, claim(bounded, V0))
    assert {r.status for r in found.values()} == {"undefined"}
    against = score_circuit(bounded, claim(bounded, V0), "structural")
    assert against["circuit.edge_recall"].value == 1 / 8
    assert against["circuit.edge_best_f1"].reason == "not all minimal valid circuits are known"


def test_where_every_candidate_is_trivial_nothing_is_defined():
    # Nothing but embeddings and outputs: no inner edge is left.
    one = np.eye(4)
    weights = Weights(one, np.zeros((3, 4)), (), one, np.zeros(4), bos=2, pad=3)
    subject = ModelSubject(
        Transformer(weights, torch.float64), [[2, 0, 1]], lambda out: out[..., -1, 0], "zero"
    )
    truth = enumerate_circuits(subject)
    claim = Circuit(truth.universe, members=truth.universe.candidates)
    for result in score_circuit(truth, claim, trivial=False).values():
        assert result.value is None and result.reason
    assert score_circuit(truth, claim)["circuit.edge_shd"].value is not None


@pytest.mark.parametrize("truth", [AND, BACKUP])
def test_ties_at_the_cut_count_as_the_mean_of_all_their_orders(truth):
    # Half of what is right is certain; as many wrong ones as right ones are tied for the rest.
    right = sorted(truth.members("relevant"))
    wrong = [c for c in truth.universe.candidates if c not in right]
    sure, open_ = right[: len(right) // 2], right[len(right) // 2 :]
    tied = [*open_, *wrong[: len(open_)]]
    strengths = [2.0 if c in sure else 1.0 if c in tied else 0.0 for c in truth.universe.candidates]
    found = values(truth, circuit_of(truth.universe, np.array(strengths)))
    each = [
        values(truth, claim(truth, *sure, *taken))
        for taken in itertools.combinations(tied, len(right) - len(sure))
    ]
    linear = ("precision", "recall", "f1", "shd", "union_precision", "size_ratio")
    for name in linear:
        assert found[name] == pytest.approx(np.mean([one[name] for one in each])), name
    # Of several circuits, that of the likeliest alone: no more than of any.
    assert 0 < found["class_hit"] <= np.mean([one["class_hit"] for one in each]) + 1e-12
    if truth is AND:
        assert found["class_hit"] == pytest.approx(np.mean([one["class_hit"] for one in each]))


def test_a_constant_strength_says_nothing_in_any_order_of_the_universe():
    n, m = len(AND.universe), len(AND.members("relevant"))
    found = values(AND, circuit_of(AND.universe, np.ones(n)))
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx(m / n)
