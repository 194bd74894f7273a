"""CPU-seconds and memory to score a decoder against 16,384 features, beside the cosines alone.

    python -m benchmarks.matching [--repetitions 3] [--dense]
    python -m benchmarks.matching --large

The bar is one float32 product of the two dictionaries by torch, on the same thread of the same
run: (16,384 x 768) by (768 x 16,384), taken in blocks of 2,048 rows so that it needs no gigabyte.
Scoring is what a user types, `gt.evaluate(world, gt.Dictionary(decoder), metrics=METRICS)`: the
search, the largest matchings, the optimal assignment and its proof, floors and ceilings. The floor
of `recover.mcc` is simulated once for each size and kept in the cache; its time stands apart.

`--large` scores 100,000 latents against 100,000 features by recall, precision and F1, all of it;
only the product beside it is taken in part.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

import groundtruth as gt
from benchmarks.saelens_world import (
    N_FEATURES,
    WIDTH,
    cpu_seconds,
    kilobytes,
    laws,
    one_thread,
    our_testbed,
)
from groundtruth.evaluators import floors

METRICS = (
    "recover.recall",
    "recover.precision",
    "recover.precision_soft",
    "recover.f1",
    "recover.aurc",
    "recover.mmcs_truth",
    "recover.mmcs_latent",
    "recover.mcc",
    "recover.uniqueness",
)
AT_THRESHOLD = ("recover.recall", "recover.precision", "recover.f1")
DECODERS = ("random", "near copy", "duplicated")
BLOCK = 2048
LARGE, LARGE_BLOCKS = 100_000, 8


def main() -> None:
    options = _options()
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("GROUNDTRUTH_CACHE", folder)
        if options.peak_of:
            _score_once(options.peak_of, options.features)
        elif options.large:
            _large()
        else:
            _beside_the_product(options.features, options.repetitions, options.dense)


def _beside_the_product(n_features: int, repetitions: int, dense: bool) -> None:
    world = our_testbed(laws(n_features))
    spent = _timed(lambda: floors.random_mcc(WIDTH, n_features, n_features, signed=True, seed=0))
    print(f"floor of recover.mcc, simulated once: {spent:.2f} CPU-seconds")
    for name in DECODERS:
        rows = decoder(name, world.truth.features.directions)
        ours, product = cpu_seconds(
            lambda rows=rows: gt.evaluate(world, gt.Dictionary(rows), metrics=METRICS),
            lambda rows=rows: _product(world.truth.features.directions, rows, n_features),
            repetitions,
        )
        report = gt.evaluate(world, gt.Dictionary(rows), metrics=METRICS)
        found = ", ".join(f"{m.removeprefix('recover.')} {report[m].value:.4f}" for m in METRICS)
        print(f"{name}: {found}")
        print(f"  cosines alone {product:.2f} CPU-seconds, scoring {ours:.2f}")
        print(f"  ratio: {ours / product:.2f}; peak {_peak(name, n_features):,.0f} MB")
        if dense:
            _print_dense(world.truth.features.directions, rows, report["recover.mcc"].value)


def decoder(name: str, directions: np.ndarray) -> np.ndarray:
    """(F, d) float32 latents: random ones; copies of cosine 0.93; half the features, twice each."""
    rng = np.random.default_rng(5)
    if name == "random":
        return rng.standard_normal(directions.shape, dtype=np.float32)
    if name == "duplicated":
        rows = np.repeat(directions[: len(directions) // 2], 2, axis=0)
    else:
        noise = rng.standard_normal(directions.shape, dtype=np.float32)
        rows = directions + 0.4 / np.sqrt(directions.shape[1]) * noise
    return rng.permutation(rows).astype(np.float32)


def _product(directions: np.ndarray, rows: np.ndarray, n_rows: int) -> None:
    """The cosines of the first n_rows features, each block over the one before."""
    left, right = (torch.from_numpy(a.astype(np.float32)) for a in (directions[:n_rows], rows))
    room = torch.empty(BLOCK, len(right))
    for part in left.split(BLOCK):
        torch.mm(part, right.T, out=room[: len(part)])


def _print_dense(directions: np.ndarray, rows: np.ndarray, mcc: float | None) -> None:
    """scipy's dense assignment of the cosines that count, 0 where they are negative."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = np.maximum(directions @ unit.T.astype(np.float64), 0)
    pairs: list[np.ndarray] = []
    spent = _timed(lambda: pairs.extend(linear_sum_assignment(cosine, maximize=True)))
    total = cosine[pairs[0], pairs[1]].sum() / len(directions)
    print(
        f"  scipy's dense assignment alone, {cosine.nbytes / 1e6:,.0f} MB of cosines: "
        f"{spent:.2f} CPU-seconds; mcc {total:.6f}, ours {mcc:.6f}"
    )


def _large() -> None:
    child = _child("near copy", LARGE)
    print(f"{LARGE:,} latents, {LARGE:,} features, d = {WIDTH}, scored whole: {child}")
    directions = laws(LARGE).directions
    n_rows = LARGE_BLOCKS * BLOCK
    spent = _timed(lambda: _product(directions, directions, n_rows))
    print(
        f"cosines alone of {n_rows:,} of the {LARGE:,} features: {spent:.1f} CPU-seconds; "
        f"{spent * LARGE / n_rows:.0f} for all of them, extrapolated by rows"
    )


def _score_once(name: str, n_features: int) -> None:
    """One scoring in a process of its own, and the most memory that it held."""
    world = our_testbed(laws(n_features))
    claim = gt.Dictionary(decoder(name, world.truth.features.directions))
    metrics = METRICS if n_features <= N_FEATURES else AT_THRESHOLD
    reports: list[gt.Report] = []
    spent = _timed(lambda: reports.append(gt.evaluate(world, claim, metrics=metrics)))
    found = ", ".join(f"{reports[0][m].value:.4f}" for m in AT_THRESHOLD)
    peak = kilobytes("VmHWM") / 1000
    print(f"recall, precision, F1 {found}; {spent:.1f} CPU-seconds; peak {peak:.0f} MB")


def _peak(name: str, n_features: int) -> float:
    return float(_child(name, n_features).split()[-2])


def _child(name: str, n_features: int) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.matching"]
    command += ["--peak-of", name, "--features", str(n_features)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _timed(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--features", type=int, default=N_FEATURES, help="and as many latents")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--dense", action="store_true", help="also scipy's dense assignment")
    parser.add_argument("--large", action="store_true", help="100,000 latents and features")
    parser.add_argument("--peak-of", choices=DECODERS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
