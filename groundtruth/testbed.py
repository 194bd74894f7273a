"""A testbed: a subject that a method may see, the truth that it may not, and how to redo both.

Samples come in blocks of `BLOCK` rows. Block b of stream s is a function of the testbed's secret
root, s and b alone, so it is the same bytes whether drawn first, last, alone or in parallel.
Streams: "train" feeds the subject; "select" and "score" feed the evaluators and are never
reachable from the subject.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.sparse as sp

from groundtruth import hashing, seeds
from groundtruth.errors import reject
from groundtruth.manifold import Visits, joined
from groundtruth.truth import Truth

if TYPE_CHECKING:
    import torch

BLOCK = 1024
STREAMS = ("train", "select", "score")
TRUTH_CLASSES = ("analytic", "compiled", "data", "trained")

Block = tuple[np.ndarray, sp.csr_array]


class Sampler(Protocol):
    """Draws activations (n, d) float32 with their codes (n, n_features) CSR float32."""

    def draw(self, rng: np.random.Generator, n: int) -> Block: ...

    def draw_active(self, rng: np.random.Generator, features: np.ndarray) -> Block:
        """One sample for each index in `features`, drawn given that this feature fires."""
        ...


@dataclass(frozen=True)
class Recipe:
    """Name, parameters and seed (plain JSON) from which a testbed is built again."""

    name: str
    parameters: dict[str, Any]
    seed: int

    def description(self) -> dict[str, Any]:
        return {"name": self.name, "parameters": self.parameters, "seed": self.seed}


class ActivationSubject:
    """All that a method may see of a world of activations: its width and its samples.

    It holds one function that draws; no truth, seed, recipe or scoring data can be reached
    through its attributes.
    """

    __slots__ = ("_draw", "d")

    def __init__(self, d: int, draw: Callable[[int, int], np.ndarray]) -> None:
        self.d = d
        self._draw = draw

    def sample(self, n: int, *, seed: int = 0, device: Any = None) -> torch.Tensor:
        """Training activations, torch float32 (n, d), on `device` (CPU if None).

        The first m rows of sample(n, seed=s) are sample(m, seed=s). Different seeds are
        independent streams.

        Raises:
            InputError: n is not a whole number >= 1, or the seed is not one >= 0.
        """
        import torch

        n = _whole("n", n, 1)
        seed = seeds.check_seed(seed)
        blocks = [self._draw(seed, b) for b in range(-(-n // BLOCK))]
        x = torch.from_numpy(np.concatenate(blocks)[:n])
        return x if device is None else x.to(device)

    def batches(
        self,
        batch_size: int,
        *,
        n: int | None = None,
        seed: int = 0,
        device: Any = None,
        start: int = 0,
    ) -> Iterator[torch.Tensor]:
        """Batches (batch_size, d) of fresh training activations.

        The concatenation is the same for every batch size, and is sample(start + n)[start:]. The
        last batch may be shorter.

        Args:
            n: rows in all, counted from `start`; endless if None.
            device: where the batches arrive; None is the CPU.
            start: rows to skip, so that an interrupted loop goes on where it stopped. Whole
                blocks of 1,024 rows are skipped without being drawn.

        Raises:
            InputError: a size that is no whole number >= 1, a `start` or seed that is none >= 0.

        Example:
            >>> import groundtruth as gt
            >>> subject = gt.build("sparse/small", seed=0).subject
            >>> rest = next(subject.batches(100, start=5000))
            >>> bool((rest == subject.sample(5100)[5000:]).all())
            True
        """
        import torch

        batch_size = _whole("batch_size", batch_size, 1)
        seed = seeds.check_seed(seed)
        left = None if n is None else _whole("n", n, 1)
        block, skipped = divmod(_whole("start", start, 0), BLOCK)
        held: list[np.ndarray] = []
        held_rows = 0
        if skipped:
            held.append(self._draw(seed, block)[skipped:])
            held_rows, block = BLOCK - skipped, block + 1
        while left is None or left > 0:
            want = batch_size if left is None else min(batch_size, left)
            while held_rows < want:
                held.append(self._draw(seed, block))
                held_rows += BLOCK
                block += 1
            joined = np.concatenate(held) if len(held) > 1 else held[0]
            # A copy: a method that edits its batch must not edit the rows still to come.
            batch = torch.from_numpy(joined[:want].copy())
            held, held_rows = [joined[want:]], len(joined) - want
            left = None if left is None else left - want
            yield batch if device is None else batch.to(device)

    def __repr__(self) -> str:
        return f"ActivationSubject(d={self.d})"


@dataclass(frozen=True)
class Testbed:
    """Subject, truth and provenance; identity is the content hash, not the seed.

    Fields:
        name: of the catalogue entry or family.
        recipe: from which it is built again.
        truth: what was planted.
        truth_class: "analytic", "compiled", "data" or "trained" (with a certificate).
        source: where the world comes from (paper, year, link), in one line.
    """

    __test__ = False  # pytest: not a test class

    name: str
    recipe: Recipe
    truth: Truth
    sampler: Sampler = field(repr=False)
    root: bytes = field(repr=False)
    truth_class: str = "analytic"
    source: str = ""

    def __repr__(self) -> str:
        f = self.truth.features
        return (
            f"Testbed({self.name!r}, seed={self.recipe.seed}, n_features={f.n_features}, d={f.d}, "
            f"hash={self.hash[:12]})"
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the truth's arrays, its laws, and the first training block.

        The block is in it because the libraries' random streams may change between versions:
        the same recipe would then be another world, and its hash says so.
        """
        f = self.truth.features
        x, codes = self.block("train", 0, 0)
        arrays = {
            "directions": f.directions,
            "firing_probability": f.firing_probability,
            "bias": f.bias,
            "codes_indices": codes.indices.astype(np.int64),
            "codes_values": np.round(codes.data.astype(np.float64), 4),
        }
        laws = {
            "magnitude": f.magnitude.description(),
            "scale": f.magnitude.scale,
            "noise": float(f.noise),
            "signed": f.signed,
            "names": hashlib.sha256("\n".join(f.names).encode()).hexdigest(),
            "shape": list(x.shape),
            "root": hashlib.sha256(b"root" + self.root).hexdigest(),
        }
        if f.structure is not None:
            arrays.update(f.structure.arrays())
            laws["choice"] = f.structure.choice
        if f.population is not None:
            arrays.update(f.population.arrays())
        if f.parts:
            laws["parts"] = list(f.parts)
        if f.manifolds:
            laws["manifolds"] = [manifold.description() for manifold in f.manifolds]
            for number, found in enumerate(self._visits("train", 0, 0)):
                arrays[f"manifold{number}.basis"] = f.manifolds[number].basis
                arrays[f"manifold{number}.coordinates"] = np.round(found.coordinates, 4)
        return hashing.content_hash(laws, arrays)

    @cached_property
    def subject(self) -> ActivationSubject:
        """What a method may see."""
        return ActivationSubject(
            self.truth.features.d, lambda seed, block: self.block("train", seed, block)[0]
        )

    def block(self, stream: str, seed: int, index: int) -> Block:
        """Block `index` of `stream`: x (BLOCK, d) float32 and codes (BLOCK, n_features)."""
        return self.sampler.draw(seeds.generator(self.root, stream, seed, index), BLOCK)

    def active_block(self, stream: str, index: int, features: np.ndarray) -> Block:
        """Samples drawn given that features[r] fires in row r; random access by `index`."""
        rng = seeds.generator(self.root, stream, "given-active", index)
        return self.sampler.draw_active(rng, np.asarray(features))

    def sample(
        self, n: int, *, seed: int = 0, stream: str = "train"
    ) -> tuple[torch.Tensor, sp.csr_array]:
        """Activations with their truth: x torch (n, d), codes CSR (n, n_features).

        With the same seed, x is what `subject.sample(n, seed=seed)` gives.

        Example:
            >>> import groundtruth as gt
            >>> x, codes = gt.build("sparse/small", seed=0).sample(3, seed=1)
            >>> tuple(x.shape), codes.shape
            ((3, 32), (3, 128))
        """
        import torch

        n, seed = _whole("n", n, 1), seeds.check_seed(seed)
        _check_stream(stream)
        blocks = [self.block(stream, seed, b) for b in range(-(-n // BLOCK))]
        x = np.concatenate([b[0] for b in blocks])[:n]
        codes = sp.vstack([b[1] for b in blocks], format="csr")[:n]
        return torch.from_numpy(x), sp.csr_array(codes)

    def coordinates(self, n: int, *, seed: int = 0, stream: str = "train") -> tuple[Visits, ...]:
        """Where each manifold fires in `sample(n, seed=seed, stream=stream)`, at which points.

        Returns:
            One `Visits` (row, magnitude, coordinates) per manifold of the truth.

        Example:
            >>> import groundtruth as gt
            >>> world = gt.build("manifold/circle", seed=0)
            >>> (circle,) = world.coordinates(1000, seed=1)
            >>> circle.coordinates.shape == (len(circle.row), 1)
            True
        """
        n, seed = _whole("n", n, 1), seeds.check_seed(seed)
        _check_stream(stream)
        starts = range(0, n, BLOCK)
        blocks = [self._visits(stream, seed, index) for index in range(len(starts))]
        found = [joined(one, starts) for one in zip(*blocks, strict=True)]
        return tuple(Visits(*(part[visits.row < n] for part in visits)) for visits in found)

    def _visits(self, stream: str, seed: int, index: int) -> tuple[Visits, ...]:
        """Where manifolds fire in `block(stream, seed, index)`, without drawing the block."""
        if not self.truth.features.manifolds:
            return ()
        rng = seeds.generator(self.root, stream, seed, index)
        return self.sampler.visits(rng, BLOCK)  # type: ignore[attr-defined]


def _check_stream(stream: object) -> None:
    if stream not in STREAMS:
        raise reject("stream", stream, f"one of {', '.join(STREAMS)}")


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise reject(name, value, f"a whole number >= {least}")
    return int(value)
