"""The small transformer in torch: batched, trainable, with sites named as TransformerLens does.

    hook_embed, hook_pos_embed                        (batch, position, d_model)
    blocks.i.hook_resid_pre, _mid, _post              (batch, position, d_model)
    blocks.i.ln1, blocks.i.ln2, ln_final              .hook_scale (batch, position, 1), and
                                                      .hook_normalized, before scale and shift
    blocks.i.attn.hook_q, hook_k                      (batch, position, head, widest d_head)
    blocks.i.attn.hook_v, hook_z                      (batch, position, head, widest d_value)
    blocks.i.attn.hook_attn_scores, hook_pattern      (batch, head, query, key)
    blocks.i.attn.hook_result                         (batch, position, head, d_model)
    blocks.i.hook_attn_out, blocks.i.hook_mlp_out     (batch, position, d_model)
    blocks.i.mlp.hook_pre, hook_post                  (batch, position, d_mlp)

What a model lacks (a norm, a block's attention or MLP) has no sites. Scores are -inf where a query
does not see a key. Where heads differ in width, the narrower ones end in zeros at hook_q to hook_z,
which nothing reads. What the computation itself does not lay out so is laid out only where a hook
is attached.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from groundtruth.models.attending import SHORT
from groundtruth.models.attention import Attention
from groundtruth.models.hooks import Hook, HookPoint, NamesFilter, attached, chosen, hook_points
from groundtruth.models.layers import HiddenLayer, affine, make_norm, parameter, to_array, to_norm
from groundtruth.models.tokens import check_tokens
from groundtruth.models.weights import Activation, Block, Weights


class Transformer(torch.nn.Module):
    """`weights` as a torch module; the formulas are in `groundtruth.models.weights`.

    What stands at padding positions is computed and finite, but means nothing.

    Args:
        weights: what it starts from; every array becomes a parameter.
        dtype: of the parameters.

    Example:
        >>> eye = np.eye(3)
        >>> model = Transformer(Weights(eye, 0 * eye, (), eye, np.zeros(3), bos=0, pad=1))
        >>> logits, cache = model.run_with_cache([[0, 2]])
        >>> logits[0, 1].tolist(), list(cache)
        ([0.0, 0.0, 1.0], ['hook_embed', 'hook_pos_embed'])
        >>> edited = model.run_with_hooks([[0, 2]], [("hook_embed", lambda x, hook: 2 * x)])
        >>> edited[0, 1].tolist()
        [0.0, 0.0, 2.0]
    """

    def __init__(self, weights: Weights, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.bos, self.pad, self.causal = weights.bos, weights.pad, weights.causal
        self.activation: Activation = weights.activation
        self.W_E, self.W_pos = parameter(weights.W_E), parameter(weights.W_pos)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()
        blocks = [TransformerBlock(block, weights.activation) for block in weights.blocks]
        self.blocks = torch.nn.ModuleList(blocks)
        self.ln_final = make_norm(weights.final_norm)
        self.W_U, self.b_U = parameter(weights.W_U), parameter(weights.b_U)
        self.to(dtype)
        self.hook_points = hook_points(self)

    @property
    def n_tokens(self) -> int:
        return self.W_E.shape[0]

    @property
    def n_positions(self) -> int:
        return self.W_pos.shape[0]

    @property
    def components(self) -> tuple[tuple[int, bool], ...]:
        """For each block how many heads it has, and whether an MLP."""
        return tuple((b.n_heads, b.mlp is not None) for b in self.each_block())

    def forward(self, tokens: Any) -> torch.Tensor:
        """Outputs (batch, position, n_outputs) of token ids (batch, position).

        Raises:
            InputError: tokens that are no rows of known ids that begin with `bos`.
        """
        tokens = self.as_tokens(tokens)
        (embed, position), mask = self.embed(tokens), self.mask(tokens)
        x = embed + position
        for block in self.each_block():
            x = block(x, mask)
        return self.unembed(x)

    def as_tokens(self, tokens: Any) -> torch.Tensor:
        """Checked token ids, on the model's device."""
        tokens = torch.as_tensor(tokens, device=self.W_E.device)
        check_tokens(self, tokens)
        return tokens.long()

    def embed(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What tokens and positions write; their sum enters the first block.

        In memory d_model comes first; see `affine` and `attending`.
        """
        batch, length = tokens.shape
        if length < SHORT:
            embed = self.W_E.T.index_select(1, tokens.T.flatten())
            embed = embed.view(-1, length, batch).permute(2, 1, 0)
        else:
            embed = self.W_E.T.index_select(1, tokens.flatten())
            embed = embed.view(-1, batch, length).permute(1, 2, 0)
        position = self.W_pos[:length].expand(batch, -1, -1)
        return self.hook_embed(embed), self.hook_pos_embed(position)

    def mask(self, tokens: torch.Tensor) -> torch.Tensor:
        """0 where a query may see a key and -inf elsewhere, for every head: (batch, 1, query, key)
        with a single query where all see the same."""
        hidden = (tokens == self.pad)[:, None, None, :]
        if self.causal:
            length = tokens.shape[1]
            hidden = hidden | hidden.new_ones(length, length).triu(1)
        return torch.zeros_like(hidden, dtype=self.W_E.dtype).masked_fill_(hidden, -torch.inf)

    def unembed(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs that the last residual vector is read as."""
        return affine(self.ln_final(x), self.W_U, self.b_U)

    def each_block(self) -> list[TransformerBlock]:
        """The blocks, in order."""
        return [block for block in self.blocks if isinstance(block, TransformerBlock)]

    def hooks(self, fwd_hooks: Sequence[tuple[str, Hook]]) -> AbstractContextManager[None]:
        """(site, fn) pairs attached while the block runs; see `run_with_hooks`."""
        return attached(self.hook_points, fwd_hooks)

    def run_with_hooks(self, tokens: Any, fwd_hooks: Sequence[tuple[str, Hook]]) -> torch.Tensor:
        """The outputs, with activations read or replaced on the way.

        Args:
            tokens: (batch, position).
            fwd_hooks: (site, fn) pairs, run in their order; fn(activation, hook) returns what
                replaces the activation, or None. They are taken off again, after an error too.

        Raises:
            UnknownName: no such site.
        """
        with self.hooks(fwd_hooks):
            return self(tokens)

    def run_with_cache(
        self, tokens: Any, names_filter: NamesFilter = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The outputs, and activations by site, detached.

        Args:
            tokens: (batch, position).
            names_filter: a site, several, or a function that says whether to keep a site; all if
                None.

        Raises:
            UnknownName: no such site.
        """
        cache: dict[str, torch.Tensor] = {}

        def keep(activation: torch.Tensor, hook: HookPoint) -> None:
            cache[hook.name] = activation.detach()

        with self.hooks([(name, keep) for name in chosen(self.hook_points, names_filter)]):
            return self(tokens), cache

    def to_weights(self) -> Weights:
        """The parameters as they are now, in float64."""
        return Weights(
            W_E=to_array(self.W_E),
            W_pos=to_array(self.W_pos),
            blocks=tuple(block.to_block() for block in self.each_block()),
            W_U=to_array(self.W_U),
            b_U=to_array(self.b_U),
            bos=self.bos,
            pad=self.pad,
            causal=self.causal,
            activation=self.activation,
            final_norm=to_norm(self.ln_final),
        )


class TransformerBlock(torch.nn.Module):
    """Attention, then an MLP, each added to the residual stream; either may be missing."""

    def __init__(self, block: Block, activation: Activation) -> None:
        super().__init__()
        self.d_model = len(block.b_O)
        self.hook_resid_pre = HookPoint()
        self.attn = None
        if block.heads:
            self.ln1 = make_norm(block.norm_attention)
            self.attn = Attention(block)
            self.hook_attn_out = HookPoint()
        self.hook_resid_mid = HookPoint()
        self.mlp = None
        if block.mlp is not None:
            self.ln2 = make_norm(block.norm_mlp)
            self.mlp = HiddenLayer(block.mlp, activation)
            self.hook_mlp_out = HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.hook_resid_pre(x)
        if self.attn is not None:
            x = x + self.hook_attn_out(self.attn(self.ln1(x), mask))
        x = self.hook_resid_mid(x)
        if self.mlp is not None:
            x = x + self.hook_mlp_out(self.mlp(self.ln2(x)))
        return self.hook_resid_post(x)

    @property
    def n_heads(self) -> int:
        return 0 if self.attn is None else len(self.attn.layout.widths)

    def to_block(self) -> Block:
        return Block(
            heads=() if self.attn is None else self.attn.to_heads(),
            b_O=np.zeros(self.d_model) if self.attn is None else to_array(self.attn.b_O),
            mlp=None if self.mlp is None else self.mlp.to_mlp(),
            norm_attention=None if self.attn is None else to_norm(self.ln1),
            norm_mlp=None if self.mlp is None else to_norm(self.ln2),
        )
