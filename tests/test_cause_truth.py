"""What truths about causes refuse, and what they are asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundtruth.errors import InputError
from groundtruth.generators.beliefs import belief
from groundtruth.generators.cause_worlds import causal_dictionary, steering
from groundtruth.generators.trojans import trojan

TRUTH = causal_dictionary(n_inputs=9).truth


def test_a_truth_that_contradicts_itself_is_refused():
    with pytest.raises(InputError) as error:
        replace(TRUTH, names=TRUTH.names[1:])
    assert str(error.value) == "names: expected one for each of 15 features, got 14."
    with pytest.raises(InputError, match="expected directions @ readouts to be the identity"):
        replace(TRUTH, readouts=TRUTH.readouts[:, ::-1].copy())
    parent = TRUTH.parent.copy()
    parent[4] = 0  # c1 is read
    with pytest.raises(InputError, match="parent: expected correlates that nothing reads"):
        replace(TRUTH, parent=parent)
    with pytest.raises(InputError, match=r"codes: expected shape \(9, 15\), got \(8, 15\)"):
        replace(TRUTH, codes=TRUTH.codes[1:])
    with pytest.raises(InputError, match="direction: expected a unit vector"):
        replace(trojan().truth, direction=np.ones(3))
    with pytest.raises(InputError, match="readout: expected direction @ readout to be 1"):
        truth = belief().truth
        replace(truth, readout=2 * truth.readout)
    cases = belief().truth.familiar
    with pytest.raises(InputError, match="weights: expected numbers that sum to 1"):
        replace(cases, weights=2 * cases.weights)


def test_truth_cannot_be_changed():
    for array in (TRUTH.codes, TRUTH.directions, TRUTH.network.out, belief().truth.readout):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_what_acts_on_other_outputs_alone_does_not_act_on_the_target():
    truth = steering(n_inputs=64).truth
    assert truth.kinds == ("causal", "causal", "mediated", "causal")
    assert [truth.names[i] for i in truth.acting] == ["concept", "o0"]


def test_swapping_takes_the_partners_value():
    partners = TRUTH.partners
    assert sorted(partners) == list(range(9)) and (partners != np.arange(9)).all()
    c0 = TRUTH.codes[:, 0]
    moved = TRUTH.swapped(0)
    assert np.allclose(moved[:, 0], 3 * (c0[partners] - c0))
    assert np.allclose(moved[:, 1], c0[partners] - c0)


def test_breaks_are_known_where_one_layer_is_left():
    assert np.isnan(TRUTH.breakpoints(0)).all()
    m0, m1 = TRUTH.codes[:, 12], TRUTH.codes[:, 13]
    assert np.allclose(TRUTH.breakpoints(12)[:, 0], 1 - m0 - m1)
    with pytest.raises(InputError, match="level: expected a site before the last layer, got 1"):
        causal_dictionary(level=1, n_inputs=4).truth.breakpoints(0)
