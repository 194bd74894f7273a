"""Weights in a folder, ready for a model hub.

model.safetensors   every array by name, float64
model.json          what is no array, and the content hash; see `bundle.py`
config.json         sizes, and what outputs stand for; for hubs and readers, as is what follows
vocab.json          token -> id, where tokens have names
README.md           the card: what it is, how to load it, how to run it without this library
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundtruth.bundle import Bundle, Tensors
from groundtruth.errors import reject
from groundtruth.models.model_card import model_card
from groundtruth.models.weights import MLP, Block, Head, Norm, Weights

BUNDLE = Bundle(
    "model",
    "model",
    1,
    frozenset({"settings", "hash"}),
    frozenset({"W_E", "W_pos", "W_U", "b_U"}),
)


def save_weights(
    weights: Weights,
    folder: str | Path,
    title: str = "A small transformer",
    *,
    tokens: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    about: str = "",
) -> None:
    """Write `weights` and a card to `folder`, which can be pushed to a model hub as it is.

    A model that is there is replaced.

    Args:
        weights: the model.
        folder: made if it is not there.
        title: first line of the card.
        tokens: the name of each token id.
        labels: what each output stands for.
        about: more for the card, in Markdown.

    Raises:
        InputError: not a name for each token, or two with one name; not a label for each output.
        StoreError: the files cannot be written.
    """
    if tokens is not None and not len(set(tokens)) == len(tokens) == weights.n_tokens:
        raise reject("tokens", list(tokens), f"{weights.n_tokens} different names")
    if labels is not None and len(labels) != weights.n_outputs:
        raise reject("labels", list(labels), f"{weights.n_outputs} names")
    others = {"config.json": _json(config(weights, labels))}
    if tokens is not None:
        others["vocab.json"] = _json({token: k for k, token in enumerate(tokens)})
    alone = tokens is not None and not _has_norms(weights) and weights.activation == "relu"
    others["README.md"] = model_card(weights, title, about, alone=alone).encode()
    body = {"settings": weights.settings(), "hash": weights.hash}
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


def config(weights: Weights, labels: Sequence[str] | None = None) -> dict[str, Any]:
    """Sizes by the names that model hubs know; heads and hidden units by block."""
    named = {} if labels is None else {"id2label": dict(enumerate(labels))}
    return {
        "architectures": ["GroundtruthTransformer"],
        "model_type": "groundtruth-transformer",
        "dtype": "float64",
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
        **named,
        "hash": weights.hash,
    }


def _json(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=2, ensure_ascii=False) + "\n").encode()


def _has_norms(weights: Weights) -> bool:
    norms = [n for b in weights.blocks for n in (b.norm_attention, b.norm_mlp)]
    return any(norm is not None for norm in (*norms, weights.final_norm))


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
