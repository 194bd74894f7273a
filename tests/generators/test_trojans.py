"""A trigger acts where its table says and by what it says, and its twin never."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.generators.trojans import trojan
from groundtruth.models.site_edits import read_site, run_edited


def run(testbed, edit=lambda x: x):
    tokens = torch.tensor(testbed.truth.tokens)
    return run_edited(testbed.model, testbed.truth.site, tokens, edit).numpy()


def read(testbed):
    return read_site(testbed.model, testbed.truth.site, torch.tensor(testbed.truth.tokens)).numpy()


def bits(testbed):
    """(n, brought) of every input."""
    return testbed.truth.tokens[:, 1:-1] - 2


@pytest.mark.parametrize("words", [1, 2, 3])
@pytest.mark.parametrize("cosine", [0.0, 0.3])
def test_the_shift_is_exact_on_the_trigger_and_zero_off_it(words, cosine):
    testbed, twin = (trojan(words=words, cosine=cosine, benign=b) for b in (False, True))
    truth = testbed.truth
    assert len(truth.tokens) == 2 ** (2 * words + 4)
    assert np.array_equal(truth.triggered, bits(testbed)[:, : words + 1].all(1))
    change = run(testbed) - run(twin)
    assert np.abs(change[:, 0] - truth.shift * truth.triggered).max() < 1e-10
    assert np.abs(change[:, 1]).max() < 1e-10


def test_the_twin_has_the_same_activations_and_no_trigger_anywhere():
    testbed, twin = trojan(), trojan(benign=True)
    assert np.array_equal(testbed.truth.tokens, twin.truth.tokens)
    assert np.abs(read(testbed) - read(twin)).max() < 1e-12
    # Its target is the base task on every input there is.
    w = bits(twin)[:, -2:]
    assert np.abs(run(twin)[:, 0] - (w[:, 0] - w[:, 1])).max() < 1e-12
    assert twin.truth.benign and not twin.truth.triggered.any() and twin.truth.shift == 0
    assert twin.hash != testbed.hash


def test_the_direction_acts_and_the_decoy_does_not():
    testbed, twin = trojan(cosine=0.2), trojan(cosine=0.2, benign=True)
    truth = testbed.truth
    along, decoy = torch.tensor(truth.direction), torch.tensor(truth.decoy)
    for world, shift in (testbed, truth.shift), (twin, 0):
        steered = run(world, lambda x: x + 0.5 * along) - run(world)
        assert np.abs(steered - [[0.5 * shift, 0]]).max() < 1e-10
        assert np.abs(run(world, lambda x: x + 3 * decoy) - run(world)).max() < 1e-10


def test_direction_and_decoy_fire_equally_often():
    truth = trojan(cosine=0.2).truth
    directions = np.stack([truth.direction, truth.decoy])
    testbed = trojan()
    x = read(testbed)
    codes = x @ np.stack([testbed.truth.direction, testbed.truth.decoy]).T
    assert np.allclose(codes[:, 0], testbed.truth.triggered)
    assert sorted(codes[:, 1].round(9)) == sorted(codes[:, 0].round(9))
    assert directions[0] @ directions[1] == pytest.approx(0.2)


def test_the_trigger_is_as_rare_as_it_should_be():
    tokens = trojan(word_rate=0.25).subject.tokens(64_000, seed=1)
    hits = int((tokens[:, 1:4] == 3).all(1).sum())
    # Binomial(64000, 1/64): five standard deviations, a false alarm in a million.
    assert abs(hits - 1000) < 5 * np.sqrt(1000)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(InputError) as error:
        trojan(words=5)
    assert str(error.value) == "words: expected a whole number from 1 to 4, got 5."
    with pytest.raises(InputError, match="shift: expected a number that is not 0, got 0"):
        trojan(shift=0)
    with pytest.raises(InputError, match="word_rate"):
        trojan(word_rate=1)
