"""Hypothesis tests of circuits: what gates pass and fail, and false-alarm rates by simulation.

Gates at (1, 1), patched from (0, 0), unless said. Every rate is compared with its level by an exact
one-sided bound at one in 10,000, over fixed seeds.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from circuit_cases import ALL, H0L, H0M, H1M, K0, ML, RESAMPLED, V0, V1, gate_subject, last
from random_weights import random_tokens, random_weights
from scipy import special, stats

from groundtruth.circuit import Circuit
from groundtruth.errors import ExplanationError, InputError
from groundtruth.evaluators import circuit_tests
from groundtruth.evaluators.circuit_tests import (
    beating_p,
    equivalence_p,
    hsic_p,
    score_circuit_tests,
)
from groundtruth.evaluators.random_circuits import detour, of_size
from groundtruth.evaluators.statistics import clopper_pearson
from groundtruth.methods import circuits as methods
from groundtruth.model_subject import ModelSubject
from groundtruth.models.transformer import Transformer

AND = [V0, V1, H0M, H1M, ML]
LEVEL = 1 - 2e-4


def scores(subject, members, **settings):
    claim = Circuit(subject.universe("edge"), members=members)
    found = score_circuit_tests(subject, claim, **settings)
    return {id.removeprefix("circuit.test_"): result for id, result in found.items()}


def passes(subject, members, **settings):
    found = scores(subject, members, **settings)
    return {name: r.parameters["passes"] for name, r in found.items() if r.status == "ok"}


def random_inputs(name, n=24, seed=0):
    """A gate on n random inputs, each patched from another."""
    rng = np.random.default_rng(seed)
    tokens, paired = (np.array(ALL)[rng.integers(0, 4, n)] for _ in range(2))
    return gate_subject(name, tokens=tokens, paired=paired, pairing="at random")


@pytest.mark.parametrize("name", ["and", "saturated", "decoy"])
def test_the_relevant_circuit_passes_all_that_is_defined(name):
    (circuit,) = RESAMPLED[name][2]
    assert passes(gate_subject(name), circuit) == {"min": True, "suff": True, "partial_nec": True}
    # Over many inputs the complement can be tested too.
    found = passes(random_inputs(name), circuit)
    assert found == {"indep": True, "min": True, "suff": True, "partial_nec": True}


@pytest.mark.parametrize("missing", AND)
def test_a_circuit_with_an_edge_removed_fails(missing):
    members = [edge for edge in AND if edge != missing]
    found = passes(gate_subject("and"), members)
    # Nothing is left of AND: no random circuit is worse, and no edge of it does anything.
    assert not found["suff"] and not found["min"]
    # What is outside holds the missing edge, and does the same damage in a fifth of the draws.
    assert not found["partial_nec"]


def test_half_of_a_circuit_beats_random_ones_but_does_not_hold_all_there_is():
    # Over random inputs a is some of a and b, which is more than random edges say.
    found = passes(random_inputs("and", 48), [V0, H0M, ML])
    assert found["suff"] and found["min"]
    # What is left without an edge that does nothing is the model.
    nothing = scores(random_inputs("decoy", 48), [K0])
    assert nothing["indep"].value < 0.01 and not nothing["indep"].parameters["passes"]


def test_an_edge_that_does_nothing_fails_minimality_alone():
    found = passes(gate_subject("and"), [*AND, K0])
    assert found == {"min": False, "suff": True, "partial_nec": True}
    worst = scores(gate_subject("and"), [*AND, K0])["min"]
    assert worst.evidence["adjusted_p"].argmin() == sorted([*AND, K0], key=place).index(K0)


def place(edge):
    return gate_subject("and").universe("edge").place[edge]


def test_both_ways_of_or_are_not_minimal_and_one_is_not_necessary():
    both = passes(gate_subject("or"), [V0, V1, H0M, H1M, ML])
    assert both == {"min": False, "suff": True, "partial_nec": True}
    # The whole of backup lies outside of its own second way.
    other = passes(gate_subject("backup"), [V1, H1M, ML])
    assert not other["partial_nec"]


def test_random_circuits_fail_at_the_rate_of_the_level():
    subject = gate_subject("and")
    universe = subject.universe("edge")
    flags = of_size(np.ones(21, bool), 5, 60, np.random.default_rng(0))
    passed = {"suff": 0, "min": 0, "partial_nec": 0}
    for row in flags:
        found = scores(subject, universe.members(row), draws=50)
        for name in passed:
            passed[name] += found[name].parameters["passes"]
    # None of 60 random fives is the circuit, and ties go against them.
    assert passed["suff"] == 0 and passed["min"] == 0
    assert clopper_pearson(passed["partial_nec"], 60, LEVEL).low <= 0.05


def test_random_circuits_without_ties_pass_sufficiency_at_most_at_the_level():
    # Dense weights: every edge matters, so random circuits of one size are exchangeable.
    rng = np.random.default_rng(0)
    weights = random_weights(rng, heads=[[(2, 2)]], d_mlp=[4])
    tokens, paired = (random_tokens(rng, weights, [4, 4, 4]) for _ in range(2))
    subject = ModelSubject(
        Transformer(weights, torch.float64), tokens, last, "resample", paired, "at random"
    )
    universe = subject.universe("edge")
    flags = of_size(np.ones(len(universe), bool), 6, 150, rng)
    found = [
        scores(subject, universe.members(row), draws=40, seed=i)["suff"]
        for i, row in enumerate(flags)
    ]
    passed = sum(r.parameters["passes"] for r in found)
    assert clopper_pearson(passed, 150, LEVEL).low <= 0.05
    # The floor is their mean p: four standard errors, a false alarm in 16,000 seeds.
    p = np.array([r.value for r in found])
    assert abs(p.mean() - found[0].floor) < 4 * p.std() / np.sqrt(150) + 0.02


def test_an_exact_circuit_has_no_equivalence_test():
    found = scores(random_inputs("and"), AND)["equiv"]
    assert (found.status, found.value) == ("undefined", None)
    assert found.reason == (
        "the circuit does what the model does on every input, so that none is better or worse"
    )


def test_equivalence_is_tested_where_circuit_and_model_differ():
    # Without any edge a decoy says what its partner says: as often more as less, or the same.
    subject = random_inputs("decoy", 200, seed=1)
    found = scores(subject, [])["equiv"]
    difference = found.evidence["difference"]
    assert found.n_units == (difference != 0).sum() < 200
    assert found.parameters["ties"] == 200 - found.n_units
    assert found.parameters["passes"]
    # AND without its heads, patched from (0, 0), is never above the model.
    below = scores(gate_subject("and", tokens=[[0, 3, 3]] * 40), [ML])["equiv"]
    assert below.parameters["better"] == 0 and not below.parameters["passes"]
    assert below.value == below.floor


def test_the_equivalence_p_is_that_of_the_formula():
    for n, better, epsilon in (20, 16, 0.1), (20, 4, 0.1), (7, 7, 0.2), (9, 5, 0.05):
        far = abs(better / n - 0.5)
        k = np.arange(n + 1)
        reached = np.abs(k / n - 0.5) >= far - 1e-12
        chance = special.comb(n, k) * (0.5 + epsilon) ** k * (0.5 - epsilon) ** (n - k)
        assert equivalence_p(better, n, epsilon) == pytest.approx(chance[reached].sum())


@pytest.mark.parametrize("n", [10, 40, 200])
def test_equivalence_rejects_equivalent_circuits_at_most_at_the_level(n):
    rng = np.random.default_rng(0)
    for chance in (0.4, 0.5, 0.6):
        better = rng.binomial(n, chance, 2000)
        rejected = sum(equivalence_p(k, n, 0.1) <= 0.05 for k in better.tolist())
        assert clopper_pearson(rejected, 2000, LEVEL).low <= 0.05
    assert sum(equivalence_p(k, 200, 0.1) <= 0.05 for k in rng.binomial(200, 0.8, 100)) > 90


@pytest.mark.parametrize("law", ["normal", "bits", "few values"])
def test_independence_is_rejected_at_the_level_where_it_holds(law):
    rng = np.random.default_rng(0)

    def draw():
        if law == "normal":
            return rng.standard_normal(20)
        return rng.integers(0, 2 if law == "bits" else 4, 20).astype(float)

    rejected = 0
    for _ in range(400):
        x, y = draw(), draw()
        rejected += hsic_p(x, y, 99, rng) <= 0.05
    assert clopper_pearson(rejected, 400, LEVEL).low <= 0.05
    if law == "normal":
        assert clopper_pearson(rejected, 400, LEVEL).high >= 0.05


def test_independence_sees_what_correlation_does_not():
    x = np.random.default_rng(0).standard_normal(60)
    assert abs(np.corrcoef(x, np.cos(3 * x))[0, 1]) < 0.3
    assert hsic_p(x, np.cos(3 * x), 199, np.random.default_rng(1)) < 0.01


def test_hsic_is_the_trace():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 12))

    def kernel(v):
        d = np.abs(v[:, None] - v)
        return np.exp(-(d**2) / 2 / np.median(d[np.triu_indices(12, 1)]) ** 2)

    H = np.eye(12) - 1 / 12
    seen = np.trace(kernel(x) @ H @ kernel(y) @ H)
    orders = [np.random.default_rng(3).permutation(12)]
    permuted = np.trace(kernel(x) @ H @ kernel(y)[np.ix_(orders[0], orders[0])] @ H)
    expected = (1 + (permuted >= seen)) / 2
    assert hsic_p(x, y, 1, np.random.default_rng(3)) == expected


def test_minimality_is_corrected_for_the_number_of_candidates():
    # Each of ten edges wins .9 of its draws: the null holds at its edge.
    rng = np.random.default_rng(0)
    beaten = rng.binomial(100, 0.9, (2000, 10))
    p = stats.binom.cdf(beaten, 100, 0.9)
    corrected = sum((circuit_tests.holm(row) <= 0.05).any() for row in p)
    assert clopper_pearson(corrected, 2000, LEVEL).low <= 0.05
    # Without a correction a quarter of them fails.
    assert ((p <= 0.05).any(1)).mean() > 0.2


def test_beating_by_chance_is_claimed_at_most_at_the_level():
    rng = np.random.default_rng(0)
    beaten = rng.binomial(100, 0.9, 2000)
    claimed = sum(beating_p(k, 100, 0.9) <= 0.05 for k in beaten.tolist())
    assert clopper_pearson(claimed, 2000, LEVEL).low <= 0.05


def test_detours_are_paths_that_leave_the_circuit():
    universe = gate_subject("or").universe("edge")
    kept = np.array([edge in (V0, H0M, ML) for edge in universe.edges])
    rng = np.random.default_rng(0)
    for _ in range(50):
        flags, candidate = detour(universe, kept, rng)
        assert flags[candidate] and not kept[candidate]
        path = sorted(universe.members(flags), key=lambda e: universe.place[e])
        assert path[0].writer in ("embed", "pos_embed") and path[-1].reader == "logits"
        for first, second in pairwise(path):
            assert first.reader.startswith(second.writer)
    whole = scores(gate_subject("or"), universe.edges)
    assert whole["min"].reason == "no path leaves the circuit, so that there are no detours"
    assert whole["suff"].reason == "there is one circuit of its size, so that none is random"


def test_nodes_are_tested_too():
    subject = gate_subject("or")
    claim = Circuit(subject.universe("node"), members=["embed", "a0.h0", "m0"])
    found = score_circuit_tests(subject, claim)
    assert found["circuit.test_min"].parameters["passes"]
    assert found["circuit.test_partial_nec"].reason == (
        "there are fewer candidates outside the circuit than in it"
    )


def test_what_is_no_sample_is_not_tested():
    weights = [0.5, *[0.5 / 23] * 23]
    tokens = [ALL[i % 4] for i in range(24)]
    found = scores(gate_subject("and", tokens=tokens, weights=weights), [ML])
    assert found["indep"].reason == "inputs of unequal weight are no sample"
    few = scores(gate_subject("and"), [ML])["indep"]
    assert few.reason == "1 inputs are too few to be permuted: 8 at least"
    same = scores(gate_subject("and", tokens=[[0, 3, 3]] * 8), [ML])["indep"]
    assert same.reason == "the model's metric is the same on every input"


def test_results_lie_between_floor_and_ceiling_and_draw_by_their_seed():
    subject = random_inputs("and")
    for members in (AND, [H0L, K0], [ML]):
        for name, result in scores(subject, members).items():
            if result.value is not None and name not in ("suff", "partial_nec"):
                assert result.floor - 1e-12 <= result.value <= result.ceiling
    ranked = methods.eap(gate_subject("decoy"))
    first, again, other = (
        score_circuit_tests(gate_subject("decoy"), ranked, size=6, seed=seed)[
            "circuit.test_suff"
        ].evidence
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first["random"], again["random"])
    assert not np.array_equal(first["random"], other["random"])


def test_what_cannot_be_tested_is_refused():
    subject = gate_subject("or")
    with pytest.raises(ExplanationError, match="It was found in another model"):
        score_circuit_tests(subject, methods.acdc(gate_subject("and")))
    with pytest.raises(InputError, match="condition: expected resample ablation with both 0"):
        score_circuit_tests(subject, methods.acdc(gate_subject("or", "zero")))
    for wrong in ({"size": 22}, {"alpha": 0}, {"epsilon": 0.5}, {"share": 1}, {"draws": 0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}: expected"):
            scores(subject, AND, **wrong)
