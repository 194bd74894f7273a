"""Four models that Tracr compiles, as weights of ours, so that circuits can be enumerated in them.

The folder `tracr` holds them, made by Tracr 1.0.0 of the package indices (`tracr-pypi`, with jax
and dm-haiku) with its defaults:

    python -m reproductions.tracr_models reproductions/tracr

Halves of blocks that are all zeros write nothing and are left out.

Source: Lindner et al., "Tracr: Compiled Transformers as a Laboratory for Interpretability", 2023,
https://arxiv.org/abs/2301.05062
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.condition import AblationKind
from groundtruth.model_subject import ModelSubject
from groundtruth.models import MLP, Block, Head, Weights
from groundtruth.models.model_files import load_weights, save_weights
from groundtruth.models.transformer import Transformer
from groundtruth.output_metrics import answering

FOLDER = Path(__file__).parent / "tracr"
MODELS = ("reverse", "frac_prevs", "hist", "sort_unique")
BOS, PAD = "BOS", "compiler_pad"
MAX_LENGTH, N_INPUTS = 5, 60

ABLATIONS: dict[str, tuple[AblationKind, str]] = {
    "zero": ("zero", ""),
    "mean": ("mean", ""),
    "equal length": ("resample", "random sequences of equal length"),
    "mixed length": ("resample", "random sequences of any length"),
}


def tracr_subject(name: str, ablation: str) -> ModelSubject:
    """A model on 60 random sequences of five tokens, in double precision.

    Outputs count at tokens, not at begin-of-sequence.

    Args:
        name: of `MODELS`.
        ablation: of `ABLATIONS`.
    """
    weights = load_weights(FOLDER / name)
    kind, pairing = ABLATIONS[ablation]
    rng = seeds.generator(seeds.root_of("tracr", 0), name)
    tokens = _sequences(weights, rng, np.full(N_INPUTS, MAX_LENGTH))
    paired = None
    if kind == "resample":
        mixed = ablation == "mixed length"
        lengths = rng.integers(1, MAX_LENGTH + 1, N_INPUTS) if mixed else [MAX_LENGTH] * N_INPUTS
        paired = _sequences(weights, rng, np.array(lengths))
    model = Transformer(weights, torch.float64)
    counted = (tokens != model.pad) & (tokens != model.bos)

    subject = ModelSubject(
        model,
        tokens,
        lambda outputs: outputs.sum((-2, -1)),
        kind,
        paired,
        pairing,
        counted=counted,
    )
    return answering(subject)


def _sequences(weights: Weights, rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """(n, 1 + 5) ids: begin-of-sequence, tokens, padding."""
    n_ids = len(weights.W_E)
    known = np.array([k for k in range(n_ids) if k not in (weights.bos, weights.pad)])
    ids = known[rng.integers(0, len(known), (len(lengths), MAX_LENGTH))]
    ids = np.where(np.arange(MAX_LENGTH) < lengths[:, None], ids, weights.pad)
    return np.column_stack([np.full(len(lengths), weights.bos), ids])


# --- from Tracr ----------------------------------------------------------------------------------


def compiled() -> dict[str, Weights]:
    """The four models, compiled by Tracr; which must be installed."""
    from tracr.compiler import compiling, lib
    from tracr.rasp import rasp

    letters, numbers = {"a", "b", "c"}, {1, 2, 3}
    programs = {
        "reverse": (lib.make_reverse(rasp.tokens), letters),
        "frac_prevs": (lib.make_frac_prevs(rasp.tokens == "a"), letters),
        "hist": (lib.make_hist(), letters),
        "sort_unique": (lib.make_sort_unique(rasp.tokens, rasp.tokens), numbers),
    }
    found = {}
    for name, (program, vocab) in programs.items():
        model = compiling.compile_rasp_to_model(
            program, vocab=vocab, max_seq_len=MAX_LENGTH, compiler_bos=BOS
        )
        found[name] = weights_of(model, program.label)
    return found


def weights_of(model: Any, output: str) -> Weights:
    """The weights of a model that `tracr.compiler.compiling.compile_rasp_to_model` returned.

    Tokens have the ids that Tracr gives them. Tracr divides scores by the root of the width of a
    head, which is folded into the queries here, and never masks padding, as ours does; both run the
    same on sequences without it.

    Args:
        output: the label of the program's output; the directions of its values, in Tracr's order,
            are read out.

    Raises:
        ValueError: no direction is called so.
    """
    params = {
        name: {k: np.asarray(v, float) for k, v in p.items()} for name, p in model.params.items()
    }
    config, labels = model.model_config, list(model.residual_labels)
    read = [k for k, label in enumerate(labels) if label.partition(":")[0] == output]
    if not read:
        raise ValueError(f"output: expected the label of an s-op, got {output!r}: {labels}")
    ids = model.input_encoder.encoding_map
    d = len(labels)
    return Weights(
        W_E=params["token_embed"]["embeddings"],
        W_pos=params["pos_embed"]["embeddings"],
        blocks=tuple(
            _block(params, f"transformer/layer_{i}", config) for i in range(config.num_layers)
        ),
        W_U=np.eye(d)[:, read],
        b_U=np.zeros(len(read)),
        bos=ids[BOS],
        pad=ids[PAD],
        causal=config.causal,
    )


def _block(params: dict[str, dict[str, np.ndarray]], layer: str, config: Any) -> Block:
    written = params[f"{layer}/attn/linear"]
    width, n = config.key_size, config.num_heads
    sides = {side: params[f"{layer}/attn/{side}"] for side in ("query", "key", "value")}
    heads = []
    for h in range(n):
        at = slice(h * width, (h + 1) * width)
        if written["w"][at].any():
            Q, K, V = (sides[side] for side in ("query", "key", "value"))
            root = np.sqrt(width)
            heads.append(
                Head(
                    Q["w"][:, at] / root,
                    Q["b"][at] / root,
                    K["w"][:, at],
                    K["b"][at],
                    V["w"][:, at],
                    V["b"][at],
                    written["w"][at],
                )
            )
    first, second = params[f"{layer}/mlp/linear_1"], params[f"{layer}/mlp/linear_2"]
    used = first["w"].any(axis=0) & second["w"].any(axis=1)
    mlp = None
    if used.any():
        mlp = MLP(first["w"][:, used], first["b"][used], second["w"][used], second["b"])
    return Block(tuple(heads), written["b"], mlp)


if __name__ == "__main__":
    for name, weights in compiled().items():
        save_weights(weights, Path(sys.argv[1]) / name, f"Tracr's {name} at length {MAX_LENGTH}")
