"""The dictionary of each site is what the model's activations are made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.features import sites, variables_at
from groundtruth.compiled_models.inputs import uniform_inputs
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.errors import InputError, UnknownName
from groundtruth.ladder.detectors import linear_ceiling
from groundtruth.score_data import ScoreData

PROGRAMS = [
    "reverse",
    "hist",
    "sort_unique",
    "running_sum",
    "detect_pattern",
    "shuffle_dyck2",
    "majority",
]


def world_of(name: str, max_length: int = 4):
    return compile_program(
        library.example_program(name),
        vocab=library.entry(name).vocab,
        max_length=max_length,
        n_sequences=64,
    ).testbed


@pytest.mark.parametrize("name", PROGRAMS)
def test_directions_times_codes_are_the_activations_at_every_site(name):
    testbed = world_of(name)
    for site in testbed.sites:
        if not variables_at(testbed.compiled, site):
            continue
        world = testbed.at(site)
        x, codes = world.sample(500)
        errors = [variable.error for variable in testbed.compiled.layout.variables]
        assert np.abs(x.numpy() - codes @ world.truth.features.directions).max() <= max(errors)


def test_the_sum_is_not_the_activations_of_another_site():
    testbed = world_of("reverse")
    early = testbed.at("blocks.0.hook_resid_mid").truth.features
    x = testbed.at("blocks.2.hook_resid_post").sample(100)[0].numpy()
    assert np.abs(x - x @ early.directions.T @ early.directions).max() == pytest.approx(1, abs=1e-3)


def test_firing_probabilities_are_counts_over_all_inputs():
    testbed = world_of("hist", max_length=3)
    features = testbed.at(testbed.last_site).truth.features
    program, counted = testbed.compiled.program, dict.fromkeys(features.names, 0.0)
    for length in (1, 2, 3):
        for sequence in itertools.product("abc", repeat=length):
            weight = 1 / (3 * 3**length * length)
            for token, count in zip(sequence, program(sequence)):
                counted[f"tokens={token!r}"] += weight
                counted[f"hist={count}"] += weight
                counted["hist.share[1 / (width + 1)]"] += weight
    expected = [counted[name] for name in features.names]
    assert np.allclose(features.firing_probability, expected, atol=1e-12)
    assert testbed.inputs.exhaustive


def test_samples_follow_the_population():
    world = world_of("reverse").at("blocks.1.hook_resid_post")
    truth = world.truth.features
    x, codes = world.sample(8192)
    # 20 or so features, each off by more than 4.5 standard errors once in 150,000 seeds.
    p, n = truth.firing_probability, 8192
    seen = np.asarray((codes > 0).sum(axis=0)).ravel() / n
    assert (np.abs(seen - p) <= 4.5 * np.sqrt(p * (1 - p) / n) + 1e-12).all()
    assert np.abs(np.cov(x.numpy().T, bias=True) - truth.covariance).max() < 0.03
    feature = truth.names.index("opposite=3")
    _, given = world.active_block("score", 0, np.full(50, feature))
    assert (given[:, [feature]].toarray() == 1).all()


def test_a_number_is_two_features_in_opposite_directions():
    testbed = world_of("running_sum")
    truth = testbed.at(testbed.last_site).truth.features
    above, below = (truth.names.index(f"running_sum{side}0") for side in "><")
    assert np.array_equal(truth.directions[above], -truth.directions[below])
    assert truth.coactivation(above, below) == 0.0


def test_one_hot_values_exclude_one_another_and_sum_to_one():
    truth = world_of("reverse").at("hook_embed").truth.features
    assert truth.names == tuple(f"tokens={token!r}" for token in "abcd")
    assert truth.firing_probability.sum() == pytest.approx(1)
    assert truth.coactivation(0, 1) == 0.0
    assert truth.equivalence_classes == ()


def test_what_depends_linearly_is_one_class():
    truth = world_of("hist").at("blocks.0.hook_resid_post").truth.features
    (one,) = truth.equivalence_classes
    assert one.name == "dependent" and len(one.members) == truth.n_features
    # Tokens and counts each sum to 1, and the share is a function of the count.
    assert len(one.basis) == truth.n_features - 2


def test_methods_run_and_the_dictionary_itself_is_perfect():
    world = world_of("reverse").at("blocks.1.hook_resid_mid")
    truth = world.truth.features
    scoring = gt.Scoring(n_select=512, n_score=512, n_positives=16)
    claim = gt.Dictionary(truth.directions, encode=lambda x: np.maximum(x @ truth.directions.T, 0))
    perfect = gt.evaluate(world, claim, scoring=scoring)
    assert perfect["recover.joint"].value == 1.0
    assert perfect["recon.fvu"].value == pytest.approx(0.0, abs=1e-6)
    learned = gt.evaluate(
        world, "sae/topk", n_samples=2000, width=32, l0=4, scoring=scoring, metrics="recover"
    )
    assert 0 <= learned["recover.joint"].value < 1


def test_the_linear_ceiling_is_no_artefact_of_rounding():
    # Covariances of dependent features are singular: their inverse must not read rounding errors.
    world = CompiledPreset("running_sum").build(max_length=4)
    truth = world.truth.features
    data = ScoreData(world, gt.Scoring(n_select=512, n_score=512, n_positives=16))
    detectors = linear_ceiling(data, np.random.default_rng(0))
    size = np.linalg.norm(detectors.weights, axis=1)
    constant = truth.variance <= 1e-12
    assert constant.any() and not size[constant].any()
    assert size[~constant].min() > 0.1 and size.max() < 100


@pytest.mark.parametrize("name", ["shuffle_dyck2", "ratio_to_first"])
def test_the_linear_ceiling_is_not_off_by_what_goes_with_a_feature(name):
    # Copies of a feature in other directions fire with it. A detector that is scaled to its own
    # direction alone counts them all: explained variance was -1.2 and -0.2 here.
    world = CompiledPreset(name).build(max_length=4)
    truth = world.truth.features
    data = ScoreData(world, gt.Scoring(n_select=512, n_score=512, n_positives=16))
    found = linear_ceiling(data, np.random.default_rng(0))
    x, _ = next(iter(data.chunks("score")))
    rebuilt = found.codes(x) @ truth.directions + truth.bias
    assert np.mean((x - rebuilt) ** 2) < 0.01 * np.mean((x - x.mean(0)) ** 2)


def test_the_world_is_named_by_its_content():
    testbed, again = world_of("hist"), world_of("hist")
    site = testbed.last_site
    assert testbed.at(site).hash == again.at(site).hash
    assert testbed.hash == again.hash
    assert testbed.at("hook_embed").hash != testbed.at(site).hash
    assert world_of("hist", max_length=3).hash != testbed.hash


def test_the_subject_shows_the_model_and_no_truth():
    subject = world_of("hist").subject
    tokens = subject.tokens(7, seed=1)
    assert tokens.shape == (7, 5)
    assert subject.model(tokens).shape[:2] == (7, 5)
    assert subject.at("blocks.0.hook_resid_post").sample(3).shape[0] == 3
    assert np.array_equal(subject.encode(["ab"]), [[3, 0, 1]])
    public = {name for name in dir(subject) if not name.startswith("_")}
    assert public == {"at", "encode", "model", "sites", "tokens"}


def test_sites_that_have_no_truth_are_refused():
    testbed = world_of("hist")
    with pytest.raises(UnknownName, match=r"blocks\.0\.hook_resid_mid"):
        testbed.at("blocks.0.hook_resid_middle")
    with pytest.raises(UnknownName):
        testbed.at("blocks.0.mlp.hook_post")
    with pytest.raises(InputError, match="nothing is written there"):
        world_of("hist").at("hook_pos_embed")
    assert sites(testbed.compiled)[2:] == [
        f"blocks.0.hook_{name}"
        for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
    ]


def test_a_sample_of_inputs_says_so_and_is_weighted_evenly():
    inputs = uniform_inputs(4, 10, n=200, seed=3)
    assert not inputs.exhaustive and len(inputs.batch) == 200
    assert inputs.weights.tolist() == [1 / 200] * 200
    assert inputs.hash == uniform_inputs(4, 10, n=200, seed=3).hash
    assert inputs.hash != uniform_inputs(4, 10, n=200, seed=4).hash
    every = uniform_inputs(3, 4)
    assert every.exhaustive and every.weights.sum() == pytest.approx(1)
