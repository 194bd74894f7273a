"""Controls: dictionaries that learned nothing. A method that does not beat them found nothing.

C0 `random_directions` knows only the width of the activations; C1 `data_rows` also knows what
single activations look like. Both encode alike, so they differ in their directions alone.
"""

from __future__ import annotations

import torch

from groundtruth.errors import InputError
from groundtruth.explanation import Dictionary
from groundtruth.methods.sae import check_l0, check_width, init_seed, unit_rows
from groundtruth.testbed import ActivationSubject


def random_directions(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    n_samples: int = 4096,
) -> Dictionary:
    """C0: k independent directions, uniform on the sphere.

    codes = relu((x - m) W^T - t), with m the mean of a training sample and t such that the codes
    of that sample have mean L0 `l0`. The claimed reconstruction is codes @ W + m.

    Args:
        seed: of the directions and of the sample.
        width: directions k; None is 4 d.
        l0: mean active latents per sample; None is max(1, round(d / 10)).
        n_samples: from which m and t are taken.

    Raises:
        InputError: a parameter out of range.

    Source: Korznikov et al., "Sanity Checks for Sparse Autoencoders: Do SAEs Beat Random
    Baselines?", 2026, https://arxiv.org/abs/2602.14111 (why random directions belong beside
    trained ones; theirs still train the other half of the autoencoder)
    """
    width = check_width(width, subject.d)
    wanted = check_l0(l0, subject.d, width)
    x = subject.sample(n_samples, seed=seed)
    generator = torch.Generator().manual_seed(init_seed("random_directions", seed))
    rows = unit_rows(torch.randn(width, subject.d, generator=generator))
    return _thresholded(rows, x, wanted, "random_directions")


def data_rows(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: float | None = None,
    n_samples: int = 4096,
) -> Dictionary:
    """C1: k centred training activations, drawn without replacement and made unit length.

    Encoder, arguments and errors are those of `random_directions`; at least 2 k samples are drawn.

    Raises:
        InputError: a parameter out of range, or fewer than k activations differ from their mean.
    """
    width = check_width(width, subject.d)
    wanted = check_l0(l0, subject.d, width)
    x = subject.sample(max(n_samples, 2 * width), seed=seed)
    centred = x - x.mean(0)
    centred = centred[torch.linalg.vector_norm(centred, dim=1) > 0]
    if len(centred) < width:
        raise InputError(
            f"width: expected at most {len(centred)}, the samples that differ from their mean, "
            f"got {width}. Lower width, or raise n_samples."
        )
    generator = torch.Generator().manual_seed(init_seed("data_rows", seed))
    chosen = torch.randperm(len(centred), generator=generator)[:width]
    return _thresholded(unit_rows(centred[chosen]), x, wanted, "data_rows")


def _thresholded(rows: torch.Tensor, x: torch.Tensor, l0: float, name: str) -> Dictionary:
    mean = x.mean(0)
    scores = ((x - mean) @ rows.T).view(-1)
    rank = min(max(1, round(l0 * len(x))), len(scores))
    # Halfway to the next score, so that exactly `rank` scores are above it.
    least = scores.topk(min(rank + 1, len(scores)), sorted=True).values[rank - 1 :]
    threshold = least.double().mean().float() if len(least) == 2 else least[0] - 1

    def encode(x: torch.Tensor) -> torch.Tensor:
        return ((x - mean) @ rows.T - threshold).relu()

    return Dictionary(rows, encode, bias=mean, unit_norm=True, name=name)
