"""Latents ranked by what they do to the target output, by what goes along with it, or at random."""

from __future__ import annotations

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.methods.causes.latents import Latents, latents
from groundtruth.outputs import codes_of
from groundtruth.ranked_dictionary import RankedDictionary
from groundtruth.site_subject import SiteSubject


def targeted_ablation(
    subject: SiteSubject, *, seed: int = 0, dictionary: Latents = None, n: int = 512
) -> RankedDictionary:
    """Strength of a latent: mean |target - target where x is x - z_j W_j|, in the model.

    Args:
        seed: of the inputs, and of the dictionary if it is learned.
        dictionary: the latents; or a method that learns them from the subject; None is `topk`.
        n: inputs. Each latent takes a forward pass of those on which it fires.

    Returns:
        The latents, ranked. What never fires on these inputs has strength 0.

    Raises:
        ExplanationError: latents without codes.

    Source: causal effects of latents by ablation as in Marks et al., "Sparse Feature Circuits:
    Discovering and Editing Interpretable Causal Graphs in Language Models", 2024,
    https://arxiv.org/abs/2403.19647 (there estimated by gradients)
    """
    found = latents(subject, dictionary, seed)
    tokens = subject.tokens(n, seed=seed)
    x = subject.activations(tokens)
    intact = subject.outputs(tokens)[:, subject.target]
    codes = codes_of(found, x.cpu().numpy()).tocsc()
    rows = torch.as_tensor(found.decoder.copy()).to(x)
    strengths = np.zeros(found.k)
    for j in range(found.k):
        part = slice(codes.indptr[j], codes.indptr[j + 1])
        fires = codes.indices[part]
        if not len(fires):
            continue
        taken = torch.as_tensor(codes.data[part].astype(np.float64)).to(x)[:, None] * rows[j]
        without = subject.outputs(tokens[fires], lambda x, taken=taken: x - taken)
        strengths[j] = float((without[:, subject.target] - intact[fires]).abs().sum()) / n
    return RankedDictionary(found, strengths, name="targeted_ablation")


def correlation(
    subject: SiteSubject, *, seed: int = 0, dictionary: Latents = None, n: int = 4096
) -> RankedDictionary:
    """Strength of a latent: |Pearson correlation of its code and the target output|.

    It asks nothing of the model but what it says, and ranks what goes along with causes among them.

    Args:
        seed, dictionary: as for `targeted_ablation`.
        n: inputs.
    """
    found = latents(subject, dictionary, seed)
    tokens = subject.tokens(n, seed=seed)
    target = subject.outputs(tokens)[:, subject.target].cpu().numpy()
    codes = codes_of(found, subject.activations(tokens).cpu().numpy()).toarray()
    codes = codes - codes.mean(0)
    target = target - target.mean()
    size = np.linalg.norm(codes, axis=0)
    # What moves activations by rounding alone does not fire.
    written = size * np.linalg.norm(found.decoder, axis=1)
    fires = written > 1e-9 * written.max()
    strengths = np.zeros(found.k)
    strengths[fires] = np.abs(target @ codes[:, fires]) / (size[fires] * np.linalg.norm(target))
    return RankedDictionary(found, strengths, name="correlation")


def random_ranking(
    subject: SiteSubject, *, seed: int = 0, dictionary: Latents = None
) -> RankedDictionary:
    """The control: the same latents in random order.

    Args:
        seed, dictionary: as for `targeted_ablation`.
    """
    found = latents(subject, dictionary, seed)
    strengths = seeds.generator(seeds.root_of("random_ranking", seed)).random(found.k)
    return RankedDictionary(found, strengths, name="random_ranking")
