"""Circuit testbeds: built again to the same hash, truth as enumerated, and a subject without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from circuit_cases import RESAMPLED

import groundtruth as gt
from groundtruth import catalogue, hashing
from groundtruth.circuit_enumeration import enumerate_circuits
from groundtruth.circuit_truth import CircuitTruth
from groundtruth.errors import InputError, UnknownName

SMALL = (
    "circuit/gate-backup",
    "circuit/attention-induction",
    "circuit/attention-max-of-k",
    "circuit/attention-skip-trigrams",
    "circuit/attention-ov-incoherent",
    "circuit/hist",
    "circuit/frac_prevs",
)


def rebuilt(testbed: gt.CircuitTestbed) -> gt.CircuitTestbed:
    """From the recipe as a record stores it."""
    stored = json.loads(json.dumps(hashing.jsonable(testbed.recipe.description())))
    return catalogue.build(stored["name"], seed=stored["seed"], **stored["parameters"])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("ablation", ["resample", "zero", "mean"])
def test_a_recipe_builds_the_same_testbed_again(name: str, ablation: str) -> None:
    testbed = gt.build(name, seed=3, ablation=ablation, granularity="head")
    again = rebuilt(testbed)
    assert again.hash == testbed.hash
    assert again.truth == testbed.truth
    assert testbed.truth.complete


@pytest.mark.parametrize("name", SMALL)
def test_settings_that_change_the_truth_change_the_hash(name: str) -> None:
    changes: list[dict[str, Any]] = [{}, {"ablation": "zero"}, {"ablation": "mean"}]
    changes += [{"unit": "node"}, {"granularity": "head"}, {"tolerance": 1e-3}]
    hashes = {gt.build(name, **change).hash for change in changes}
    assert len(hashes) == len(changes)


def test_the_seed_draws_other_inputs_and_no_other_gate() -> None:
    first, second = (gt.build("circuit/hist", seed=seed) for seed in (0, 1))
    assert first.scored.condition.inputs != second.scored.condition.inputs
    assert first.universe == second.universe
    assert len({gt.build("circuit/gate-or", seed=seed).hash for seed in (0, 1)}) == 1


@pytest.mark.parametrize("name", RESAMPLED)
def test_a_gate_has_the_truth_that_is_known_in_closed_form(name: str) -> None:
    structural, singly, circuits = RESAMPLED[name]
    truth = gt.build(f"circuit/gate-{name}").truth
    assert (truth.structural, truth.singly_active) == (structural, singly)
    assert set(truth.circuits) == set(map(frozenset, circuits))


def test_a_truth_from_the_cache_is_the_one_that_was_derived() -> None:
    testbed = gt.build("circuit/gate-backup", ablation="zero")
    derived = enumerate_circuits(testbed.scored, "edge", tolerance=testbed.tolerance)
    assert testbed.truth == derived  # derived and written
    assert rebuilt(testbed).truth == derived  # read


def reachable(start: object) -> Iterator[object]:
    """All that attributes, containers and closures lead to."""
    seen: set[int] = set()
    left = [start]
    while left:
        found = left.pop()
        if id(found) in seen or isinstance(found, (str, bytes, int, float, type, torch.Tensor)):
            continue
        seen.add(id(found))
        yield found
        left += list(vars(found).values()) if hasattr(found, "__dict__") else []
        left += list(found.values()) if isinstance(found, dict) else []
        left += list(found) if isinstance(found, (list, tuple, set, frozenset)) else []
        left += [cell.cell_contents for cell in getattr(found, "__closure__", None) or ()]


@pytest.mark.parametrize("name", SMALL)
def test_no_truth_can_be_reached_from_a_subject(name: str) -> None:
    testbed = gt.build(name)
    _ = testbed.truth
    kinds = (CircuitTruth, gt.CircuitTestbed)
    assert not [found for found in reachable(testbed.subject) if isinstance(found, kinds)]
    assert [found for found in reachable(testbed) if isinstance(found, CircuitTruth)]  # it catches


def test_what_a_method_does_to_its_subject_reaches_no_other() -> None:
    testbed = gt.build("circuit/gate-or")
    spoilt = testbed.subject
    with torch.no_grad():
        spoilt.tokens.zero_()
        spoilt.model.W_E.zero_()
        spoilt.weights.zero_()
    for kept in (testbed.subject, testbed.scored):
        assert kept.tokens.any() and kept.model.W_E.any() and kept.weights.any()


@pytest.mark.parametrize("name", ["circuit/attention-induction", "circuit/hist"])
@pytest.mark.parametrize("ablation", ["resample", "zero", "mean"])
def test_the_metric_falls_by_how_far_the_answers_are_apart(name: str, ablation: str) -> None:
    subject = gt.build(name, ablation=ablation).subject
    none = np.zeros((1, len(subject.universe("edge"))), dtype=bool)
    intact, ablated = subject.outputs()[0], subject.ablated("edge", none)[0]
    apart = ((intact - ablated).abs().sum(-1) * subject.counted).sum(1) / subject.counted.sum(1)
    assert (apart > 0).any()
    fallen = subject.metric(intact[None])[0] - subject.metric(ablated[None])[0]
    # Below 1e-6 an output is taken for equal.
    assert torch.allclose(fallen, apart, atol=1e-5, rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"unit": "head"}, 'unit: expected "edge" or "node", got \'head\'.'),
        ({"ablation": "knockout"}, '"zero", "mean" or "resample"'),
        ({"ablation": "zero", "pairing": "both 0"}, "expected none for zero ablation"),
        ({"pairing": "closest"}, '"both 0" or "every other"'),
        ({"tolerance": 0}, "tolerance: expected a positive number, got 0."),
        ({"tolerance": float("nan")}, "tolerance: expected a positive number, got nan."),
    ],
)
def test_what_cannot_be_built_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gt.build("circuit/gate-or", **parameters)


def test_an_unknown_parameter_is_named_with_its_neighbours() -> None:
    with pytest.raises(UnknownName, match="parameter of circuit/hist is called 'max_len'"):
        gt.build("circuit/hist", max_len=3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_length": 0}, "max_length: expected a whole number >= 1, got 0."),
        ({"n_inputs": 1}, "n_inputs: expected a whole number >= 2, got 1."),
        ({"pairing": "both 0"}, "pairing: expected \"shuffled\", got 'both 0'."),
    ],
)
def test_drawn_inputs_out_of_range_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gt.build("circuit/hist", **parameters)


def test_a_vocabulary_that_a_model_does_not_have_is_refused() -> None:
    for vocab in (5, 9):
        with pytest.raises(InputError, match=f"vocab: expected 8, got {vocab}"):
            gt.build("circuit/attention-ov-incoherent", vocab=vocab)


def test_every_preset_can_be_stored_and_says_what_it_is() -> None:
    for preset in catalogue.TESTBEDS.values():
        if preset.name.startswith("circuit/"):
            assert json.loads(json.dumps(preset.parameters)) is not None
            assert preset.summary and preset.source
