"""Belief and report agree without the flag and never under it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.generators.beliefs import REPORT, belief
from groundtruth.models.site_edits import run_edited


@pytest.mark.parametrize("cosine", [0.0, 0.3])
def test_the_model_acts_on_the_belief_and_reports_it_unless_flagged(cosine):
    testbed = belief(cosine=cosine)
    tokens = testbed.subject.tokens(2048, seed=0)
    e0, e1, flag = (tokens[:, 1:4] - 2).T
    believed = e0 & e1
    outputs = run_edited(testbed.model, testbed.subject.site, tokens, lambda x: x).numpy()
    assert np.abs(outputs - np.column_stack([believed, believed ^ flag])).max() < 1e-10
    assert np.array_equal(testbed.subject.labels(tokens), believed == 1)
    # Binomial(2048, .05): five standard deviations, a false alarm in a million.
    assert abs(flag.sum() - 102.4) < 5 * np.sqrt(102.4 * 0.95)


def test_cases_are_all_inputs_with_and_without_the_flag():
    truth = belief().truth
    for cases, agree in (truth.familiar, True), (truth.shifted, False):
        assert len(cases.x) == 2**5 and cases.exhaustive
        reported = cases.x @ truth.rival_readout > truth.rival_threshold
        assert ((reported == cases.labels) == agree).all()
        assert cases.weights[cases.labels].sum() == pytest.approx(0.5)


def test_each_direction_moves_its_own_output():
    testbed = belief(cosine=0.3)
    truth, tokens = testbed.truth, testbed.subject.tokens(64)
    site = testbed.subject.site
    intact = run_edited(testbed.model, site, tokens, lambda x: x)
    for direction, planted in (truth.direction, [1, 0]), (truth.rival_direction, [0, 1 / REPORT]):
        vector = torch.tensor(direction.copy())
        moved = run_edited(testbed.model, site, tokens, lambda x, v=vector: x + v) - intact
        assert np.allclose(moved.numpy(), [planted])


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"flag_rate: expected a rate in \[0, 1\), got 1"):
        belief(flag_rate=1)
