"""Training toy models: several starts side by side, of which the one with the least loss is kept.

All randomness comes from named streams under the seed: starting weights, batches and held-out
samples never share numbers. `train_toy_model` gives a `TrainedToy`; whether its geometry is one
that is known is for `toy_certificate.py` to say.

Source: the loss, data and sizes are those of Elhage et al., "Toy Models of Superposition", 2022,
https://transformer-circuits.pub/2022/toy_model/index.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundtruth import hashing, seeds
from groundtruth.errors import Diverged, reject
from groundtruth.generators.toy_inputs import ToyInputs, per_feature, whole
from groundtruth.generators.toy_model import ToyModel, check_activation, hidden, read_out

HELD_OUT_BATCHES = 64


@dataclass(frozen=True)
class ToyTraining:
    """What to train and how.

    Loss: E sum_i I_i (x_i - x_hat_i)^2, by AdamW with a rate that falls along a cosine to 0.

    Fields:
        inputs: the law of x.
        d: width of h.
        importance: I_i, a number or one per feature, > 0; kept as one per feature.
        activation: "relu" or "linear".
        n_steps, batch_size: fresh samples at every step.
        lr: the first learning rate.
        weight_decay: of AdamW, on W and b.
        n_starts: models trained side by side on the same batches, from different weights. A small
            model often ends in a local minimum, and starts are cheaper than steps.

    Raises:
        InputError, UnknownName: a field out of range.

    Example:
        >>> ToyTraining(ToyInputs(3, 0.1), d=2, importance=[1, 0.5, 0.25]).importance
        (1.0, 0.5, 0.25)
    """

    inputs: ToyInputs
    d: int = 2
    importance: float | Sequence[float] = 1.0
    activation: str = "relu"
    n_steps: int = 4000
    batch_size: int = 1024
    lr: float = 5e-3
    weight_decay: float = 1e-2
    n_starts: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, ToyInputs):
            raise reject("inputs", self.inputs, "ToyInputs", "Pass for example ToyInputs(5, 0.05).")
        for name in ("d", "n_steps", "batch_size", "n_starts"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))
        importance = per_feature("importance", self.importance, self.inputs.n_features)
        if min(importance) <= 0:
            raise reject("importance", self.importance, "numbers > 0")
        object.__setattr__(self, "importance", importance)
        check_activation(self.activation)
        _check_number("lr", self.lr, positive=True)
        _check_number("weight_decay", self.weight_decay, positive=False)

    def rate(self, step: int) -> float:
        """lr (1 + cos(pi step / n_steps)) / 2 at `step`, counted from 0."""
        return self.lr * (1 + math.cos(math.pi * step / self.n_steps)) / 2

    def description(self) -> dict[str, Any]:
        """Plain JSON, from which it can be made again."""
        return json.loads(hashing.canonical_json(asdict(self)))

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> ToyTraining:
        """The training that `description` describes.

        Raises:
            TypeError: a field that is missing or unknown.
        """
        inputs = ToyInputs(**description["inputs"])
        return cls(**{**description, "inputs": inputs})


@dataclass(frozen=True, eq=False)
class TrainedToy:
    """A trained toy model. Two are the same if their `hash` is.

    Fields:
        training, seed: what it was made with.
        W: (d, n_features) float32, read-only.
        b: (n_features,) float32, read-only.
        loss: on held-out samples, in units of the importances.
    """

    training: ToyTraining
    seed: int
    W: np.ndarray
    b: np.ndarray
    loss: float

    def __post_init__(self) -> None:
        n, d = self.training.inputs.n_features, self.training.d
        for name, shape in (("W", (d, n)), ("b", (n,))):
            array = np.array(getattr(self, name), dtype=np.float32)
            if array.shape != shape or not np.isfinite(array).all():
                raise reject(name, array.shape, f"shape {shape} with finite entries")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "seed", seeds.check_seed(self.seed))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """ "f0", "f1", ..., by column of W."""
        return tuple(f"f{i}" for i in range(self.training.inputs.n_features))

    @property
    def model(self) -> ToyModel:
        """A fresh torch model with these weights."""
        return ToyModel(self.W, self.b, activation=self.training.activation)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over training, seed and weights."""
        about = {"training": self.training.description(), "seed": self.seed}
        return hashing.content_hash(about, {"W": self.W, "b": self.b})


def train_toy_model(training: ToyTraining, *, seed: int) -> TrainedToy:
    """Train from `training.n_starts` random weights; the start with the least held-out loss.

    The same seed gives the same bytes on one machine with one version of torch. Elsewhere the last
    digits differ: save the model to share it.

    Raises:
        Diverged: the loss became NaN or infinite.

    Example:
        >>> short = ToyTraining(ToyInputs(2, 0.1), d=1, n_steps=300, n_starts=2)
        >>> train_toy_model(short, seed=0).W.shape
        (1, 2)
    """
    root = seeds.root_of("toy-training", seed)
    W, b = _starts(training, root)
    with _one_thread():
        _descend(training, W, b, root)
        loss = _held_out_losses(training, W, b, root)
    if not np.isfinite(loss).all():
        raise Diverged(
            f"Toy model: expected a finite loss after {training.n_steps} steps, got NaN or "
            f"infinity. Lower the learning rate: lr={training.lr / 3:.2g}.",
            training.n_steps - 1,
        )
    best = int(loss.argmin())
    weights = W[best].detach().numpy(), b[best].detach().numpy()
    return TrainedToy(training, seed, *weights, float(loss[best]))


def _descend(training: ToyTraining, W: torch.Tensor, b: torch.Tensor, root: bytes) -> None:
    """Train W and b in place, each start on its own loss."""
    optimizer = torch.optim.AdamW(
        [W, b], lr=training.lr, weight_decay=training.weight_decay, fused=True
    )
    for step, x in enumerate(_batches(training, root, "train", training.n_steps)):
        optimizer.param_groups[0]["lr"] = training.rate(step)
        optimizer.zero_grad()
        _losses(training, W, b, x).sum().backward()
        optimizer.step()


@contextmanager
def _one_thread() -> Iterator[None]:
    """At these sizes threads only wait for one another; one also fixes the order of sums."""
    held = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(held)


def _starts(training: ToyTraining, root: bytes) -> tuple[torch.Tensor, torch.Tensor]:
    """W (n_starts, d, n_features) normal with variance 2 / (d + n_features), and b of zeros.

    Each start has a stream of its own, so more starts leave the first ones as they are.
    """
    n, d = training.inputs.n_features, training.d
    draws = [
        seeds.generator(root, "start", k).standard_normal((d, n)) for k in range(training.n_starts)
    ]
    W = torch.tensor(np.stack(draws) * math.sqrt(2 / (n + d)), dtype=torch.float32)
    return W.requires_grad_(), torch.zeros(training.n_starts, n, requires_grad=True)


def _batches(
    training: ToyTraining, root: bytes, stream: str, n_batches: int
) -> Iterator[torch.Tensor]:
    for step in range(n_batches):
        rng = seeds.generator(root, stream, step)
        yield torch.from_numpy(training.inputs.draw(rng, training.batch_size))


def _losses(
    training: ToyTraining, W: torch.Tensor, b: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """(n_starts,): mean over the batch of sum_i I_i (x_i - x_hat_i)^2."""
    error = read_out(W, b, hidden(W, x), training.activation) - x
    importance = torch.tensor(training.importance)
    return (error.square() * importance).sum(dim=-1).mean(dim=-1)


@torch.no_grad()
def _held_out_losses(
    training: ToyTraining, W: torch.Tensor, b: torch.Tensor, root: bytes
) -> np.ndarray:
    """(n_starts,): the same samples for all, so that their order is surer than the losses are."""
    batches = _batches(training, root, "held-out", HELD_OUT_BATCHES)
    losses = [_losses(training, W, b, x).double().numpy() for x in batches]
    return np.mean(losses, axis=0)


def _check_number(name: str, value: Any, *, positive: bool) -> None:
    expected = "a finite number > 0" if positive else "a finite number >= 0"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise reject(name, value, expected)
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise reject(name, value, expected)
