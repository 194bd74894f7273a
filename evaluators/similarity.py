"""Cosines between planted and claimed directions, without ever holding all of them at once.

Small problems are compared in float64, pair by pair in blocks. Large ones are searched for each
direction's best partners (`inference.top_edges`), from which the same is read off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundtruth import inference
from groundtruth.errors import MemoryRefused
from groundtruth.inference import TopEdges
from groundtruth.inference.top_edges import BLOCK_BYTES

EDGE_FLOOR = 0.5
MOST_EDGES = 1 << 24
"""Pairs at or above EDGE_FLOOR that are held; 16 million take about a gigabyte."""
MEMORY_LIMIT = 8 << 30
"""Bytes that comparing two dictionaries may take beside them."""

_BLOCK = 2048
_CELLS = 1 << 24  # of one block of cosines, at most: 128 MB
_LISTED = 16  # of each direction's best partners
_PAIRS = 256  # their rows stay in the processor's cache
# Below this many multiplications the whole pass costs well under a second in float64.
_EXACT_BELOW = 3e9
# What a float32 sum of products of unit rows may be off by.
_SLACK = 1e-5

_Pairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Similarity:
    """What metrics need of the cosines C (n_features, k).

    Fields:
        best_latent, best_latent_cosine: (n_features,) argmax and max over latents; -1 and 0
            where there is no latent.
        best_truth, best_truth_cosine: (k,) argmax and max over features.
        edge_truth, edge_latent, edge_cosine: all pairs with C >= EDGE_FLOOR.
        top: the lists that these were read off; None where all pairs were compared.
    """

    best_latent: np.ndarray
    best_latent_cosine: np.ndarray
    best_truth: np.ndarray
    best_truth_cosine: np.ndarray
    edge_truth: np.ndarray
    edge_latent: np.ndarray
    edge_cosine: np.ndarray
    top: TopEdges | None = None


def unit_latents(decoder: np.ndarray) -> np.ndarray:
    """Decoder rows as unit vectors; rows of (nearly) no length become zero, so their cosine is 0.

    A row counts as zero below 1e-12 of the median norm.
    """
    out, norms = np.empty(decoder.shape), np.empty(len(decoder))
    for start in range(0, len(decoder), _BLOCK):
        part = slice(start, start + _BLOCK)
        # By the largest entry first: squares of 1e200 or 1e-200 leave the range of a double.
        largest = np.abs(decoder[part]).max(axis=1, keepdims=True, initial=0.0)
        safe = np.where(largest > 0, largest, 1.0)
        rows = decoder[part] / safe
        inner = np.linalg.norm(rows, axis=1, keepdims=True)
        norms[part] = (inner * safe).ravel()
        out[part] = rows / np.where(inner > 0, inner, 1.0)
    median = np.median(norms[norms > 0]) if np.any(norms > 0) else 1.0
    out[norms <= 1e-12 * median] = 0.0
    return out


def search_type(directions: np.ndarray, latents: np.ndarray) -> type[np.floating]:
    """The type in which to look for the largest of F k cosines: float32 for large problems."""
    products = float(len(directions)) * len(latents) * directions.shape[1]
    return np.float64 if products <= _EXACT_BELOW else np.float32


def check_memory(n_features: int, k: int, d: int) -> None:
    """Refuse dictionaries whose comparison would not fit, before anything is made of them."""
    # Unit latents in float64, both in float32 and bfloat16, lists and what they are chosen from,
    # and a block of cosines with what is made of it.
    copies = 8 * k * d + 6 * (n_features + k) * d
    needed = copies + 6144 * n_features + 1024 * k + 2 * BLOCK_BYTES
    if needed > MEMORY_LIMIT:
        raise MemoryRefused(
            f"comparing {k:,} latents with {n_features:,} features in {d:,} dimensions needs about "
            f"{needed / 2**30:.1f} GiB; the limit is {MEMORY_LIMIT / 2**30:g} GiB. Score fewer "
            "latents at a time, or raise groundtruth.evaluators.similarity.MEMORY_LIMIT."
        )


def similarity(directions: np.ndarray, latents: np.ndarray, *, absolute: bool) -> Similarity:
    """The best partners and the near pairs of C = directions @ latents.T, in one pass.

    Args:
        directions: (n_features, d) unit rows.
        latents: (k, d) unit or zero rows.
        absolute: use |cosine|.

    Large problems are searched in float32 or less; the cosines returned are then computed again
    in float64, so that a reported value never carries the search's round-off.

    Raises:
        MemoryRefused: more than MOST_EDGES pairs are near.
    """
    n_features, k = len(directions), len(latents)
    if k == 0:
        none, zero = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Similarity(
            np.full(n_features, -1), np.zeros(n_features), none, zero, none, none, zero
        )
    top = None
    if search_type(directions, latents) is np.float64:
        best_latent, best_truth, near = _compared(directions, latents, absolute)
    else:
        short = directions.astype(np.float32), latents.astype(np.float32)
        top = inference.top_edges(*short, _LISTED, absolute=absolute)
        best_latent, best_truth, near = _read_off(top, directions, latents, absolute)
    cosine = pair_cosine(directions, latents, *near, absolute)
    kept = cosine >= EDGE_FLOOR
    return Similarity(
        best_latent,
        pair_cosine(directions, latents, np.arange(n_features), best_latent, absolute),
        best_truth,
        pair_cosine(directions, latents, best_truth, np.arange(k), absolute),
        near[0][kept],
        near[1][kept],
        cosine[kept],
        top,
    )


def _compared(
    directions: np.ndarray, latents: np.ndarray, absolute: bool
) -> tuple[np.ndarray, np.ndarray, _Pairs]:
    """Each feature's best latent, each latent's best feature and the near pairs, of all pairs."""
    k = len(latents)
    best_latent = np.empty(len(directions), dtype=np.int64)
    best_truth, best = np.zeros(k, dtype=np.int64), np.full(k, -np.inf)
    near, step = _Near(EDGE_FLOOR), min(_BLOCK, max(1, _CELLS // k))
    for start in range(0, len(directions), step):
        block = directions[start : start + step] @ latents.T
        if absolute:
            np.abs(block, out=block)
        best_latent[start : start + step] = block.argmax(axis=1)
        rows = block.argmax(axis=0)
        value = block[rows, np.arange(k)]
        better = value > best
        best_truth[better], best[better] = rows[better] + start, value[better]
        near.add(start, block)
    return best_latent, best_truth, near.pairs()


class _Near:
    """Collects the entries of at least `floor` from blocks of rows."""

    def __init__(self, floor: float) -> None:
        self.floor, self.total = floor, 0
        self.found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]

    def add(self, start: int, block: np.ndarray) -> None:
        """Those of the rows from `start` on; refused before they are listed if too many."""
        at = block >= self.floor
        self.total += np.count_nonzero(at)
        if self.total > MOST_EDGES:
            raise MemoryRefused(
                f"more than {MOST_EDGES:,} pairs of a feature and a latent have cosine "
                f"{EDGE_FLOOR} or more, and a matching would hold them all. Directions crowd in "
                "few dimensions: score fewer latents or features, or a world of more dimensions."
            )
        row, column = np.nonzero(at)
        self.found.append((row + start, column))

    def pairs(self) -> _Pairs:
        rows, columns = zip(*self.found)
        return np.concatenate(rows), np.concatenate(columns)


def _read_off(
    top: TopEdges, directions: np.ndarray, latents: np.ndarray, absolute: bool
) -> tuple[np.ndarray, np.ndarray, _Pairs]:
    """As `_compared`, from lists of the best partners."""
    of_truths = top.truth_similarity.numpy(), top.truth_latent.numpy()
    of_latents = top.latent_similarity.numpy(), top.latent_truth.numpy()
    near = _listed_near(*of_truths), _listed_near(*of_latents)[::-1]
    near += (_unlisted_near(top, directions, latents, absolute),)
    k = len(latents)
    key = np.unique(np.concatenate([truth * k + latent for truth, latent in near]))
    return (
        _best(directions, latents, *of_truths, absolute),
        _best(latents, directions, *of_latents, absolute),
        (key // k, key % k),
    )


def _best(
    rows: np.ndarray,
    others: np.ndarray,
    similarity: np.ndarray,
    partner: np.ndarray,
    absolute: bool,
) -> np.ndarray:
    """Each row's partner of largest float64 cosine in its list; of equal ones the first."""
    row, place = np.nonzero(similarity >= similarity[:, :1] - _SLACK)
    other = partner[row, place]
    order = np.lexsort((other, -pair_cosine(rows, others, row, other, absolute), row))
    return other[order][np.unique(row, return_index=True)[1]]


def _listed_near(similarity: np.ndarray, partner: np.ndarray) -> _Pairs:
    """Rows and partners of the entries of lists that are near."""
    row, place = np.nonzero(similarity >= EDGE_FLOOR - _SLACK)
    return row, partner[row, place]


def _unlisted_near(
    top: TopEdges, directions: np.ndarray, latents: np.ndarray, absolute: bool
) -> _Pairs:
    """Near pairs that neither list may have: those whose bounds allow it are compared."""
    truth = np.flatnonzero(top.truth_bound.numpy() >= EDGE_FLOOR - _SLACK)
    latent = np.flatnonzero(top.latent_bound.numpy() >= EDGE_FLOOR - _SLACK)
    columns = latents[latent].astype(np.float32).T
    near, step = _Near(EDGE_FLOOR - _SLACK), min(_BLOCK, max(1, _CELLS // max(1, len(latent))))
    for start in range(0, len(truth), step):
        block = directions[truth[start : start + step]].astype(np.float32) @ columns
        near.add(start, np.abs(block, out=block) if absolute else block)
    row, column = near.pairs()
    return truth[row], latent[column]


def pair_cosine(
    directions: np.ndarray,
    latents: np.ndarray,
    truth: np.ndarray,
    latent: np.ndarray,
    absolute: bool,
) -> np.ndarray:
    """Cosines of listed pairs (truth[r], latent[r]), float64, clipped to [-1, 1]."""
    out = np.empty(len(truth))
    for start in range(0, len(truth), _PAIRS):
        part = slice(start, start + _PAIRS)
        out[part] = np.einsum("rd,rd->r", directions[truth[part]], latents[latent[part]])
    out = np.clip(out, -1.0, 1.0)
    return np.abs(out) if absolute else out
