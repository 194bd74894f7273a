"""CPU-seconds to compile a program, certificate included, and sequences per CPU-second of a model.

    python -m benchmarks.compiling [--lengths 5 10 20 40] [--programs reverse hist] [--forward]

Ours are all programs of the library; Tracr's beside them are its own, with its defaults and nothing
kept from compilations before. Tracr's outputs are not checked here: it is wrong on many of them.
Forward passes are of 256 sequences of the greatest length, Tracr's jitted. One thread.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
from collections.abc import Callable
from time import process_time

import numpy as np

from benchmarks import tracr_side
from groundtruth.compiled_models import Batch, Compiled, compile_program, library, running
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.errors import ProgramError

BATCH = 256
REPETITIONS = 5


def main() -> None:
    options = _options()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("Set OMP_NUM_THREADS=1: CPU-seconds then hold no waiting.")
    if not tracr_side.INSTALLED:
        print("tracr not installed: measuring ours alone")
    compile_program(library.program("hist"), vocab="ab", max_length=3)  # loads torch
    for name in options.programs:
        for max_length in options.lengths:
            print(_row(name, max_length, forward=options.forward), flush=True)


def _row(name: str, max_length: int, *, forward: bool) -> str:
    entry = library.entry(name)
    program = library.example_program(name)
    start = process_time()
    try:
        compiled = compile_program(program, vocab=entry.vocab, max_length=max_length)
    except ProgramError as error:
        return f"{name} {max_length}: refused, {error.reasons}"
    seconds = process_time() - start
    tried = "all" if compiled.certificate.exhaustive else "sampled"
    parts = [
        f"{name} {max_length}: {seconds:.2f} s",
        f"{compiled.certificate.n_sequences} sequences ({tried})",
        str(compiled.sizes),
    ]
    run = _our_forward(compiled) if forward else None
    if run is not None:
        parts.append(f"{_rate(run):,.0f} sequences per s")
    if tracr_side.INSTALLED and name in tracr_side.programs(max_length):
        parts.append(_tracr(name, max_length, forward=forward))
    return "; ".join(parts)


def _our_forward(compiled: Compiled) -> Callable[[], None]:
    tokens = model_tokens(_batch(compiled.analysis.max_length, compiled), compiled.weights)

    def run() -> None:
        running.outputs(compiled.model, tokens)

    return run


def _batch(length: int, compiled: Compiled) -> Batch:
    ids = np.random.default_rng(0).integers(0, len(compiled.analysis.vocab), (BATCH, length))
    return Batch(ids, np.full(BATCH, length))


def _tracr(name: str, max_length: int, *, forward: bool) -> str:
    vocab = library.entry(name).vocab
    start = process_time()
    model = tracr_side.compiled(name, vocab, max_length)
    seconds = process_time() - start
    parts = [f"tracr {seconds:.2f} s", f"tracr {tracr_side.sizes(model)}"]
    if forward:
        ids = np.random.default_rng(0).integers(0, len(vocab), (BATCH, max_length))
        run = tracr_side.forward(model, [[vocab[k] for k in row] for row in ids.tolist()])
        parts.append(f"tracr {_rate(run):,.0f} sequences per s")
    return "; ".join(parts)


def _rate(run: Callable[[], None]) -> float:
    """Sequences per CPU-second: the median of `REPETITIONS`."""
    run()
    gc.collect()
    times = []
    for _ in range(REPETITIONS):
        start = process_time()
        run()
        times.append(process_time() - start)
    return BATCH / statistics.median(times)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--programs", nargs="+", default=library.names())
    parser.add_argument("--forward", action="store_true", help="also run 256 sequences")
    return parser.parse_args()


if __name__ == "__main__":
    main()
