"""The uniform view computes the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from random_weights import cases

from groundtruth.models import dense
from groundtruth.models import numpy_reference as reference


@given(case=cases())
def test_the_dense_view_computes_the_same_with_one_width(case):
    weights, tokens = case
    wide = dense(weights)
    expected = reference.forward(weights, tokens)
    found = reference.forward(wide, tokens)
    assert np.abs(found - expected).max() <= 1e-9 * (1 + np.abs(expected).max())
    shapes = {h.W_Q.shape for b in wide.blocks for h in b.heads}
    shapes |= {h.W_V.shape for b in wide.blocks for h in b.heads}
    assert len(shapes) <= 1
    assert len({(len(b.heads), b.mlp is None or b.mlp.W_in.shape) for b in wide.blocks}) <= 1
    assert dense(wide).hash == wide.hash
