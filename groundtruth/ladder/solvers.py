"""O1: the true dictionary with the best known sparse inference, blind or knowing the prior.

Best known, not a limit: each row names the solver that was best on `select`. A blind solver
knows the dictionary and the mean L0; a prior-aware one also each feature's firing probability
and magnitude law. Both choose their threshold on `select`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from groundtruth import inference
from groundtruth.outputs import Outputs, dense_to_csr, linear_outputs
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.truth import FeatureTruth

Solver = Callable[[np.ndarray], sp.csr_array]
"""x (n, d) without the bias -> codes (n, rows of the truth's decoder)."""

_PENALTIES = (0.02, 0.08, 0.25, 0.6)  # in units of the median magnitude
_NNLS_FEATURES = 512  # above, NNLS costs seconds per hundred samples and is never the best
_TUNING_ROWS = 500
_CELLS = 1.5e6  # rows times features that a row of the ladder may solve


@dataclass(frozen=True)
class Candidate:
    """A named solver whose codes count as firing above a threshold chosen on `select`."""

    name: str
    solve: Solver


def solver_scoring(data: ScoreData) -> Scoring:
    """The data that solvers run on: all of it, or less where the dictionary is large."""
    n = data.truth.n_features
    rows = int(np.clip(_CELLS / n, 3000, 400_000))
    full = data.scoring
    total = full.n_select + full.n_score + len(data.forced)
    if total <= rows:
        return full
    return Scoring(
        n_select=min(full.n_select, max(_TUNING_ROWS, rows // 8)),
        n_score=min(full.n_score, rows // 2),
        n_positives=min(full.positives_for(n), max(4, 20_000 // n)),
    )


def blind_candidates(truth: FeatureTruth) -> list[Candidate]:
    """Non-negative OMP at the mean L0, NNLS, and FISTA over a grid of penalties."""
    directions = truth.decoder
    n_active = int(np.clip(round(truth.decoder_l0), 1, truth.d))
    size = float(np.median(truth.size_moments[0]))

    def fista(penalty: float) -> Solver:
        return lambda x: inference.fista(x, directions, penalty)

    found = [
        Candidate("omp", lambda x: inference.nonnegative_omp(x, directions, n_active)),
        *(Candidate(f"fista({q:g})", fista(q * size)) for q in _PENALTIES),
    ]
    if truth.n_features <= _NNLS_FEATURES:
        found.append(Candidate("nnls", lambda x: inference.nnls(x, directions)))
    return found


def prior_candidates(truth: FeatureTruth) -> list[Candidate]:
    """FISTA weighted by log((1 - p) / p), and approximate message passing with the prior.

    The prior is that of each row of the decoder alone; how rows fire together, the axes of one
    manifold included, is not used.
    """
    directions = truth.decoder
    p, nodes, node_weights = _prior(truth)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    weights = np.maximum(0.0, np.log((1 - p) / p))
    weights = weights / max(1e-12, float(np.median(weights)))
    size = float(np.median(truth.size_moments[0]))

    def weighted(penalty: float) -> Solver:
        return lambda x: inference.fista(x, directions, penalty, weights=weights)

    def amp(x: np.ndarray) -> sp.csr_array:
        blocks = []
        for start in range(0, len(x), 256):
            mean, fires = inference.amp(
                x[start : start + 256], directions, p, nodes, node_weights, noise=truth.noise
            )
            # The code orders by belief that the feature fires, and is 0 below one half in 10^3.
            belief = fires.numpy().astype(np.float64)
            blocks.append(dense_to_csr(np.where(belief > 5e-4, belief * mean.numpy(), 0.0)))
        return sp.csr_array(sp.vstack(blocks, format="csr"))

    return [
        *(Candidate(f"weighted-fista({q:g})", weighted(q * size)) for q in _PENALTIES),
        Candidate("amp", amp),
    ]


def _prior(truth: FeatureTruth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of the decoder: its firing probability, and nodes of its size with weights."""
    # 16 gave the same F1 to 0.002 on the worlds of 3,200 features, in twice the time.
    n_nodes = 8
    nodes, weights = truth.magnitude.nodes(n_nodes)
    if truth.structure is not None:
        # A child that its parent scales: its own law, stretched to its mean.
        nodes = nodes * (truth.size_moments[0] / truth.magnitude.mean)[:, None]
    p = truth.firing_probability
    if truth.manifolds:
        axes = [manifold.axis_prior(n_nodes) for manifold in truth.manifolds]
        features = np.broadcast_to(nodes, (truth.n_features, n_nodes))
        p = np.concatenate([p, *(chance for chance, _ in axes)])
        nodes = np.concatenate([features, *(sizes for _, sizes in axes)])
    return p, nodes, np.broadcast_to(weights, nodes.shape)


def best_inference(
    data: ScoreData,
    candidates: Sequence[Candidate],
    tick: Callable[[], None] | None = None,
) -> tuple[Outputs, str]:
    """Codes of the candidate with the highest micro F1 on `select`, thresholded there.

    Returns:
        Outputs with W = D* (and the manifolds' axes), and the solver with its threshold in words.
    """
    truth = data.truth
    x, active = _rows(data, "select", _TUNING_ROWS)
    chosen, best = (candidates[0], 0.0), -1.0
    for candidate in candidates:
        threshold, f1 = _tune(candidate.solve(x)[:, : truth.n_features], active)
        if f1 > best:
            chosen, best = (candidate, threshold), f1
        if tick is not None:
            tick()
    solver, threshold = chosen
    parts = {}
    for part in ("select", "score", "positives"):
        blocks = []
        for block, _ in data.chunks(part):
            centred = (block - truth.bias).astype(np.float32)
            blocks.append(_above(solver.solve(centred), threshold))
            if tick is not None:
                tick()
        empty = sp.csr_array((0, len(truth.decoder)), dtype=np.float32)
        parts[part] = sp.csr_array(sp.vstack(blocks, format="csr")) if blocks else empty
    outputs = linear_outputs(truth.decoder, truth.bias, **parts, signed=truth.signed)
    return outputs, f"{solver.name}, threshold {threshold:.3g}, micro F1 {best:.3f} on select"


def _rows(data: ScoreData, part: str, n: int) -> tuple[np.ndarray, sp.csr_array]:
    xs, rows, codes = [], 0, []
    for x, active in data.chunks(part):
        xs.append(x - data.truth.bias)
        codes.append(active)
        rows += len(x)
        if rows >= n:
            break
    stacked = sp.csr_array(sp.vstack(codes, format="csr"))
    return np.concatenate(xs)[:n].astype(np.float32), sp.csr_array(stacked[:n])


def _tune(codes: sp.csr_array, active: sp.csr_array) -> tuple[float, float]:
    """The threshold of highest micro F1 over a grid of the codes' own quantiles."""
    if codes.nnz == 0:
        return 0.0, 0.0
    # 0 keeps the solver's own gate.
    grid = np.concatenate([[0.0], np.quantile(codes.data, np.linspace(0, 0.995, 80))])
    truth = active.astype(bool)
    scores = []
    for threshold in grid:
        fires = _above(codes, float(threshold))
        both = int(fires.astype(bool).multiply(truth).sum())
        scores.append(2 * both / max(1, fires.nnz + active.nnz))
    best = int(np.argmax(scores))
    return float(grid[best]), float(scores[best])


def _above(codes: sp.csr_array, threshold: float) -> sp.csr_array:
    kept = sp.csr_array(codes, copy=True)
    kept.data[kept.data <= threshold] = 0
    kept.eliminate_zeros()
    return kept
