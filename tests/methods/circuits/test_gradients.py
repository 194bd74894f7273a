"""First-order effects against the gradient by the shares that edges carry, a second route."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from circuit_cases import last
from hypothesis import given
from hypothesis import strategies as st
from random_weights import cases, random_tokens, random_weights

from groundtruth.methods import circuits as methods
from groundtruth.methods.circuits.gradients import first_order
from groundtruth.model_subject import ModelSubject
from groundtruth.models.transformer import Transformer


def by_shares(subject: ModelSubject, at: np.ndarray) -> np.ndarray:
    """(set, edge) -d metric / d share at `at` (set, edge)."""
    shares = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(subject.value(subject.run(shares)).sum(), shares)
    return -gradient.numpy()


def subject_of(weights, tokens, granularity, ablation="zero", **settings):
    model = Transformer(weights, torch.float64)
    return ModelSubject(
        model,
        tokens,
        lambda out: out.square().sum((-1, -2)),
        ablation,
        granularity=granularity,
        **settings,
    )


@given(case=cases(), granularity=st.sampled_from(["head", "qkv"]))
def test_slopes_at_readers_are_slopes_by_shares(case, granularity):
    weights, tokens = case
    subject = subject_of(weights, tokens, granularity)
    expected = by_shares(subject, np.zeros((1, len(subject.universe("edge")))))[0]
    found = first_order(subject)
    assert np.abs(found - expected).max() <= 1e-8 * (1 + np.abs(expected).max())


@pytest.mark.parametrize("granularity", ["head", "qkv"])
def test_integrating_over_activations_is_moving_one_writers_shares(granularity):
    rng = np.random.default_rng(0)
    weights = random_weights(rng, norm="layer", activation="gelu")
    tokens, paired = (random_tokens(rng, weights, [4, 4]) for _ in range(2))
    subject = subject_of(weights, tokens, granularity, "resample", paired=paired, pairing="random")
    edges = subject.universe("edge").edges
    at = (np.arange(3) + 0.5)[:, None] / 3
    expected = np.zeros(len(edges))
    for writer in subject.written:
        own = np.array([edge.writer == writer for edge in edges])
        expected += np.where(own, by_shares(subject, at * own).mean(0), 0)
    found = methods.eap_ig_activations(subject, steps=3, absolute=False).strengths
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_integrated_gradients_of_inputs_add_up_to_the_whole_change():
    # What ends at the outputs carries all of the change, if the metric is linear in the outputs.
    rng = np.random.default_rng(1)
    weights = random_weights(rng, activation="gelu")
    tokens, paired = (random_tokens(rng, weights, [4, 4]) for _ in range(2))
    subject = ModelSubject(
        Transformer(weights, torch.float64), tokens, last, "resample", paired, "random"
    )
    found = methods.eap_ig_inputs(subject, steps=4, absolute=False)
    into = [i for i, edge in enumerate(found.universe.edges) if edge.reader == "logits"]
    nothing = subject.ablated("edge", np.zeros((1, len(found.universe)), dtype=bool))
    whole = float(subject.value(subject.outputs()) - subject.value(nothing))
    assert found.strengths[into].sum() == pytest.approx(whole)
    assert abs(whole) > 0.1


def test_parameters_need_no_gradient():
    rng = np.random.default_rng(2)
    weights = random_weights(rng)
    subject = subject_of(weights, random_tokens(rng, weights, [3, 2]), "qkv")
    before = first_order(subject)
    subject.model.requires_grad_(False)
    np.testing.assert_allclose(first_order(subject), before, rtol=1e-9)
    assert all(p.grad is None for p in subject.model.parameters())
