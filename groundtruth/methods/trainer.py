"""The one training loop of the sparse autoencoder family.

`train` feeds a `Trainable` with scaled activations. The model owns its loss, so a new variant
(another activation, another loss, frozen weights) is a new model and never a new loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from groundtruth.errors import InputError, MethodError, reject
from groundtruth.testbed import ActivationSubject

Progress = Callable[[int, int, float], None]
SCALE_SAMPLES = 4096  # the mean norm is then known to about 1%
PROGRESS_CALLS = 100


class Trainable(Protocol):
    """What the loop needs of a model. Any `torch.nn.Module` with these five methods will do."""

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...

    def start(self, x: torch.Tensor) -> None:
        """Set starting values from the first activations (n, d), already scaled."""
        ...

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """The scalar to minimise on a batch (n, d) of scaled activations."""
        ...

    def after_step(self) -> None:
        """Put constraints back, such as decoder rows of length 1."""
        ...

    def rescale(self, factor: float) -> None:
        """Change units: from now on the model sees `factor` times the activations it was fed."""
        ...


@dataclass(frozen=True)
class Training:
    """How to train.

    Fields:
        n_samples: activations seen in all, each once.
        batch_size: activations per step.
        lr: the largest learning rate of Adam.
        warmup: share of the steps over which the rate rises linearly from 0.
        decay: share of the steps, at the end, over which it falls linearly to 0.
        betas: of Adam.
        frozen: names of parameters that keep their value, such as ("W_dec",).
        device: where to train; None is the CPU.

    Raises:
        InputError: a field out of range.

    Example:
        >>> Training(n_samples=1000, batch_size=100).n_steps
        10
    """

    n_samples: int = 500_000
    batch_size: int = 512
    lr: float = 2e-2
    warmup: float = 0.05
    decay: float = 0.3
    betas: tuple[float, float] = (0.9, 0.999)
    frozen: tuple[str, ...] = ()
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("n_samples", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise reject(name, value, "a whole number >= 1")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise reject("lr", self.lr, "a finite number > 0", "Pass for example lr=0.003.")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise reject(name, getattr(self, name), "a share of the steps between 0 and 1")
        if self.warmup + self.decay > 1:
            raise reject("warmup + decay", self.warmup + self.decay, "at most 1")

    @property
    def n_steps(self) -> int:
        return -(-self.n_samples // self.batch_size)

    def rate(self, step: int) -> float:
        """The learning rate at `step`, counted from 0.

        rate = lr min(1, (step + 1) / (warmup n_steps), (n_steps - step) / (decay n_steps))

        Example:
            >>> training = Training(n_samples=10, batch_size=1, lr=1.0, warmup=0.2, decay=0.5)
            >>> [round(training.rate(step), 2) for step in (0, 1, 5, 9)]
            [0.5, 1.0, 1.0, 0.2]
        """
        up = (step + 1) / max(self.warmup * self.n_steps, 1.0)
        down = (self.n_steps - step) / max(self.decay * self.n_steps, 1.0)
        return self.lr * min(1.0, up, down)


def train(
    model: Trainable,
    subject: ActivationSubject,
    training: Training,
    *,
    seed: int,
    progress: Progress | None = None,
) -> float:
    """Train `model` in place on fresh activations, and leave it in activation units.

    The model is fed x / s with s = sqrt(E |x - E x|^2 / d), so that one learning rate serves
    subjects of any scale; at the end `model.rescale(s)` folds s back into the weights. The same
    seed gives the same weights on one machine at one thread count.

    Args:
        subject: gives `batches` and `sample`.
        seed: of the stream of activations; starting weights belong to the model.
        progress: called about 100 times with (step, n_steps, loss).

    Returns:
        The last loss, in units of the scaled activations.

    Raises:
        InputError: constant activations, or `frozen` names no parameter.
        MethodError: the loss became NaN or infinite; it names the step.
    """
    optimizer = _optimizer(model, training)
    rows = min(training.n_samples, SCALE_SAMPLES)
    first = subject.sample(rows, seed=seed, device=training.device)
    scale = _scale(first)
    model.start(first / scale)
    every = max(1, training.n_steps // PROGRESS_CALLS)
    value = math.nan
    batches = subject.batches(
        training.batch_size, n=training.n_samples, seed=seed, device=training.device
    )
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = training.rate(step)
        optimizer.zero_grad()
        loss = model.loss(batch.mul_(1.0 / scale))
        value = loss.item()
        if not math.isfinite(value):
            raise MethodError(
                f"The loss became {value} at step {step} of {training.n_steps}. "
                f"Lower the learning rate: lr={training.lr / 3:.2g}."
            )
        loss.backward()
        optimizer.step()
        model.after_step()
        if progress is not None and (step % every == 0 or step == training.n_steps - 1):
            progress(step, training.n_steps, value)
    model.rescale(scale)
    return value


def _optimizer(model: Trainable, training: Training) -> torch.optim.Adam:
    named = dict(model.named_parameters())
    unknown = [name for name in training.frozen if name not in named]
    if unknown:
        raise reject("frozen", unknown[0], f"names among {', '.join(named)}")
    for name, parameter in named.items():
        parameter.requires_grad_(name not in training.frozen)
    free: list[Any] = [p for p in named.values() if p.requires_grad]
    return torch.optim.Adam(free, lr=training.lr, betas=training.betas, fused=True)


def _scale(x: torch.Tensor) -> float:
    wide = x.double()
    scale = (wide - wide.mean(0)).square().mean().sqrt().item()
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(
            f"subject: expected activations that vary, got standard deviation {scale} over the "
            f"first {len(x)} samples. Draw more samples, or look at subject.sample(10)."
        )
    return scale
