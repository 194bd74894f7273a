"""Seeds for outside libraries that draw from torch's global state and take no generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from groundtruth import seeds


@contextmanager
def torch_seeded(name: str, seed: int) -> Iterator[None]:
    """Torch's random state is set from `name` and `seed` inside, and as it was outside.

    Example:
        >>> before = torch.get_rng_state()
        >>> with torch_seeded("weights", 0):
        ...     first = torch.rand(2)
        >>> with torch_seeded("weights", 0):
        ...     again = torch.rand(2)
        >>> torch.equal(first, again), torch.equal(before, torch.get_rng_state())
        (True, True)
    """
    value = int.from_bytes(seeds.derive(seeds.root_of(name, seed))[:7], "little")
    with torch.random.fork_rng():
        torch.manual_seed(value)  # noqa: TID251 - for this block alone, on every device
        yield
