"""Library programs as named testbeds of causal variables."""

from __future__ import annotations

import json

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import catalogue
from groundtruth.alignment import Subspace
from groundtruth.compiled_models import library
from groundtruth.compiled_models.presets import storable_programs
from groundtruth.compiled_models.variable_presets import PRESETS
from groundtruth.errors import InputError, ProgramError, UnknownName
from groundtruth.variable_pairs import are_right

ON_EXAMPLES = [p.name for p in PRESETS if p.parameters["inputs"] == "example"]


def test_every_program_whose_arguments_can_be_stored_has_one() -> None:
    assert [preset.name for preset in PRESETS] == [f"variables/{n}" for n in storable_programs()]
    assert len(PRESETS) == len(library.names()) - 1  # nary_map takes a function
    for preset in PRESETS:
        assert json.loads(json.dumps(preset.parameters)) is not None
        assert preset.summary and catalogue.TESTBEDS[preset.name] is preset


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_planted_subspaces_are_always_right(preset) -> None:
    testbed = preset.build(seed=1)
    for name in testbed.hypothesis:
        planted = testbed.truth[name]
        pairs = testbed.pairs(name, 32)
        claim = Subspace(planted.site, planted.basis)
        assert are_right(testbed.model, pairs, testbed.answers, claim).all(), name


@pytest.mark.parametrize(
    "twin",
    [{"superpose": 0.9, "rotate": True}, {"norm": "rms"}, {"noise": 1e-6, "decoys": 2}],
    ids=str,
)
@pytest.mark.parametrize("name", ["count", "reverse", "frac_prevs"])
def test_planted_subspaces_of_twins_are_always_right(name: str, twin: dict) -> None:
    # A superposed twin says its output by code words, of which the nearest is meant.
    testbed = gt.build(f"variables/{name}", twin=twin)
    for variable in testbed.hypothesis:
        planted, pairs = testbed.truth[variable], testbed.pairs(variable, 200)
        claim = Subspace(planted.site, planted.basis)
        assert are_right(testbed.model, pairs, testbed.answers, claim).all(), variable
    plain = gt.build(f"variables/{name}")
    assert plain.answers.values == testbed.answers.values
    assert plain.hash != testbed.hash


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("variables/reverse", {}),
        ("variables/detect_pattern", {"arguments": ["aba"], "vocab": "ab", "max_length": 5}),
        ("variables/hist", {"twin": {"superpose": 0.9, "rotate": True, "decoys": 2}}),
        ("variables/addition", {"variables": ["added"]}),
        ("variables/hierarchical_equality", {"n_objects": 3, "rotated": False}),
    ],
)
def test_a_stored_recipe_builds_the_same_testbed(name: str, changes: dict) -> None:
    testbed = gt.build(name, seed=3, **changes)
    stored = json.loads(json.dumps(testbed.recipe.description()))
    again = gt.build(stored["name"], seed=stored["seed"], **stored["parameters"])
    assert again.hash == testbed.hash and again.name == name
    assert gt.build(name, seed=4, **changes).hash != testbed.hash


def test_programs_of_which_few_uniform_pairs_tell_draw_near_their_example() -> None:
    assert set(ON_EXAMPLES) == {
        f"variables/{n}" for n in library.names() if library.entry(n).family == "templates"
    }
    for name in ("variables/greater_than", "variables/addition", "variables/ioi"):
        share = {}
        for inputs in ("example", "uniform"):
            testbed = gt.build(name, inputs=inputs)
            share[inputs] = testbed.pairs(testbed.output, 400).discriminating.mean()
        # Expected 0.28, 0.27 and 0.3 against 0.002 or so: of 400 a share off by 0.1 is 4 standard
        # deviations.
        assert share["example"] > 0.17 > 0.02 > share["uniform"], name


def test_each_token_of_the_example_is_replaced_now_and_then() -> None:
    testbed = gt.build("variables/two_hop")
    example = library.entry("two_hop").example[0]
    drawn = np.array(testbed.draw(np.random.default_rng(0), 4000))
    # 1/4 replaced by one of three tokens, of which one is the same: 1/6 differ. Five shares of
    # 4,000 within 5 standard errors, a false alarm in a million.
    share = (drawn != np.array(example)).mean(0)
    assert np.abs(share - 1 / 6).max() < 5 * np.sqrt(5 / 36 / 4000)


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("reverse", {"variables": []}, InputError, "variables: expected a list of names, or None"),
        ("reverse", {"variables": "length"}, InputError, r'Pass \["length"\], say'),
        ("reverse", {"variables": ["lenght"]}, UnknownName, "No variable is called 'lenght'"),
        ("reverse", {"inputs": "few"}, InputError, "inputs: expected 'uniform' or 'example'"),
        ("addition", {"max_length": 3}, InputError, "is none of length 3 or less over the tokens"),
        ("ioi", {"vocab": ["Ann", "to"]}, InputError, "inputs: expected 'uniform', since the wor"),
        ("reverse", {"closed": False}, UnknownName, "parameter of variables/reverse is called 'cl"),
        ("reverse", {"twin": {"superpose": 0.1}}, ProgramError, "the smallest that can be proven"),
    ],
)
def test_what_cannot_be_built_is_refused(name, changes, error, message) -> None:
    with pytest.raises(error, match=message):
        gt.build(f"variables/{name}", **changes)
