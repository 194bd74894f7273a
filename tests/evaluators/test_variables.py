"""Scores of alignments: the oracle at the top, controls at their floors, second routes between."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from variable_cases import APART, compiled, equality, everywhere

import groundtruth as gt
from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import ExplanationError, UnknownName
from groundtruth.evaluators.variable_claims import Twin, planted_alignment
from groundtruth.evaluators.variable_subspaces import subspace_scores
from groundtruth.evaluators.variables import score_variables
from groundtruth.generators.hierarchical_equality import hierarchical_equality
from groundtruth.methods.variables import das, linear_probe, random_subspace, whole_layer
from groundtruth.methods.variables.training import train

N = 200


def scored(testbed, alignment, **settings):
    return score_variables(testbed, alignment, n=N, **settings)


def values(results):
    return {id: result.value for id, result in results.items()}


@pytest.mark.parametrize("testbed", [equality(), compiled("hist"), compiled("reverse")], ids=repr)
def test_the_planted_alignment_is_at_every_ceiling(testbed):
    results = scored(testbed, planted_alignment(testbed.truth))
    for id in ("iia", "iia_all", "cause", "iso", "cause_iso", "subspace_coverage"):
        result = results[f"cv.{id}"]
        assert result.value == pytest.approx(1.0) == result.ceiling
        assert result.floor is not None and result.floor < 0.9
    assert results["cv.subspace_purity"].value == pytest.approx(1.0)
    assert results["cv.subspace_angle"].value == pytest.approx(0.0, abs=1e-6)
    assert results["probe.accuracy"].value == 1.0
    assert results["cv.iia"].normalised == pytest.approx(1.0)


def test_nothing_claimed_scores_what_no_interchange_does():
    testbed = equality()
    claim = Alignment({"W": planted(testbed, "W")})  # a variable that was not asked for
    results = scored(testbed, claim)
    unchanged = [1 - testbed.pairs(v, N).discriminating.mean() for v in testbed.hypothesis]
    assert results["cv.iia"].value == 0.0
    assert results["cv.iia_all"].value == pytest.approx(np.mean(unchanged))
    assert results["cv.cause"].value == 0.0 and results["cv.iso"].value == 1.0
    assert results["cv.subspace_coverage"].reason == "WX: not claimed; YZ: not claimed"
    assert results["probe.accuracy"].status == "undefined"


def test_half_of_the_variables_is_half_of_the_score():
    testbed = equality()
    results = scored(testbed, Alignment({"WX": planted(testbed, "WX")}))
    assert results["cv.iia"].value == 0.5 == results["cv.cause"].value
    assert results["cv.subspace_coverage"].value == pytest.approx(1.0)
    assert results["cv.subspace_coverage"].parameters["undefined"] == ["YZ: not claimed"]


@pytest.mark.parametrize("testbed", [equality(), compiled("reverse")], ids=repr)
def test_the_whole_layer_is_the_output_on_the_source_by_another_route(testbed):
    # All of the last residual vector of a position is its answer: no patch is needed to tell.
    results = scored(testbed, everywhere(testbed, testbed.sites[-1], np.eye(width(testbed))))
    expected = []
    for name in testbed.hypothesis:
        pairs = testbed.pairs(name, N, discriminating=True)
        with torch.no_grad():
            on = [testbed.model(tokens) for tokens in (pairs.base, pairs.source)]
        base, source = (testbed.answers.scores(out).argmax(-1).numpy() for out in on)
        expected.append(pairs.right(np.where(pairs.where, source, base)).mean())
    assert results["cv.iia"].value == pytest.approx(np.mean(expected))
    assert results["cv.iia"].value == results["cv.iia"].floor  # every subspace so large is all
    assert results["cv.iso"].value == 0.0 and results["cv.cause"].value == 1.0


def test_the_whole_layer_is_trivially_right_for_the_output():
    testbed = replace(equality(), hypothesis=("same",))
    results = scored(testbed, whole_layer(testbed.subject))
    assert results["cv.iia"].value == 1.0
    assert results["cv.iia"].parameters["whole_layer"] == {"same": 1.0}


def test_a_planted_subspace_where_nobody_reads_it_any_more_does_nothing():
    testbed = equality()
    late = Alignment(
        {v: Subspace(testbed.sites[-1], testbed.truth[v].basis) for v in testbed.hypothesis}
    )
    results = scored(testbed, late)
    # The value is there and alone, as cause, iso and the subspace say; it is not used.
    assert results["cv.iia"].value == 0.0
    assert results["cv.cause_iso"].value == 1.0
    assert results["cv.subspace_angle"].value == pytest.approx(0.0, abs=1e-6)


def test_the_other_variable_is_right_by_coincidence_alone():
    testbed = equality()
    swapped = {"WX": planted(testbed, "YZ"), "YZ": planted(testbed, "WX")}
    results = scored(testbed, Alignment(swapped))
    # It flips the answer where the other equality differs: on half of the pairs, for 400 pairs
    # within 5 standard deviations but once in 2 million.
    assert abs(results["cv.iia"].value - 0.5) < 5 * np.sqrt(0.25 / (2 * N))
    assert results["cv.cause"].value == 0.0
    assert results["cv.subspace_coverage"].value == pytest.approx(0.0, abs=1e-12)
    assert results["cv.iso"].value < 1.0
    assert results["cv.subspace_angle"].value == pytest.approx(90.0)


@pytest.mark.parametrize("degrees", [5.0, 30.0, 60.0])
def test_a_turned_subspace_is_off_by_the_angle_it_was_turned_by(degrees):
    testbed = equality()
    theta = np.deg2rad(degrees)
    unused = testbed.truth["same"].basis[0]
    turned = {
        v: Subspace(APART, np.cos(theta) * testbed.truth[v].basis + np.sin(theta) * unused)
        for v in testbed.hypothesis
    }
    results = scored(testbed, Alignment(turned))
    assert results["cv.subspace_angle"].value == pytest.approx(degrees)
    for id in ("coverage", "purity"):
        assert results[f"cv.subspace_{id}"].value == pytest.approx(np.cos(theta) ** 2)


def test_floors_of_subspaces_are_those_of_the_formula():
    testbed = compiled("reverse")
    rng = np.random.default_rng(0)
    d, q = width(testbed), 3
    site = testbed.sites[-1]
    drawn = [np.linalg.qr(rng.normal(size=(d, q)))[0].T for _ in range(200)]
    found = [scored_subspaces(testbed, site, rows) for rows in drawn]
    results = score_variables(testbed, everywhere(testbed, site, drawn[0]), n=20)
    for id in ("cv.subspace_coverage", "cv.subspace_purity"):
        sample = np.array([one[id] for one in found])
        # Three variables' mean over 200 draws, normal: outside 4 standard errors once in 16,000.
        assert abs(sample.mean() - results[id].floor) < 4 * sample.std() / np.sqrt(200)
    narrow = score_variables(testbed, everywhere(testbed, site, drawn[0][:1]), n=20)
    assert narrow["cv.subspace_angle"].value == 90.0  # a direction is left out, whichever it is


def test_what_all_values_share_is_not_asked_for():
    # Of one-hot values one direction never moves: claiming the others is all there is to claim.
    testbed = replace(compiled("reverse"), hypothesis=("length",))
    truth = testbed.truth["length"]
    moving = np.linalg.svd(truth.points - truth.points.mean(0))[2][:3] @ truth.basis
    results = scored(testbed, Alignment({"length": Subspace(truth.site, moving)}))
    assert results["cv.iia"].value == 1.0
    assert results["cv.subspace_coverage"].value == pytest.approx(1.0)
    assert results["cv.subspace_purity"].value == pytest.approx(1.0)


def test_another_subspace_of_the_same_effect_is_told_apart_by_its_place():
    # W and X carry WX as well, before it is computed.
    testbed = replace(equality(), hypothesis=("WX",))
    parents = np.concatenate([testbed.truth[v].basis for v in ("W", "X")])
    results = scored(testbed, Alignment({"WX": Subspace(testbed.truth["W"].site, parents)}))
    assert results["cv.iia"].value == 1.0 == results["cv.cause"].value
    assert results["cv.iso"].value < 0.1  # W and X are no longer what they were
    assert results["cv.subspace_coverage"].reason == (
        "WX: planted from blocks.0.hook_resid_post on, claimed at blocks.0.hook_resid_mid"
    )


def test_a_method_on_an_untrained_model_earns_what_chance_does():
    testbed = replace(equality(), hypothesis=("WX",))
    results = gt.evaluate(testbed, das, site=APART)
    assert results["cv.iia"].value > 0.97
    # Two answers: a model that ignores its input is right on half of the pairs.
    assert results["cv.iia_selectivity"].parameters["untrained_iia"] < 0.65
    assert results["cv.iia_selectivity"].value > 0.35


def test_a_map_that_is_free_enough_finds_the_variable_in_an_untrained_model():
    testbed = replace(hierarchical_equality(2), hypothesis=("WX",))
    twin = testbed.untrained()
    same = (lambda x: x, lambda z: z)  # what a method that is as free would find here
    here = Alignment({"WX": replace(planted(testbed, "WX"), featurizer=same)})
    bent, straight = Alignment({"WX": coupled(twin)}), das(twin.subject, site=APART, starts=1)
    results = scored(testbed, here, untrained=Twin(twin, bent))
    assert results["cv.iia"].value == 1.0
    assert results["cv.iia_selectivity"].parameters["untrained_iia"] > 0.9
    assert results["cv.iia_selectivity"].value < 0.1
    linear = scored(testbed, here, untrained=Twin(twin, straight))["cv.iia_selectivity"]
    assert linear.parameters["untrained_iia"] < 0.8
    # Without that control there is no number to be proud of.
    alone = scored(testbed, here)
    assert alone["cv.iia"].value is None and alone["cv.iia_all"].value is None
    assert "of an untrained model is not known" in alone["cv.iia"].reason
    assert alone["cv.subspace_coverage"].reason.startswith("WX: claimed of a map")


def test_a_probe_is_selective_for_what_is_planted():
    testbed = equality()
    results = gt.evaluate(testbed, linear_probe)
    assert results["probe.accuracy"].value > 0.97
    assert 0.4 < results["probe.accuracy"].floor < 0.65  # majority of two equally likely values
    selectivity = results["probe.selectivity"]
    assert selectivity.value == pytest.approx(
        results["probe.accuracy"].value - selectivity.parameters["control_accuracy"]
    )


def test_a_decoder_that_always_says_the_same_is_at_the_floor():
    testbed = equality()
    constant = {
        v: replace(planted(testbed, v), decode=lambda x: [False] * len(x))
        for v in testbed.hypothesis
    }
    accuracy = scored(testbed, Alignment(constant))["probe.accuracy"]
    share = [(testbed.labelled(v, N).labels[:, -1] == 0).mean() for v in testbed.hypothesis]
    assert accuracy.value == pytest.approx(np.mean(share))
    assert accuracy.value <= accuracy.floor


def test_a_random_subspace_is_near_its_floor():
    testbed = compiled("reverse")
    found = [scored(testbed, random_subspace(testbed.subject, seed=s))["cv.iia"] for s in range(4)]
    # One draw against four others of one law. The spread of such differences is what they say
    # of themselves: 4 standard errors of four of them.
    gaps = np.array([result.value - result.floor for result in found])
    assert abs(gaps.mean()) < 4 * gaps.std(ddof=1) / 2


def test_a_variable_whose_interchange_never_shows_is_left_out_and_named():
    # W = X always: what is interchanged is what is there, and no answer changes.
    testbed = equality()
    same = lambda rng, n: [[k, k, *rng.integers(0, 16, 2)] for k in rng.integers(0, 16, n)]  # noqa: E731
    results = scored(replace(testbed, draw=same), planted_alignment(testbed.truth))
    assert results["cv.iia"].parameters["undefined"] == ["WX"]
    assert results["cv.iia"].value == 1.0 and results["cv.iia"].n_units == N
    nothing = replace(testbed, draw=lambda rng, n: [[0, 0, 1, 1]] * n)
    undefined = scored(nothing, planted_alignment(testbed.truth))
    for id in ("cv.iia", "cv.cause", "cv.iso", "cv.cause_iso"):
        assert undefined[id].status == "undefined" and undefined[id].reason
    assert undefined["cv.iia_all"].value == 1.0


def test_what_does_not_fit_the_model_is_refused():
    testbed = equality()
    with pytest.raises(ExplanationError, match=re.escape("expected rows of width 19, got 4")):
        scored(testbed, everywhere(testbed, APART, np.eye(4)))
    with pytest.raises(UnknownName, match=r"No site is called 'blocks\.7\.hook_resid_post'"):
        scored(testbed, everywhere(testbed, "blocks.7.hook_resid_post", np.eye(19)))


def planted(testbed, name):
    return planted_alignment(testbed.truth)[name]


def width(testbed):
    return testbed.model.W_E.shape[1]


def scored_subspaces(testbed, site, rows):
    claims = {v: Subspace(site, rows) for v in testbed.hypothesis}
    return values({r.metric.id: r for r in subspace_scores(testbed, claims, 0)})


class Coupling(torch.nn.Module):
    """An invertible map of two coupling layers, as free as its hidden layers are wide.

    Source: Dinh et al., "NICE: Non-linear Independent Components Estimation", 2014,
    https://arxiv.org/abs/1410.8516
    """

    def __init__(self, d: int, hidden: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.half = d // 2
        sides = [(d - self.half, self.half), (self.half, d - self.half)] * 2
        self.nets = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(n, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, m)
            )
            for n, m in sides
        )
        with torch.no_grad():
            for p in self.parameters():
                scale = p.shape[-1] ** -0.5 if p.ndim == 2 else 0.1
                p.copy_(torch.tensor(rng.normal(size=p.shape) * scale))

    def to_features(self, x):
        u, v = x[..., : self.half], x[..., self.half :]
        for first, second in zip(self.nets[::2], self.nets[1::2]):
            u = u + first(v)
            v = v + second(u)
        return torch.cat([u, v], -1)

    def back(self, z):
        u, v = z[..., : self.half], z[..., self.half :]
        for first, second in zip(reversed(self.nets[::2]), reversed(self.nets[1::2])):
            v = v - second(u)
            u = u - first(v)
        return torch.cat([u, v], -1)


def coupled(testbed, variable="WX"):
    """A map that was trained until half of what it gives can be interchanged."""
    rng = np.random.default_rng(0)
    coupling, basis = Coupling(width(testbed), 64, rng), np.eye(width(testbed))[:9]
    rows = torch.tensor(basis, dtype=torch.float32)

    def make(done):
        def edit(x, source):
            z, other = coupling.to_features(x), coupling.to_features(source)
            return coupling.back(z + (other - z) @ rows.T @ rows)

        return edit, torch.zeros(())

    pairs = testbed.subject.pairs(variable, 1500)
    parameters = list(coupling.parameters())
    train(testbed.subject, pairs, APART, parameters, make, rng, steps=400, rate=0.01, batch=256)
    return Subspace(APART, basis, featurizer=(coupling.to_features, coupling.back))
