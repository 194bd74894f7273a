"""Sparse codes by accelerated proximal gradient (FISTA), batched over samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, vstack

from groundtruth.errors import reject
from groundtruth.inference.arrays import as_problem, as_tensor, check_finite, chunks, to_csr


def fista(
    x: ArrayLike | torch.Tensor,
    dictionary: ArrayLike | torch.Tensor,
    penalty: float,
    *,
    weights: ArrayLike | torch.Tensor | None = None,
    n_iterations: int = 200,
    nonnegative: bool = True,
    tolerance: float = 1e-6,
) -> csr_array:
    """Codes of least weighted l1-penalised squared error.

    argmin over z (>= 0 when `nonnegative`) of |x - z D|^2 / 2 + penalty * sum_i weights_i |z_i|.
    With weights log((1 - p_i) / p_i), cut at 0, the penalty is the cost of a feature firing under
    a prior in which feature i fires with probability p_i.

    Args:
        x: samples, (n, d).
        dictionary: rows of any length, (F, d).
        penalty: at least 0, in units of x times dictionary.
        weights: (F,), at least 0; all 1 by default.
        n_iterations: gradient steps at most.
        nonnegative: whether codes may not be negative.
        tolerance: stop when no code moves by more than this share of the largest.

    Returns:
        Codes, a float32 csr_array (n, F). They are near the minimum, not exactly at it: compare
        entries with a threshold, not with 0.

    Raises:
        InputError: shapes disagree, entries not finite, penalty or a weight negative.

    Example:
        >>> import numpy as np
        >>> fista(np.array([[3.0, -2.0, 0.5]]), np.eye(3), 1.0).toarray().tolist()
        [[2.0, 0.0, 0.0]]

    Source: "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems" (2009),
        https://doi.org/10.1137/080716542; restarts: "Adaptive Restart for Accelerated Gradient
        Schemes" (2012), https://arxiv.org/abs/1204.3982.
    """
    samples, atoms = as_problem(x, dictionary)
    cost = _cost(penalty, weights, atoms)
    if n_iterations < 1:
        raise reject("n_iterations", n_iterations, "a whole number of at least 1")
    if tolerance < 0:
        raise reject("tolerance", tolerance, "a number of at least 0")
    if len(samples) == 0 or len(atoms) == 0:
        return csr_array((len(samples), len(atoms)), dtype=np.float32)
    step = _step(atoms)
    parts = [
        to_csr(_descend(samples[part], atoms, cost, step, n_iterations, nonnegative, tolerance))
        for part in chunks(len(samples), len(atoms))
    ]
    return csr_array(vstack(parts, format="csr"))


def _cost(
    penalty: float, weights: ArrayLike | torch.Tensor | None, atoms: torch.Tensor
) -> torch.Tensor:
    """penalty * weights, (F,)."""
    if not (np.isfinite(penalty) and penalty >= 0):
        raise reject("penalty", penalty, "a finite number of at least 0")
    if weights is None:
        return atoms.new_full((len(atoms),), penalty)
    each = as_tensor("weights", weights)
    if each.shape != (len(atoms),):
        raise reject("weights", tuple(each.shape), f"one weight per feature, ({len(atoms)},)")
    low, _ = check_finite("weights", each)
    if low < 0:
        raise reject("weights", low, "no weight below 0", "Use np.maximum(weights, 0).")
    return penalty * each.to(atoms)


def _step(atoms: torch.Tensor) -> float:
    """1 / L, L the largest eigenvalue of D D^T, which the smaller Gram matrix shares."""
    if atoms.numel() == 0:
        return 0.0
    wide = atoms.double()
    gram = wide.T @ wide if wide.shape[0] > wide.shape[1] else wide @ wide.T
    largest = float(torch.linalg.eigvalsh(gram)[-1])
    # Float32 products may exceed the eigenvalue by their rounding, which would let steps grow.
    return 1 / (largest * (1 + 1e-5)) if largest > 0 else 0.0


def _descend(
    x: torch.Tensor,
    atoms: torch.Tensor,
    cost: torch.Tensor,
    step: float,
    n_iterations: int,
    nonnegative: bool,
    tolerance: float,
) -> torch.Tensor:
    """FISTA on one chunk, with the momentum of a sample dropped when it points uphill."""
    codes = x.new_zeros((len(x), len(atoms)))
    ahead, momentum = codes, x.new_ones((len(x), 1))
    for _ in range(n_iterations):
        moved = ahead + step * ((x - ahead @ atoms) @ atoms.T)
        fresh = _shrink(moved, step * cost, nonnegative)
        change = fresh - codes
        uphill = ((ahead - fresh) * change).sum(dim=1, keepdim=True) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        larger = (1 + (1 + 4 * momentum**2).sqrt()) / 2
        ahead = fresh + (momentum - 1) / larger * change
        codes, momentum = fresh, larger
        if bool(change.abs().max() <= tolerance * fresh.abs().max()):
            break
    return codes


def _shrink(values: torch.Tensor, by: torch.Tensor, nonnegative: bool) -> torch.Tensor:
    if nonnegative:
        return (values - by).clamp_min_(0)
    return values.sign() * (values.abs() - by).clamp_min_(0)
