"""Latents taken out of a model and put in, against what is planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import ExplanationError, InputError
from groundtruth.evaluators.causes import planted_ranking
from groundtruth.explanation import Dictionary
from groundtruth.generators.cause_worlds import causal_dictionary
from groundtruth.latent_edits import ablate_latent, steer_latent

TESTBED = causal_dictionary(n_inputs=32)
TRUTH, PLANTED = TESTBED.truth, planted_ranking(TESTBED.truth).dictionary


def test_editing_a_planted_latent_has_the_planted_effect():
    subject, tokens = TESTBED.subject, torch.tensor(TRUTH.tokens)
    intact = subject.outputs(tokens)
    for i in range(PLANTED.k):
        ablated = subject.outputs(tokens, ablate_latent(PLANTED, i)) - intact
        assert np.abs(ablated.numpy() - TRUTH.ablated(i)).max() < 1e-10
        steered = subject.outputs(tokens, steer_latent(PLANTED, i, 1.5)) - intact
        assert np.abs(steered.numpy() - TRUTH.steered(i, 1.5)).max() < 1e-10


def test_they_edit_every_position_as_hooks():
    model, tokens = TESTBED.subject.model, torch.tensor(TRUTH.tokens)
    edit = ablate_latent(PLANTED, 0)
    outputs = model.run_with_hooks(tokens, [(TRUTH.site, lambda x, hook: edit(x))])
    # Heads bring the feature to every position, and it is gone at each.
    expected = TRUTH.network.outputs(TRUTH.codes) + TRUTH.ablated(0)
    assert np.abs(outputs[:, -1].detach().numpy() - expected).max() < 1e-10


def test_codes_of_any_kind_and_single_precision_are_taken():
    rows = torch.eye(3)
    torch_latents = Dictionary(rows, lambda x: torch.relu(x))
    x = torch.tensor([[[2.0, -1.0, 3.0]]], dtype=torch.float32)
    edited = ablate_latent(torch_latents, 2)(x)
    assert edited.dtype == torch.float32 and edited.tolist() == [[[2.0, -1.0, 0.0]]]


def test_what_is_not_there_is_refused():
    with pytest.raises(ExplanationError, match="no codes are claimed"):
        ablate_latent(Dictionary(np.eye(2)), 0)
    with pytest.raises(InputError) as error:
        steer_latent(PLANTED, 15, 1.0)
    assert str(error.value) == "latent: expected 0 to 14, got 15."
    with pytest.raises(InputError, match="latent: expected one whose decoder row is not 0, got 0"):
        steer_latent(Dictionary(np.zeros((1, 2))), 0, 1.0)
