"""Interventions trained with pyvene as claimed subspaces.

Read by their parts, so that pyvene need not be installed: a rotation `rotate_layer.weight` whose
columns are directions, and what says which of them are interchanged.

    LowRankRotatedSpaceIntervention       all columns
    RotatedSpaceIntervention              the first `interchange_dim`, or parts of its partition
    BoundlessRotatedSpaceIntervention     those before the boundary
    SigmoidMaskRotatedSpaceIntervention   those whose mask is above 1/2
    SigmoidMaskIntervention               neurons whose mask is above 1/2
    VanillaIntervention                   the first `interchange_dim` neurons

Source: Wu et al., "pyvene: A Library for Understanding and Improving PyTorch Models via
Interventions", 2024, https://arxiv.org/abs/2403.07809; read against version 0.1.8.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from groundtruth.alignment import Subspace
from groundtruth.errors import ExplanationError
from groundtruth.models.transformer import Transformer


def to_pyvene(model: Transformer) -> Transformer:
    """A copy with what pyvene asks of every model: a `device` and a `config`.

    Components are then named by our sites, "blocks[0].hook_resid_post.output".

    Example:
        >>> from groundtruth.generators.gates import gate
        >>> to_pyvene(Transformer(gate("and").weights)).device
        device(type='cpu')
    """
    copied: Any = copy.deepcopy(model)
    copied.device, copied.config = copied.W_E.device, SimpleNamespace()
    return copied


def pyvene_subspace(
    intervention: Any,
    site: str,
    *,
    positions: tuple[int, ...] | None = None,
    parts: Sequence[int] | None = None,
) -> Subspace:
    """What a trained pyvene intervention interchanges.

    A mask is soft in pyvene and hard here: scores are those of the subspace that it ends as. In
    pyvene 0.1.8 a boundless intervention moves dimension 0 by half at most, however cold it is,
    because its mask is the product of two sigmoids and one is 1/2 there; here it moves whole.

    Args:
        intervention: the trained intervention, such as
            `next(iter(intervenable.interventions.values()))`.
        site: of our model, where it was made.
        positions: as of `Subspace`.
        parts: numbers of `subspace_partition`, for an intervention with one; all if None.

    Raises:
        ExplanationError: an object of another kind, a mask that leaves nothing, parts without a
            partition.

    Example, with a stand-in of the same parts:
        >>> import torch
        >>> low_rank = SimpleNamespace(rotate_layer=SimpleNamespace(weight=torch.eye(4)[:, :2]))
        >>> pyvene_subspace(low_rank, "blocks.0.hook_resid_post").basis.shape
        (2, 4)
    """
    layer = getattr(intervention, "rotate_layer", None)
    if layer is not None:
        columns = layer.weight.detach().double().cpu().numpy()
    elif getattr(intervention, "embed_dim", None) is not None:
        columns = np.eye(int(intervention.embed_dim))
    else:
        raise ExplanationError(
            "intervention: expected a pyvene intervention, with a rotate_layer or an embed_dim, "
            f"got {type(intervention).__name__}. Pass the trained intervention itself, not the "
            "model around it: intervenable.interventions[key]."
        )
    rows = columns.T[_chosen(intervention, columns.shape[1], parts)]
    if not len(rows):
        raise ExplanationError(
            f"{type(intervention).__name__}: its mask leaves no dimension to interchange. Train it "
            "longer, or with a smaller penalty on the boundary."
        )
    return Subspace(site, rows, positions)


def _chosen(intervention: Any, n: int, parts: Sequence[int] | None) -> np.ndarray:
    """Which of `n` directions are interchanged."""
    numbers = np.arange(n)
    partition = getattr(intervention, "subspace_partition", None)
    if parts is not None:
        if partition is None:
            raise ExplanationError(f"parts: expected None without a partition, got {parts}.")
        return np.concatenate([np.asarray(partition[part], dtype=int) for part in parts])
    boundary = getattr(intervention, "intervention_boundaries", None)
    if boundary is not None:
        # Clamped as pyvene does when it runs.
        return numbers[numbers < min(1.0, max(1e-3, float(boundary.detach()[0]))) * n]
    for name in ("masks", "mask"):
        mask = getattr(intervention, name, None)
        if mask is not None:
            return numbers[mask.detach().cpu().numpy() > 0]
    size = getattr(intervention, "interchange_dim", None)
    return numbers if size is None else numbers[: int(size)]
