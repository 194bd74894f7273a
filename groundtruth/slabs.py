"""Sparse codes times dense rows, in float32, at a cost that grows with the codes that are not 0."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp

# Rows are multiplied this many columns at a time, so that those of the features that fire most
# stay in the processor's cache; 64 to 128 were fastest, whole rows a quarter slower.
WIDTH = 64


class Slabs:
    """The rows (k, d) of a product codes @ rows, kept in float32 and cut into groups of columns.

    Example:
        >>> codes = sp.csr_array(np.array([[0.0, 2.0]], dtype=np.float32))
        >>> Slabs(np.array([[1.0, 0.0], [0.5, 3.0]])).product(codes).tolist()
        [[1.0, 6.0]]
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def product(self, codes: sp.csr_array) -> np.ndarray:
        """codes (n, k) float32 @ rows: (n, d) float32. Each row of codes is summed in order, on
        any thread count."""
        import torch
        from torch.nn.functional import embedding_bag

        index = torch.from_numpy(codes.indices)
        bags = {
            "offsets": torch.from_numpy(codes.indptr).to(index.dtype),
            "per_sample_weights": torch.from_numpy(codes.data),
            "include_last_offset": True,
            "mode": "sum",
        }
        return torch.cat([embedding_bag(index, part, **bags) for part in self._parts], 1).numpy()

    @cached_property
    def _parts(self) -> list:
        import torch

        short = torch.from_numpy(self.rows.astype(np.float32))
        # torch's own copies begin at a cache line; numpy's need not.
        keep = torch.contiguous_format
        return [part.clone(memory_format=keep) for part in short.split(WIDTH, dim=1)]
