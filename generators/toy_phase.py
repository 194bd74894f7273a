"""The phase diagram of two features in one dimension, in closed form.

x_1 and x_2 fire independently with probability p and are uniform on (0, 1]; the second counts r
times the first. Loss: E (x_1 - x_hat_1)^2 + r E (x_2 - x_hat_2)^2, for the ReLU model with d = 1.
Three candidates have closed forms. They are upper bounds of the least loss and not the optimum:
between them a trained model does a little better with weights between theirs. A phase is
therefore told only away from the boundary.

Source: the diagram is that of Elhage et al., "Toy Models of Superposition", 2022,
https://transformer-circuits.pub/2022/toy_model/index.html; the forms below are derived here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from groundtruth.errors import reject

DROP_SECOND, ANTIPODAL, DROP_FIRST, BETWEEN = "drop-second", "antipodal", "drop-first", "between"


class CandidateLosses(NamedTuple):
    """The loss of each candidate solution."""

    drop_second: float
    antipodal: float
    drop_first: float


def candidate_losses(probability: float, ratio: float, *, bias: bool = True) -> CandidateLosses:
    """Losses of W = (1, 0), (1, -1) and (0, 1).

    A dropped feature is guessed by its mean p / 2, at the cost of its variance p / 3 - p^2 / 4;
    without a bias by 0, at the cost of p / 3. The antipodal pair errs only where both fire, and
    then by the smaller of the two in either feature: E min(u, v)^2 = 1 / 6 gives (1 + r) p^2 / 6.

    Args:
        probability: p, in [0, 1].
        ratio: r, the importance of the second feature over that of the first, > 0.
        bias: whether the model has one.

    Example:
        >>> [round(loss, 6) for loss in candidate_losses(0.4, 1.0)]
        [0.093333, 0.053333, 0.093333]
    """
    p, r = _probability(probability), _ratio(ratio)
    dropped = p / 3 - (p**2 / 4 if bias else 0.0)
    return CandidateLosses(r * dropped, (1 + r) * p**2 / 6, dropped)


def boundary(ratio: float, *, bias: bool = True) -> float:
    """p*, below which the antipodal pair beats dropping the lesser feature.

    Equating the losses gives, for r <= 1, p* = 4 r / (2 + 5 r); for r >= 1 the same with 1 / r,
    which is 4 / (5 + 2 r). Without a bias: 2 r / (1 + r), and 2 / (1 + r).

    Example:
        >>> [round(boundary(r), 3) for r in (0.1, 0.5, 1.0, 2.0)]
        [0.16, 0.444, 0.571, 0.444]
        >>> boundary(1.0, bias=False)
        1.0
    """
    r = _ratio(ratio)
    least = min(r, 1 / r)
    return 4 * least / (2 + 5 * least) if bias else 2 * least / (1 + least)


def predicted_phase(probability: float, ratio: float, *, bias: bool = True) -> str:
    """The candidate with the least loss.

    Example:
        >>> predicted_phase(0.4, 1.0), predicted_phase(0.3, 0.1), predicted_phase(0.9, 5.0)
        ('antipodal', 'drop-second', 'drop-first')
    """
    losses = candidate_losses(probability, ratio, bias=bias)
    return (DROP_SECOND, ANTIPODAL, DROP_FIRST)[int(np.argmin(losses))]


def phase(W: Any) -> str:
    """The phase of given weights W (1, 2).

    A feature is dropped if its weight is below a tenth of the other's; the pair is antipodal if
    the signs differ and the lesser weight is at least 0.8 of the other. All else is "between".

    Example:
        >>> phase([[1.0, -0.94]]), phase([[1.0, 0.01]]), phase([[0.93, -0.47]])
        ('antipodal', 'drop-second', 'between')
    """
    weights = np.asarray(W, dtype=np.float64)
    if weights.shape != (1, 2) or not weights.any():
        raise reject("W", W, "two weights, shape (1, 2), not both 0")
    first, second = np.abs(weights[0])
    share = min(first, second) / max(first, second)
    if share < 0.1:
        return DROP_SECOND if second < first else DROP_FIRST
    return ANTIPODAL if share >= 0.8 and weights[0].prod() < 0 else BETWEEN


def expected_loss(W: Any, b: Any, probability: float, ratio: float, *, n_nodes: int = 400) -> float:
    """The loss of any weights, by quadrature over the four cases of who fires.

    The integrand is piecewise quadratic; the midpoint rule on n_nodes points per axis is exact to
    about 1 / n_nodes^2.

    Args:
        W: (1, 2).
        b: (2,).

    Example:
        >>> round(expected_loss([[1.0, -1.0]], [0.0, 0.0], 0.4, 1.0), 5)
        0.05333
    """
    p, r = _probability(probability), _ratio(ratio)
    (w,), c = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)
    u = (np.arange(n_nodes) + 0.5) / n_nodes
    # Midpoints where a feature fires, and one more point, 0, where it does not.
    x, weight = np.append(u, 0.0), np.append(np.full(n_nodes, p / n_nodes), 1 - p)
    h = w[0] * x[:, None] + w[1] * x
    first = (np.maximum(w[0] * h + c[0], 0) - x[:, None]) ** 2
    second = (np.maximum(w[1] * h + c[1], 0) - x) ** 2
    return float(weight @ (first + r * second) @ weight)


def _probability(value: float) -> float:
    if not 0 <= value <= 1:
        raise reject("probability", value, "a number in [0, 1]")
    return float(value)


def _ratio(value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise reject("ratio", value, "a finite number > 0")
    return float(value)
