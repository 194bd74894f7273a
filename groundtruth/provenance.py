"""Where a number came from: code version, libraries, machine and cost.

What is collected names no user, no machine and no folder, so that results can be published.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from groundtruth.errors import Undefined

_LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "scikit-learn": "sklearn",
    "safetensors": "safetensors",
    "jax": "jax",
}
_FLAG_FAMILIES = ("OMP_", "MKL_", "OPENBLAS_", "KMP_")
_FLAGS = frozenset(
    {
        "PYTHONHASHSEED",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "CUBLAS_WORKSPACE_CONFIG",
        "JAX_ENABLE_X64",
        "JAX_PLATFORMS",
        "XLA_FLAGS",
    }
)
_GIT_SECONDS = 5.0
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def collect() -> dict[str, Any]:
    """Everything about code, libraries and machine that can move a number, as plain JSON.

    Libraries are not imported for the question: torch's threads and device are None unless the
    run has loaded torch.

    Returns:
        groundtruth, git, python, platform, cpu, libraries, blas, threads, environment, device.

    Example:
        >>> sorted(collect())[:5]
        ['blas', 'cpu', 'device', 'environment', 'git']
    """
    return {
        "groundtruth": _version("groundtruth", "groundtruth") or "unknown",
        "git": git_state(Path(__file__).parent),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpu": _cpu(),
        "libraries": {name: _version(name, module) for name, module in _LIBRARIES.items()},
        "blas": _blas(),
        "threads": _torch_threads(),
        "environment": environment_flags(os.environ),
        "device": _device(),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout whose source `folder` is, and whether its code was changed since.

    "dirty" covers Python files, new ones included, and pyproject.toml: what can move a number.

    Returns:
        {"commit", "dirty"}; None without git, without a commit, after 5 seconds, or where
        `folder` is merely installed inside somebody else's repository.
    """
    sources = sorted(path.name for path in folder.glob("*.py"))[:1]
    if not sources or _git(folder, "ls-files", "--error-unmatch", "--", *sources) is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changed = _git(
        folder, "status", "--porcelain", "--untracked-files=all", "--", ":/*.py", ":/pyproject.toml"
    )
    if commit is None or changed is None:
        return None
    return {"commit": commit, "dirty": bool(changed)}


def environment_flags(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that set threads, hashing and accelerators; values with paths are withheld.

    Example:
        >>> environment_flags({"OMP_NUM_THREADS": "2", "HOME": "/home/me", "MKL_X": "/home/me"})
        {'MKL_X': '(withheld: a path)', 'OMP_NUM_THREADS': '2'}
    """
    return {
        _printable(name): "(withheld: a path)" if re.search(r"[/\\~]", value) else _printable(value)
        for name, value in sorted(environment.items())
        if name in _FLAGS or name.startswith(_FLAG_FAMILIES)
    }


@dataclass(frozen=True)
class Usage:
    """What a block of code cost.

    Fields:
        start, end: UTC, ISO 8601; for people. A clock set back can put `end` before `start`.
        wall_seconds: from the monotonic clock, so never negative.
        cpu_seconds: user and system, of this process and of the children it has waited for.
        peak_rss_bytes: the most memory that this process or one of those children has held since
            it began, not since `start`; for a peak of the block alone, run it in a child.
    """

    start: str
    end: str
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int

    def without(self, part: Usage) -> Usage:
        """The cost less that of a part of the block."""
        return replace(
            self,
            wall_seconds=max(0.0, self.wall_seconds - part.wall_seconds),
            cpu_seconds=max(0.0, self.cpu_seconds - part.cpu_seconds),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


class Stopwatch:
    """Measure the block, also when it raises.

    Example:
        >>> with Stopwatch() as watch:
        ...     total = sum(range(1000))
        >>> watch.usage.wall_seconds >= 0, watch.usage.peak_rss_bytes > 2**20
        (True, True)
    """

    def __init__(self) -> None:
        self._usage: Usage | None = None

    def __enter__(self) -> Stopwatch:
        self._start, self._cpu, self._wall = _utc(), _cpu_seconds(), time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        wall = time.monotonic() - self._wall
        cpu = _cpu_seconds() - self._cpu
        self._usage = Usage(self._start, _utc(), wall, cpu, peak_rss())

    @property
    def usage(self) -> Usage:
        """The measurement.

        Raises:
            Undefined: the block has not ended.
        """
        if self._usage is None:
            raise Undefined("Stopwatch.usage: not defined before the block has ended.")
        return self._usage


def peak_rss() -> int:
    """Largest resident memory so far, in bytes, of this process or a child it has waited for."""
    peaks = (resource.getrusage(w).ru_maxrss for w in _WHO)
    # The same field is in bytes on macOS and in KiB on Linux and the BSDs.
    return max(peaks) * (1 if sys.platform == "darwin" else 1024)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in _WHO]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _printable(text: str) -> str:
    # Environment variables may hold any bytes; JSON may not.
    return text.encode("utf-8", "backslashreplace").decode()


def _version(distribution: str, module: str) -> str | None:
    """Version of what is loaded, else of what is installed, else None."""
    loaded = getattr(sys.modules.get(module), "__version__", None)
    if isinstance(loaded, str):
        return loaded
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return None


def _git(folder: Path, *arguments: str) -> str | None:
    # Git's own variables, set inside its hooks, would point it at another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    with suppress(OSError, subprocess.SubprocessError):
        return (
            subprocess.run(
                ["git", "--no-optional-locks", "-C", str(folder), *arguments],
                capture_output=True,
                check=True,
                timeout=_GIT_SECONDS,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
            .stdout.decode("utf-8", "replace")
            .strip()
        )
    return None


def _cpu() -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {"model": _cpu_model(), "count": os.cpu_count(), "usable": usable}


def _cpu_model() -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            return found[1].strip()
    with suppress(OSError, subprocess.SubprocessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(
            command, capture_output=True, check=True, timeout=_GIT_SECONDS, text=True
        ).stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def _blas() -> dict[str, Any]:
    """Numpy's BLAS as built, and the thread pools of everything that is loaded."""
    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    fields = ("internal_api", "prefix", "version", "num_threads", "architecture")
    return {
        "name": blas.get("name"),
        "version": blas.get("version"),
        "pools": [{k: pool.get(k) for k in fields} for pool in threadpool_info()],
    }


def _torch_threads() -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "torch": torch.get_num_threads(),
        "torch_interop": torch.get_num_interop_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _device() -> dict[str, Any]:
    """The accelerator that torch has used, else the CPU.

    Only an initialised CUDA is asked: asking earlier would initialise it, and a process that has
    done so can no longer fork.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {"kind": "cpu"}
    return {
        "kind": "cuda",
        "name": torch.cuda.get_device_name(),
        "count": torch.cuda.device_count(),
        "cuda": torch.version.cuda,
        "driver": _driver(),
    }


def _driver() -> str | None:
    with suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", text):
            return found[0]
    return None
