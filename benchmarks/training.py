"""Training samples per CPU-second, ours against SAELens and against the encoder's product alone.

    python -m benchmarks.training [topk batchtopk relu] [--samples 409600] [--repetitions 3]

One thread, one run: the same activations, starting weights, width, batch, Adam, learning rate and
clipping on both sides, taken in turn. The last losses are printed beside the rates: a trainer that
learns less is not faster. The encoder's product alone is the arithmetic floor of any trainer that
has to know every pre-activation.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import groundtruth as gt
from benchmarks.saelens_world import one_thread
from groundtruth.methods.batchtopk import BatchTopK
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.penalty import FixedPenalty
from groundtruth.methods.relu import Relu
from groundtruth.methods.sae import SAE, unit_rows
from groundtruth.methods.topk import TopK
from groundtruth.methods.trainer import Training, train

WIDTH, L0, BATCH, LR = 3200, 20, 1024, 1e-3
L1 = 3.0
INIT = 0.01
VARIANTS = ("topk", "batchtopk", "relu")
LAST = 20  # steps over which the last loss is averaged


def main() -> None:
    options = _options()
    one_thread()
    subject = gt.build(options.testbed, seed=0).subject
    floor = _encoder_rate(subject.sample(BATCH, seed=0))
    print(f"encoder's product alone: {floor:,.0f} samples per CPU-second")
    for name in options.variants:
        ours, theirs = [], []
        for _ in range(options.repetitions):
            ours.append(_ours(name, subject, options.samples))
            theirs.append(_theirs(name, subject, options.samples))
        rate, loss = (statistics.median(column) for column in zip(*ours))
        their_rate, their_loss = (statistics.median(column) for column in zip(*theirs))
        print(f"{name}: groundtruth {rate:,.0f} samples per CPU-second, loss {loss:.3f}")
        print(f"{name}: SAELens {their_rate:,.0f}, loss {their_loss:.3f}")
        print(f"{name}: ratio {rate / their_rate:.2f}; {floor / rate:.2f} times the floor")


def _ours(name: str, subject: gt.ActivationSubject, n: int) -> tuple[float, float]:
    sparsity = {
        "topk": lambda: TopK(L0, DeadLatents(WIDTH, 1000 * BATCH)),
        "batchtopk": lambda: BatchTopK(L0, DeadLatents(WIDTH, 1000 * BATCH)),
        "relu": lambda: Relu(FixedPenalty(L1), None),
    }[name]()
    training = Training(n_samples=n, batch_size=BATCH, lr=LR, warmup=0.0, decay=0.0, clip=1.0)
    sae, losses = SAE(_rows(subject.d), sparsity), []
    sae.W_enc.data.mul_(INIT)
    loss = sae.loss
    sae.loss = lambda x: _kept(loss(x), losses)
    spent = _spent(lambda: train(sae, subject, training, seed=0))
    return n / spent, statistics.mean(losses[-LAST:])


def _theirs(name: str, subject: gt.ActivationSubject, n: int) -> tuple[float, float]:
    import sae_lens
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(0)  # noqa: TID251  (SAELens draws its weights from the global state)
    size: dict[str, Any] = {"d_in": subject.d, "d_sae": WIDTH}
    if name == "relu":
        config: Any = sae_lens.StandardTrainingSAEConfig(**size, l1_coefficient=L1)
        sae: Any = sae_lens.StandardTrainingSAE(config)
    elif name == "topk":
        sae = sae_lens.TopKTrainingSAE(sae_lens.TopKTrainingSAEConfig(**size, k=L0))
    else:
        sae = sae_lens.BatchTopKTrainingSAE(sae_lens.BatchTopKTrainingSAEConfig(**size, k=L0))
    first = subject.sample(4096, seed=0).double()
    scale = (first - first.mean(0)).square().mean().sqrt().item()
    sae.b_dec.data = first.mean(0).float() / scale
    # The weights that ours starts from, so that both have the same loss to lower.
    sae.W_dec.data = _rows(subject.d)
    sae.W_enc.data = (INIT * _rows(subject.d)).T.contiguous()
    data = (batch / scale for batch in subject.batches(BATCH, seed=0))
    config = SAETrainerConfig(
        total_training_samples=n, train_batch_size_samples=BATCH, lr=LR, lr_end=LR
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


def _rows(d: int) -> torch.Tensor:
    return unit_rows(torch.randn(WIDTH, d, generator=torch.Generator().manual_seed(0)))


def _kept(loss: torch.Tensor, losses: list[float]) -> torch.Tensor:
    losses.append(loss.item())
    return loss


def _encoder_rate(x: torch.Tensor) -> float:
    W, out = torch.randn(WIDTH, x.shape[1]), torch.empty(len(x), WIDTH)
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
    parser.add_argument("--testbed", default="sparse/sanity-constant")
    options = parser.parse_args()
    for name in options.variants:
        if name not in VARIANTS:
            parser.error(f"no variant {name!r}; known: {', '.join(VARIANTS)}")
    return options


if __name__ == "__main__":
    main()
