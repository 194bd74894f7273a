"""Edits of a site: resumed behind it or run from the beginning, they are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_weights import random_tokens, random_weights

from groundtruth.errors import InputError, UnknownName
from groundtruth.models.site_edits import EditedRuns, read_site, run_edited
from groundtruth.models.transformer import Transformer


@pytest.mark.parametrize("norm", [None, "rms"])
@pytest.mark.parametrize("position", [-1, 1])
def test_resuming_behind_a_site_is_running_the_edited_model(norm, position):
    rng = np.random.default_rng(0)
    settings = {} if norm is None else {"norm": norm}
    weights = random_weights(rng, **settings)
    model = Transformer(weights, torch.float64)
    tokens = random_tokens(rng, weights, [4, 4, 3])
    step = torch.tensor(rng.standard_normal(model.W_E.shape[1]))
    for site in model.hook_points:
        if not site.endswith(("hook_resid_mid", "hook_resid_post")):
            continue
        runs = EditedRuns(model, site, tokens, position)
        assert torch.equal(runs.x, read_site(model, site, tokens, position))
        assert torch.allclose(runs.intact, model(tokens)[:, position])
        for edit in (lambda x: x + step, lambda x: 0 * x):
            expected = run_edited(model, site, tokens, edit, position)
            assert torch.allclose(runs.outputs(edit), expected, atol=1e-12)
        # An edit leaves what later ones begin from.
        assert torch.allclose(runs.outputs(lambda x: x), runs.intact)


def test_an_edit_reaches_other_positions_only_through_later_heads():
    rng = np.random.default_rng(1)
    weights = random_weights(rng)
    model = Transformer(weights, torch.float64)
    tokens = random_tokens(rng, weights, [4])
    last = f"blocks.{len(weights.blocks) - 1}.hook_resid_post"
    outputs = run_edited(model, last, tokens, lambda x: x + 1, 0)
    assert torch.equal(run_edited(model, last, tokens, lambda x: x, 1), model(tokens)[:, 1])
    assert not torch.allclose(outputs, model(tokens)[:, 0])


def test_other_sites_are_refused():
    weights = random_weights(np.random.default_rng(0))
    model = Transformer(weights)
    with pytest.raises(InputError) as error:
        EditedRuns(model, "hook_embed", [[weights.bos]])
    assert str(error.value) == (
        "site: expected blocks.i.hook_resid_mid or blocks.i.hook_resid_post, got 'hook_embed'."
    )
    with pytest.raises(UnknownName, match="No site is called"):
        read_site(model, "hook_embd", [[weights.bos]])
