"""The card of a saved model: what it is, how to load it, and how to run it with nothing else."""

from __future__ import annotations

from groundtruth.models.weights import Weights

_HEAD = """---
library_name: groundtruth
license: apache-2.0
tags:
- interpretability
- synthetic
- transformer
---

# {title}

A transformer whose weights were chosen, not trained: {blocks} blocks on a residual stream of
{width}, {parameters:,} parameters.

```python
from groundtruth.models.model_files import load_weights
from groundtruth.models.transformer import Transformer

model = Transformer(load_weights("this folder"))
```

Content hash: `{hash}`. Loading checks it.
"""

_ALONE = """
## Without the library

`model.safetensors` holds every array by name, `config.json` the sizes, `vocab.json` the ids of
tokens. One sequence, in float64:

```python
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def run(folder, tokens):
    weights = load_file(f"{folder}/model.safetensors")
    config, vocab = (
        json.loads(Path(folder, name).read_text()) for name in ("config.json", "vocab.json")
    )
    ids = [config["bos_token_id"], *(vocab[token] for token in tokens)]
    hidden = np.triu(np.full((len(ids), len(ids)), -np.inf), 1) if config["is_decoder"] else 0
    x = weights["W_E"][ids] + weights["W_pos"][: len(ids)]
    for i, heads in enumerate(config["num_attention_heads"]):
        written = weights[f"blocks.{i}.b_O"]
        for h in range(heads):
            at = f"blocks.{i}.heads.{h}"
            q, k, v = (x @ weights[f"{at}.W_{p}"] + weights[f"{at}.b_{p}"] for p in "QKV")
            scores = q @ k.T + hidden
            pattern = np.exp(scores - scores.max(-1, keepdims=True))
            pattern /= pattern.sum(-1, keepdims=True)
            written = written + pattern @ v @ weights[f"{at}.W_O"]
        x = x + written
        if config["intermediate_size"][i]:
            W_in, b_in, W_out, b_out = (
                weights[f"blocks.{i}.mlp.{part}"] for part in ("W_in", "b_in", "W_out", "b_out")
            )
            x = x + np.maximum(x @ W_in + b_in, 0) @ W_out + b_out
    return (x @ weights["W_U"] + weights["b_U"])[1:]
```

Output k stands for `id2label[k]` of `config.json`.
"""


def model_card(weights: Weights, title: str, about: str, *, alone: bool) -> str:
    """The card, with front matter as model hubs read it.

    Args:
        about: what else there is to say, before how to run it.
        alone: whether the folder has what it takes to run it without the library.
    """
    head = _HEAD.format(
        title=title,
        blocks=len(weights.blocks),
        width=weights.d_model,
        parameters=sum(array.size for array in weights.arrays().values()),
        hash=weights.hash,
    )
    return head + (f"\n{about}\n" if about else "") + (_ALONE if alone else "")
