"""Compiled weights in torch, in float32: the one file of the compiler that loads torch."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth.models import Weights
from groundtruth.models.transformer import Transformer


def as_model(weights: Weights) -> Transformer:
    """The weights as a torch module."""
    return Transformer(weights)


@torch.no_grad()
def residual(model: Transformer, tokens: np.ndarray) -> np.ndarray:
    """(batch, position, d_model) after the last block, without begin-of-sequence."""
    last = len(model.blocks) - 1
    sites = [f"blocks.{last}.hook_resid_post"] if last >= 0 else ["hook_embed", "hook_pos_embed"]
    cache = model.run_with_cache(tokens, sites)[1]
    written = [cache[site] for site in sites]
    return torch.stack(written).sum(0)[:, 1:].cpu().numpy()


@torch.no_grad()
def outputs(model: Transformer, tokens: np.ndarray) -> np.ndarray:
    """(batch, position, n_outputs), without begin-of-sequence."""
    logits: torch.Tensor = model(tokens)
    return logits[:, 1:].cpu().numpy()
