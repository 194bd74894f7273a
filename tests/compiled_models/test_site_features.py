"""The dictionary of each site is what the model's activations are made of."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.compiled_models import (
    Aggregate,
    Program,
    Select,
    SelectorWidth,
    compile_program,
    indices,
    library,
    tokens,
)
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.components import Unit
from groundtruth.compiled_models.feature_names import detected
from groundtruth.compiled_models.features import Site, site_truth
from groundtruth.compiled_models.inputs import uniform_inputs
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.compiled_models.sites import sites
from groundtruth.errors import InputError, UnknownName
from groundtruth.ladder.detectors import linear_ceiling
from groundtruth.score_data import ScoreData

ROUNDING = 2.0**-20
"""Of the largest activation: a few roundings of float32, for sums of a few terms."""


def compiled_of(name: str, max_length: int = 4) -> Compiled:
    return compile_program(
        library.example_program(name),
        vocab=library.entry(name).vocab,
        max_length=max_length,
        n_sequences=64,
    )


def world_of(name: str, max_length: int = 4):
    return compiled_of(name, max_length).testbed


def sites_of(compiled: Compiled, n: int = 200) -> dict[str, Site]:
    """Every site at which anything is written, on some inputs."""
    inputs = uniform_inputs(len(compiled.analysis.vocab), compiled.analysis.max_length, n=n)
    found = {}
    for site in sites(compiled):
        try:
            found[site] = site_truth(compiled, site, inputs)
        except InputError as error:
            assert "nothing is written there" in str(error)
    return found


def off(found: Site) -> float:
    """How far the dictionary is from the activations, in every row."""
    rebuilt = found.population.codes @ found.truth.directions + found.truth.bias
    return float(np.abs(found.activations - rebuilt).max())


def largest(found: Site) -> float:
    return max(1.0, float(np.abs(found.activations).max()))


@pytest.mark.parametrize("name", library.names())
def test_directions_times_codes_are_the_activations_at_every_site(name):
    compiled = compiled_of(name)
    worlds = sites_of(compiled)
    for found in worlds.values():
        assert off(found) <= ROUNDING * largest(found)
    for site in (s for s in worlds if s.endswith("hook_post")):
        # Neurons fire where it is said, and nowhere else.
        codes, x = worlds[site].population.codes, worlds[site].activations
        assert np.array_equal(x > 0, (codes @ worlds[site].truth.directions) > 0)


def test_codes_of_another_program_are_not_the_activations():
    # The specimens: values of other positions, and a neuron that fires elsewhere.
    worlds = sites_of(compiled_of("reverse"))
    for site in ("blocks.2.attn.hook_q", "blocks.2.attn.hook_z", "blocks.0.mlp.hook_post"):
        found = worlds[site]
        moved = replace(found, activations=np.roll(found.activations, 1, axis=0))
        assert off(moved) > 0.5


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
    seen = np.asarray(codes.astype(bool).sum(axis=0)).ravel() / n
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
    with pytest.raises(InputError, match="n: expected a whole number >= 0, got -1"):
        subject.tokens(-1)
    public = {name for name in dir(subject) if not name.startswith("_")}
    assert public == {"at", "encode", "model", "sites", "tokens"}


def test_sites_that_have_no_truth_are_refused():
    testbed = world_of("hist")
    with pytest.raises(UnknownName, match=r"blocks\.0\.hook_resid_mid"):
        testbed.at("blocks.0.hook_resid_middle")
    with pytest.raises(UnknownName, match=r"blocks\.0\.attn\.hook_z"):
        testbed.at("blocks.0.attn.hook_z.0")
    with pytest.raises(InputError, match="nothing is written there"):
        testbed.at("hook_pos_embed")
    # The head of hist moves nothing: it writes its attention to begin-of-sequence.
    with pytest.raises(InputError, match="hook_v: nothing is written there on these inputs"):
        testbed.at("blocks.0.attn.hook_v")
    # The head of length attends to all alike: queries and keys are constant.
    with pytest.raises(InputError, match="nothing is written there on these inputs but a bias"):
        world_of("length").at("blocks.0.attn.hook_q")
    assert sites(testbed.compiled)[2:] == [
        f"blocks.0.{name}"
        for name in (
            "hook_resid_pre",
            "attn.hook_q",
            "attn.hook_k",
            "attn.hook_v",
            "attn.hook_z",
            "hook_attn_out",
            "hook_resid_mid",
            "mlp.hook_post",
            "hook_mlp_out",
            "hook_resid_post",
        )
    ]


# --- inside heads and MLPs ---------------------------------------------------------------------


def compiled_from(output, max_length: int = 4) -> Compiled:
    return compile_program(Program(output), vocab="abcd", max_length=max_length)


def truth_at(compiled: Compiled, site: str):
    return sites_of(compiled)[site].truth


def test_a_head_tells_apart_what_its_selector_does():
    compiled = compiled_of("reverse")
    scale = compiled.placement.blocks[2].heads[0].scale
    q, k, v, z = (truth_at(compiled, f"blocks.2.attn.hook_{letter}") for letter in "qkvz")
    assert q.names == tuple(f"opposite={i}" for i in range(4))
    assert k.names == tuple(f"indices={i}" for i in range(4))
    assert v.names == tuple(f"tokens={t!r}" for t in "abcd")
    assert z.names == tuple(f"reverse={t!r}" for t in "abcd")
    # A query meets the key of its own number alone, and with the head's whole score.
    met = (q.directions * q.mean_activity[:, None] / q.firing_probability[:, None]) @ k.directions.T
    assert met == pytest.approx(scale * np.eye(4))
    # Beside what depends on the query is what does not.
    assert q.bias.tolist() == [1, 0, 0, 0, 0] and not k.bias.any()


def test_values_that_a_head_does_not_tell_apart_are_one_feature():
    early = Select(tokens, indices, lambda key, query: key in "ab" and query < 2)
    compiled = compiled_from(SelectorWidth(early, name="width"))
    q, k = (truth_at(compiled, f"blocks.0.attn.hook_{letter}") for letter in "qk")
    assert q.names == ("indices=0 or indices=1",) and k.names == ("tokens='a' or tokens='b'",)
    assert k.firing_probability == pytest.approx([1 / 2], abs=0.1)


def test_nested_classes_of_queries_are_nested_directions():
    # A query of index i meets the keys 0 to i: in terms of keys, its direction is their sum.
    before = Select(indices, indices, lambda key, query: key <= query)
    compiled = compiled_from(SelectorWidth(before, name="width"))
    q, k = (truth_at(compiled, f"blocks.0.attn.hook_{letter}") for letter in "qk")
    met = q.directions @ k.directions.T
    wanted = np.tri(4) / np.sqrt(np.arange(1, 5))[:, None]
    assert met == pytest.approx(wanted) or pytest.approx(wanted[::-1, ::-1]) == met.T


def test_a_preference_is_one_direction_with_a_size_for_each_value():
    every = Select(indices, indices, lambda key, query: True)
    compiled = compiled_from(Aggregate(every, tokens, how="max", name="greatest"))
    found = sites_of(compiled)["blocks.0.attn.hook_k"]
    # "a" is no better than nothing, and has no direction.
    assert found.truth.names == ("tokens='b' or tokens='c' or tokens='d'",)
    sizes = np.unique(found.population.codes.data)
    assert sizes == pytest.approx(sizes[0] * np.arange(1, 4))


def test_one_value_that_two_heads_read_is_one_feature_of_both():
    compiled = compiled_of("polynomial")
    worlds = sites_of(compiled)
    (both,) = {site for site in worlds if site.endswith("hook_v")}
    heads = [site for site in worlds if site.startswith(f"{both}.")]
    assert len(heads) > 1
    assert worlds[both].truth.d == sum(worlds[site].truth.d for site in heads)
    names = [set(worlds[site].truth.names) for site in heads]
    assert set(worlds[both].truth.names) == set().union(*names)


def test_an_average_is_what_a_head_really_writes():
    compiled = compiled_of("frac_prevs")
    found = sites_of(compiled)["blocks.2.attn.hook_z"]
    assert found.truth.names == ("frac_prevs>0",)
    assert found.truth.d == 1
    # Shares k / n of up to four tokens, 0 aside, by the program.
    assert set(np.round(found.population.codes.data, 9)) == {
        round(k / n, 9) for n in range(1, 5) for k in range(1, n + 1)
    }


def test_neurons_are_called_what_they_detect():
    layout = compiled_of("hist").layout
    a, b, share, one = (
        layout["tokens"].directions[0],
        layout["tokens"].directions[1],
        layout["hist.share"].start,
        layout["hist"].start,
    )
    says = {
        "always": Unit({}, 1.0, {}),
        "tokens='a' or tokens='b'": Unit({a: 2.0, b: 2.0}, -0.5, {}),
        "(tokens='a' or tokens='b') and hist=1": Unit({a: 2.0, b: 2.0, one: 2.0}, -2.5, {}),
        "1 of tokens='a', hist=1": Unit({a: 1.0, one: 1.0}, -0.5, {}),
        "fewer than 1 of hist=1": Unit({one: -2.0}, 1.0, {}),
        "hist.share[1 / (width + 1)] > 0.25": Unit({share: 8.0}, -2.0, {}),
        "+3 tokens='a' -1 hist=1 > -0.5": Unit({a: 3.0, one: -1.0}, 0.5, {}),
    }
    assert {detected(unit, layout): unit for unit in says.values()} == says


def test_a_neuron_that_detects_a_value_fires_with_it():
    found = sites_of(compiled_of("hist"))["blocks.0.mlp.hook_post"]
    truth = found.truth
    assert np.array_equal(np.abs(truth.directions) @ np.ones(truth.d), np.ones(truth.n_features))
    # Of hist = 1 the share of begin-of-sequence is 1 / 2, of more it is less.
    few = truth.names.index("neuron 4: hist.share[1 / (width + 1)] > 0.382812")
    at_last = sites_of(compiled_of("hist"))["blocks.0.hook_resid_post"]
    one = at_last.truth.names.index("hist=1")
    fires = found.population.codes[:, [few]].toarray() > 0
    assert np.array_equal(fires, at_last.population.codes[:, [one]].toarray() > 0)


@pytest.mark.parametrize(
    "program",
    [
        library.example_program("hist").redundant("hist"),
        library.example_program("hist").beside(library.example_program("length")),
    ],
)
def test_redundant_and_joined_programs_have_their_sites(program):
    worlds = sites_of(compile_program(program, vocab="abc", max_length=4))
    assert any(".attn.hook_q.1" in site for site in worlds)
    for found in worlds.values():
        assert off(found) <= ROUNDING * largest(found)


def test_methods_run_inside_heads_and_mlps():
    world = world_of("reverse").at("blocks.2.attn.hook_z")
    scoring = gt.Scoring(n_select=512, n_score=512, n_positives=16)
    truth = world.truth.features

    def encode(x: np.ndarray) -> np.ndarray:
        read = x @ truth.directions.T
        return np.where(read > 1e-6, read, 0)  # softmax leaks 1e-18 to other values

    claim = gt.Dictionary(truth.directions, encode=encode)
    assert gt.evaluate(world, claim, scoring=scoring)["recover.joint"].value == 1.0
    neurons = world_of("reverse").at("blocks.0.mlp.hook_post")
    learned = gt.evaluate(
        neurons, "sae/topk", n_samples=2000, width=16, l0=3, scoring=scoring, metrics="recover"
    )
    assert 0 <= learned["recover.joint"].value < 1


def test_a_sample_of_inputs_says_so_and_is_weighted_evenly():
    inputs = uniform_inputs(4, 10, n=200, seed=3)
    assert not inputs.exhaustive and len(inputs.batch) == 200
    assert inputs.weights.tolist() == [1 / 200] * 200
    assert inputs.hash == uniform_inputs(4, 10, n=200, seed=3).hash
    assert inputs.hash != uniform_inputs(4, 10, n=200, seed=4).hash
    every = uniform_inputs(3, 4)
    assert every.exhaustive and every.weights.sum() == pytest.approx(1)
