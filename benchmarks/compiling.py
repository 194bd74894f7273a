"""CPU-seconds to compile a program, certificate included, and sequences per CPU-second of a model.

    python -m benchmarks.compiling [--lengths 5 10 20 40] [--programs reverse hist] [--forward]

Ours are all programs of the library; Tracr's beside them are its own, with its defaults and nothing
kept from compilations before. Tracr's outputs are not checked here: it is wrong on many of them.
Forward passes are of 256 sequences of the greatest length: ours in torch, and jitted in JAX as
Tracr's is. One thread. Sides take turns, since other work on the machine slows both.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
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
REPETITIONS = 31


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
    runs = _our_forwards(compiled) if forward else {}
    if tracr_side.INSTALLED and name in tracr_side.programs(max_length):
        start = process_time()
        model = tracr_side.compiled(name, entry.vocab, max_length)
        parts.append(f"tracr {process_time() - start:.2f} s")
        parts.append(f"tracr {tracr_side.sizes(model)}")
        if forward:
            rows = _batch(compiled).ids.tolist()
            sequences = [[entry.vocab[k] for k in row] for row in rows]
            runs["tracr"] = tracr_side.forward(model, sequences)
    parts += [f"{side}: {rate:,.0f} sequences per s" for side, rate in _rates(runs).items()]
    return "; ".join(parts)


def _our_forwards(compiled: Compiled) -> dict[str, Callable[[], object]]:
    tokens = model_tokens(_batch(compiled), compiled.weights)
    runs: dict[str, Callable[[], object]] = {
        "torch": lambda: running.outputs(compiled.model, tokens)
    }
    if importlib.util.find_spec("jax"):
        form = importlib.import_module("groundtruth.models.jax_forward")
        parameters = form.to_jax(compiled.weights)
        runs["jax"] = lambda: form.forward(parameters, tokens).block_until_ready()
    return runs


def _batch(compiled: Compiled) -> Batch:
    length = compiled.analysis.max_length
    ids = np.random.default_rng(0).integers(0, len(compiled.analysis.vocab), (BATCH, length))
    return Batch(ids, np.full(BATCH, length))


def _rates(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Sequences per CPU-second of each: the median of `REPETITIONS` rounds, in which each runs
    twice and the second pass counts."""
    for run in runs.values():
        run()
    gc.collect()
    times: dict[str, list[float]] = {side: [] for side in runs}
    for _ in range(REPETITIONS):
        for side, run in runs.items():
            run()
            start = process_time()
            run()
            times[side].append(process_time() - start)
    return {side: BATCH / statistics.median(each) for side, each in times.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--programs", nargs="+", default=library.names())
    parser.add_argument("--forward", action="store_true", help="also run 256 sequences")
    return parser.parse_args()


if __name__ == "__main__":
    main()
