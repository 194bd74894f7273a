"""Training samples per CPU-second, ours against SAELens and against the encoder's product alone.

    python -m benchmarks.training [topk batchtopk relu] [--samples 409600] [--repetitions 3]
    python -m benchmarks.training --synthsaebench [--samples 102400]

One thread, one run: the same activations, starting weights, width, batch, Adam, learning rate and
clipping on both sides, taken in turn. The last losses are printed beside the rates: a trainer that
learns less is not faster. The encoder's product alone is the arithmetic floor of any trainer that
has to know every pre-activation.

With --synthsaebench, a BatchTopK autoencoder of the published width, L0, batch and learning rate
learns SynthSAEBench-16k, and each side draws its own activations, of the same law but for the
directions: the time includes that. The loss over the number of dimensions is the unexplained share
of the variance.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

import groundtruth as gt
from benchmarks.saelens_world import one_thread, synthsaebench
from groundtruth.methods.batchtopk import BatchTopK
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.penalty import FixedPenalty
from groundtruth.methods.relu import Relu
from groundtruth.methods.sae import SAE, unit_rows
from groundtruth.methods.topk import TopK
from groundtruth.methods.trainer import Training, train

BATCH = 1024
L1 = 3.0
INIT = 0.01
VARIANTS = ("topk", "batchtopk", "relu")
LAST = 20  # steps over which the last loss is averaged

Draw = Callable[[], Iterator[torch.Tensor]]
"""Endless batches (BATCH, d), from the first on."""


@dataclass(frozen=True)
class Setting:
    """What is trained on both sides."""

    width: int
    l0: int
    lr: float


SANITY = Setting(3200, 20, 1e-3)
SYNTHSAEBENCH = Setting(4096, 25, 3e-4)


def main() -> None:
    options = _options()
    one_thread()
    if options.synthsaebench:
        # As their directions are: not pushed apart, which costs a sample nothing.
        subject = gt.build("synthsaebench-16k", dictionary="sphere").subject
        setting, variants, draw = SYNTHSAEBENCH, ("batchtopk",), _drawn_by_saelens(synthsaebench())
    else:
        subject = gt.build(options.testbed, seed=0).subject
        setting, variants, draw = SANITY, options.variants, lambda: subject.batches(BATCH, seed=0)
    floor = _encoder_rate(subject.sample(BATCH, seed=0), setting.width)
    print(f"encoder's product alone: {floor:,.0f} samples per CPU-second")
    for name in variants:
        ours, theirs = [], []
        for _ in range(options.repetitions):
            ours.append(_ours(name, subject, options.samples, setting))
            theirs.append(_theirs(name, draw, options.samples, setting))
        rate, loss = (statistics.median(column) for column in zip(*ours))
        their_rate, their_loss = (statistics.median(column) for column in zip(*theirs))
        print(f"{name}: groundtruth {rate:,.0f} samples per CPU-second, loss {loss:.3f}")
        print(f"{name}: SAELens {their_rate:,.0f}, loss {their_loss:.3f}")
        print(f"{name}: ratio {rate / their_rate:.2f}; {floor / rate:.2f} times the floor")


def _drawn_by_saelens(model: Any) -> Draw:
    def draw() -> Iterator[torch.Tensor]:
        while True:
            with torch.no_grad():
                batch = model.sample(BATCH)
            yield batch

    return draw


def _ours(
    name: str, subject: gt.ActivationSubject, n: int, setting: Setting
) -> tuple[float, float]:
    width, l0 = setting.width, setting.l0
    sparsity = {
        "topk": lambda: TopK(l0, DeadLatents(width, 1000 * BATCH)),
        "batchtopk": lambda: BatchTopK(l0, DeadLatents(width, 1000 * BATCH)),
        "relu": lambda: Relu(FixedPenalty(L1), None),
    }[name]()
    training = Training(
        n_samples=n, batch_size=BATCH, lr=setting.lr, warmup=0.0, decay=0.0, clip=1.0
    )
    sae, losses = SAE(_rows(width, subject.d), sparsity), []
    sae.W_enc.data.mul_(INIT)
    loss = sae.loss
    sae.loss = lambda x: _kept(loss(x), losses)
    spent = _spent(lambda: train(sae, subject, training, seed=0))
    return n / spent, statistics.mean(losses[-LAST:])


def _theirs(name: str, draw: Draw, n: int, setting: Setting) -> tuple[float, float]:
    import sae_lens
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(0)  # noqa: TID251  (SAELens draws its weights from the global state)
    batches = draw()
    first = torch.cat([next(batches) for _ in range(4)]).double()
    width, d = setting.width, first.shape[1]
    size: dict[str, Any] = {"d_in": d, "d_sae": width}
    if name == "relu":
        config: Any = sae_lens.StandardTrainingSAEConfig(**size, l1_coefficient=L1)
        sae: Any = sae_lens.StandardTrainingSAE(config)
    elif name == "topk":
        sae = sae_lens.TopKTrainingSAE(sae_lens.TopKTrainingSAEConfig(**size, k=setting.l0))
    else:
        config = sae_lens.BatchTopKTrainingSAEConfig(**size, k=setting.l0)
        sae = sae_lens.BatchTopKTrainingSAE(config)
    scale = (first - first.mean(0)).square().mean().sqrt().item()
    sae.b_dec.data = first.mean(0).float() / scale
    # The weights that ours starts from, so that both have the same loss to lower.
    sae.W_dec.data = _rows(width, d)
    sae.W_enc.data = (INIT * _rows(width, d)).T.contiguous()
    data = (batch / scale for batch in draw())
    config = SAETrainerConfig(
        total_training_samples=n,
        train_batch_size_samples=BATCH,
        lr=setting.lr,
        lr_end=setting.lr,
    )
    trainer, losses = SAETrainer(config, sae, data), []
    step = trainer._train_step

    def counted(**arguments: Any) -> Any:
        out = step(**arguments)
        losses.append(out.loss.item())
        return out

    trainer._train_step = counted
    with contextlib.redirect_stderr(io.StringIO()):
        spent = _spent(trainer.fit)
    return n / spent, statistics.mean(losses[-LAST:])


def _rows(width: int, d: int) -> torch.Tensor:
    return unit_rows(torch.randn(width, d, generator=torch.Generator().manual_seed(0)))


def _kept(loss: torch.Tensor, losses: list[float]) -> torch.Tensor:
    losses.append(loss.item())
    return loss


def _encoder_rate(x: torch.Tensor, width: int) -> float:
    W, out = torch.randn(width, x.shape[1]), torch.empty(len(x), width)
    times = [_spent(lambda: torch.mm(x, W.T, out=out)) for _ in range(100)]
    return len(x) / statistics.median(times)


def _spent(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("variants", nargs="*", default=VARIANTS, metavar="variant")
    parser.add_argument("--samples", type=int, default=409_600)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--synthsaebench", action="store_true", help="its law, data included")
    parser.add_argument("--testbed", default="sparse/sanity-constant")
    options = parser.parse_args()
    for name in options.variants:
        if name not in VARIANTS:
            parser.error(f"no variant {name!r}; known: {', '.join(VARIANTS)}")
    return options


if __name__ == "__main__":
    main()
