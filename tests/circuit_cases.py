"""Gates as subjects of circuit methods, with what is known of their circuits in closed form."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth.generators.gates import gate
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Edge
from groundtruth.models.transformer import Transformer

ON, OFF = [0, 3, 3], [0, 2, 2]
ALL = [[0, 2 + a, 2 + b] for a in (0, 1) for b in (0, 1)]


def last(outputs: torch.Tensor) -> torch.Tensor:
    """The gate's output."""
    return outputs[..., -1, 0]


def gate_subject(name: str, ablation="resample", tokens=None, **settings) -> ModelSubject:
    """A gate at (1, 1), patched from (0, 0)."""
    model = Transformer(gate(name).weights, torch.float64)
    tokens = [ON] if tokens is None else tokens
    if ablation == "resample":
        settings = {"paired": [OFF] * len(tokens), "pairing": "both 0"} | settings
    return ModelSubject(model, tokens, last, ablation, **settings)


V0, V1 = Edge("embed", "a0.h0.v"), Edge("embed", "a0.h1.v")
K0, K1 = Edge("pos_embed", "a0.h0.k"), Edge("pos_embed", "a0.h1.k")
H0M, H1M = Edge("a0.h0", "m0"), Edge("a0.h1", "m0")
H0L, H1L = Edge("a0.h0", "logits"), Edge("a0.h1", "logits")
ML = Edge("m0", "logits")

# name -> structural, singly active, minimal valid circuits; (1, 1) patched from (0, 0).
RESAMPLED = {
    "and": (
        {V0, V1, K0, K1, H0M, H1M, ML},
        {V0, V1, H0M, H1M, ML},
        [{V0, V1, H0M, H1M, ML}],
    ),
    "or": ({V0, V1, K0, K1, H0M, H1M, ML}, {ML}, [{V0, H0M, ML}, {V1, H1M, ML}]),
    "backup": (
        {V0, V1, K0, K1, H0M, H1M, ML, H0L},
        {H0L, H0M},  # without what silences it, the backup adds to a
        [{V0, H0L}, {V1, H1M, ML}],
    ),
    "saturated": ({V0, K0, H0M, ML}, {V0, H0M, ML}, [{V0, H0M, ML}]),
    "cancelling": ({V0, V1, K0, K1, H0L, H1L}, {V0, V1, H0L, H1L}, [set()]),
    "decoy": ({V0, K0, H0L}, {V0, H0L}, [{V0, H0L}]),
}


def dense(members, universe) -> np.ndarray:
    """(candidate,) flags."""
    return np.array([c in members for c in universe.candidates])
