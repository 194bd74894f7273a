"""The one training loop of the sparse autoencoder family.

`train` feeds a `Trainable` with scaled activations. The model owns its loss, so a new variant
(another activation, another loss, frozen weights) is a new model and never a new loop.
"""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from groundtruth import hashing
from groundtruth.errors import Diverged, InputError, reject
from groundtruth.methods.checkpoint import read_checkpoint, write_checkpoint
from groundtruth.testbed import ActivationSubject

Progress = Callable[[int, int, float], None]
"""progress(step, n_steps, loss)."""

SCALE_SAMPLES = 4096  # the mean norm is then known to about 1%
PROGRESS_CALLS = 100
CHECKPOINT_SECONDS = 30.0
# The loss starts near the variance of the activations, so nothing that learns comes near this.
RUNAWAY = 1e3


class Trainable(Protocol):
    """What the loop needs of a model. Any `torch.nn.Module` with these methods will do."""

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in training, for a checkpoint."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...

    def start(self, x: torch.Tensor) -> None:
        """Set starting values from the first activations (n, d), already scaled."""
        ...

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """The scalar to minimise on a batch (n, d) of scaled activations."""
        ...

    def after_step(self, optimizer: torch.optim.Adam) -> None:
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
        clip: largest norm of the whole gradient; longer ones are shortened to it. None: any. The
            first gradients are so long that Adam, which remembers squares for a thousand steps,
            would learn slowly for that long.
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
    clip: float | None = 1.0
    frozen: tuple[str, ...] = ()
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("n_samples", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise reject(name, value, "a whole number >= 1")
        if not _positive(self.lr):
            raise reject("lr", self.lr, "a finite number > 0", "Pass for example lr=0.003.")
        if self.clip is not None and not _positive(self.clip):
            raise reject("clip", self.clip, "a finite number > 0, or None for no limit")
        for name in ("warmup", "decay"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value <= 1
            ):
                raise reject(name, value, "a share of the steps between 0 and 1")
        if self.device is not None:
            _check_device(self.device)
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
    watch: Callable[[int, Any], None] | None = None,
    watch_at: Sequence[int] = (),
    checkpoint: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> float:
    """Train `model` in place on fresh activations, and leave it in activation units.

    The model is fed x / s with s = sqrt(E |x - E x|^2 / d), so that one learning rate serves
    subjects of any scale; at the end `model.rescale(s)` folds s back into the weights. The same
    seed gives the same weights on one machine at one thread count.

    Args:
        subject: gives `batches` and `sample`.
        seed: of the stream of activations; starting weights belong to the model.
        progress: called about 100 times with (step, n_steps, loss).
        watch: watch(n_samples, copy of the model in activation units), at the first step that has
            seen each number in `watch_at`.
        checkpoint: a file from which training goes on, to the same bytes as undisturbed; written
            every half minute and on an interruption, and removed at the end.
        identity: plain values that a checkpoint must agree on, such as the width.

    Returns:
        The last loss, in units of the scaled activations.

    Raises:
        InputError: constant activations, NaN in a batch, `frozen` names no parameter, or the
            checkpoint is of another run.
        Diverged: the loss became NaN, infinite or 1,000 times the first; it names the step.
    """
    optimizer = _optimizer(model, training)
    rows = min(training.n_samples, SCALE_SAMPLES)
    first = subject.sample(rows, seed=seed, device=training.device)
    scale = _scale(first)
    model.start(first / scale)
    run: Any = hashing.jsonable(
        {**asdict(training), "seed": seed, "scale": scale, **(identity or {})}
    )
    done, highest, watched = _resume(checkpoint, model, optimizer, run)
    every = max(1, training.n_steps // PROGRESS_CALLS)
    marks = sorted(mark for mark in watch_at if mark > watched)
    saved = time.monotonic()
    value, step = math.nan, done
    past = done * training.batch_size
    left = training.n_samples - past
    batches = iter(())  # nothing, if what was interrupted came after the last step
    if left > 0:
        batches = subject.batches(
            training.batch_size, n=left, seed=seed, device=training.device, start=past
        )

    def save() -> None:
        if checkpoint is not None:
            write_checkpoint(checkpoint, model, optimizer, run, (done, highest, watched))

    def show() -> None:
        """Let `watch` see the model if it is time, or was when an interruption came."""
        nonlocal watched
        seen = min(done * training.batch_size, training.n_samples)
        while watch is not None and marks and seen >= marks[0]:
            watch(seen, _in_units(model, scale))
            watched = marks.pop(0)

    with _between_steps() as interrupt:
        try:
            show()
            for step, batch in enumerate(batches, done):
                optimizer.param_groups[0]["lr"] = training.rate(step)
                loss = model.loss(batch.mul_(1.0 / scale))
                value = loss.item()
                highest = max(value, 1.0) * RUNAWAY if math.isnan(highest) else highest
                if not value <= highest:
                    raise _diverged(value, step, batch, training)
                optimizer.zero_grad()
                loss.backward()
                if training.clip is not None:
                    torch.nn.utils.clip_grad_norm_(
                        optimizer.param_groups[0]["params"], training.clip
                    )
                optimizer.step()
                model.after_step(optimizer)
                done = step + 1
                if progress is not None and (step % every == 0 or done == training.n_steps):
                    progress(step, training.n_steps, value)
                show()
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    save()
                    saved = time.monotonic()
                interrupt()
        except KeyboardInterrupt:
            # Between a step's parts the weights are of no step; only whole steps are worth keeping.
            if done == step + 1:
                save()
            raise
    # A selection skips NaN, so weights can be NaN while the loss is finite.
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise Diverged(
                f"Training diverged: {name} held NaN or infinity after step {step} of "
                f"{training.n_steps}. Lower the learning rate: lr={training.lr / 3:.2g}.",
                step,
            )
    model.rescale(scale)
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    return value


@contextmanager
def _between_steps() -> Iterator[Callable[[], None]]:
    """Interruptions wait until the callable is called: between a step's parts the weights are of no
    step, and nothing could go on from them."""
    came: list[tuple[int, Any]] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # which alone may set handlers
        both = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in both.items() if callable(handler)}

    def interrupt() -> None:
        if came:
            number, frame = came.pop()
            handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield interrupt
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        interrupt()


def _optimizer(model: Trainable, training: Training) -> torch.optim.Adam:
    named = dict(model.named_parameters())
    unknown = [name for name in training.frozen if name not in named]
    if unknown:
        raise reject("frozen", unknown[0], f"names among {', '.join(named)}")
    for name, parameter in named.items():
        parameter.requires_grad_(name not in training.frozen)
    free: list[Any] = [p for p in named.values() if p.requires_grad]
    return torch.optim.Adam(free, lr=training.lr, betas=training.betas, fused=True)


def _resume(
    checkpoint: str | Path | None,
    model: Trainable,
    optimizer: torch.optim.Adam,
    run: dict[str, Any],
) -> tuple[int, float, int]:
    """Steps done, the loss above which training has diverged (NaN before the first step), and the
    last sample count that was watched."""
    if checkpoint is None or not Path(checkpoint).exists():
        return 0, math.nan, 0
    return read_checkpoint(checkpoint, model, optimizer, run)


def _in_units(model: Trainable, scale: float) -> Any:
    seen = copy.deepcopy(model)
    seen.rescale(scale)
    return seen


def _diverged(value: float, step: int, batch: torch.Tensor, training: Training) -> Exception:
    wrong = ~batch.isfinite().all(1)
    if wrong.any():
        row = step * training.batch_size + int(wrong.nonzero()[0])
        return InputError(
            f"subject: expected finite activations, got NaN or infinity in {int(wrong.sum())} rows "
            f"of the batch at step {step}, first in row {row} of the stream. Look at "
            f"subject.sample({row + 1})[{row}]."
        )
    return Diverged(
        f"Training diverged: the loss became {value:.4g} at step {step} of {training.n_steps}. "
        f"Lower the learning rate: lr={training.lr / 3:.2g}.",
        step,
    )


def _scale(x: torch.Tensor) -> float:
    wide = x.double()
    scale = (wide - wide.mean(0)).square().mean().sqrt().item()
    if not x.isfinite().all():
        row = int((~x.isfinite().all(1)).nonzero()[0])
        raise InputError(
            f"subject: expected finite activations, got NaN or infinity in row {row}. Look at "
            f"subject.sample({row + 1})[{row}]."
        )
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(
            f"subject: expected activations that vary, got standard deviation {scale} over the "
            f"first {len(x)} samples. Draw more samples, or look at subject.sample(10)."
        )
    return scale


def _check_device(device: object) -> None:
    try:
        torch.zeros(1).to(torch.device(device))  # pyright: ignore[reportArgumentType]
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).split("\n")[0]
        raise reject("device", device, "a device that torch has here", why) from None


def _positive(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )
