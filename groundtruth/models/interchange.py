"""Interchange interventions: subspaces of one run, put into another.

Source: Geiger et al., "Finding Alignments Between Interpretable Causal Variables and Distributed
Neural Representations", 2023, https://arxiv.org/abs/2303.02536
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from groundtruth.models.interventions import only, patch
from groundtruth.models.transformer import Transformer


@torch.no_grad()
def interchange(
    model: Transformer,
    base: Any,
    source: Any,
    subspaces: Sequence[tuple[str, Any]],
    where: Any = None,
) -> torch.Tensor:
    """Outputs (batch, position, n_outputs) on `base`, where subspaces hold what they hold on
    `source`.

    Args:
        base, source: (batch, position) token ids of one shape.
        subspaces: (site, basis), each with (k, width) orthonormal rows.
        where: (batch, position) which positions are replaced; all if None.
    """
    _, cache = model.run_with_cache(source, list(dict.fromkeys(site for site, _ in subspaces)))
    hooks = [
        (site, only(patch(cache[site]), positions=where, basis=basis)) for site, basis in subspaces
    ]
    return model.run_with_hooks(base, hooks)
