"""Time to `import groundtruth` as a multiple of the time to import numpy, and what it loads.

    python -m benchmarks.import_time [--repetitions 15]

Each import runs in a process of its own; the time is taken inside it, without start-up.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

HEAVY = ("torch", "jax", "matplotlib", "sklearn", "hypothesis", "scipy", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    times: dict[str, list[float]] = {"groundtruth": [], "numpy": []}
    for repetition in range(options.repetitions + 1):
        for name, spent in times.items():
            seconds = float(_run(_timed(name)))
            if repetition:
                spent.append(seconds)
    ours, numpy = (statistics.median(spent) for spent in times.values())
    loaded = _run(f"import groundtruth, sys; print(*[m for m in {HEAVY} if m in sys.modules])")
    print(f"import groundtruth: {1e3 * ours:.1f} ms; import numpy: {1e3 * numpy:.1f} ms")
    print(f"heavy modules that it loads: {loaded.strip() or 'none'}")
    print(f"ratio: {ours / numpy:.2f}")


def _timed(name: str) -> str:
    return f"import time; a = time.process_time(); import {name}; print(time.process_time() - a)"


def _run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
