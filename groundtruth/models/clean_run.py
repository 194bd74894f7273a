"""A run of a model as it is, with all that edge patching starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from groundtruth.models import graph
from groundtruth.models.transformer import Transformer


@dataclass(frozen=True, eq=False)
class CleanRun:
    """What a model computes on `tokens`, without gradient.

    Fields:
        tokens: (batch, position).
        written: what every writer writes, by node name: (batch, position, d_model). Their sum, with
            every b_O, is the last residual vector.
        entering: the residual stream that heads ("blocks.i.hook_resid_pre"), MLPs (`_mid`) and the
            outputs ("logits") read.
        outputs: (batch, position, n_outputs).
    """

    tokens: torch.Tensor
    written: dict[str, torch.Tensor]
    entering: dict[str, torch.Tensor]
    outputs: torch.Tensor

    def halves(self) -> list[CleanRun]:
        """The run on the first half of the batch, and on the second."""
        tokens, outputs = self.tokens.chunk(2), self.outputs.chunk(2)
        written, entering = (
            [{name: x.chunk(2)[half] for name, x in given.items()} for half in range(2)]
            for given in (self.written, self.entering)
        )
        return [CleanRun(*parts) for parts in zip(tokens, written, entering, outputs)]


@torch.no_grad()
def clean_run(model: Transformer, tokens: Any) -> CleanRun:
    """One run, with every writer apart."""
    tokens = model.as_tokens(tokens)
    blocks = range(len(model.each_block()))
    read = [f"blocks.{i}.hook_resid_{at}" for i in blocks for at in ("pre", "mid")]
    last = f"blocks.{len(blocks) - 1}.hook_resid_post"
    outputs, cache = model.run_with_cache(
        tokens, [*_sites(model), *read, *([last] if blocks else [])]
    )
    written = _by_writer(model, cache)
    entering = {site: cache[site] for site in read}
    entering[graph.LOGITS] = cache[last] if blocks else written["embed"] + written["pos_embed"]
    return CleanRun(tokens, written, entering, outputs)


def writer_outputs(model: Transformer, tokens: Any) -> dict[str, torch.Tensor]:
    """`written` of a `clean_run`, alone."""
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, _sites(model))
    return _by_writer(model, cache)


def _sites(model: Transformer) -> list[str]:
    return sorted({node.site for node in graph.nodes(model) if node.site is not None})


def _by_writer(model: Transformer, cache: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        node.name: cache[node.site] if node.head is None else cache[node.site][:, :, node.head]
        for node in graph.nodes(model)
        if node.site is not None
    }
