"""MOD, the method of optimal directions: the second turn of dictionary learning, all at once."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from groundtruth.explanation import Dictionary
from groundtruth.methods.alternation import learn
from groundtruth.testbed import ActivationSubject

RIDGE = 1e-9  # of the largest diagonal entry: two atoms that only fire together leave none unique


def mod(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: int | None = None,
    n_samples: int = 20_000,
    n_iterations: int = 60,
    closest: float = 0.9,
) -> Dictionary:
    """The method of optimal directions: sparse codes and, for all atoms at once, least squares.

    It differs from `ksvd` in the update of the atoms alone, and is an equal of it in what it
    recovers: codes, offset, new starts, arguments and errors are the same.

    Raises:
        InputError: a parameter out of range, activations that are not finite, or fewer than
            `width` of them that are not zero.

    Example:
        >>> import groundtruth as gt
        >>> subject = gt.build("sparse/orthonormal", seed=0).subject
        >>> mod(subject, seed=0, width=64, l0=3, n_samples=500, n_iterations=2)
        Dictionary('mod', k=64, d=64, signed=False)

    Source: Engan, Aase and Husoy, "Method of optimal directions for frame design", 1999,
    https://doi.org/10.1109/ICASSP.1999.760624
    """
    return learn(
        subject,
        all_at_once,
        seed=seed,
        name="mod",
        width=width,
        l0=l0,
        n_samples=n_samples,
        n_iterations=n_iterations,
        closest=closest,
    )


def all_at_once(
    x: np.ndarray, atoms: np.ndarray, codes: sp.csc_array
) -> tuple[np.ndarray, sp.csc_array]:
    """D = (C^T C)^-1 C^T x; lengths of its rows move into the codes. An unused atom stays.

    Example:
        >>> x = np.array([[2.0, 0.0], [4.0, 0.0]])
        >>> codes = sp.csc_array(np.array([[1.0], [2.0]]))
        >>> atoms, codes = all_at_once(x, np.array([[0.6, 0.8]]), codes)
        >>> atoms.tolist(), codes.toarray().round(6).tolist()
        ([[1.0, 0.0]], [[2.0], [4.0]])
    """
    wide = codes.astype(np.float64)
    gram = (wide.T @ wide).toarray()
    gram[np.diag_indices_from(gram)] += RIDGE * max(gram.diagonal().max(), 1e-30)
    rows = np.linalg.solve(gram, wide.T @ x)
    lengths = np.linalg.norm(rows, axis=1)
    stays = lengths == 0
    lengths[stays] = 1
    rows = np.where(stays[:, None], atoms, rows / lengths[:, None])
    return rows.astype(x.dtype), sp.csc_array(codes * lengths.astype(x.dtype))
