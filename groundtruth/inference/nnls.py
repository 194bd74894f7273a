"""Exact non-negative least squares, one sample at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import nnls as scipy_nnls
from scipy.sparse import csr_array, vstack

from groundtruth.inference.arrays import as_problem
from groundtruth.inference.fista import fista

# Past its own limit scipy's active set is cycling on dependent rows; this many gradient steps
# reach the same least squared error to float32 rounding on every case we met.
FALLBACK_ITERATIONS = 5000


def nnls(x: ArrayLike | torch.Tensor, dictionary: ArrayLike | torch.Tensor) -> csr_array:
    """Non-negative codes of least squared error.

    argmin over z >= 0 of |x - z D|^2. The error is unique; the codes are when the rows of D that
    they use are independent. No sparsity is asked for.

    Args:
        x: samples, (n, d).
        dictionary: rows of any length, (F, d).

    Returns:
        Codes, a float32 csr_array (n, F) with at most d entries a row where scipy finished.

    Raises:
        InputError: shapes disagree or entries not finite.

    Example:
        >>> import numpy as np
        >>> nnls(np.array([[3.0, -2.0]]), np.eye(2)).toarray().tolist()
        [[3.0, 0.0]]

    Source: "Solving Least Squares Problems" (1974), https://doi.org/10.1137/1.9781611971217, by
        scipy.optimize.nnls.
    """
    return counted_nnls(x, dictionary)[0]


def counted_nnls(
    x: ArrayLike | torch.Tensor, dictionary: ArrayLike | torch.Tensor
) -> tuple[csr_array, int]:
    """`nnls`, and for how many samples scipy gave up and `fista` was used instead.

    Example:
        >>> import numpy as np
        >>> counted_nnls(np.ones((1, 2)), np.eye(2))[1]
        0
    """
    samples, atoms = as_problem(x, dictionary)
    columns = atoms.to("cpu", torch.float64).numpy().T  # (d, F)
    targets = samples.to("cpu", torch.float64).numpy()
    parts, n_fallbacks = [csr_array((0, len(atoms)), dtype=np.float32)], 0
    for target in targets:
        codes = _one(columns, target)
        if codes is None:
            codes = fista(target[None], columns.T, 0.0, n_iterations=FALLBACK_ITERATIONS)
            n_fallbacks += 1
        parts.append(codes)
    return csr_array(vstack(parts, format="csr")), n_fallbacks


def _one(columns: np.ndarray, target: np.ndarray) -> csr_array | None:
    """Codes (1, F) of one sample, or None where scipy's iterations ran out."""
    if columns.size == 0:
        return csr_array((1, columns.shape[1]), dtype=np.float32)
    try:
        codes = scipy_nnls(columns, target)[0]
    except RuntimeError:
        return None
    return csr_array(codes[None].astype(np.float32))
