"""Samples per CPU-second, ours against SAELens's dense sampler, and what each takes in memory.

    python -m benchmarks.sampling [--features 16384] [--width 768] [--repetitions 7]
    python -m benchmarks.sampling --synthsaebench
    python -m benchmarks.sampling --growth

One thread, one run. Memory is the peak resident set of a child process beyond what it held before
it drew; the samples' own n x d activations are kept small (d = 64) so that codes show.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import groundtruth as gt
from benchmarks.saelens_world import (
    cpu_seconds,
    kilobytes,
    laws,
    one_thread,
    our_testbed,
    synthsaebench,
    their_sides,
)
from groundtruth.testbed import BLOCK

N_BLOCKS = 8
THEIR_BATCH = 4096
GROWTH_FIGURE = Path(__file__).with_name("sampling_growth.png")
MEMORY_SAMPLES, MEMORY_WIDTH = 8192, 64
MEMORY_CASES = ((16_384, 60.0), (65_536, 60.0), (16_384, 240.0))


def main() -> None:
    options = _options()
    one_thread()
    if options.memory_of:
        print(_peak_megabytes(options.memory_of, options.features, options.l0))
        return
    if options.synthsaebench:
        _synthsaebench(options.repetitions)
        return
    if options.growth:
        _growth_with_features()
        return
    law = laws(options.features, options.width)
    testbed, (dictionary, generator) = our_testbed(law), their_sides(law)

    def ours() -> None:
        for block in range(N_BLOCKS):
            testbed.block("train", 0, block)

    @torch.no_grad()
    def theirs() -> None:
        for _ in range(2):
            dictionary(generator.sample(BLOCK))

    our_time, their_time = cpu_seconds(ours, theirs, options.repetitions)
    our_rate, their_rate = N_BLOCKS * BLOCK / our_time, 2 * BLOCK / their_time
    print(f"groundtruth: {our_rate:,.0f} samples per CPU-second")
    print(f"SAELens, dense, same law, batches of {BLOCK}: {their_rate:,.0f}")
    print(f"ratio: {our_rate / their_rate:.1f}")
    if options.memory:
        _print_memory()


def _synthsaebench(repetitions: int) -> None:
    """The whole published law on both sides: trees, exclusive children, a copula of rank 25."""
    # As their directions are: not pushed apart, which costs a sample nothing.
    testbed, model = gt.build("synthsaebench-16k", dictionary="sphere"), synthsaebench()

    def ours() -> None:
        for block in range(N_BLOCKS):
            testbed.block("train", 0, block)

    our_time, their_time = cpu_seconds(ours, lambda: model.sample(THEIR_BATCH), repetitions)
    our_rate, their_rate = N_BLOCKS * BLOCK / our_time, THEIR_BATCH / their_time
    print(f"groundtruth, SynthSAEBench-16k: {our_rate:,.0f} samples per CPU-second")
    print(f"SAELens, batches of {THEIR_BATCH}: {their_rate:,.0f}")
    print(f"ratio: {our_rate / their_rate:.1f}")
    print(f"peak memory of the process, both sides in it: {kilobytes('VmHWM') / 1024:.0f} MB")


def _growth_with_features() -> None:
    """Microseconds a sample where ever more features share the same L0 of 30."""
    sizes, times = (1000, 16_000, 131_000, 1_000_000), []
    for features in sizes:
        testbed = our_testbed(laws(features, 64, l0=30.0))

        def ours(testbed=testbed) -> None:
            for block in range(N_BLOCKS):
                testbed.block("train", 0, block)

        spent, _ = cpu_seconds(ours, lambda: None, 5)
        times.append(spent / N_BLOCKS / BLOCK)
        print(f"{features:>9,} features in 64 dimensions: {1e6 * times[-1]:.1f} us a sample")
    slope, height = np.polyfit(np.log(sizes), np.log(times), 1)
    print(f"cost grows as features to the power {slope:.2f}")
    _draw_growth(np.array(sizes), np.array(times), slope, height)


def _draw_growth(sizes: np.ndarray, times: np.ndarray, slope: float, height: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 3), layout="constrained")
    axes.loglog(sizes, 1e6 * times, "o", label="measured")
    fitted = 1e6 * np.exp(height) * sizes**slope
    axes.loglog(sizes, fitted, "-", lw=1, label=f"features to the power {slope:.2f}")
    axes.set(xlabel="features", ylabel="CPU-microseconds a sample", ylim=(1, 1000))
    axes.legend(frameon=False)
    figure.savefig(GROWTH_FIGURE, dpi=150)
    print(f"drawn: {GROWTH_FIGURE.name}")


def _print_memory() -> None:
    print(f"peak memory of one draw of {MEMORY_SAMPLES} samples, MB:")
    for features, l0 in MEMORY_CASES:
        ours, theirs = (_child(side, features, l0) for side in ("groundtruth", "saelens"))
        print(f"  {features} features, {l0:.0f} active: ours {ours:.0f}, SAELens {theirs:.0f}")


def _child(side: str, features: int, l0: float) -> float:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.sampling"]
    command += ["--memory-of", side, "--features", str(features), "--l0", str(l0)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_megabytes(side: str, features: int, l0: float) -> float:
    law = laws(features, MEMORY_WIDTH, l0=l0)
    if side == "groundtruth":
        sampler, rng = our_testbed(law).sampler, np.random.default_rng(0)
        sampler.draw(rng, 2)  # what is kept between draws belongs to the world
        return _growth(lambda: sampler.draw(rng, MEMORY_SAMPLES))
    dictionary, generator = their_sides(law)
    with torch.no_grad():
        dictionary(generator.sample(2))
        return _growth(lambda: dictionary(generator.sample(MEMORY_SAMPLES)))


def _growth(call) -> float:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at what is held now
    before = kilobytes("VmRSS")
    call()
    return (kilobytes("VmHWM") - before) / 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--synthsaebench", action="store_true", help="its whole law, both sides")
    parser.add_argument("--growth", action="store_true", help="ours at ever more features")
    parser.add_argument("--memory", action="store_true", help="also measure peak memory")
    parser.add_argument("--memory-of", choices=("groundtruth", "saelens"), help=argparse.SUPPRESS)
    parser.add_argument("--l0", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
