"""Ladder rows made from the truth alone: oracles that know all, and claims built to game scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import scipy.sparse as sp

from groundtruth.outputs import Outputs, linear_outputs
from groundtruth.score_data import ScoreData

Part = Literal["select", "score", "positives"]
PARTS: tuple[Part, ...] = ("select", "score", "positives")


def identity(data: ScoreData) -> Outputs:
    """O0: the planted dictionary with the planted codes; manifolds are written by their axes.

    On `positives` the axes are left silent: no score of a manifold looks there.
    """
    truth = data.truth
    codes = {part: getattr(data, part) for part in PARTS}
    if truth.manifolds:
        codes = {part: _beside(data, part, codes[part]) for part in PARTS}
    return linear_outputs(truth.decoder, truth.bias, **codes, signed=truth.signed)


def _beside(data: ScoreData, part: Part, codes: sp.csr_array) -> sp.csr_array:
    """The features' codes, and those of the manifolds' axes, (n, rows of truth.decoder)."""
    n = codes.shape[0]
    if part == "positives":
        n_axes = len(data.truth.decoder) - data.truth.n_features
        axes = [sp.csr_array((n, n_axes), dtype=np.float32)]
    else:
        both = zip(data.truth.manifolds, data.visits(part), strict=True)
        axes = [manifold.axis_codes(found, n) for manifold, found in both]
    return sp.csr_array(sp.hstack([codes, *axes], format="csr"))


def capacity(data: ScoreData, width: int) -> Outputs:
    """O4: O0 restricted to the `width` features of most variance."""
    kept = np.sort(np.argsort(-data.truth.variance, kind="stable")[:width])
    return take(identity(data), kept)


def shuffled(data: ScoreData, rng: np.random.Generator) -> Outputs:
    """C4: O0 with decoder rows moved along a random cycle against the codes."""
    o0 = identity(data)
    cycle = rng.permutation(o0.k)
    decoder = np.empty_like(o0.decoder)
    # A single cycle leaves no row in its place (unless there is only one).
    decoder[cycle] = o0.decoder[np.roll(cycle, 1)]
    return _with_codes(o0, decoder, {part: getattr(o0, part) for part in PARTS})


def null(data: ScoreData, rng: np.random.Generator) -> Outputs:
    """C5: directions drawn anew, and the planted codes with their samples shuffled."""
    o0 = identity(data)
    decoder = rng.standard_normal(o0.decoder.shape)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    codes = {}
    for part in PARTS:
        # `positives` rows are chosen by feature; natural samples know nothing of them.
        source = data.score if part == "positives" else getattr(o0, part)
        n = getattr(o0, part).shape[0]
        codes[part] = sp.csr_array(source[rng.integers(0, source.shape[0], n)])
    return _with_codes(o0, decoder, codes)


def always_on(data: ScoreData, kept: np.ndarray) -> Outputs:
    """C6: the planted directions `kept`, each firing on every sample at its mean activity."""
    o0 = identity(data)
    value = np.maximum(data.truth.mean_activity[kept], 1e-6).astype(np.float32)
    codes = {}
    for part in PARTS:
        rows = np.broadcast_to(value, (getattr(o0, part).shape[0], len(kept)))
        codes[part] = sp.csr_array(np.ascontiguousarray(rows))
    return _with_codes(o0, o0.decoder[kept], codes)


def dead(data: ScoreData) -> Outputs:
    """C6: the planted dictionary with latents that never fire."""
    o0 = identity(data)
    codes = {part: sp.csr_array(getattr(o0, part).shape, dtype=np.float32) for part in PARTS}
    return _with_codes(o0, o0.decoder, codes)


def one(data: ScoreData) -> Outputs:
    """C6: a single perfect latent, that of the feature of most variance."""
    return take(identity(data), np.array([int(np.argmax(data.truth.variance))]))


def copies(data: ScoreData) -> Outputs:
    """C6: copies of one perfect latent, as many as features but at most 64, sharing its code."""
    o0, n = one(data), min(64, data.truth.n_features)
    out = take(o0, np.zeros(n, dtype=np.int64))
    shared = {part: sp.csr_array(getattr(out, part) / np.float32(n)) for part in PARTS}
    return _with_codes(out, out.decoder, shared)


def take(outputs: Outputs, latents: np.ndarray) -> Outputs:
    """The claim that consists of the listed latents."""
    codes = {part: sp.csr_array(getattr(outputs, part)[:, latents]) for part in PARTS}
    return _with_codes(outputs, outputs.decoder[latents], codes)


def _with_codes(like: Outputs, decoder: np.ndarray, codes: dict[str, sp.csr_array]) -> Outputs:
    made = linear_outputs(decoder, like.bias, **codes, signed=like.signed)
    return replace(made, flags=like.flags)
