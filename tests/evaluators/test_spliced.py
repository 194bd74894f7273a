"""A dictionary in a model's place: closed forms at both ends, and what zero ablation flatters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.compiled_models import compile_program, library
from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.evaluators.spliced import score_spliced
from groundtruth.explanation import Dictionary

SITE = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def subject():
    return compile_program(library.program("reverse"), vocab="abc", max_length=5).testbed.subject


def width(subject):
    return subject.model.W_E.shape[1]


def values(subject, dictionary, **settings):
    tokens = settings.pop("tokens", subject.tokens(64))
    found = score_spliced(subject.model, dictionary, SITE, tokens, **settings)
    return found["model.ce_recovered"], found["model.kl"]


def constant(subject, bias):
    d = width(subject)
    return Dictionary(np.eye(d), lambda x: np.zeros((len(x), d)), bias)


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_the_identity_recovers_all_and_ablation_nothing(subject, ablation):
    identity = Dictionary(np.eye(width(subject)), lambda x: x, signed=True)
    recovered, kl = values(subject, identity, ablation=ablation)
    assert recovered.value == pytest.approx(1, abs=1e-6)
    assert kl.value == pytest.approx(0, abs=1e-9)
    tokens = subject.tokens(64)
    _, cache = subject.model.run_with_cache(tokens, SITE)
    rows = cache[SITE][:, 1:][torch.as_tensor(tokens[:, 1:] != subject.model.pad)]
    bias = rows.double().mean(0).numpy() if ablation == "mean" else np.zeros(width(subject))
    recovered, kl = values(subject, constant(subject, bias), ablation=ablation, tokens=tokens)
    assert recovered.value == pytest.approx(0, abs=1e-5)
    assert kl.value == pytest.approx(kl.floor, rel=1e-4) and kl.floor > 0


def test_the_numbers_are_those_of_the_formulas(subject):
    tokens, d = subject.tokens(40), width(subject)
    keep = np.arange(d) % 2 == 0
    half = Dictionary(np.eye(d)[keep], lambda x: x[:, keep], signed=True)
    targets = np.zeros(tokens.shape, dtype=int)
    found = score_spliced(subject.model, half, SITE, tokens, targets=targets, ablation="zero")
    there = torch.as_tensor((tokens != subject.model.pad) & (tokens != subject.model.bos))

    def said(mask):
        def hook(x, hook):
            return torch.where(there[..., None], x * torch.as_tensor(mask).float(), x)

        logits = subject.model.run_with_hooks(tokens, [(SITE, hook)]).detach().double()
        return torch.log_softmax(logits, -1)[there]

    clean, spliced, ablated = (said(mask) for mask in (np.ones(d), keep, np.zeros(d)))
    entropy = [float(-outputs[:, 0].mean()) for outputs in (clean, spliced, ablated)]
    by_hand = (entropy[2] - entropy[1]) / (entropy[2] - entropy[0])
    recovered = found["model.ce_recovered"]
    if recovered.value is None:
        assert entropy[2] - entropy[0] < 0.5
    else:
        assert recovered.value == pytest.approx(by_hand, rel=1e-5)
    kl = float((clean.exp() * (clean - spliced)).sum(-1).mean())
    assert found["model.kl"].value == pytest.approx(kl, rel=1e-5)


def test_where_ablation_does_no_harm_there_is_nothing_to_recover(subject):
    identity = Dictionary(np.eye(width(subject)), lambda x: x, signed=True)
    one = np.repeat(subject.tokens(1), 8, axis=0)[:, :2]  # one token, whose mean is itself
    recovered, _ = values(subject, identity, tokens=one)
    assert recovered.value is None and "nothing to recover" in recovered.reason


def test_what_is_no_case_is_refused(subject):
    identity = Dictionary(np.eye(width(subject)), lambda x: x, signed=True)
    with pytest.raises(InputError, match='ablation: expected "zero" or "mean"'):
        values(subject, identity, ablation="resample")
    with pytest.raises(InputError, match="targets: expected shape"):
        values(subject, identity, targets=[[0]])
    with pytest.raises(InputError, match="tokens: expected rows with a token"):
        values(subject, identity, tokens=[[subject.model.bos]])
    with pytest.raises(ExplanationError, match="no codes are claimed"):
        values(subject, Dictionary(np.eye(width(subject))))
    with pytest.raises(ExplanationError, match="as wide as the activations"):
        values(subject, Dictionary(np.eye(1), lambda x: x))
    with pytest.raises(UnknownName):
        score_spliced(subject.model, identity, "blocks.9.hook_resid_post", subject.tokens(2))
