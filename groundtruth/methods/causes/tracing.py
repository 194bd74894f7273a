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
        noise: its standard deviation, in that of the embeddings of the vocabulary. It has their
            covariance: noise alike in all directions, as in the source, reaches subspaces that
            embeddings never write and a small model reads directly.
        draws: of the noise.
        absolute: which of the two. The mean of the indirect effect is 0 where the metric is linear
            in the embeddings, because noise then moves it to both sides alike.

    Returns:
        A ranking of nodes by how far each alone brings the metric back. Where nodes are needed
        together, or make up for one another, each has a part of it, or less than nothing.

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
    words = [token for token in range(model.n_tokens) if token not in (model.bos, model.pad)]
    centred = model.W_E[words] - model.W_E[words].mean(0)
    spread = noise * centred / len(words) ** 0.5
    intact = subject.metric(subject.outputs())[0]
    rng = seeds.generator(seeds.root_of("causal_tracing", seed))
    total = np.zeros((len(nodes), len(positions)))

    def metric(hooks: list[tuple[str, Hook]]) -> torch.Tensor:
        return subject.metric(model.run_with_hooks(tokens, hooks)[None])[0]

    with torch.no_grad():
        for _ in range(draws):
            drawn = torch.as_tensor(rng.standard_normal((*tokens.shape, len(words))))
            blur = drawn.to(spread) @ spread * content[..., None]
            blurred = ("hook_embed", add(blur))
            lost = metric([blurred])
            for i, node in enumerate(nodes):
                for j, position in enumerate(positions):
                    found = metric([blurred, (str(node.site), _restore(subject, node, position))])
                    gain = found - lost
                    if absolute:
                        gain = (intact - lost).abs() - (intact - found).abs()
                    total[i, j] += float(gain @ subject.weights)
    return total / draws


def _restore(subject: ModelSubject, node: graph.Node, position: int | None) -> Hook:
    """What the node writes on the clean inputs, at one position or at all."""
    clean = subject.written[node.name]
    # A site with heads has one axis more.
    hook = set_to(clean) if node.head is None else only(set_to(clean[:, :, None]), heads=node.head)
    return hook if position is None else only(hook, positions=[position])
