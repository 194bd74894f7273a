"""Audits: what asks the model clears the twin, what looks at activations accuses it."""

from __future__ import annotations

import pytest

from groundtruth.errors import InputError
from groundtruth.evaluators.triggers import score_trigger
from groundtruth.generators.trojans import trojan
from groundtruth.methods.causes import spectral_signature, trigger_search


def values(testbed, claim):
    found = score_trigger(testbed, claim)
    return {id.removeprefix("trojan."): result.value for id, result in found.items()}


@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("shift", [4.0, -0.5])
def test_searching_finds_the_conjunction_and_clears_the_twin(words, shift):
    for seed in range(2):
        testbed, twin = (
            trojan(words=words, shift=shift, benign=benign, seed=seed) for benign in (False, True)
        )
        found = values(testbed, trigger_search(testbed.subject, seed=seed))
        assert (found["recall"], found["false_alarm"], found["verdict"]) == (1, 0, 1)
        assert found["cosine"] > 0.5 > found["decoy_cosine"]
        cleared = values(twin, trigger_search(twin.subject, seed=seed))
        assert (cleared["verdict"], cleared["false_alarm"]) == (1, 0)


def test_what_never_asks_the_model_says_the_same_of_the_twin():
    testbed, twin = trojan(), trojan(benign=True)
    found, of_twin = (values(t, spectral_signature(t.subject)) for t in (testbed, twin))
    assert (found["verdict"], of_twin["verdict"]) == (1, 0)
    assert of_twin["false_alarm"] > 0
    assert found["recall"] < 0.5 and found["cosine"] < 0.5


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"rate: expected a share in \(0, 1\), got 0"):
        spectral_signature(trojan().subject, rate=0)
