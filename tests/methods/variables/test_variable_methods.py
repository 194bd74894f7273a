"""Every method on hierarchical equality and on a program, against what is known of both."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from variable_cases import APART, compiled, equality

from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import InputError
from groundtruth.evaluators.variable_claims import planted_alignment
from groundtruth.evaluators.variables import score_variables
from groundtruth.methods import variables as methods
from groundtruth.models import guard

QUICK = {"das": {"steps": 40, "starts": 1}, "boundless_das": {"steps": 40}}


def run(name, testbed, **settings) -> Alignment:
    return getattr(methods, name)(testbed.subject, **(QUICK.get(name, {}) | settings))


def scores(testbed, alignment):
    found = score_variables(testbed, alignment, n=200)
    return {id: result.value for id, result in found.items()}


@pytest.mark.parametrize("name", methods.__all__)
def test_a_method_is_repeatable_claims_all_and_leaves_nothing_behind(name):
    testbed = equality(6)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    with guard.guarded(testbed.model) as damage:
        first, again = (run(name, testbed, seed=2, site=APART) for _ in range(2))
    assert not damage
    assert (torch.get_rng_state() == before[0]).all()
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert set(first.subspaces) == {"WX", "YZ"} and first.name == name
    for variable in first.subspaces:
        assert first[variable].site == APART
        assert (first[variable].basis == again[variable].basis).all()


@pytest.mark.parametrize("name", ["das", "boundless_das", "random_subspace"])
def test_another_seed_starts_elsewhere(name):
    testbed = equality(6)
    first, other = (run(name, testbed, seed=seed, site=APART) for seed in (0, 1))
    assert first["WX"].basis.shape != other["WX"].basis.shape or not np.allclose(
        first["WX"].basis, other["WX"].basis
    )


def test_das_finds_the_planted_direction_and_its_site():
    testbed = replace(equality(), hypothesis=("WX",))
    claim = methods.das(testbed.subject, starts=1)
    found = scores(testbed, claim)
    assert claim["WX"].site == APART
    assert found["cv.iia"] > 0.97 and found["cv.iso"] > 0.97
    assert found["cv.subspace_angle"] < 5


def test_boundless_das_finds_it_with_few_dimensions_of_nineteen():
    testbed = replace(equality(), hypothesis=("WX",))
    claim = methods.boundless_das(testbed.subject, site=APART)
    found = scores(testbed, claim)
    assert found["cv.iia"] > 0.97 and found["cv.subspace_coverage"] > 0.95
    assert claim["WX"].dim <= 4


def test_das_on_a_program_reaches_the_oracle_and_random_does_not():
    testbed = compiled("hist")
    site = testbed.truth["hist"].site
    found = scores(testbed, methods.das(testbed.subject, site=site))
    assert found["cv.iia"] > 0.97
    random = [
        scores(testbed, methods.random_subspace(testbed.subject, site=site, seed=s))["cv.iia"]
        for s in range(4)
    ]
    assert max(random) < 0.9


def test_interchange_can_be_right_where_the_variable_is_not():
    # DAS ends in a subspace that outputs follow and that holds next to nothing of the length: a
    # small push, in part of the index, takes the gates that read both over their thresholds.
    # Compare Makelov, Lange and Nanda, "Is This the Subspace You Are Looking for? An
    # Interpretability Illusion for Subspace Activation Patching", 2023,
    # https://arxiv.org/abs/2311.17030
    testbed = replace(compiled("reverse", 5), hypothesis=("length",))
    found = scores(testbed, methods.das(testbed.subject, site=testbed.truth["length"].site))
    assert found["cv.iia"] > 0.6
    assert found["cv.cause"] < 0.1 and found["cv.subspace_coverage"] < 0.3


@pytest.mark.parametrize("name", ["linear_probe", "difference_of_means"])
def test_supervised_directions_are_near_what_is_planted(name):
    testbed = equality()
    found = scores(testbed, run(name, testbed, site=APART))
    assert found["cv.subspace_angle"] < 10 and found["probe.accuracy"] > 0.85


def test_the_difference_of_means_has_a_closed_form():
    testbed = replace(equality(), hypothesis=("WX",))
    claim = methods.difference_of_means(testbed.subject, site=APART, n=800)["WX"]
    x, labels = testbed.subject.labelled_activations("WX", APART, 800)
    x, labels = x[:600], labels[:600]  # a quarter is held out
    between = x[labels == 1].mean(0) - x[labels == 0].mean(0)
    assert abs(claim.basis[0] @ between) == pytest.approx(np.linalg.norm(between))


def test_principal_components_are_those_of_the_covariance():
    testbed = equality()
    claim = methods.pca(testbed.subject, site=APART, dim=3, n=800)["WX"]
    x, _ = testbed.subject.labelled_activations("WX", APART, 800)
    top = np.linalg.eigh(np.cov(x[:600].T))[1][:, -3:]
    assert np.linalg.svd(claim.basis @ top, compute_uv=False).min() > 1 - 1e-6
    # What varies most are the objects, not what is computed from them.
    assert scores(testbed, run("pca", testbed, site=APART))["cv.subspace_coverage"] < 0.5


def test_the_logit_lens_reads_the_output_where_it_is_written_and_not_before():
    testbed = replace(equality(), hypothesis=("same",))
    claim = methods.logit_lens(testbed.subject)
    found = scores(testbed, claim)
    assert claim["same"].site == testbed.sites[-1]
    assert found["probe.accuracy"] == 1.0 == found["cv.iia"]
    early = scores(testbed, methods.logit_lens(testbed.subject, site=APART))
    assert early["probe.accuracy"] < 0.7 and early["cv.iia"] == 0.0


def test_a_site_is_chosen_by_what_was_held_out():
    testbed = replace(equality(), hypothesis=("WX",))
    subject = testbed.subject
    pairs = subject.pairs("WX", 400)
    everything = np.eye(19)
    by_site = {site: subject.accuracy(pairs, Subspace(site, everything)) for site in subject.sites}
    chosen = methods.whole_layer(subject)["WX"].site
    assert by_site[chosen] == max(by_site.values())


def test_random_subspaces_are_uniform():
    testbed = replace(equality(), hypothesis=("WX",))
    drawn = [methods.random_subspace(testbed.subject, seed=s, dim=4)["WX"] for s in range(300)]
    planted = testbed.truth["WX"].basis[0]
    overlap = np.array([np.square(claim.basis @ planted).sum() for claim in drawn])
    # Beta(2, 7.5): mean 4/19; outside 4 standard errors once in 16,000.
    assert abs(overlap.mean() - 4 / 19) < 4 * overlap.std() / np.sqrt(300)
    assert {claim.site for claim in drawn} == set(testbed.sites)


def test_what_was_asked_for_and_cannot_be_is_refused():
    subject = equality().subject
    for name, dim in itertools.product(("das", "pca", "random_subspace"), (0, 20)):
        with pytest.raises(InputError, match=f"dim: expected 1 to 19, got {dim}"):
            getattr(methods, name)(subject, dim=dim, site=APART)
    for wrong in ({"steps": -1}, {"starts": 0}, {"batch": 0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}: expected at least"):
            methods.das(subject, site=APART, **wrong)
    with pytest.raises(InputError, match="penalty: expected a positive number"):
        methods.linear_probe(subject, penalty=0.0)
    with pytest.raises(InputError, match="penalty: expected at least 0"):
        methods.boundless_das(subject, penalty=-1.0)


def test_a_method_from_outside_is_scored_without_more():
    # Everything that a method needs is in the subject: twenty lines and no import of ours.
    def mean_difference(subject, *, seed=0):
        found = {}
        for variable in subject.values:
            x, labels = subject.labelled_activations(variable, APART, 500, seed=seed)
            row = x[labels == 1].mean(0) - x[labels == 0].mean(0)
            found[variable] = Subspace(APART, row[None] / np.linalg.norm(row))
        return Alignment(found, name="from outside")

    testbed = equality()
    found = scores(testbed, mean_difference(testbed.subject))
    assert found["cv.iia"] > 0.9 and found["cv.subspace_angle"] < 10
    assert found["cv.iia"] <= scores(testbed, planted_alignment(testbed.truth))["cv.iia"]
