"""Dictionary laws over several activation spaces side by side: two models, or layers of one.

x is the concatenation of all parts, so a feature has one unit direction in the whole space, and its
lengths within the parts say where it lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from groundtruth.errors import InputError, reject


def pair(
    n_features: int,
    d: int,
    rng: np.random.Generator,
    *,
    shared: int = 0,
    rescaled: Sequence[float] = (),
    rotated: Sequence[float] = (),
    first_only: int = 0,
    second_only: int = 0,
) -> np.ndarray:
    """Features of two models of width d / 2, in this order.

    With u uniform on the sphere of the first model, R one random rotation between the two, and
    rows scaled to length 1 as a whole: shared (u, R u); rescaled (alpha u, R u); rotated (u, v),
    v at an angle from R u; only in the first (u, 0), or in the second (0, R u).

    Args:
        rescaled: one alpha > 0 for each such feature.
        rotated: one angle in degrees, 0 to 180, for each.
    """
    width = _width(d, 2)
    counts = {"shared": shared, "first_only": first_only, "second_only": second_only}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise reject(f"dictionary.{name}", value, "a whole number >= 0")
    alpha = _numbers("dictionary.rescaled", rescaled, 0.0, np.inf)
    angle = np.deg2rad(_numbers("dictionary.rotated", rotated, 0.0, 180.0))
    total = sum(counts.values()) + len(alpha) + len(angle)
    if total != n_features:
        raise InputError(
            f"dictionary (pair): expected shared, rescaled, rotated, first_only and second_only "
            f"to count {n_features} features, got {total}. Pass n_features={total}."
        )
    first = _sphere(n_features, width, rng)
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0]
    second = first @ rotation
    turned = slice(shared + len(alpha), shared + len(alpha) + len(angle))
    if len(angle) and width == 1:
        raise reject("dictionary.rotated", rotated, "nothing to rotate in models of width 1")
    second[turned] = _turned(second[turned], angle, rng)
    gains = np.ones((n_features, 2))
    gains[shared : shared + len(alpha), 0] = alpha
    gains[n_features - first_only - second_only : n_features - second_only, 1] = 0.0
    gains[n_features - second_only :, 0] = 0.0
    rows = np.concatenate([first * gains[:, :1], second * gains[:, 1:]], axis=1)
    return rows / np.linalg.norm(gains, axis=1, keepdims=True)


def lifetimes(
    n_features: int,
    d: int,
    rng: np.random.Generator,
    *,
    n_layers: int,
    lives: Sequence[Sequence[int]],
    turn: float = 0.0,
) -> np.ndarray:
    """Features of a residual stream of `n_layers` layers of width d / n_layers.

    Feature i is written at layer lives[i][0] and erased after lives[i][1]; in between it keeps
    its direction, or turns by `turn` degrees from each layer to the next.
    """
    width = _width(d, n_layers)
    spans = np.asarray(lives)
    if spans.shape != (n_features, 2) or spans.dtype.kind not in "iu":
        raise reject("dictionary.lives", lives, f"first and last layer of {n_features} features")
    bad = np.flatnonzero(
        (spans[:, 0] < 0) | (spans[:, 1] >= n_layers) | (spans[:, 0] > spans[:, 1])
    )
    if bad.size:
        raise InputError(
            f"dictionary.lives: expected 0 <= first <= last < {n_layers}, got "
            f"{spans[bad[0]].tolist()} for feature {bad[0]}."
        )
    rows, direction = np.zeros((n_features, n_layers, width)), _sphere(n_features, width, rng)
    angle = np.deg2rad(_numbers("dictionary.turn", [turn], 0.0, 180.0))
    for layer in range(n_layers):
        alive = (spans[:, 0] <= layer) & (layer <= spans[:, 1])
        rows[alive, layer] = direction[alive]
        if turn:
            direction = _turned(direction, np.broadcast_to(angle, n_features), rng)
    lived = spans[:, 1] - spans[:, 0] + 1
    return rows.reshape(n_features, d) / np.sqrt(lived)[:, None]


def parts_of(d: int, dictionary: dict[str, Any]) -> tuple[int, ...]:
    """Widths of the parts that a dictionary law lays side by side; () if it is one space."""
    if dictionary["law"] == "pair":
        return (d // 2,) * 2
    if dictionary["law"] == "lifetimes":
        return (d // dictionary["n_layers"],) * dictionary["n_layers"]
    return ()


def _turned(rows: np.ndarray, angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit rows at `angle` (radians) from `rows`, in random planes."""
    aside = rng.standard_normal(rows.shape)
    aside -= np.sum(aside * rows, axis=1, keepdims=True) * rows
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    return np.cos(angle)[:, None] * rows + np.sin(angle)[:, None] * aside


def _sphere(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _width(d: int, n_parts: Any) -> int:
    if isinstance(n_parts, bool) or not isinstance(n_parts, (int, np.integer)) or n_parts < 1:
        raise reject("dictionary.n_layers", n_parts, "a whole number >= 1")
    if d % n_parts:
        raise InputError(
            f"dictionary, d: expected a width that {n_parts} parts share equally, got d={d}."
        )
    return d // int(n_parts)


def _numbers(name: str, values: Any, low: float, high: float) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise reject(name, values, "a list of numbers") from None
    if not np.all(np.isfinite(array)) or np.any(array < low) or np.any(array > high):
        raise reject(name, values, f"finite numbers from {low:g} to {high:g}")
    if name == "dictionary.rescaled" and np.any(array == 0):
        raise reject(name, values, "numbers > 0; features of one model have a count of their own")
    return array
