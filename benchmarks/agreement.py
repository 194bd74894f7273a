"""Every program of the library at every length: torch, JAX and NumPy against the interpreter.

    python -m benchmarks.agreement [--lengths 5 10 20 40] [--sequences 200] [--table FILE]

Torch and JAX run in float32, NumPy in float64. A row counts the sequences on which each is wrong
anywhere, beside the least room that is proven to be left: the smallest margin / bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from groundtruth.compiled_models import (
    BatchInterpreter,
    Column,
    Compiled,
    compile_program,
    library,
    running,
    sampled_sequences,
)
from groundtruth.compiled_models.outputs import model_tokens, told_apart
from groundtruth.models import jax_forward, numpy_reference

Forward = Callable[[Compiled, np.ndarray], np.ndarray]

FORWARDS: dict[str, Forward] = {
    "torch": lambda compiled, tokens: running.outputs(compiled.model, tokens),
    "jax": lambda compiled, tokens: np.asarray(
        jax_forward.forward(jax_forward.to_jax(compiled.weights), tokens)
    )[:, 1:],
    "numpy": lambda compiled, tokens: numpy_reference.forward(compiled.weights, tokens)[:, 1:],
}


def main() -> None:
    options = _options()
    lines = [
        "| program | length | sequences | torch | jax | numpy | margin / bound |",
        "|" + "---|" * 7,
    ]
    wrong = 0
    print(*lines, sep="\n")
    for name in library.names():
        for max_length in options.lengths:
            line, found = _row(name, max_length, options.sequences)
            print(line, flush=True)
            lines.append(line)
            wrong += found
            jax.clear_caches()
    if options.table is not None:
        options.table.write_text("\n".join([*lines, ""]))
    sys.exit(f"{wrong} sequences are wrong" if wrong else 0)


def _row(name: str, max_length: int, n: int) -> tuple[str, int]:
    vocab = library.entry(name).vocab
    compiled = compile_program(library.example_program(name), vocab=vocab, max_length=max_length)
    batch = sampled_sequences(len(vocab), max_length, n, seed=1)
    there = np.arange(max_length) < batch.lengths[:, None]
    wanted = BatchInterpreter(compiled.analysis).output(batch)
    tokens = model_tokens(batch, compiled.weights)
    wrong = [
        int(_differ(wanted, told_apart(wanted.domain, forward(compiled, tokens)), there).sum())
        for forward in FORWARDS.values()
    ]
    room = min((m.margin / m.bound for m in compiled.certificate.margins if m.bound), default=1e9)
    columns = [name, max_length, n, *wrong, f"{room:.1f}"]
    return "| " + " | ".join(map(str, columns)) + " |", sum(wrong)


def _differ(wanted: Column, found: Column, there: np.ndarray) -> np.ndarray:
    """Which sequences differ anywhere."""
    apart = (wanted.array != found.array) & ~wanted.gone() | (wanted.gone() != found.gone())
    return (apart & there).any(axis=1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--table", type=Path, help="also write the table there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
