"""Randomness as an argument: one root, named child streams, random access by block.

A stream is named by a path such as ("train", 3, 17): stream, seed, block. The same path under the
same root always gives the same numbers, whatever was drawn before, elsewhere or in parallel.
The global random state is neither read nor written.
"""

from __future__ import annotations

import hashlib

import numpy as np

from groundtruth.errors import reject


def derive(root: bytes, *path: str | int) -> bytes:
    """The 16-byte key of the child stream `path` under `root`.

    key = SHA-256(root || path as length-prefixed UTF-8)[:16]; length prefixes keep ("a", "bc")
    and ("ab", "c") apart.

    Example:
        >>> derive(b"root", "train", 0) == derive(b"root", "train", 0)
        True
        >>> derive(b"root", "train", 0) == derive(b"root", "score", 0)
        False
    """
    digest = hashlib.sha256(root)
    for part in path:
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(4, "little") + text)
    return digest.digest()[:16]


def generator(root: bytes, *path: str | int) -> np.random.Generator:
    """A fresh Philox generator for the child stream `path` under `root`.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011,
    https://doi.org/10.1145/2063384.2063405
    """
    key = int.from_bytes(derive(root, *path), "little")
    return np.random.Generator(np.random.Philox(key=key))


def root_of(name: str, seed: int) -> bytes:
    """The root key of the world `name` at `seed`."""
    return derive(b"groundtruth", name, check_seed(seed))


def check_seed(seed: object) -> int:
    """`seed` as a plain int, or an error.

    Example:
        >>> check_seed(3)
        3
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise reject("seed", seed, "a non-negative whole number", "Pass for example seed=0.")
    return int(seed)
