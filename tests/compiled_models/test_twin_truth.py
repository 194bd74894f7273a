"""A twin's truth is of the twin: its directions, subspaces and components, with its decoys.

Each claim is tried on the model that runs, and a specimen that states the compiled model's own
axes instead is seen to fail.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.compiled_files import load_compiled, save_compiled
from groundtruth.compiled_models.connections import connections
from groundtruth.compiled_models.drawing import drawing
from groundtruth.compiled_models.features import site_truth
from groundtruth.compiled_models.inputs import uniform_inputs
from groundtruth.compiled_models.interchanges import interchange_accuracy
from groundtruth.compiled_models.parts import parts
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.compiled_models.transport import on_axes
from groundtruth.errors import InputError, UnknownName

TWINS = [
    ("hist", {"superpose": 0.7, "decoys": 3, "noise": 2.0**-24}),
    ("reverse", {"superpose": 0.8, "decoys": 3}),
    ("frac_prevs", {"superpose": 0.8}),
    ("induction", {"superpose": 0.7, "decoys": 2, "noise": 2.0**-24}),
    ("sort_unique", {"superpose": 0.75, "decoys": 3}),
    ("detect_pattern", {"superpose": 0.65, "rotate": False}),
    ("hist", {"superpose": 0.7, "norm": "rms", "decoys": 1}),
    ("sort_unique", {"superpose": 0.9, "norm": "layer", "decoys": 2, "noise": 2.0**-24}),
]


@pytest.fixture(scope="module", params=TWINS, ids=lambda case: case[0])
def twin(request):
    name, how = request.param
    program, vocab = library.example_program(name), library.entry(name).vocab
    compiled = compile_program(program, vocab=vocab, max_length=6, closed=True, n_sequences=64)
    return compiled.twin(**how, n_sequences=64)


def test_directions_times_codes_are_the_activations_at_every_site(twin):
    testbed, tried = twin.testbed, 0
    for site in testbed.sites:
        try:
            world = testbed.at(site)
        except InputError as error:
            assert "nothing is written there" in str(error)
            continue
        x, codes = world.sample(300)
        truth = world.truth.features
        found = codes @ truth.directions + truth.bias
        # Copies that are read as 0 or 1 are off by what they may be; sums of them by a little more.
        largest = max(1.0, float(x.abs().max()))
        assert np.abs(x.numpy() - found).max() <= max(1e-4, 2.0**-20 * largest)
        tried += 1
    assert tried >= 6


def test_the_axes_of_the_layout_are_not_its_directions(twin):
    # The specimen: what was compiled, said of the twin.
    testbed = twin.testbed
    widened = replace(twin, coding=replace(twin.coding, basis=np.eye(*twin.coding.basis.shape)))
    inputs = uniform_inputs(len(twin.analysis.vocab), 6, n=50, seed=0)
    wrong = site_truth(widened, testbed.last_site, inputs)
    x, codes = wrong.draw(np.random.default_rng(0), 200)
    off = np.abs(x - codes @ wrong.truth.directions - wrong.truth.bias).max()
    assert (off > 0.1) == twin.request.rotate


def test_queries_keys_and_neurons_are_those_of_the_plan(twin):
    # However the residual stream is turned; the values that heads move lie on fewer coordinates.
    inputs = uniform_inputs(len(twin.analysis.vocab), 6, n=50, seed=0)
    turned = replace(twin, coding=replace(twin.coding, basis=np.roll(twin.coding.basis, 1, axis=1)))
    tried = 0
    for site in twin.testbed.sites:
        if site.endswith(("hook_q", "hook_k", "hook_post")):
            try:
                here, there = (site_truth(one, site, inputs).truth for one in (twin, turned))
            except InputError:
                continue
            assert np.array_equal(here.directions, there.directions)
            assert here.names == there.names
            tried += 1
    assert tried >= 2


def test_what_decoys_write_follows_from_what_they_read(twin):
    testbed, inputs = twin.testbed, twin.testbed.inputs
    for number, decoy in enumerate(twin.decoys):
        hook = "mlp.hook_post" if decoy.like is None else "attn.hook_z"
        site = f"blocks.{decoy.block}.{hook}"
        truth = testbed.at(site).truth.features
        name = f"decoy {number}"
        assert {name, f"-{name}"} & set(truth.names)
        # The specimen: a decoy that reads something else.
        other = replace(decoy, weights={d: 2 * w + 0.3 for d, w in decoy.weights.items()})
        decoys = (*twin.decoys[:number], other, *twin.decoys[number + 1 :])
        wrong = site_truth(replace(twin, decoys=decoys), site, inputs)
        rebuilt = wrong.population.codes @ wrong.truth.directions + wrong.truth.bias
        assert np.abs(wrong.activations - rebuilt).max() > 0.1


def test_fewer_dimensions_than_features_even_without_sums_to_one(twin):
    truth = twin.testbed.at(twin.testbed.last_site).truth.features
    values = {v.name: len(v.labels) for v in twin.layout.variables if v.one_hot}
    spanned = {v.name: twin.coding.codes[v].shape[1] for v in twin.layout.variables if v.one_hot}
    assert np.linalg.norm(truth.directions, axis=1) == pytest.approx(1)
    assert twin.coding.size < len(twin.directions)
    # A head that compares by order asks for every value: frac_prevs reads nothing else.
    fewer = any(spanned[name] < values[name] - 1 for name in values)
    assert fewer == (twin.program.name != "frac_prevs")


def test_interchange_of_the_subspaces_does_what_the_causal_model_says(twin):
    truth = twin.testbed.variables
    for variable in truth.variables:
        assert interchange_accuracy(twin, [variable.name], n=40) == 1.0
    rng = np.random.default_rng(0)
    accuracy = []
    for variable in truth.variables:
        k = max(1, len(variable.basis))
        claim = np.linalg.qr(rng.normal(size=(twin.weights.d_model, k)))[0].T
        subspaces = {variable.name: (variable.site, claim)}
        accuracy.append(interchange_accuracy(twin, [variable.name], n=40, subspaces=subspaces))
    assert min(accuracy) < 0.9


def test_values_are_read_from_the_residual_stream(twin):
    for variable in twin.testbed.variables.variables:
        if variable.values is not None:
            held = variable.encode(variable.values)
            assert variable.decode(held) == list(variable.values)


def test_components_sum_to_the_weights_and_decoys_are_never_necessary(twin):
    truth = twin.testbed.mechanisms
    assert truth.necessary is not None
    needed = dict(zip([m.name for m in truth.mechanisms], truth.necessary.any(axis=1)))
    decoys = [name for name in needed if name.startswith("decoy")]
    assert len(decoys) == len(twin.decoys)
    assert not any(needed[name] for name in decoys)
    output = twin.program.names[twin.program.output]
    assert needed[output] and needed["unembedding"]


def test_parts_are_connected_as_their_reads_say(twin):
    found = parts(twin)
    for connection in connections(twin):
        if connection.reader < len(found):
            assert found[connection.writer].writes in found[connection.reader].reads
    assert "<svg" in drawing(twin)


def test_a_twin_comes_back_as_it_was(twin, tmp_path):
    name = twin.program.name
    chosen = {"twin": twin.request.description(), "n_inputs": 100, "max_length": 6}
    testbed = CompiledPreset(name).model(**chosen)
    save_compiled(testbed, tmp_path)
    again = load_compiled(tmp_path)
    assert (again.hash, again.recipe) == (testbed.hash, testbed.recipe)
    assert len(again.compiled.decoys) == len(twin.decoys)
    site = testbed.last_site
    assert again.at(site).hash == testbed.at(site).hash


def test_a_model_on_axes_has_the_identity_as_its_coding():
    compiled = compile_program(library.program("hist"), vocab="ab", max_length=3)
    assert np.array_equal(compiled.directions, np.eye(compiled.layout.d_model))
    assert np.array_equal(on_axes(compiled.layout).directions, compiled.directions)


def test_a_twin_of_a_twin_is_both():
    hist = compile_program(library.program("hist"), vocab="abc", max_length=5)
    twin = hist.twin(superpose=0.8, decoys=1).twin(decoys=2, rotate=False)
    assert len(twin.decoys) == 3
    assert twin.weights.d_model < hist.weights.d_model + 2
    assert twin.request is not None and twin.request.rotate and twin.request.superpose == 0.8
    assert twin.run(["aba"]) == [[2, 1, 2]]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"superposed": 0.5}, UnknownName, "superpose"),
        (0.5, InputError, "arguments of Compiled.twin"),
        ({"superpose": 2}, InputError, "between 0 and 1"),
    ],
)
def test_a_request_that_cannot_be_read_says_so(given, error, says):
    with pytest.raises(error, match=says):
        CompiledPreset("hist").model(max_length=3, twin=given)
