"""When latents fire against when features are active: counts, rates and F1 of listed pairs.

Rates use natural samples and samples drawn given that the feature fires; precision and F1 weigh
them by the exact firing probability p, so that a rare feature is neither starved of positives
nor flattered by a balanced sample:

    TPR = fires and active / active,  FPR = fires and silent / silent
    F1  = 2 p TPR / (p TPR + (1 - p) FPR + p)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

_CHUNK = 4096  # pairs at a time: bounds the copies of columns


@dataclass(frozen=True)
class Rates:
    """Per pair: prevalence p, true and false positive rate, and positives behind them."""

    prevalence: np.ndarray
    tpr: np.ndarray
    fpr: np.ndarray
    n_positive: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """P(latent fires) = p TPR + (1 - p) FPR."""
        return self.prevalence * self.tpr + (1 - self.prevalence) * self.fpr

    @property
    def precision(self) -> np.ndarray:
        """p TPR / P(fires); NaN where the latent never fires."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.prevalence * self.tpr / self.rate

    @property
    def f1(self) -> np.ndarray:
        """2 p TPR / (P(fires) + p); NaN where neither ever fires."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2 * self.prevalence * self.tpr / (self.rate + self.prevalence)

    @property
    def matthews(self) -> np.ndarray:
        """(TPR - FPR) sqrt(p (1 - p) / (q (1 - q))), q = P(fires); 0 where q is 0 or 1."""
        p, q = self.prevalence, self.rate
        spread = q * (1 - q)
        with np.errstate(invalid="ignore", divide="ignore"):
            out = (self.tpr - self.fpr) * np.sqrt(p * (1 - p) / spread)
        return np.where(p * (1 - p) == 0, np.nan, np.where(spread <= 0, 0.0, out))


def fired(codes: sp.csr_array) -> sp.csc_array:
    """1 where a code is not 0, by column, in an integer type that counts cannot overflow."""
    ones = np.ones(codes.nnz, dtype=np.int32)
    return sp.csr_array((ones, codes.indices, codes.indptr), codes.shape).tocsc()


def overlaps(
    first: sp.csc_array, second: sp.csc_array, columns: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """#{rows where first[:, columns[r]] and second[:, others[r]] are both set}, per pair."""
    out = np.zeros(len(columns), dtype=np.int64)
    for start in range(0, len(columns), _CHUNK):
        part = slice(start, start + _CHUNK)
        both = first[:, columns[part]].multiply(second[:, others[part]])
        out[part] = np.asarray(both.sum(axis=0)).ravel()
    return out


def forced_rows(forced: np.ndarray, n_features: int) -> sp.csc_array:
    """(m, n_features) indicator of which feature was given to fire in each row."""
    rows = np.arange(len(forced))
    ones = np.ones(len(forced), dtype=np.int32)
    return sp.csc_array((ones, (rows, forced)), shape=(len(forced), n_features))


@dataclass(frozen=True)
class FiringTable:
    """Where features are active and latents fire, ready to be counted pair by pair."""

    prevalence: np.ndarray
    active: sp.csc_array
    fires: sp.csc_array
    given: sp.csc_array
    fires_given: sp.csc_array

    def rates(self, truth: np.ndarray, latent: np.ndarray) -> Rates:
        """Rates of the pairs (truth[r], latent[r])."""
        n = self.active.shape[0]
        active = np.diff(self.active.indptr)[truth]
        fires = np.diff(self.fires.indptr)[latent]
        both = overlaps(self.active, self.fires, truth, latent)
        given = np.diff(self.given.indptr)[truth]
        both_given = overlaps(self.given, self.fires_given, truth, latent)
        positive, silent = active + given, n - active
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr = np.where(positive > 0, (both + both_given) / positive, np.nan)
            fpr = np.where(silent > 0, (fires - both) / silent, 0.0)
        return Rates(self.prevalence[truth], tpr, fpr, positive)


def natural_f1(active: sp.csr_array, codes: sp.csr_array, latent: np.ndarray) -> np.ndarray:
    """(n_features,) F1 of feature i with latent[i], natural counts; 0 where neither fires."""
    truth, fires = fired(active), fired(codes)
    both = overlaps(truth, fires, np.arange(len(latent)), latent)
    total = np.diff(truth.indptr) + np.diff(fires.indptr)[latent]
    return 2 * both / np.maximum(1, total)


def best_by_f1(active: sp.csr_array, codes: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Per feature, the latent of highest F1 over all latents, and that F1 (natural counts).

    -1 and 0 where no latent ever fires with the feature; the first of several equally good ones.
    """
    truth, latent = fired(active), fired(codes)
    n_active, n_fires = np.diff(truth.indptr), np.diff(latent.indptr)
    both = sp.csr_array(truth.T.tocsr() @ latent.tocsr())
    row = np.repeat(np.arange(both.shape[0]), np.diff(both.indptr))
    f1 = 2 * both.data / (n_active[row] + n_fires[both.indices])
    best, value = np.full(both.shape[0], -1), np.zeros(both.shape[0])
    # Last write wins: in rising order of F1 the best latent of each row is written last; of equal
    # ones the first. A sparse product stores its columns in an order of its own.
    order = np.lexsort((-both.indices, f1))
    best[row[order]], value[row[order]] = both.indices[order], f1[order]
    return best, value
