"""SAE stitching: what a large dictionary knows that a small one does not, latent by latent.

Latents of the large one that are near none of the small one are novel; the others reconstruct what
the small one reconstructs already. Whether a novel latent is a new feature, only a planted truth
tells: recall stands beside explained variance at every stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from groundtruth import inference
from groundtruth.errors import InputError, reject
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.similarity import EDGE_FLOOR, similarity
from groundtruth.report import Report

LINEAR = 1e-3
"""Share of the variance by which a reconstruction may differ from codes @ decoder + bias."""


@dataclass(frozen=True)
class Family:
    """Latents of both dictionaries that are joined by cosines of at least the threshold.

    Fields:
        small, large: their rows in the two decoders.
        swapped: change of explained variance when these take the place of those, alone.
    """

    small: tuple[int, ...]
    large: tuple[int, ...]
    swapped: float


@dataclass(frozen=True)
class Stage:
    """A dictionary on the way.

    Fields:
        name: of the stage.
        n_latents: live ones.
        l0: mean latents that fire per sample.
        explained: variance, as `recon.ev_total`.
        recall: share of planted features, as `recover.recall`.
    """

    name: str
    n_latents: int
    l0: float
    explained: float
    recall: float


@dataclass(frozen=True)
class Stitching:
    """What `stitch` found. Live latents only.

    Fields:
        names: of the two reports.
        threshold: cosine below which a latent of the large dictionary is novel.
        latents: (m,) their rows in the large decoder; the next two are in this order.
        cosine: (m,) largest cosine with a latent of the small dictionary.
        inserted: (m,) change of explained variance when the latent is added to the small
            dictionary, alone. By the source's definition a latent is novel where this is > 0; the
            threshold on cosines stands in for it.
        families: of reconstruction latents, each with at least one latent of either dictionary.
        path: explained variance of the small dictionary, after each novel latent (the least
            similar first), and after each family is swapped as well.
        stages: small, with the novel latents, with the families swapped as well, and large.
    """

    names: tuple[str, str]
    threshold: float
    latents: np.ndarray
    cosine: np.ndarray
    inserted: np.ndarray
    families: tuple[Family, ...]
    path: np.ndarray
    stages: tuple[Stage, ...]

    @property
    def novel(self) -> np.ndarray:
        """(m,) bool."""
        return self.cosine < self.threshold

    def __str__(self) -> str:
        new, small = self.novel, self.stages[0]
        joined = sum(len(family.small) for family in self.families)
        lines = [
            f"{self.names[1]} stitched into {self.names[0]}, novel below cosine {self.threshold:g}",
            f"  {new.sum()} novel latents: {(self.inserted[new] > 0).sum()} raise explained "
            "variance when inserted alone",
            f"  {(~new).sum()} reconstruction latents in {len(self.families)} families: "
            f"{(self.inserted[~new] > 0).sum()} raise it",
            f"  {small.n_latents - joined} latents of the small one in no family",
            f"{'stage':<22}{'latents':>8}{'L0':>8}{'explained':>11}{'recall':>8}",
        ]
        lines += [
            f"{s.name:<22}{s.n_latents:>8}{s.l0:>8.2f}{s.explained:>11.3f}{s.recall:>8.3f}"
            for s in self.stages
        ]
        return "\n".join(lines)


def stitch(small: Report, large: Report, *, threshold: float = 0.7) -> Stitching:
    """Insert the novel latents of a large dictionary in a small one, and swap the others.

    With the residual r of the small dictionary on the score samples, a latent of code z and row w
    that is inserted changes the squared error by sum z^2 |w|^2 - 2 z r.w; a family that is swapped
    takes its small latents' part out as well. Codes are those of the dictionary that a latent
    comes from, and the bias is the small one's until the last stage.

    Args:
        small, large: reports of two dictionaries on one world, with the same scoring data.
        threshold: cosine from which a latent is a reconstruction latent, 0.5 to 1. Of two
            orthogonal features, an even sum has 0.7071 with both.

    Raises:
        InputError: reports of different worlds or samples, or of a world with manifolds; without
            codes, or with a reconstruction that is not codes @ decoder + bias.

    Example:
        >>> import groundtruth as gt
        >>> world = gt.build("sparse/orthonormal", n_features=16, d=16)
        >>> rows, scoring = world.truth.features.directions, {"n_select": 512, "n_score": 512}
        >>> whole, half = (
        ...     gt.evaluate(world, gt.Dictionary(r, lambda x, r=r: (x @ r.T).clip(min=0)),
        ...                 scoring=scoring, metrics="recover.recall")
        ...     for r in (rows, rows[:8])
        ... )
        >>> found = stitch(half, whole)
        >>> int(found.novel.sum()), len(found.families), [s.recall for s in found.stages]
        (8, 8, [0.5, 1.0, 1.0, 1.0])

    Source: Leask, Bussmann et al., "Sparse Autoencoders Do Not Find Canonical Units of Analysis",
    2025, https://arxiv.org/abs/2502.04878
    """
    _check(small, large, threshold)
    one, two = small.comparison, large.comparison
    absolute = one.absolute or two.absolute
    near = similarity(two.latents, one.latents, absolute=absolute)
    novel = near.best_latent_cosine < threshold
    order = np.flatnonzero(novel)[np.argsort(near.best_latent_cosine[novel], kind="stable")]
    joined = near.edge_cosine >= threshold
    groups = _groups(near.edge_latent[joined], near.edge_truth[joined], len(one.live))
    steps = [*((np.zeros(0, int), np.array([j])) for j in order), *groups]
    stitched = _Stitched(one, two)
    inserted = stitched.inserted()
    swapped = [stitched.change(*group) for group in groups]
    path = [stitched.explained] + [stitched.take(*step) for step in steps]
    gone = np.concatenate([s for s, _ in groups] or [np.zeros(0, int)])
    kept = np.setdiff1d(np.arange(len(one.live)), gone)
    every, none = np.arange(len(two.live)), np.zeros(0, int)
    mine = np.arange(len(one.live))
    stages = (
        _stage("small", one, two, mine, none, path[0]),
        _stage("with novel latents", one, two, mine, order, path[len(order)]),
        _stage("families swapped", one, two, kept, every, path[-1]),
        _stage("large", one, two, none, every, _explained(two)),
    )
    families = tuple(
        Family(tuple(one.live[s].tolist()), tuple(two.live[g].tolist()), change)
        for (s, g), change in zip(groups, swapped, strict=True)
    )
    return Stitching(
        (small.name, large.name),
        threshold,
        two.live,
        near.best_latent_cosine,
        inserted,
        families,
        np.array(path),
        stages,
    )


class _Stitched:
    """The small dictionary's residual on the score samples, as latents come and go. Changes are
    in units of explained variance."""

    def __init__(self, small: Comparison, large: Comparison) -> None:
        self.codes = [_columns(c) for c in (small, large)]
        self.rows = [c.outputs.decoder[c.live] for c in (small, large)]
        self.residual = small.data.x - (self.codes[0] @ self.rows[0] + small.outputs.bias)
        x = small.data.x.astype(np.float64)
        self.spread = float(np.square(x - x.mean(axis=0)).sum())
        self.explained = 1 - float(np.square(self.residual).sum()) / self.spread

    def inserted(self) -> np.ndarray:
        """(m,) change for each latent of the large dictionary, inserted alone."""
        codes, rows = self.codes[1], self.rows[1]
        along = np.einsum("kd,kd->k", codes.T @ self.residual, rows)
        square = np.asarray(codes.power(2).sum(axis=0)).ravel() * np.square(rows).sum(axis=1)
        return (2 * along - square) / self.spread

    def change(self, small: np.ndarray, large: np.ndarray) -> float:
        """By taking out latents of the small dictionary and inserting some of the large one."""
        at, after = self._after(small, large)
        before = self.residual[at]
        return float(np.square(before).sum() - np.square(after).sum()) / self.spread

    def take(self, small: np.ndarray, large: np.ndarray) -> float:
        """Do what `change` asks about, and give the explained variance."""
        self.explained += self.change(small, large)
        at, after = self._after(small, large)
        self.residual[at] = after
        return self.explained

    def _after(self, small: np.ndarray, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Samples that change, and their residual then."""
        out, into = self.codes[0][:, small], self.codes[1][:, large]
        at = np.union1d(out.indices, into.indices)
        added = into.tocsr()[at] @ self.rows[1][large] - out.tocsr()[at] @ self.rows[0][small]
        return at, self.residual[at] - added


def _columns(c: Comparison) -> sp.csc_array:
    assert c.outputs.score is not None
    return sp.csc_array(c.outputs.score.astype(np.float64))[:, c.live]


def _groups(
    small: np.ndarray, large: np.ndarray, n_small: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Connected components of the pairs (small[e], large[e]): members on either side."""
    nodes, index = np.unique(np.concatenate([small, large + n_small]), return_inverse=True)
    pairs = index.reshape(2, -1)
    graph = sp.csr_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), (len(nodes),) * 2)
    count, label = connected_components(graph, directed=False)
    members = (nodes[label == group] for group in range(count))
    return [(at[at < n_small], at[at >= n_small] - n_small) for at in members]


def _stage(
    name: str,
    small: Comparison,
    large: Comparison,
    kept: np.ndarray,
    taken: np.ndarray,
    explained: float,
) -> Stage:
    """The stage that has the live latents `kept` of the small and `taken` of the large one."""
    fired, truth, latent = 0, [], []
    for c, members, first in ((small, kept, 0), (large, taken, len(small.live))):
        fired += _columns(c)[:, members].nnz
        s = c.similarity
        near = (s.edge_cosine >= c.threshold) & np.isin(s.edge_latent, members)
        truth.append(s.edge_truth[near])
        latent.append(s.edge_latent[near] + first)
    n = small.truth.n_features
    matched, _ = inference.maximum_matching(
        np.concatenate(truth), np.concatenate(latent), n, len(small.live) + len(large.live)
    )
    n_latents = len(kept) + len(taken)
    return Stage(name, n_latents, fired / len(small.data.x), explained, len(matched) / n)


def _explained(c: Comparison) -> float:
    sums = c.reconstructed
    return 1 - float(sums.residual_square.sum() / sums.spread.sum())


def _check(small: Report, large: Report, threshold: object) -> None:
    for name, report in (("small", small), ("large", large)):
        if not isinstance(report, Report):
            raise reject(name, report, "what gt.evaluate returned")
        _check_linear(name, report)
    if small.testbed.hash != large.testbed.hash:
        raise InputError(
            f"small, large: expected one world, got {small.testbed!r} and {large.testbed!r}. "
            "Build the world once, and evaluate both on it."
        )
    if small.testbed.truth.features.manifolds:
        raise reject(
            "small, large",
            small.testbed,
            "reports on a world without manifolds",
            "Latents that lie in a manifold's subspace are of no one feature, and are not traced.",
        )
    first, second = small.comparison.data.scoring, large.comparison.data.scoring
    if first != second:
        raise reject("scoring of large", second, f"that of small, {first!r}")
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not (number and EDGE_FLOOR <= float(threshold) <= 1):  # pyright: ignore[reportArgumentType]
        raise reject("threshold", threshold, f"a cosine from {EDGE_FLOOR} to 1")


def _check_linear(name: str, report: Report) -> None:
    """Raise unless some latent is live and x_hat is codes @ decoder + bias."""
    c, out = report.comparison, report.comparison.outputs
    if out.score is None or out.reconstruction is None:
        raise InputError(f"{name}: expected codes, got none; pass encode= to gt.Dictionary.")
    if not len(c.live):
        raise InputError(f"{name}: expected a latent that fires, got none in {report.name}.")
    linear = out.score.astype(np.float64) @ out.decoder + out.bias
    wrong = float(np.square(out.reconstruction - linear).sum())
    if wrong > LINEAR * float(np.square(c.data.x - c.data.x.mean(axis=0)).sum()):
        raise InputError(
            f"{name}: expected a reconstruction codes @ decoder + bias, got another from "
            f"{report.name}: its latents do not add up, so none can be inserted or taken out."
        )
