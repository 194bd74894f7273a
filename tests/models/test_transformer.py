"""The torch form: equal to the reference, its sites, its parameters."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from random_weights import cases

from groundtruth.models import numpy_reference
from groundtruth.models.transformer import Transformer


@given(case=cases())
def test_torch_is_the_reference_to_round_off(case):
    weights, tokens = case
    expected = numpy_reference.forward(weights, tokens)
    found = Transformer(weights, torch.float64)(tokens).detach().numpy()
    scale = 1 + np.abs(expected).max()
    assert np.abs(found - expected).max() <= 1e-9 * scale
