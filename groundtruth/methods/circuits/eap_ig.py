"""EAP with integrated gradients: slopes averaged on the way from the ablation to the inputs."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth.circuit import Circuit
from groundtruth.errors import reject
from groundtruth.methods.circuits.gradients import ranking, slopes
from groundtruth.model_subject import ModelSubject
from groundtruth.models.edge_patching import writer_outputs
from groundtruth.models.interventions import set_to
from groundtruth.universe import EMBEDDINGS

_SITES = {"embed": "hook_embed", "pos_embed": "hook_pos_embed"}


def eap_ig_inputs(
    subject: ModelSubject, *, seed: int = 0, steps: int = 10, absolute: bool = True
) -> Circuit:
    """(z_u - z_u ablated) . mean of d metric / d input of v, over runs on mixed embeddings.

    Embeddings go from what the ablation puts there to those of the inputs, in the middles of
    `steps` equal steps; all else follows from them. The difference is that of the two ends.

    Args:
        seed: not used; every method has one.
        steps: forward and backward passes.
        absolute: strengths are |s|, else s.

    Returns:
        A ranking of edges.

    Raises:
        InputError: no steps.

    Source: Hanna, Pezzelle and Belinkov, "Have Faith in Faithfulness: Going Beyond Circuit Overlap
    When Finding Model Mechanisms", 2024, https://arxiv.org/abs/2403.17806 (there the left ends of
    the steps, which is less exact)
    """
    none = torch.zeros(1, len(subject.universe("edge")))
    total = np.zeros(len(subject.universe("edge")))
    for share in _middles(steps):
        mixed = {w: torch.lerp(subject.written[w], subject.source[w], share) for w in EMBEDDINGS}
        with subject.model.hooks([(_SITES[w], set_to(value)) for w, value in mixed.items()]):
            written = writer_outputs(subject.model, subject.tokens)
            # The slope is then along the difference of the ends, wherever the run stands.
            source = {
                w: value + subject.source[w] - subject.written[w] for w, value in written.items()
            }
            total += slopes(subject, none, source)[0]
    return ranking(subject, "edge", total / steps, absolute, "eap_ig_inputs")


def eap_ig_activations(
    subject: ModelSubject, *, seed: int = 0, steps: int = 10, absolute: bool = True
) -> Circuit:
    """The same, where each writer's own output goes from the ablation's to its own, one by one.

    Arguments are those of `eap_ig_inputs`; it takes as many passes for every writer.

    Source: Hanna et al., 2024, as for `eap_ig_inputs`; named so in Mueller et al., "MIB: A
    Mechanistic Interpretability Benchmark", 2025, https://arxiv.org/abs/2504.13151
    """
    edges = subject.universe("edge").edges
    total = np.zeros(len(edges))
    for writer in subject.universe("node").candidates:
        own = np.array([edge.writer == writer for edge in edges])
        shares = torch.as_tensor(_middles(steps)[:, None] * own)
        total += np.where(own, slopes(subject, shares).mean(0), 0.0)
    return ranking(subject, "edge", total, absolute, "eap_ig_activations")


def _middles(steps: int) -> np.ndarray:
    if steps < 1:
        raise reject("steps", steps, "at least 1")
    return (np.arange(steps) + 0.5) / steps
