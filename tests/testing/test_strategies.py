"""Strategies shrink to the smallest world and can be used by anybody's test suite."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from groundtruth.errors import InputError
from groundtruth.evaluators import Comparison
from groundtruth.outputs import take_outputs
from groundtruth.references import References
from groundtruth.score_data import ScoreData
from groundtruth.testing import (
    LATENT_KINDS,
    SMALL,
    dictionaries,
    feature_truths,
    outputs,
    score_data,
    testbeds,
)

CLAIMS = score_data().flatmap(lambda data: st.tuples(st.just(data), outputs(data)))


def test_truths_and_worlds_shrink_to_one_feature_in_one_dimension():
    assert find(feature_truths(), lambda truth: True).directions.tolist() == [[1.0]]
    world = find(testbeds(), lambda world: True).truth.features
    assert world.directions.tolist() == [[1.0]]
    assert (world.noise, world.bias.tolist(), world.firing_probability.tolist()) == (0, [0], [0.5])


def test_claims_shrink_to_one_planted_latent():
    data, claim = find(CLAIMS, lambda pair: True)
    assert (data.truth.n_features, data.truth.d, claim.k) == (1, 1, 1)
    assert (claim.decoder == data.truth.directions).all()
    assert (claim.score != data.score).nnz == 0


def test_a_failure_shrinks_to_the_least_world_that_shows_it():
    worst = find(testbeds(), lambda world: world.truth.features.n_features >= 3)
    assert (worst.truth.features.n_features, worst.truth.features.d) == (3, 1)


@given(feature_truths(max_features=40, max_d=64))
def test_truths_of_all_sizes_have_unit_rows_and_probabilities(truth):
    assert np.allclose(np.linalg.norm(truth.directions, axis=1), 1, atol=1e-12)
    assert ((truth.firing_probability > 0) & (truth.firing_probability <= 1)).all()


@given(CLAIMS)
def test_claims_are_finite_sparse_and_not_negative(pair):
    data, claim = pair
    for part in ("select", "score", "positives"):
        codes = getattr(claim, part)
        assert codes.shape == (getattr(data, part).shape[0], claim.k)
        assert np.isfinite(codes.data).all() and (codes.data > 0).all()


@pytest.mark.parametrize("kind", ["dead", "zero", "tiny", "duplicate", "mixed"])
def test_each_hard_kind_of_row_occurs(kind):
    def shows(pair):
        data, claim = pair
        norms = np.linalg.norm(claim.decoder, axis=1)
        fires = np.bincount(claim.score.indices, minlength=claim.k) > 0
        c = Comparison(data.truth, claim, data, References(np.ones(data.truth.n_features)))
        return {
            "dead": (norms > 0.5).all() and not fires.any(),
            "zero": (norms == 0).any() and fires.all(),
            "tiny": ((norms > 0) & (norms < 1e-6)).any() and len(c.live) == claim.k,
            "duplicate": claim.k > 1 and (claim.decoder[0] == claim.decoder[-1]).all(),
            "mixed": (norms > 1.1).any(),
        }[kind]

    find(
        score_data().flatmap(
            lambda data: st.tuples(st.just(data), outputs(data, kinds=("planted", kind)))
        ),
        shows,
    )


@given(testbeds().flatmap(lambda world: st.tuples(st.just(world), dictionaries(world))))
def test_dictionaries_are_claims_that_can_be_scored(pair):
    world, claim = pair
    data = ScoreData(world, SMALL)
    assert take_outputs(claim, data).score.shape == (64, claim.k)


def test_unknown_kinds_are_refused():
    data = find(score_data(), lambda data: True)
    with pytest.raises(InputError) as error:
        find(outputs(data, kinds=("planted", "wrong")), lambda claim: True)
    assert str(error.value) == (
        f"kinds: expected some of {', '.join(LATENT_KINDS)}, got ('planted', 'wrong')."
    )


def test_importing_them_into_a_test_module_collects_nothing(tmp_path):
    (tmp_path / "test_outside.py").write_text(
        "from hypothesis import given\n"
        "from groundtruth.testing import testbeds\n\n"
        "@given(testbeds())\n"
        "def test_worlds_have_features(world):\n"
        "    assert world.truth.features.n_features > 0\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "1 passed" in found.stdout, found.stdout + found.stderr
