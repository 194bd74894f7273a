"""Weights in a folder, ready for a model hub.

model.safetensors   every array by name, float64
model.json          what is no array, and the content hash; see `bundle.py`
config.json         sizes, for hubs and readers; loading does not need it
README.md           the card: what it is, how to load it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundtruth.bundle import Bundle, Tensors
from groundtruth.models.weights import MLP, Block, Head, Norm, Weights

BUNDLE = Bundle(
    "model",
    "model",
    1,
    frozenset({"settings", "hash"}),
    frozenset({"W_E", "W_pos", "W_U", "b_U"}),
)


def save_weights(weights: Weights, folder: str | Path, title: str = "A small transformer") -> None:
    """Write `weights` and a card to `folder`, which can be pushed to a model hub as it is.

    A model that is there is replaced.

    Args:
        weights: the model.
        folder: made if it is not there.
        title: first line of the card.

    Raises:
        StoreError: the files cannot be written.
    """
    body = {"settings": weights.settings(), "hash": weights.hash}
    others = {
        "config.json": (json.dumps(config(weights), indent=2) + "\n").encode(),
        "README.md": _card(weights, title).encode(),
    }
    BUNDLE.write(Path(folder), body, weights.arrays(), others)


def load_weights(folder: str | Path) -> Weights:
    """The weights that `save_weights` wrote to `folder`.

    Raises:
        HashMismatch: a file was altered after it was written.
        NewerSchemaError: a later version wrote it.
        StoreError: a file is missing, damaged or foreign.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> weights = Weights(np.eye(3), np.eye(3), (), np.eye(3), np.zeros(3), bos=0, pad=1)
        >>> folder = tempfile.mkdtemp()
        >>> save_weights(weights, folder)
        >>> load_weights(folder).hash == weights.hash
        True
    """
    return BUNDLE.load(folder, lambda body, tensors: weights_of(body["settings"], tensors))


def config(weights: Weights) -> dict[str, Any]:
    """Sizes by the names that model hubs know; heads and hidden units by block."""
    return {
        "model_type": "groundtruth-transformer",
        "vocab_size": weights.n_tokens,
        "output_size": weights.n_outputs,
        "hidden_size": weights.d_model,
        "max_position_embeddings": weights.n_positions,
        "num_hidden_layers": len(weights.blocks),
        "num_attention_heads": [len(block.heads) for block in weights.blocks],
        "intermediate_size": [b.mlp.W_in.shape[1] if b.mlp else 0 for b in weights.blocks],
        "hidden_act": weights.activation,
        "is_decoder": weights.causal,
        "bos_token_id": weights.bos,
        "pad_token_id": weights.pad,
        "hash": weights.hash,
    }


def weights_of(settings: Mapping[str, Any], arrays: Tensors) -> Weights:
    """Weights from what `Weights.settings` and `Weights.arrays` give."""
    tree = _nested({**settings, **arrays})
    blocks = tuple(_block(part) for part in _in_order(tree.pop("blocks", {})))
    norm = tree.pop("final_norm")
    return Weights(blocks=blocks, final_norm=_norm(norm), **tree)


def _block(tree: dict[str, Any]) -> Block:
    mlp = tree["mlp"]
    return Block(
        heads=tuple(Head(**head) for head in _in_order(tree.get("heads", {}))),
        b_O=tree["b_O"],
        mlp=None if mlp is None else MLP(**mlp),
        norm_attention=_norm(tree["norm_attention"]),
        norm_mlp=_norm(tree["norm_mlp"]),
    )


def _norm(tree: dict[str, Any] | None) -> Norm | None:
    return None if tree is None else Norm(**tree)


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": x} -> {"a": {"b": x}}."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *path, last = name.split(".")
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = leaf
    return tree


def _in_order(numbered: Mapping[str, Any]) -> list[Any]:
    return [numbered[str(i)] for i in range(len(numbered))]


def _card(weights: Weights, title: str) -> str:
    n_parameters = sum(array.size for array in weights.arrays().values())
    return f"""---
library_name: groundtruth
tags:
- interpretability
- synthetic
---

# {title}

A transformer whose weights were chosen, not trained: {len(weights.blocks)} blocks on a residual
stream of {weights.d_model}, {n_parameters:,} parameters.

    from groundtruth.models.model_files import load_weights
    from groundtruth.models.transformer import Transformer
    model = Transformer(load_weights("this folder"))

Content hash: `{weights.hash}`. Loading checks it.
"""
