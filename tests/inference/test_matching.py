"""Maximum matchings against brute bounds: the assignment below, the greedy matching's half."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from groundtruth.errors import InputError
from groundtruth.inference import assign, greedy_matching, maximum_matching

SIMILARITY = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.5, 0.8, 0.9, 1.0]))
)


def above(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, latent = np.nonzero(similarity >= 0.7)
    return truth, latent


@given(SIMILARITY)
def test_no_assignment_has_more_pairs_above_a_threshold(similarity: np.ndarray) -> None:
    truth, latent = maximum_matching(*above(similarity), *similarity.shape)
    assert (similarity[truth, latent] >= 0.7).all()
    assert len(set(truth)) == len(set(latent)) == len(truth)
    assert len(truth) >= int((assign(similarity).similarity >= 0.7).sum())


@given(SIMILARITY)
def test_as_many_pairs_as_the_best_assignment_of_zeros_and_ones(similarity: np.ndarray) -> None:
    edge = (similarity >= 0.7).astype(float)
    truth, _ = maximum_matching(*np.nonzero(edge), *edge.shape)
    assert len(truth) == assign(edge).similarity.sum()


@given(SIMILARITY)
def test_greedy_has_between_half_and_all_of_the_pairs(similarity: np.ndarray) -> None:
    edges = above(similarity)
    most = len(maximum_matching(*edges, *similarity.shape)[0])
    truth, latent = greedy_matching(*edges, *similarity.shape, similarity[edges])
    assert len(set(truth)) == len(set(latent)) == len(truth)
    assert most / 2 <= len(truth) <= most


def test_greedy_reaches_its_worst_case() -> None:
    edges = ([0, 0, 1], [0, 1, 0])
    assert len(greedy_matching(*edges, 2, 2, [1.0, 0.9, 0.9])[0]) == 1
    assert len(maximum_matching(*edges, 2, 2)[0]) == 2


def test_repeated_edges_and_no_edges() -> None:
    truth, latent = maximum_matching([2, 2, 2], [1, 1, 1], 3, 2)
    assert (truth.tolist(), latent.tolist()) == ([2], [1])
    assert len(maximum_matching([], [], 3, 2)[0]) == 0
    assert len(maximum_matching([], [], 0, 0)[0]) == 0


@pytest.mark.parametrize("edges", [([3], [0]), ([-1], [0]), ([0.5], [0])])
def test_truths_out_of_range_are_refused(edges: tuple[list, list]) -> None:
    with pytest.raises(InputError, match=r"edges_truth: expected a list of whole numbers from 0 t"):
        maximum_matching(*edges, 3, 1)


def test_edges_without_their_other_end_or_weight_are_refused() -> None:
    with pytest.raises(InputError, match=r"edges_truth, edges_latent: expected equal lengths, got"):
        maximum_matching([0, 1], [0], 2, 2)
    with pytest.raises(InputError, match=r"weight: expected 1 finite numbers, one per edge, got"):
        greedy_matching([0], [0], 1, 1, [float("nan")])
