"""Gates and attention circuits as named circuit testbeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from groundtruth.circuit_testbed import CircuitTestbed
from groundtruth.condition import AblationKind
from groundtruth.errors import InputError, reject
from groundtruth.generators.analytic_transformers import BOS, CONTENT, AnalyticTransformer
from groundtruth.generators.attention_circuits import (
    induction,
    max_of_k,
    ov_incoherent,
    skip_trigrams,
)
from groundtruth.generators.gates import GATES, gate
from groundtruth.model_preset import ModelPreset
from groundtruth.model_subject import ModelSubject
from groundtruth.models.graph import Granularity
from groundtruth.models.transformer import Transformer
from groundtruth.paired_inputs import drawn_subject, sequences
from groundtruth.testbed import Recipe
from groundtruth.universe import Unit

GATE_SOURCE = "six gates with closed forms, ours; see groundtruth/generators/gates.py"
_CONDITION: dict[str, Any] = {
    "ablation": "resample",
    "pairing": None,
    "unit": "edge",
    "granularity": "qkv",
    "tolerance": 1e-6,
}


def _gate(
    recipe: Recipe,
    source: str,
    *,
    which: str,
    ablation: AblationKind,
    pairing: str | None,
    unit: Unit,
    granularity: Granularity,
    tolerance: float,
) -> CircuitTestbed:
    settings = _gate_inputs(ablation, pairing)

    def make() -> ModelSubject:
        model = Transformer(gate(which).weights, torch.float64)
        return ModelSubject(
            model, metric=_last_output, ablation=ablation, granularity=granularity, **settings
        )

    return CircuitTestbed(recipe, make, unit, tolerance, True, "analytic", source)


def _gate_inputs(ablation: AblationKind, pairing: str | None) -> dict[str, Any]:
    """Tokens and partners: (1, 1) from (0, 0), or each from every other; else all four."""
    every = [[BOS, CONTENT + a, CONTENT + b] for a, b in itertools.product((0, 1), repeat=2)]
    if ablation != "resample":
        if pairing is not None:
            raise InputError(f"pairing: expected none for {ablation} ablation, got {pairing!r}.")
        return {"tokens": every}
    pairs = {"both 0": [(every[3], every[0])], "every other": itertools.permutations(every, 2)}
    chosen = "both 0" if pairing is None else pairing
    if chosen not in pairs:
        raise reject("pairing", pairing, '"both 0" or "every other"')
    tokens, paired = zip(*pairs[chosen])
    return {"tokens": list(tokens), "paired": list(paired), "pairing": chosen}


def _last_output(outputs: torch.Tensor) -> torch.Tensor:
    """The gate's output."""
    return outputs[..., -1, 0]


def _attention(
    recipe: Recipe,
    source: str,
    *,
    build: Callable[[int, int], AnalyticTransformer],
    vocab: int,
    max_length: int,
    n_inputs: int,
    ablation: AblationKind,
    pairing: str | None,
    unit: Unit,
    granularity: Granularity,
    tolerance: float,
) -> CircuitTestbed:
    drawn = sequences(vocab, max_length, n_inputs, recipe.seed)
    if (own := build(vocab, max_length).weights.n_tokens - CONTENT) != vocab:
        raise reject("vocab", vocab, str(own))
    begin = np.full((len(drawn.sequences), 1), BOS)
    tokens = np.concatenate([begin, drawn.sequences + CONTENT], axis=1)

    def make() -> ModelSubject:
        weights = build(vocab, max_length).weights
        return drawn_subject(weights, tokens, ablation, pairing, granularity)

    exhaustive = drawn.exhaustive
    return CircuitTestbed(recipe, make, unit, tolerance, exhaustive, "analytic", source)


def _gate_preset(name: str) -> ModelPreset[CircuitTestbed]:
    return ModelPreset(
        f"circuit/gate-{name}",
        f"The gate {name!r} of two bits in one block: what each method gets wrong is known.",
        GATE_SOURCE,
        partial(_gate, which=name),
        _CONDITION,
    )


def _attention_preset(
    name: str,
    summary: str,
    build: Callable[[int, int], AnalyticTransformer],
    vocab: int,
    max_length: int,
) -> ModelPreset[CircuitTestbed]:
    sizes = {"vocab": vocab, "max_length": max_length, "n_inputs": 32}
    source = build(vocab, max_length).source or "ours; see groundtruth/generators"
    builder = partial(_attention, build=build)
    return ModelPreset(f"circuit/attention-{name}", summary, source, builder, sizes | _CONDITION)


PRESETS: tuple[ModelPreset[CircuitTestbed], ...] = (
    *map(_gate_preset, GATES),
    _attention_preset(
        "induction", "A previous-token head and an induction head, by hand.", induction, 4, 6
    ),
    _attention_preset(
        "max-of-k",
        "One head that attends more to larger tokens.",
        lambda vocab, max_length: max_of_k(vocab, max_length, 3.0),
        5,
        4,
    ),
    _attention_preset(
        "skip-trigrams",
        "keep ... in -> mind and keep ... at -> bay, by two heads; vocab must be 6.",
        lambda vocab, max_length: skip_trigrams(2, max_length),
        6,
        4,
    ),
    _attention_preset(
        "ov-incoherent",
        "One source token that means something else to each of three destinations, in two heads; "
        "vocab must be 8.",
        lambda vocab, max_length: ov_incoherent(3, max_length),
        8,
        4,
    ),
)
