"""Our transformers as TransformerLens models, with equal outputs; functions on them as methods.

    model = to_transformer_lens(weights)
    model(tokens)                                                # rows of equal length
    model.run_with_hooks(tokens, fwd_hooks=padding_hooks(model, tokens == weights.pad))

TransformerLens knows one head width, one MLP width and one kind of norm per model: `dense` makes
the widths equal with zeros, and norms that differ are refused. Scores are not divided by the root
of d_head, which its configuration can say. It adds no begin-of-sequence token to token ids: give
them as our models read them. It does not mask padding where attention is bidirectional, which
`padding_hooks` does; in causal models padding at the end is never seen anyway.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from groundtruth.adapters.model_methods import model_method
from groundtruth.circuit import Circuit
from groundtruth.errors import InputError
from groundtruth.model_subject import ModelSubject
from groundtruth.models.dense import dense
from groundtruth.models.weights import Block, Head, Norm, Weights


def to_transformer_lens(weights: Weights, dtype: torch.dtype = torch.float32) -> Any:
    """A `HookedTransformer` (TransformerLens 3) that computes what `weights` do.

    Its parameters are exactly ours, padded with zeros: nothing is folded or centred.

    Raises:
        InputError: norms of several kinds, or an RMSNorm with a shift, which it does not have.
    """
    library = importlib.import_module("transformer_lens")
    wide = dense(weights)
    config = library.HookedTransformerConfig(**_config(wide), dtype=dtype)
    with warnings.catch_warnings():
        # Deprecated in favour of a bridge that wraps models of the Hugging Face hub.
        warnings.simplefilter("ignore", DeprecationWarning)
        model = library.HookedTransformer(config, move_to_device=False)
    state = {name: torch.tensor(array, dtype=dtype) for name, array in _state(wide).items()}
    kept = {name: buffer for name, buffer in model.state_dict().items() if name not in state}
    model.load_state_dict(state | kept)
    return model


def padding_hooks(model: Any, padding: Any) -> list[tuple[str, Any]]:
    """Hooks that hide padding from every head of a `HookedTransformer`.

    Args:
        model: the model.
        padding: (batch, position) booleans, `tokens == weights.pad`.
    """
    hidden = torch.as_tensor(padding, dtype=torch.bool)[:, None, None, :]

    def hide(scores: torch.Tensor, hook: Any) -> torch.Tensor:
        return scores.masked_fill(hidden.to(scores.device), -torch.inf)

    return [(f"blocks.{i}.attn.hook_attn_scores", hide) for i in range(model.cfg.n_layers)]


def transformer_lens_method(function: Callable[..., Any]) -> Callable[..., Circuit]:
    """A function that takes a `HookedTransformer` as a circuit method.

    Args:
        function: function(model, tokens, *, paired, metric, seed) -> {node or edge: score}, with
            names as `groundtruth.adapters.model_methods` says. Each call gets a model of its own,
            in which padding is hidden.

    Example:
        def head_norms(model, tokens, *, paired, metric, seed):
            _, cache = model.run_with_cache(tokens)
            ...
            return scores

        gt.evaluate(gt.build("circuit/hist", unit="node"), transformer_lens_method(head_norms))
    """

    def view(subject: ModelSubject) -> Any:
        model = to_transformer_lens(subject.model.to_weights(), subject.model.W_E.dtype)
        padding = subject.tokens == subject.model.pad
        if bool(padding.any()):
            for site, hook in padding_hooks(model, padding):
                model.add_perma_hook(site, hook)
        return model

    return model_method(function, view)


def _config(wide: Weights) -> dict[str, Any]:
    kind, eps = _norm_kind(wide)
    block = wide.blocks[0] if wide.blocks else None
    return {
        "n_layers": len(wide.blocks),
        "d_model": wide.d_model,
        "n_ctx": wide.n_positions,
        "n_heads": len(block.heads) if block else 1,
        "d_head": block.heads[0].W_Q.shape[1] if block else 1,
        "d_mlp": block.mlp.W_in.shape[1] if block and block.mlp else 1,
        "act_fn": wide.activation,
        "d_vocab": wide.n_tokens,
        "d_vocab_out": wide.n_outputs,
        "normalization_type": kind,
        "eps": eps,
        "attention_dir": "causal" if wide.causal else "bidirectional",
        "use_attn_scale": False,
        "init_weights": False,
        "device": "cpu",
    }


def _norm_kind(wide: Weights) -> tuple[str | None, float]:
    norms = [n for block in wide.blocks for n in (block.norm_attention, block.norm_mlp)]
    norms.append(wide.final_norm)
    kinds = {None if norm is None else (norm.center, norm.eps) for norm in norms}
    if len(kinds) > 1:
        raise InputError(f"weights: expected norms of one kind and eps everywhere, got {kinds}.")
    (kind,) = kinds
    if kind is None:
        return None, 1e-5
    center, eps = kind
    if not center and any(norm is not None and norm.shift.any() for norm in norms):
        raise InputError("weights: expected RMSNorms without a shift, got one that shifts.")
    return ("LN" if center else "RMS"), eps


def _state(wide: Weights) -> dict[str, np.ndarray]:
    state = {
        "embed.W_E": wide.W_E,
        "pos_embed.W_pos": wide.W_pos,
        "unembed.W_U": wide.W_U,
        "unembed.b_U": wide.b_U,
        **_norm_state("ln_final", wide.final_norm),
    }
    for i, block in enumerate(wide.blocks):
        state |= {f"blocks.{i}.{name}": array for name, array in _block_state(block).items()}
    return state


def _block_state(block: Block) -> dict[str, np.ndarray]:
    assert block.mlp is not None  # dense weights have one in every block
    names = ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O")
    return {
        **{f"attn.{name}": _stacked(block.heads, name) for name in names},
        "attn.b_O": block.b_O,
        "mlp.W_in": block.mlp.W_in,
        "mlp.b_in": block.mlp.b_in,
        "mlp.W_out": block.mlp.W_out,
        "mlp.b_out": block.mlp.b_out,
        **_norm_state("ln1", block.norm_attention),
        **_norm_state("ln2", block.norm_mlp),
    }


def _stacked(heads: tuple[Head, ...], name: str) -> np.ndarray:
    return np.stack([getattr(head, name) for head in heads])


def _norm_state(name: str, norm: Norm | None) -> dict[str, np.ndarray]:
    if norm is None:
        return {}
    return {f"{name}.w": norm.scale, **({f"{name}.b": norm.shift} if norm.center else {})}
