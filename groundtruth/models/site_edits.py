"""Activations of one site at one position, read or edited as rows (batch, width)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

from groundtruth.errors import reject
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


class EditedRuns:
    """Many edits of one site on the same inputs, of which all that lies before it runs once.

    Args:
        model: without hooks of others.
        site: `blocks.i.hook_resid_mid` or `blocks.i.hook_resid_post`.
        tokens: (batch, position).
        position: of the activations.

    Fields:
        x: (batch, width) the activations.
        intact: (batch, n_outputs) outputs at the position, without an edit.

    Raises:
        InputError: another site.
    """

    def __init__(self, model: Transformer, site: str, tokens: Any, position: int = -1) -> None:
        found = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(mid|post)", site)
        if found is None:
            raise reject("site", site, "blocks.i.hook_resid_mid or blocks.i.hook_resid_post")
        self._blocks = model.each_block()[int(found[1]) :]
        self._before_mlp = found[2] == "mid"
        self._model, self._position = model, position
        with torch.no_grad():
            self._mask = model.mask(model.as_tokens(tokens))
            _, cache = model.run_with_cache(tokens, site)
        self._residual = cache[site]
        self.x = self._residual[:, position]
        self.intact = self.outputs(lambda x: x)

    @torch.no_grad()
    def outputs(self, edit: Edit) -> torch.Tensor:
        """What `run_edited` gives."""
        x = self._residual.clone()
        x[:, self._position] = edit(self.x)
        first, *rest = self._blocks
        if self._before_mlp and first.mlp is not None:
            x = x + first.mlp(first.ln2(x))
        for block in rest:
            x = block(x, self._mask)
        return self._model.unembed(x)[:, self._position]
