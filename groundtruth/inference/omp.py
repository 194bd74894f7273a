"""Non-negative orthogonal matching pursuit, batched: one feature more per step, then a refit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from groundtruth.errors import reject
from groundtruth.inference.arrays import as_problem, check_unit_rows, chunks


def nonnegative_omp(
    x: ArrayLike | torch.Tensor,
    dictionary: ArrayLike | torch.Tensor,
    n_active: int | ArrayLike,
) -> csr_array:
    """Greedy non-negative codes with a given number of active features.

    Each step adds the feature of largest <x - z D, D_i> > 0 to the support S, then sets z_S to the
    least-squares fit (D_S D_S^T)^-1 D_S x with negative entries put to 0. A sample stops when it
    has its features, when its residual is 0 to rounding, or when no correlation is positive.

    Args:
        x: samples, (n, d).
        dictionary: unit rows, (F, d).
        n_active: features per sample, one number or (n,).

    Returns:
        Codes z >= 0, a float32 csr_array (n, F) with at most n_active entries a row.

    Raises:
        InputError: shapes disagree, entries not finite, rows not of length 1, n_active negative.

    Example:
        >>> import numpy as np
        >>> nonnegative_omp(np.array([[3.0, 0.0, 2.0]]), np.eye(3), 2).toarray().tolist()
        [[3.0, 0.0, 2.0]]

    Source: "On the Uniqueness of Nonnegative Sparse Solutions to Underdetermined Systems of
        Equations" (2008), https://doi.org/10.1109/TIT.2008.929920; "Orthogonal Matching Pursuit:
        recursive function approximation" (1993), https://doi.org/10.1109/ACSSC.1993.342465.
    """
    samples, atoms = as_problem(x, dictionary)
    check_unit_rows("dictionary", atoms)
    counts = _counts(n_active, len(samples), min(atoms.shape))
    most = int(counts.max(initial=0))
    rows, columns, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    # The gathered atoms (rows, n_active, d) may be larger than the correlations (rows, F).
    for part in chunks(len(samples), max(len(atoms), most * atoms.shape[1])):
        found = _pursue(samples[part], atoms, torch.from_numpy(counts[part]).to(samples.device))
        row, slot = (found.coefficients > 0).nonzero(as_tuple=True)
        rows.append(row.cpu().numpy() + part.start)
        columns.append(found.support[row, slot].cpu().numpy())
        values.append(found.coefficients[row, slot].cpu().numpy())
    entries = np.concatenate(values).astype(np.float32)
    place = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((entries, place), shape=(len(samples), len(atoms)))


def _counts(n_active: int | ArrayLike, n: int, most: int) -> np.ndarray:
    counts = np.asarray(n_active)
    whole = counts.dtype.kind in "iu" or counts.size == 0
    if not whole or counts.shape not in ((), (n,)) or (counts.size and counts.min() < 0):
        raise reject("n_active", n_active, f"a whole number of at least 0, or {n} of them")
    # More features than dimensions cannot be fitted uniquely and are never needed.
    return np.minimum(np.broadcast_to(counts, (n,)).astype(np.int64), most)


@dataclass
class _Pursuit:
    """Supports of one chunk, filled slot by slot; an unused slot has coefficient 0."""

    support: torch.Tensor  # (b, s) int64
    used: torch.Tensor  # (b, s) bool
    coefficients: torch.Tensor  # (b, s) float64


def _pursue(x: torch.Tensor, atoms: torch.Tensor, counts: torch.Tensor) -> _Pursuit:
    n, steps = len(x), int(counts.max()) if len(counts) else 0
    state = _Pursuit(
        x.new_zeros((n, steps), dtype=torch.int64),
        x.new_zeros((n, steps), dtype=torch.bool),
        x.new_zeros((n, steps), dtype=torch.float64),
    )
    # Below this the residual is the rounding of a d-term sum.
    enough = 8 * torch.finfo(x.dtype).eps * x.norm(dim=1)
    residual, going = x, counts > 0
    for step in range(steps):
        going = going & (counts > step) & (residual.norm(dim=1) > enough)
        correlation = residual @ atoms.T  # (b, F)
        chosen = torch.where(state.used[:, :step], state.support[:, :step], len(atoms))
        padded = torch.nn.functional.pad(correlation, (0, 1))
        best, feature = padded.scatter_(1, chosen, -torch.inf)[:, :-1].max(dim=1)
        going = going & (best > 0)
        if not bool(going.any()):
            break
        state.support[going, step] = feature[going]
        state.used[going, step] = True
        residual = _refit(x, atoms, state, going, step + 1, residual)
    return state


def _refit(
    x: torch.Tensor,
    atoms: torch.Tensor,
    state: _Pursuit,
    going: torch.Tensor,
    size: int,
    residual: torch.Tensor,
) -> torch.Tensor:
    """Least squares on the supports of the samples still going; returns all residuals."""
    chosen = atoms[state.support[going, :size]].double()  # (b', s, d)
    target = x[going].double()
    gram = chosen @ chosen.mT
    # Near-equal atoms make the Gram matrix singular; this ridge is far below float32 rounding.
    gram.diagonal(dim1=1, dim2=2).add_(1e-12)
    factor = torch.linalg.cholesky_ex(gram).L
    fit = torch.cholesky_solve(chosen @ target[:, :, None], factor)[:, :, 0]
    fit = torch.nan_to_num(fit, 0.0, 0.0, 0.0).clamp_min(0)
    state.coefficients[going, :size] = fit
    updated = residual.clone()
    updated[going] = (target - (fit[:, None, :] @ chosen)[:, 0]).to(x.dtype)
    return updated
