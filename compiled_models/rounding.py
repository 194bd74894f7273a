"""Bounds of what float32 and softmax can do to a number.

A sum of n terms in any order is off by at most gamma(n) times the sum of their absolute values
(Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
"""

from __future__ import annotations

import math

import numpy as np

UNIT = 2.0**-24
"""Half the distance from 1 to the next float32: the relative error of one operation."""


def gamma(n: int) -> float:
    """n UNIT / (1 - n UNIT), the relative error of a sum of `n` rounded terms."""
    return n * UNIT / (1 - n * UNIT)


def storing(number: float) -> float:
    """How far the float32 nearest to `number` is from it."""
    with np.errstate(over="ignore"):  # what overflows is off by infinity
        return abs(float(np.float32(number)) - number)


def sharpness(n_keys: int) -> int:
    """The distance between the scores of keys that softmax is to tell apart: what `n_keys` leave
    on the wrong side of it is at most n exp(-distance) <= 2^-27 of the attention."""
    return math.ceil(math.log(n_keys * 2.0**27))


def leak(n_keys: int, distance: float) -> float:
    """The share of attention on `n_keys` whose score is `distance` below the greatest."""
    return n_keys * math.exp(-max(distance, 0.0))


def unevenness(score_error: float) -> float:
    """How much the shares of keys that should have equal scores can differ from equal, as a
    fraction of a share: exp(2 e) - 1, for errors that leave any use of them."""
    return math.expm1(min(2 * score_error, 1.0))


def softmax_rounding(n_keys: int) -> float:
    """The relative error of a softmax over `n_keys` and begin-of-sequence, and of an average by it:
    exponentials good to 4 units, their sum, the quotient, and the sum of the products."""
    return gamma(2 * n_keys + 8)
