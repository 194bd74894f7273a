"""Codes: harmonics are as coherent as they say, and whatever is asked is read exactly."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.codes import chosen_codes, closest, harmonics, smallest
from groundtruth.compiled_models.transport import Coding


@pytest.mark.parametrize(("period", "m"), [(9, 1), (9, 3), (24, 2), (41, 5)])
def test_coherence_is_the_greatest_product_of_two_words(period, m):
    code = harmonics(period, m, np.random.default_rng(0))
    words = code.words(period)
    products = words @ words.T
    np.testing.assert_allclose(np.diag(products), 1)
    others = products[~np.eye(period, dtype=bool)]
    assert code.coherence == pytest.approx(others.max())
    assert code.coherence < 1


def test_a_shift_keeps_the_span_of_harmonics():
    code = harmonics(12, 2, np.random.default_rng(0))
    both = np.concatenate([code.words(9), code.words(9, 3)], axis=1)
    assert np.linalg.matrix_rank(both) == 4


@pytest.mark.parametrize(
    "name", ["hist", "reverse", "detect_pattern", "shift_by", "last_occurrence"]
)
def test_whatever_is_asked_is_read_exactly_from_the_fewest_coordinates(name):
    entry = library.entry(name)
    compiled = compile_program(
        library.example_program(name), vocab=entry.vocab, max_length=7, n_sequences=64
    )
    layout, placement, weights = compiled.layout, compiled.placement, compiled.weights
    rng = np.random.default_rng(0)
    codes = chosen_codes(layout, placement, weights, None, frozenset(), rng)
    assert codes is not None
    fewest = smallest(layout, placement, weights, frozenset(), np.random.default_rng(0))
    assert {v: code.shape[1] for v, code in codes.items()} == fewest
    size = 1 + sum(fewest.values())
    assert size < layout.d_model
    coding = Coding(layout, codes, 0, np.eye(size))
    for block in weights.blocks:
        asked = [w for head in block.heads for w in (head.W_Q, head.W_K)]
        asked += [] if block.mlp is None else [block.mlp.W_in]
        for reader in asked:
            read = coding.read(reader)
            for variable in layout.variables:
                rows = slice(variable.directions.start, variable.directions.stop)
                got = coding.codes[variable] @ read.weights[coding.places[variable]]
                off = got - reader[rows]
                off -= off.mean(axis=0) if variable.one_hot else 0
                assert np.abs(off).max() < 1e-9 * max(1, np.abs(reader).max())
    assert all(closest(code) > 0.05 for v, code in codes.items() if v.one_hot)
    too_few = chosen_codes(layout, placement, weights, size - 1, frozenset(), rng)
    assert too_few is None
