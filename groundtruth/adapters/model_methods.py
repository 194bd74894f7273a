"""A function on another library's view of a model as a circuit method.

    function(model, tokens, *, paired, metric, seed, **parameters) -> {node or edge: score}

`model` is the library's object, in the precision of ours; `tokens` (batch, position) and `paired`,
their partners or None, are torch tensors; `metric` of outputs is a number for each input.

A node goes by its name here ("embed", "a0.h1", "m0") or by its site, with a head where the site
has heads: "hook_embed", ("blocks.0.attn.hook_z", 1), "blocks.0.hook_mlp_out". An edge is a pair of
a writer, named so, and a reader: "a1.h0.q" or ("blocks.1.attn.hook_q", 0), "m1" or
"blocks.1.hook_mlp_in", "logits".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.errors import ExplanationError
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.graph import Edge
from groundtruth.universe import Unit


def model_method(
    function: Callable[..., Any], view: Callable[[ModelSubject], Any]
) -> Callable[..., Circuit]:
    """`function` as a method, on what `view` makes of a subject."""
    name = getattr(function, "__name__", type(function).__name__)

    def method(subject: ModelSubject, *, seed: int, **parameters: Any) -> Circuit:
        scores = function(
            view(subject),
            subject.tokens.clone(),
            paired=None if subject.paired is None else subject.paired.clone(),
            metric=subject.metric,
            seed=seed,
            **parameters,
        )
        return circuit_of_scores(subject, scores, name)

    method.__name__, method.__doc__ = name, function.__doc__
    method.__module__ = function.__module__  # whose source a stored run is keyed by
    return method


def circuit_of_scores(subject: ModelSubject, scores: Any, name: str) -> Circuit:
    """The ranking that a mapping of all nodes, or all edges, to scores is.

    Heads and MLPs that only the library's model has, because it makes blocks equal with zeros, are
    left out: they compute nothing.

    Raises:
        ExplanationError: no mapping, an empty one, nodes and edges mixed, a candidate without a
            score, or with two, or with one that is no number.
        UnknownName: a name that the model has not.
    """
    if not isinstance(scores, Mapping) or not scores:
        got = "an empty one" if isinstance(scores, Mapping) else type(scores).__name__
        raise ExplanationError(
            f"{name}: expected a mapping of nodes or of edges to scores, got {got}. Return for "
            'example {("blocks.0.attn.hook_z", 0): 0.3, "blocks.0.hook_mlp_out": 0.1, ...}.'
        )
    kinds = {_is_edge(key) for key in scores}
    if len(kinds) > 1:
        raise ExplanationError(f"{name}: expected scores of nodes or of edges, got both.")
    unit: Unit = "edge" if kinds == {True} else "node"
    names = _Names(subject)
    found: dict[Any, float] = {}
    for key, score in scores.items():
        parts = [names.of(part) for part in (key if unit == "edge" else (key,))]
        if None in parts:
            continue
        candidate = Edge(*parts) if unit == "edge" else parts[0]
        if candidate in found:
            raise ExplanationError(f"{name}: expected one score for {key!r}, got another before.")
        found[candidate] = _number(name, key, score)
    return Circuit(subject.universe(unit), found, condition=subject.condition, name=name)


def _number(name: str, key: Any, score: Any) -> float:
    try:
        return float(score.detach() if isinstance(score, torch.Tensor) else score)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplanationError(f"{name}: expected a number for {key!r}, got {score!r}.") from error


def _is_edge(key: Any) -> bool:
    """A pair of a site and a head is a node; any other pair an edge."""
    return isinstance(key, tuple) and len(key) == 2 and not isinstance(key[1], (int, np.integer))


class _Names:
    """Sites of a model, as TransformerLens names them, and the nodes and readers there."""

    def __init__(self, subject: ModelSubject) -> None:
        self.known: dict[Any, str | None] = {}
        blocks = subject.model.components
        most = max((n for n, _ in blocks), default=0)
        for i, (n_heads, has_mlp) in enumerate(blocks):
            for site in ("mlp.hook_pre", "hook_mlp_in", "hook_mlp_out"):
                self.known[f"blocks.{i}.{site}"] = graph.mlp_name(i) if has_mlp else None
            for h in range(max(1, most)):
                name = graph.head_name(i, h) if h < n_heads else None
                for site in ("attn.hook_z", "attn.hook_result"):
                    self.known[f"blocks.{i}.{site}", h] = name
                for letter in "qkv":
                    read = None if name is None else f"{name}.{letter}"
                    for site in (f"attn.hook_{letter}", f"hook_{letter}_input"):
                        self.known[f"blocks.{i}.{site}", h] = read
        self.known |= {"hook_embed": "embed", "hook_pos_embed": "pos_embed"}

    def of(self, part: Any) -> Any:
        """The name here; None for what computes nothing; what is not known as it is."""
        return self.known.get(part, part)
