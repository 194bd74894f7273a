"""Activations of one site at one position, read or edited as rows (batch, width)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from groundtruth.models.hooks import HookPoint
from groundtruth.models.transformer import Transformer

Edit = Callable[[torch.Tensor], torch.Tensor]
"""Activations (batch, width) -> what stands in their place, of the same shape."""


@torch.no_grad()
def read_site(model: Transformer, site: str, tokens: Any, position: int = -1) -> torch.Tensor:
    """(batch, width) activations of a site that has no heads.

    Raises:
        UnknownName: no such site.
    """
    _, cache = model.run_with_cache(tokens, site)
    return cache[site][:, position]


@torch.no_grad()
def run_edited(
    model: Transformer, site: str, tokens: Any, edit: Edit, position: int = -1
) -> torch.Tensor:
    """(batch, n_outputs) outputs at `position`, with the site's activations there edited.

    Raises:
        UnknownName: no such site.

    Example, steering along the first direction:
        >>> import numpy as np
        >>> from groundtruth.models import Weights
        >>> eye = np.eye(3)
        >>> model = Transformer(Weights(eye, 0 * eye, (), eye, np.zeros(3), bos=0, pad=1))
        >>> first = torch.tensor([1.0, 0.0, 0.0])
        >>> run_edited(model, "hook_embed", [[0, 2]], lambda x: x + first).tolist()
        [[1.0, 0.0, 1.0]]
    """

    def hook(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        edited = activation.clone()
        edited[:, position] = edit(activation[:, position])
        return edited

    return model.run_with_hooks(tokens, [(site, hook)])[:, position]
