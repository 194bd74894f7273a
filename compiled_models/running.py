"""Compiled weights in torch, in float32: the one file of the compiler that loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from groundtruth.models import Weights
from groundtruth.models.interchange import interchange
from groundtruth.models.transformer import Transformer


def as_model(weights: Weights) -> Transformer:
    """The weights as a torch module."""
    return Transformer(weights)


@torch.no_grad()
def outputs(model: Transformer, tokens: np.ndarray) -> np.ndarray:
    """(batch, position, n_outputs), without begin-of-sequence."""
    logits: torch.Tensor = model(tokens)
    return logits[:, 1:].cpu().numpy()


@torch.no_grad()
def activations(model: Transformer, tokens: np.ndarray, site: str) -> np.ndarray:
    """(batch, position, d_model) at `site`, without begin-of-sequence."""
    _, cache = model.run_with_cache(tokens, site)
    return cache[site][:, 1:].cpu().numpy()


def interchanged(
    model: Transformer,
    base: np.ndarray,
    source: np.ndarray,
    subspaces: Sequence[tuple[str, Any]],
    where: np.ndarray,
) -> np.ndarray:
    """The outputs on `base`, where subspaces hold what they hold on `source`."""
    return interchange(model, base, source, subspaces, where)[:, 1:].cpu().numpy()


@torch.no_grad()
def outputs_and_residual(model: Transformer, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, and (batch, position, d_model) after the last block."""
    last = len(model.blocks) - 1
    sites = [f"blocks.{last}.hook_resid_post"] if last >= 0 else ["hook_embed", "hook_pos_embed"]
    logits, cache = model.run_with_cache(tokens, sites)
    residual = torch.stack([cache[site] for site in sites]).sum(0)
    return logits[:, 1:].cpu().numpy(), residual[:, 1:].cpu().numpy()
