"""Metrics of outputs, against indexing by hand."""

from __future__ import annotations

import pytest
import torch

from groundtruth.errors import InputError
from groundtruth.output_metrics import logit_difference


def test_a_difference_is_taken_for_every_input_at_the_position():
    outputs = torch.arange(2 * 3 * 4 * 5, dtype=torch.float64).reshape(2, 3, 4, 5).square()
    found = logit_difference([0, 4, 2], [1, 1, 3], position=1)(outputs)
    for s in range(2):
        for b, (right, wrong) in enumerate([(0, 1), (4, 1), (2, 3)]):
            assert found[s, b] == outputs[s, b, 1, right] - outputs[s, b, 1, wrong]


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(InputError, match=r"got shapes \(2,\) and \(1,\)"):
        logit_difference([0, 1], [1])
