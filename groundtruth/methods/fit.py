"""From a variant and its options to a trained dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import torch

from groundtruth import hashing, seeds
from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.sae import SAE, Sparsity, init_seed, unit_rows
from groundtruth.methods.trainer import Progress, Training, train
from groundtruth.testbed import ActivationSubject


class Options(TypedDict, total=False):
    """What every sparse autoencoder takes besides its own parameters.

    Keys:
        n_samples, batch_size, lr, warmup, decay, clip, device: see `Training`.
        tied: the encoder is the decoder's transpose. Default: False.
        progress, watch, watch_at, checkpoint: see `train`; `watch` is given a `Dictionary`.
    """

    n_samples: int
    batch_size: int
    lr: float
    warmup: float
    decay: float
    clip: float | None
    device: str | None
    tied: bool
    progress: Progress | None
    watch: Callable[[int, Dictionary], None] | None
    watch_at: Sequence[int]
    checkpoint: str | Path | None


DEFAULTS: dict[str, Any] = {
    **{f.name: f.default for f in fields(Training) if f.name in Options.__annotations__},
    "tied": False,
}
"""Settable options and their defaults; the others are the caller's hooks."""


def training_of(options: Options, **changes: Any) -> Training:
    """The `Training` that `options` ask for, with defaults `changes`."""
    asked: dict[str, Any] = {f.name: options[f.name] for f in fields(Training) if f.name in options}
    return Training(**{**changes, **asked})


def fit(
    subject: ActivationSubject,
    sparsity: Sparsity,
    training: Training,
    options: Options,
    *,
    seed: int,
    width: int,
    name: str,
    rows: torch.Tensor | None = None,
    model: Callable[..., SAE] = SAE,
    hold: float | None = None,
    **identity: Any,
) -> Dictionary:
    """Train an SAE of `width` latents from random unit rows, or from `rows` (width, d).

    Args:
        model: class of the model.
        hold: see `SAE`.
        identity: parameters of the variant, on which a checkpoint must agree.

    Raises:
        InputError, MethodError: see `train`.
    """
    unknown = [key for key in options if key not in Options.__annotations__]
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
    tied = options.get("tied", False)
    if not isinstance(tied, bool):
        raise reject("tied", tied, "True or False")
    matrix = next((name for name in training.frozen if name.startswith("W_")), None)
    if tied and matrix is not None:
        raise reject("tied", True, f"False: {matrix} is not trained, the other matrix is")
    start = None if rows is None else hashing.array_digest(rows.numpy())
    if rows is None:
        generator = torch.Generator().manual_seed(init_seed(name, seeds.check_seed(seed)))
        rows = unit_rows(torch.randn(width, subject.d, generator=generator))
    sae = model(rows, sparsity, tied=tied, hold=hold).to(training.device)
    sparsity.plan(training.n_samples)
    watch = options.get("watch")
    train(
        sae,
        subject,
        training,
        seed=seed,
        progress=options.get("progress"),
        watch=None if watch is None else lambda n, seen: watch(n, seen.dictionary(name)),
        watch_at=options.get("watch_at") or (),
        checkpoint=options.get("checkpoint"),
        identity={
            "method": name,
            "source": source_digest(),
            "width": width,
            "tied": tied,
            "hold": hold,
            "start": start,
            **identity,
        },
    )
    sae.requires_grad_(False)
    return sae.dictionary(name)


@cache
def source_digest(folder: Path = Path(__file__).parent) -> str:
    """Hash of the source of all methods here, or in another folder: what one version began,
    another must not go on."""
    return hashing.digest([path.read_text() for path in sorted(folder.glob("*.py"))])


def covariance_rows(subject: ActivationSubject, width: int, *, seed: int) -> torch.Tensor:
    """(width, d) unit rows along draws from N(0, covariance of the activations)."""
    x = subject.sample(max(10_000, 10 * subject.d), seed=seed).double()
    x = x - x.mean(0)
    root = torch.linalg.cholesky(
        x.T @ x / len(x) + 1e-9 * x.square().mean() * torch.eye(subject.d, dtype=x.dtype)
    )
    generator = torch.Generator().manual_seed(init_seed("covariance", seed))
    drawn = torch.randn(width, subject.d, generator=generator, dtype=torch.float64)
    return unit_rows(drawn @ root.T).float()
