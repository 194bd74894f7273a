"""Codes: fewer directions than values, with every read exact.

A one-hot variable with n values lies on k < n - 1 coordinates by a code C (n, k), one row for each
value. A reader asks it for linear functionals f (n,), and [C 1] g = f can be solved exactly if the
columns of C span f up to a constant: one of the values is 1. So k need not exceed the rank of what
all readers ask. Variables are coded from the output back, since of what is only copied a head asks
no more than the code of its copy; the output itself is read as its nearest code word.

A head that compares for equality asks for all values at first. With harmonics instead, value i at
phase i of N on m frequencies, keys and queries that match still score exactly 1, others at most mu,
the coherence. A scale that is 1 / (1 - mu) times as large restores the distance between them, and
matching keys still score alike, so attention stays even. Shifts keep the span of harmonics, so that
one code serves all heads that compare positions. Orders (<=) have full rank, and stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from groundtruth.compiled_models.components import Component, Head, Term
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.placement import Placement
from groundtruth.models import Weights

RANK = 1e-9
"""Singular values below this fraction of the greatest are 0."""

TRIES = 64
"""Sets of frequencies that are tried."""

ALIKE = 0.1
"""Distance of two words, as a fraction of the length of most, below which they are alike."""

STEPS, PACE = 200, 0.1
"""Steps of the repulsion that spreads code words, and their size."""


@dataclass(frozen=True)
class Harmonics:
    """Phases of a circle on several frequencies: value i is at (cos, sin)(2 pi f i / period).

    Fields:
        coherence: mu, the greatest product of two words at different phases; words have length 1.
    """

    period: int
    frequencies: tuple[int, ...]
    coherence: float

    @property
    def stretch(self) -> float:
        return 1 / (1 - self.coherence)

    def words(self, n: int, shift: int = 0) -> np.ndarray:
        """(n, 2 m) words of the phases from `shift` on."""
        angle = 2 * np.pi * np.outer(np.arange(n) + shift, self.frequencies) / self.period
        return np.concatenate([np.cos(angle), np.sin(angle)], 1) / np.sqrt(len(self.frequencies))


def harmonics(period: int, n_frequencies: int, rng: np.random.Generator) -> Harmonics:
    """The least coherent of some sets of frequencies."""
    every = np.arange(1, (period - 1) // 2 + 1)
    tried = [every[:n_frequencies]]
    tried += [rng.choice(every, n_frequencies, replace=False) for _ in range(TRIES)]
    distances = np.arange(1, period)

    def coherence(frequencies: np.ndarray) -> float:
        angle = 2 * np.pi * np.outer(distances, frequencies) / period
        return float(np.cos(angle).mean(axis=1).max())

    best = min(tried, key=coherence)
    return Harmonics(period, tuple(sorted(best.tolist())), coherence(best))


def shift_of(term: Term) -> int | None:
    """Query code minus key code, if a key is wanted where that is one number, and by none else."""
    pairs = np.argwhere(term.wanted)
    shifts = {int(query - key) for key, query in pairs}
    return next(iter(shifts)) if len(shifts) == 1 else None


def longest_period(components: Sequence[Component]) -> int:
    """A period on which no two phases of any head that compares for equality meet; 0 if none."""
    spans = [
        max(term.wanted.shape) + abs(shift)
        for head in components
        if isinstance(head, Head)
        for term in head.terms
        if (shift := shift_of(term)) is not None
    ]
    return max(spans, default=-1) + 1


def compared_by(code: Harmonics, components: Sequence[Component]) -> list[Component]:
    """`components`, whose heads compare words of `code` where they compare for equality."""
    return [_compared(code, part) if isinstance(part, Head) else part for part in components]


def ordering(components: Sequence[Component]) -> frozenset[str]:
    """Names of exact variables that heads compare otherwise than for equality."""
    return frozenset(
        side.name
        for head in components
        if isinstance(head, Head)
        for term in head.terms
        if shift_of(term) is None
        for side in (term.keys, term.queries)
        if side.total - len(side.labels) * side.blur == 0
    )


def _compared(code: Harmonics, head: Head) -> Head:
    terms, raised = [], 0.0
    for term in head.terms:
        shift, factors = shift_of(term), None
        if shift is not None and 2 * len(code.frequencies) < max(term.wanted.shape) - 1:
            factors = (_side(code, term.keys, shift), _side(code, term.queries, 0))
            raised += code.stretch - 1
        terms.append(replace(term, factors=factors))
    return replace(head, terms=tuple(terms), bos=head.bos + head.scale * raised)


def _side(code: Harmonics, variable: Variable, shift: int) -> np.ndarray:
    """Words of the values, 0 for None, times the root of the stretch."""
    words = code.words(len(variable.labels), shift)
    words[[label is None for label in variable.labels]] = 0
    return np.sqrt(code.stretch) * words


# --- codes of variables ------------------------------------------------------------------------


def chosen_codes(
    layout: Layout,
    placement: Placement,
    weights: Weights,
    size: int | None,
    kept: frozenset[str],
    rng: np.random.Generator,
) -> dict[Variable, np.ndarray] | None:
    """The code of each variable (labels, coordinates); those called `kept` keep their directions.

    Args:
        size: of all with begin-of-sequence, at most; None for as few coordinates as can be.

    Returns:
        None if `size` is too few.
    """
    codes, fewest = _codes(layout, placement, weights, {}, kept, rng)
    if size is None:
        return codes
    open_to = {v: k for v, k in fewest.items() if v.name not in kept}
    for room in range(size - 1 - sum(fewest.values()), -1, -1):
        extra = _shared_out(room, open_to)
        codes = _codes(layout, placement, weights, extra, kept, rng)[0]
        # A larger code of a copy asks more of what is copied.
        if 1 + sum(code.shape[1] for code in codes.values()) <= size:
            return codes
    return None


def smallest(
    layout: Layout,
    placement: Placement,
    weights: Weights,
    kept: frozenset[str],
    rng: np.random.Generator,
) -> dict[Variable, int]:
    """The least number of coordinates of each variable."""
    return _codes(layout, placement, weights, {}, kept, rng)[1]


def _codes(
    layout: Layout,
    placement: Placement,
    weights: Weights,
    extra: Mapping[Variable, int],
    kept: frozenset[str],
    rng: np.random.Generator,
) -> tuple[dict[Variable, np.ndarray], dict[Variable, int]]:
    codes: dict[Variable, np.ndarray] = {}
    fewest: dict[Variable, int] = {}
    for variable in reversed(layout.variables):
        n = len(variable.labels)
        if not variable.one_hot or variable.name in kept:
            codes[variable], fewest[variable] = np.eye(n), n
            continue
        basis = _span(functionals(variable, placement, weights, codes))
        # Values that no reader tells apart are to be told apart all the same.
        alike = basis.shape[1] < n - 1 and closest(basis) < ALIKE / np.sqrt(n)
        fewest[variable] = max(basis.shape[1] + alike, min(2, n - 1), 1)
        k = fewest[variable] + extra.get(variable, 0)
        codes[variable] = _code(basis, k, rng)
    return codes, fewest


def functionals(
    variable: Variable,
    placement: Placement,
    weights: Weights,
    codes: Mapping[Variable, np.ndarray],
) -> np.ndarray:
    """(labels, functional) all that heads and neurons read of `variable`; copies by their codes."""
    rows = slice(variable.directions.start, variable.directions.stop)
    found = [np.zeros((len(variable.labels), 0))]
    for block, placed in zip(weights.blocks, placement.blocks):
        for head, part in zip(block.heads, placed.heads):
            found += [head.W_Q[rows], head.W_K[rows]]
            written = slice(part.writes.directions.start, part.writes.directions.stop)
            moved = head.W_V[rows] @ head.W_O[:, written]
            if moved.any():
                found.append(moved @ codes[part.writes])
        if block.mlp is not None:
            found.append(block.mlp.W_in[rows])
    joined = np.concatenate(found, axis=1)
    return joined[:, joined.any(axis=0)]


def _span(asked: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns, up to constants."""
    asked = asked / np.linalg.norm(asked, axis=0)
    asked = asked - asked.mean(axis=0)
    left, sizes, _ = np.linalg.svd(asked, full_matrices=False)
    return left[:, sizes > RANK * max(1.0, sizes.max(initial=0.0))]


def _code(basis: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(n, k): what is asked, and on the other coordinates words that keep apart."""
    n, rank = basis.shape
    asked = basis * np.sqrt(n / k)
    if k == rank:
        return asked
    if n == k + 1:
        full = np.linalg.qr(np.concatenate([np.ones((n, 1)), basis, rng.normal(size=(n, k))], 1))[0]
        return full[:, 1:n] * np.sqrt(n / k)
    return np.concatenate([asked, np.sqrt((k - rank) / k) * _apart(n, k - rank, rng)], axis=1)


def _apart(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(n, k) rows of length 1 that repel one another."""
    words = rng.normal(size=(n, k))
    for _ in range(STEPS if k > 1 else 1):
        words /= np.linalg.norm(words, axis=1, keepdims=True)
        gaps = words[:, None] - words[None]
        force = gaps / (np.square(gaps).sum(-1, keepdims=True) + 0.01) ** 2
        push = force.sum(axis=1)
        words = words + PACE * push / np.linalg.norm(push, axis=1, keepdims=True).max(initial=1e-9)
    if k == 1:
        return rng.permutation(np.linspace(-1, 1, n))[:, None]
    return words / np.linalg.norm(words, axis=1, keepdims=True)


def _shared_out(room: int, fewest: Mapping[Variable, int]) -> dict[Variable, int]:
    """`room` coordinates, one at a time to whatever has the fewest for its values."""
    extra = dict.fromkeys(fewest, 0)
    for _ in range(room):
        open_to = [v for v in fewest if v.one_hot and fewest[v] + extra[v] < len(v.labels) - 1]
        if not open_to:
            break
        least = min(open_to, key=lambda v: (fewest[v] + extra[v]) / len(v.labels))
        extra[least] += 1
    return extra


def closest(code: np.ndarray) -> float:
    """The least distance between two words."""
    if len(code) < 2:
        return float("inf")
    gaps = np.linalg.norm(code[:, None] - code[None], axis=-1)
    return float(gaps[~np.eye(len(code), dtype=bool)].min())
