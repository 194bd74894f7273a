"""Methods about causes on a compiled model: what is read at a site, and what was read before it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.explanation import Dictionary
from groundtruth.methods.causes import correlation, mean_difference, targeted_ablation
from groundtruth.site_subject import SiteSubject

TESTBED = compile_program(library.program("hist"), vocab="ab", max_length=4).testbed
WORDS = TESTBED.subject.encode([list(word) for word in product("ab", repeat=4)])
TWICE = 1  # the output that says hist = 2


def subject_at(site: str) -> SiteSubject:
    """Words of four letters; the concept is that the last letter is an a."""

    def tokens(seed: int, block: int) -> np.ndarray:
        return WORDS[np.random.default_rng([seed, block]).integers(len(WORDS), size=1024)]

    model = TESTBED.compiled.model
    return SiteSubject(model, site, TWICE, tokens, lambda given: given[:, -1] == WORDS[0, -1])


def latents_at(site: str) -> tuple[Dictionary, tuple[str, ...]]:
    features = TESTBED.at(site).truth.features
    readouts = np.linalg.pinv(features.directions)
    rows = features.directions.copy()
    return Dictionary(rows, lambda x: x @ readouts, signed=True), features.names


def test_at_the_end_only_what_is_said_has_an_effect():
    latents, names = latents_at("blocks.0.hook_resid_post")
    found = targeted_ablation(
        subject_at("blocks.0.hook_resid_post"), dictionary=latents, n=256
    ).strengths
    strength = dict(zip(names, found))
    share = float(np.mean([word[1:].tolist().count(word[-1]) == 2 for word in WORDS]))
    assert strength.pop("hist=2") == pytest.approx(share, abs=0.15)
    assert max(strength.values()) < 1e-3
    # By correlation hist=3, which shuts it out, is strong as well.
    ranked = correlation(subject_at("blocks.0.hook_resid_post"), dictionary=latents, n=1024)
    assert dict(zip(names, ranked.strengths))["hist=3"] > 0.2


def test_before_the_mlp_the_share_has_the_effect():
    latents, names = latents_at("blocks.0.hook_resid_mid")
    found = targeted_ablation(subject_at("blocks.0.hook_resid_mid"), dictionary=latents, n=256)
    strength = dict(zip(names, found.strengths))
    assert max(strength, key=strength.__getitem__).startswith("hist.share")


def test_a_mean_difference_finds_the_letter():
    site = "blocks.0.hook_resid_pre"
    features = TESTBED.at(site).truth.features
    a, b = (features.directions[features.names.index(f"tokens='{t}'")] for t in "ab")
    found = mean_difference(subject_at(site), n=2048).direction
    assert found @ (a - b) / np.linalg.norm(a - b) == pytest.approx(1, abs=0.01)
