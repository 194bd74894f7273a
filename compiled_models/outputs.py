"""Sequences as what a compiled model reads, and what it writes as values."""

from __future__ import annotations

import numpy as np

from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.domains import Domain
from groundtruth.models import Weights


def model_tokens(batch: Batch, weights: Weights) -> np.ndarray:
    """(batch, 1 + width) ids, begin-of-sequence first, padding where a sequence has ended."""
    n, width = batch.ids.shape
    there = np.arange(width) < batch.lengths[:, None]
    bos = np.full((n, 1), weights.bos)
    return np.concatenate([bos, np.where(there, batch.ids, weights.pad)], axis=1)


def told_apart(domain: Domain, outputs: np.ndarray) -> Column:
    """The nearest values to `outputs` (..., direction).

    A categorical value is the largest output. A number is the nearest one of the domain, and None
    where its flag is above 1/2.
    """
    if domain.kind == "categorical":
        return Column(domain, outputs.argmax(axis=-1))
    none = outputs[..., 1] > 0.5 if domain.none else None
    scaled = outputs[..., 0].astype(float) * domain.denominator
    if domain.values is None:
        return Column(domain, np.rint(scaled).astype(np.int64), none)
    known = domain.scaled.astype(float)
    right = np.searchsorted((known[1:] + known[:-1]) / 2, scaled)
    return Column(domain, domain.scaled[right], none)
