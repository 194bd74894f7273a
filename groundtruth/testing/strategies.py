"""Strategies that draw truths, worlds, score data and claims.

Sizes, probabilities and what each latent does are drawn one by one, so failures shrink: to one
feature in one dimension, and to latents that are planted. Directions and codes come from drawn
seeds, so an example costs milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

from groundtruth import seeds
from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.generators.dictionaries import unit_rows
from groundtruth.generators.sparse import sparse
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.outputs import Outputs, linear_outputs
from groundtruth.score_data import PARTS, ScoreData, Scoring
from groundtruth.testbed import Testbed
from groundtruth.truth import FeatureTruth

SMALL = Scoring(n_select=64, n_score=64, n_positives=4)
"""So little scoring data that an example takes milliseconds."""

LATENT_KINDS = (
    "planted",
    "rotated",
    "mixed",
    "random",
    "spurious",
    "dead",
    "zero",
    "tiny",
    "duplicate",
)
"""What a drawn latent does: a feature's direction and codes; its direction turned; the sum of two
features; a random direction with random codes; planted with extra firings; planted but silent; a
decoder row of zeros; a row of length 1e-9 with codes as much larger; a copy of an earlier one."""

MAGNITUDES: tuple[dict[str, Any], ...] = (
    {"law": "constant", "value": 1.0},
    {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
    {"law": "uniform", "low": 0.0, "high": 1.0},
    {"law": "exponential", "mean": 1.0},
    {"law": "rectified-normal", "mean": 1.0, "std": 1.0},
)
"""One magnitude law of each kind, as `sparse` takes them."""

_SEEDS = st.integers(0, 2**16)
_TINY = 1e-9


def firing_probabilities(n_features: int, *, least: float = 1e-4) -> st.SearchStrategy[list[float]]:
    """One probability per feature, each in [least, 1], with exact 1/2 and 1 among them.

    Example:
        >>> from hypothesis import find
        >>> find(firing_probabilities(2), lambda p: True)
        [0.5, 0.5]
    """
    one = st.sampled_from([0.5, 0.05]) | st.floats(least, 0.9) | st.sampled_from([0.95, 1.0])
    return st.lists(one, min_size=n_features, max_size=n_features)


def magnitude_laws() -> st.SearchStrategy[MagnitudeLaw]:
    """A law of `MAGNITUDES` at a scale that is a power of two.

    Example:
        >>> from hypothesis import find
        >>> find(magnitude_laws(), lambda law: True).name
        'constant'
    """
    return st.builds(
        lambda law, exponent: MagnitudeLaw(
            law["law"], {k: v for k, v in law.items() if k != "law"}, 2.0**exponent
        ),
        st.sampled_from(MAGNITUDES),
        st.integers(-8, 8),
    )


@st.composite
def feature_truths(
    draw: st.DrawFn, *, max_features: int = 8, max_d: int = 6, least: float = 1e-4
) -> FeatureTruth:
    """A planted dictionary with unit rows, some of which may nearly coincide.

    Args:
        max_features, max_d: largest sizes; 40 and 64 are affordable.
        least: smallest firing probability.

    Example:
        >>> from hypothesis import find
        >>> smallest = find(feature_truths(), lambda truth: True)
        >>> smallest.n_features, smallest.d
        (1, 1)
    """
    n_features, d = draw(st.integers(1, max_features)), draw(st.integers(1, max_d))
    return FeatureTruth(
        directions=_directions(draw, n_features, d),
        firing_probability=np.array(draw(firing_probabilities(n_features, least=least))),
        magnitude=draw(magnitude_laws()),
        bias=draw(st.sampled_from([0.0, 1.0])) * np.ones(d),
        noise=draw(st.sampled_from([0.0, 0.1])),
    )


@st.composite
def testbeds(
    draw: st.DrawFn,
    *,
    min_features: int = 1,
    max_features: int = 8,
    min_d: int = 1,
    max_d: int = 6,
    least: float = 1e-4,
    near_duplicates: bool = True,
    noise: bool = True,
    bias: bool = True,
) -> Testbed:
    """A world of the sparse family from drawn directions, probabilities and magnitude law.

    Args:
        min_features, max_features, min_d, max_d: bounds of the sizes.
        least: smallest firing probability.
        near_duplicates: whether directions may nearly coincide.
        noise, bias: whether the world may have them.

    Example:
        >>> from hypothesis import find
        >>> find(testbeds(), lambda testbed: True).truth.features.directions.shape
        (1, 1)
    """
    n_features = draw(st.integers(min_features, max_features))
    d = draw(st.integers(min_d, max_d))
    directions = _directions(draw, n_features, d, near_duplicates=near_duplicates)
    values = draw(firing_probabilities(n_features, least=least))
    return sparse(
        seed=draw(_SEEDS),
        name="testing",
        n_features=n_features,
        d=d,
        firing={"law": "given", "values": values},
        magnitude=draw(st.sampled_from(MAGNITUDES)),
        dictionary={"law": "given", "directions": directions},
        noise=draw(st.sampled_from([0.0, 0.1])) if noise else 0.0,
        bias=draw(st.sampled_from([0.0, 1.0])) if bias else 0.0,
        scale=2.0 ** draw(st.integers(-4, 4)),
    )


# Its name begins with "test": a test module that imports it must not have it collected.
testbeds.__test__ = False  # type: ignore[attr-defined]


def score_data(
    worlds: st.SearchStrategy[Testbed] | None = None, *, scoring: Scoring = SMALL
) -> st.SearchStrategy[ScoreData]:
    """Scoring samples of a drawn world; little of them.

    Example:
        >>> from hypothesis import find
        >>> find(score_data(), lambda data: True).score.shape
        (64, 1)
    """
    worlds = testbeds() if worlds is None else worlds
    return worlds.map(lambda testbed: ScoreData(testbed, scoring))


@st.composite
def dictionaries(
    draw: st.DrawFn,
    testbed: Testbed | None = None,
    *,
    k: int | None = None,
    d: int | None = None,
    max_k: int = 10,
) -> Dictionary:
    """A claim whose encoder is linear with a threshold: codes = max(0, x W^T - t).

    Rows are planted directions (with a testbed), random ones, zero, tiny, dead (a threshold that
    nothing reaches) or copies of earlier rows.

    Args:
        testbed: the world that it is a claim about.
        k: latents; drawn in [1, max_k] if None.
        d: activation width where there is no testbed; drawn in [1, 6] if None.

    Example:
        >>> from hypothesis import find
        >>> find(dictionaries(k=2, d=3), lambda claim: True).decoder.shape
        (2, 3)
    """
    if testbed is not None:
        rows = testbed.truth.features.directions
    else:
        rows = np.empty((0, draw(st.integers(1, 6)) if d is None else d))
    k = draw(st.integers(1, max_k)) if k is None else k
    known = ("planted", "rotated") if len(rows) else ()
    kinds = (*known, "random", "dead", "zero", "tiny", "duplicate")
    decoder, threshold = np.zeros((k, rows.shape[1])), np.zeros(k)
    for j in range(k):
        kind = draw(st.sampled_from(kinds))
        decoder[j], threshold[j] = _linear_latent(draw, kind, rows, decoder[:j], threshold[:j])

    def encode(x: Any) -> np.ndarray:
        # Scaling rows to length 1 keeps a row of length 1e-9 from reading nothing.
        norm = np.linalg.norm(decoder, axis=1, keepdims=True)
        unit = decoder / np.where(norm > 0, norm, 1.0)
        return np.maximum(0.0, np.asarray(x, dtype=np.float64) @ unit.T - threshold)

    return Dictionary(decoder, encode)


@st.composite
def outputs(
    draw: st.DrawFn,
    data: ScoreData,
    *,
    k: int | None = None,
    max_k: int = 10,
    kinds: tuple[str, ...] = LATENT_KINDS,
) -> Outputs:
    """A claim as arrays on `data`: sparse codes >= 0 and a linear reconstruction.

    Args:
        data: the score data of the world that it is a claim about.
        k: latents; drawn in [1, max_k] if None.
        kinds: which of `LATENT_KINDS` may occur.

    Example:
        >>> from hypothesis import find, strategies
        >>> claim = score_data().flatmap(outputs)
        >>> find(claim, lambda claim: True).decoder.shape
        (1, 1)
    """
    unknown = set(kinds) - set(LATENT_KINDS)
    if unknown or not kinds:
        raise reject("kinds", tuple(kinds), f"some of {', '.join(LATENT_KINDS)}")
    k = draw(st.integers(1, max_k)) if k is None else k
    rows: list[np.ndarray] = []
    codes: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    planted = {part: getattr(data, part).toarray().astype(np.float64) for part in PARTS}
    for _ in range(k):
        kind = draw(st.sampled_from(kinds))
        if kind == "duplicate" and rows:
            copied = draw(st.integers(0, len(rows) - 1))
            rows.append(rows[copied])
            for part in PARTS:
                codes[part].append(codes[part][copied])
            continue
        row, columns = _latent(draw, kind, len(rows), data.truth.directions, planted)
        rows.append(row)
        for part in PARTS:
            codes[part].append(columns[part])
    select, score, positives = (
        sp.csr_array(np.stack(codes[part], axis=1).astype(np.float32))
        for part in ("select", "score", "positives")
    )
    return linear_outputs(np.stack(rows), data.truth.bias, select, score, positives)


def _directions(
    draw: st.DrawFn, n_features: int, d: int, *, near_duplicates: bool = True
) -> np.ndarray:
    """Unit rows from a drawn seed; in one dimension all are +1."""
    rng = _rng(draw, "directions")
    rows = unit_rows(rng.standard_normal((n_features, d)))
    if d == 1:
        rows = np.abs(rows)
    if near_duplicates and n_features > 1 and d > 1 and draw(st.booleans()):
        rows[-1] = _turned(rows[0], 10.0 ** -draw(st.integers(1, 4)), rng)
    return rows


def _linear_latent(
    draw: st.DrawFn, kind: str, truth: np.ndarray, earlier: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, float]:
    """Decoder row and encoder threshold."""
    if kind == "duplicate" and len(earlier):
        j = draw(st.integers(0, len(earlier) - 1))
        return earlier[j].copy(), float(thresholds[j])
    rng = _rng(draw, f"row {len(earlier)}")
    if kind == "zero":
        return np.zeros(truth.shape[1]), 0.0
    if kind in ("planted", "rotated"):
        row = truth[draw(st.integers(0, len(truth) - 1))]
        row = _turned(row, 0.5, rng) if kind == "rotated" else row.copy()
    else:
        row = unit_rows(rng.standard_normal((1, truth.shape[1])))[0]
    row = row * _TINY if kind == "tiny" else row
    return row, np.inf if kind == "dead" else draw(st.sampled_from([0.0, 0.5]))


def _latent(
    draw: st.DrawFn, kind: str, j: int, truth: np.ndarray, planted: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Decoder row of latent j and its column of codes on each part."""
    rng = _rng(draw, f"latent {j}")
    i = draw(st.integers(0, len(truth) - 1))
    row, columns = truth[i].copy(), {part: codes[:, i] for part, codes in planted.items()}
    if kind == "rotated":
        row = _turned(row, draw(st.sampled_from([0.1, 0.4, 0.6, 1.5])), rng)
    elif kind == "mixed":
        other = draw(st.integers(0, len(truth) - 1))
        row = row + truth[other]
        columns = {part: codes[:, i] + codes[:, other] for part, codes in planted.items()}
    elif kind == "random":
        row = unit_rows(rng.standard_normal((1, truth.shape[1])))[0]
        columns = {part: _random_codes(rng, len(codes), 0.3) for part, codes in planted.items()}
    elif kind == "spurious":
        columns = {
            part: column + _random_codes(rng, len(column), 0.1) for part, column in columns.items()
        }
    elif kind == "dead":
        columns = {part: np.zeros(len(column)) for part, column in columns.items()}
    elif kind == "zero":
        row = np.zeros_like(row)
    elif kind == "tiny":
        row, columns = row * _TINY, {part: column / _TINY for part, column in columns.items()}
    return row, columns


def _rng(draw: st.DrawFn, stream: str) -> np.random.Generator:
    """A generator of a drawn seed, different for each stream: equal seeds draw no equal rows."""
    return seeds.generator(b"testing", stream, draw(_SEEDS))


def _random_codes(rng: np.random.Generator, n: int, rate: float) -> np.ndarray:
    return np.where(rng.random(n) < rate, rng.random(n) + 0.5, 0.0)


def _turned(row: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """`row` (a unit vector) turned by `angle` radians toward a random orthogonal direction."""
    if len(row) == 1:
        return row.copy()
    other = rng.standard_normal(len(row))
    other -= (other @ row) * row
    turned = np.cos(angle) * row + np.sin(angle) * other / np.linalg.norm(other)
    return turned / np.linalg.norm(turned)
