"""Attention circuits: their closed forms, exhaustively where small, and what they cannot do."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundtruth.errors import InputError
from groundtruth.generators.analytic_transformers import CONTENT, PAD
from groundtruth.generators.attention_circuits import (
    induction,
    max_of_k,
    ov_incoherent,
    skip_trigrams,
)
from groundtruth.models import numpy_reference as reference
from groundtruth.models.interventions import only, zero
from groundtruth.models.transformer import Transformer


def agrees(made, tokens):
    real = tokens != PAD
    found = reference.forward(made.weights, tokens)[real]
    return np.allclose(found, made.outputs(tokens)[real], rtol=1e-12, atol=1e-12)


def rows(n_tokens, length):
    """Every sequence of `length` contents."""
    contents = list(product(range(CONTENT, CONTENT + n_tokens), repeat=length))
    return np.insert(np.array(contents), 0, 0, axis=1)


MADE = [
    (induction(3, 4), 3),
    (induction(3, 4, sharpness=1.0), 3),
    (max_of_k(3, 4, 0.7), 3),
    (skip_trigrams(1), 6),
    (skip_trigrams(2), 6),
    (ov_incoherent(2), 6),
]


@pytest.mark.parametrize(("made", "n_tokens"), MADE, ids=lambda x: getattr(x, "name", ""))
def test_the_closed_form_holds_on_every_short_sequence(made, n_tokens):
    assert agrees(made, rows(n_tokens, 4 if n_tokens == 3 else 3))
    padded = np.pad(rows(n_tokens, 2), ((0, 0), (0, 2)), constant_values=PAD)
    assert agrees(made, padded)


def test_the_closed_form_catches_another_sharpness():
    tokens = rows(3, 4)
    expected = induction(3, 4, sharpness=1.0).outputs(tokens)
    found = reference.forward(induction(3, 4, sharpness=1.1).weights, tokens)
    assert not np.allclose(found, expected, atol=1e-3)


@given(st.lists(st.integers(2, 6), min_size=2, max_size=12))
def test_induction_says_how_often_each_token_followed(contents):
    made = induction(5, 12)
    tokens = np.array([[0, *contents]])
    logits = Transformer(made.weights)(tokens)[0].detach().numpy()
    now = contents[-1]
    followed = [b for a, b in pairwise(contents) if a == now]
    if followed:
        share = np.bincount(followed, minlength=7) / len(followed)
    else:
        share = np.bincount([0, *contents], minlength=7) / (1 + len(contents))
    assert logits[-1] == pytest.approx(share, abs=1e-5)


def test_induction_needs_both_heads():
    made = induction(5, 8)
    model = Transformer(made.weights)
    tokens = np.array([[0, 2, 3, 4, 5, 6, 2]])
    assert int(model(tokens)[0, -1].argmax()) == 3
    for block in (0, 1):
        off = [(f"blocks.{block}.attn.hook_result", zero)]
        logits = model.run_with_hooks(tokens, off)[0, -1].detach()
        assert logits[3] == logits[CONTENT:].min()


@pytest.mark.parametrize("k", [3, 4])
def test_the_largest_of_k_is_exact_above_ln_of_k_less_1(k):
    threshold = np.log(k - 1)
    for excess, right in ((0.01, True), (-0.01, False)):
        made = max_of_k(5, k, threshold + excess)
        tokens = rows(5, k)
        logits = Transformer(made.weights, torch.float64)(tokens)[:, -1].detach().numpy()
        assert (logits.argmax(-1) == tokens.max(-1)).all() == right
    # The worst case, by name: one largest among copies of the next.
    worst = np.array([[0, 6, *[5] * (k - 1)]])
    assert made.outputs(worst)[0, -1].argmax() == 5


def test_one_head_says_mind_at_at_and_two_do_not():
    keep, into, at, mind, bay, other = range(2, 8)
    tokens = np.array([[0, keep, other, into], [0, keep, other, at], [0, other, other, at]])
    last = {n: Transformer(skip_trigrams(n).weights)(tokens)[:, -1].detach() for n in (1, 2)}
    assert last[1][:, [mind, bay]].tolist() == [[1, 1], [1, 1], [0, 0]]
    assert last[2][:, [mind, bay]].tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize("n", [2, 3, 7])
def test_two_heads_tell_n_destinations_apart_and_one_does_not(n):
    made = ov_incoherent(n)
    model = Transformer(made.weights, torch.float64)
    other = CONTENT + 1 + 2 * n
    tokens = np.array([[0, other, 2, other, CONTENT + 1 + k] for k in range(n)])
    logits = model(tokens)[:, -1, CONTENT + 1 + n : CONTENT + 1 + 2 * n].detach().numpy()
    angles = np.linspace(0, np.pi / 2, n)
    assert logits == pytest.approx(np.cos(angles[:, None] - angles), abs=1e-12)
    assert logits.argmax(-1).tolist() == list(range(n))
    for h in (0, 1):
        hooks = [("blocks.0.attn.hook_result", only(zero, heads=h))]
        alone = model.run_with_hooks(tokens, hooks)[:, -1].detach().numpy()
        assert len(set(alone.argmax(-1)[alone.any(-1)].tolist())) == 1


def test_what_cannot_be_made_is_refused():
    with pytest.raises(InputError):
        skip_trigrams(3)
    with pytest.raises(InputError):
        ov_incoherent(1)
