"""Causal tracing: blur the inputs with noise, and see whose clean output brings them back."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.circuit import Circuit, circuit_of
from groundtruth.errors import reject
from groundtruth.model_subject import ModelSubject
from groundtruth.models import graph
from groundtruth.models.hooks import Hook
from groundtruth.models.interventions import add, only, set_to


def causal_tracing(
    subject: ModelSubject,
    *,
    seed: int = 0,
    noise: float = 3.0,
    draws: int = 10,
    absolute: bool = True,
) -> Circuit:
    """Strength of a node: how much of what noise took from the metric its clean output restores.

    Gaussian noise is added to the embeddings of all content; m* is the metric then, and m*(v) where
    node v writes what it writes on the clean inputs. The strength is the mean over inputs and draws
    of |m - m*| - |m - m*(v)|, or of m*(v) - m* itself, the indirect effect.

    Args:
        seed: of the noise.
        noise: its standard deviation, in that of the embeddings of the inputs' content.
        draws: of the noise.
        absolute: which of the two. The mean of the indirect effect is 0 where the metric is linear
            in the embeddings, because noise then moves it to both sides alike.

    Returns:
        A ranking of nodes. It says what suffices, and misses what is needed only together: of AND
        neither input restores the output alone.

    Raises:
        InputError: noise or draws out of range.

    Source: Meng et al., "Locating and Editing Factual Associations in GPT", 2022,
    https://arxiv.org/abs/2202.05262
    """
    restored = trace(subject, seed=seed, noise=noise, draws=draws, absolute=absolute)
    universe = subject.universe("node")
    return circuit_of(universe, restored.sum(1), condition=subject.condition, name="causal_tracing")


def trace(
    subject: ModelSubject,
    *,
    seed: int = 0,
    noise: float = 3.0,
    draws: int = 10,
    absolute: bool = True,
    by_position: bool = False,
) -> np.ndarray:
    """(node, position) effects where a node is restored at one position; (node, 1) at all.

    Arguments are those of `causal_tracing`; `by_position` takes as many runs for each position.
    """
    if not noise > 0:
        raise reject("noise", noise, "a number above 0")
    if draws < 1:
        raise reject("draws", draws, "at least 1")
    model, tokens = subject.model, subject.tokens
    names = subject.universe("node").candidates
    nodes = [node for node in graph.nodes(model) if node.name in names]
    positions = list(range(tokens.shape[1])) if by_position else [None]
    content = (tokens != model.bos) & (tokens != model.pad)
    embedded = subject.written["embed"]
    size = noise * float(embedded[content].std())
    intact = subject.metric(subject.outputs())[0]
    rng = seeds.generator(seeds.root_of("causal_tracing", seed))
    total = np.zeros((len(nodes), len(positions)))
    with torch.no_grad():
        for _ in range(draws):
            blur = size * torch.as_tensor(rng.standard_normal(tuple(embedded.shape))).to(embedded)
            blurred = ("hook_embed", add(blur * content[..., None]))
            lost = subject.metric(model.run_with_hooks(tokens, [blurred])[None])[0]
            for i, node in enumerate(nodes):
                for j, position in enumerate(positions):
                    restore = _restore(subject, node, position)
                    found = subject.metric(
                        model.run_with_hooks(tokens, [blurred, (str(node.site), restore)])[None]
                    )[0]
                    gain = (
                        (intact - lost).abs() - (intact - found).abs() if absolute else found - lost
                    )
                    total[i, j] += float(gain @ subject.weights)
    return total / draws


def _restore(subject: ModelSubject, node: graph.Node, position: int | None) -> Hook:
    """What the node writes on the clean inputs, at one position or at all."""
    clean = subject.written[node.name]
    # A site with heads has one axis more.
    hook = set_to(clean) if node.head is None else only(set_to(clean[:, :, None]), heads=node.head)
    return hook if position is None else only(hook, positions=[position])
