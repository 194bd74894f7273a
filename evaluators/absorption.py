"""Absorption: a child's latent takes over for its parent, whose own latent then falls silent.

Over the planted edges child c => parent p. M_p are the main latents of p (`mains`), chosen on
`select`; rates are counted on `score` and on the samples drawn given that c, or p, fires.

Where magnitudes do not vary, {p, c} and {p alone, p + c} reconstruct alike and the second fires
less often: absorption is then what a sparse objective asks for, and no failure of the optimiser.

Source: Chanin et al., "A is for Absorption", 2024, https://arxiv.org/abs/2409.14507
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groundtruth.errors import Undefined
from groundtruth.evaluators import absorbers, counts, floors
from groundtruth.evaluators.average import average
from groundtruth.evaluators.comparison import Comparison
from groundtruth.evaluators.mains import JUMP, MOST_MAINS, Edges, alone, edges, mains
from groundtruth.evaluators.once import once
from groundtruth.evaluators.recovery import IDENTITY
from groundtruth.evaluators.registry import REAL, UNIT, metric
from groundtruth.evaluators.similarity import EDGE_FLOOR
from groundtruth.result import Metric, Result

SIGNED_UNIT = (-1.0, 1.0)
SHARE = 0.5
"""rho: the share of the parent's activity that an absorber has to supply."""


@metric("absorb.excess_fn", 1, "min", SIGNED_UNIT, "edge", success=False)
def excess_fn(entry: Metric, c: Comparison) -> Result:
    """Mean over edges of P(M_p silent | c active) - P(M_p silent | p active, no child of p active).

    Undefined for an edge whose parent has no main latent or never fires alone. A latent that
    misses its feature at random has excess 0, whatever its recall.
    """
    edge, found = edges(c.truth), silences(c)
    result = average(entry, found.with_child - found.alone, _parameters())
    result = result.between(0.0, "independent firing", 0.0, IDENTITY)
    return _with_edges(result, edge, silent_with_child=found.with_child, silent_alone=found.alone)


@metric("absorb.full", 1, "min", UNIT, "edge", success=False)
def full(entry: Metric, c: Comparison) -> Result:
    """Mean over edges of P(M_p silent, and some j not in M_p supplies >= a_p / 2 | c active).

    A latent supplies z_j <W_j, d_p>; it must have cosine >= 0.025 with d_p. Counts absorption by
    one latent only, and not a parent that is simply missed. The floor is the same with the samples
    of all codes shuffled. Cost: k d products for each parent that is ever silent, in blocks.
    """
    edge, found = edges(c.truth), silences(c)
    values, by_luck = absorbers.shares(c, edge, found.n_with_child, SHARE)
    values = np.where(np.isnan(found.with_child), np.nan, values)
    result = average(
        entry, values, {**_parameters(), "share": SHARE, "absorber_cosine": absorbers.LEAST_COSINE}
    )
    known = np.isfinite(values) & np.isfinite(by_luck)
    floor = float(by_luck[known].mean()) if known.any() else None
    return _with_edges(result.between(floor, "shuffled samples", 0.0, IDENTITY), edge)


@metric("absorb.leak", 1, "target", REAL, "edge", success=False)
def leak(entry: Metric, c: Comparison) -> Result:
    """Mean over edges of alpha_p, u_j(c) = alpha_p d_p + alpha_c d_c + rest by least squares.

    j(c) is the latent nearest to d_c, if nearer than chance (at most 0.5 is asked). Geometry
    alone: 0 for the planted dictionary, and a_p / sqrt(a_p^2 + a_c^2) for a latent that stands
    for parent and child with those magnitudes, 0.7071 if they are equal.
    """
    edge = edges(c.truth)
    c.need_live()
    least = max(0.0, min(EDGE_FLOOR, _significant(c)))
    latent = c.similarity.best_latent[edge.child]
    near = c.similarity.best_latent_cosine[edge.child] >= least
    if not near.any():
        raise Undefined(f"no child has a latent of cosine {least:.3g} or more")
    child, parent = c.truth.directions[edge.child], c.truth.directions[edge.parent]
    u = c.latents[latent]
    with_child, with_parent = np.einsum("ed,ed->e", u, child), np.einsum("ed,ed->e", u, parent)
    sign = np.where(with_child < 0, -1.0, 1.0)  # of a row of free sign
    between = np.einsum("ed,ed->e", parent, child)
    independent = between**2 < 1 - 1e-8
    weight = sign * (with_parent - between * with_child) / np.where(independent, 1 - between**2, 1)
    values = np.where(near & independent, weight, np.nan)
    result = average(entry, values, {**c.parameters, "threshold": least})
    result = result.between(0.0, "remainder in a random direction", 0.0, IDENTITY)
    return _with_edges(result, edge, latent=np.where(near, c.live[latent], -1))


@dataclass(frozen=True)
class Silences:
    """Per edge: how often M_p is silent, and on how many samples of the child that is counted."""

    with_child: np.ndarray
    alone: np.ndarray
    n_with_child: np.ndarray


@once
def silences(c: Comparison) -> Silences:
    """Rates of silence on `score` and its drawn positives; NaN where there is no M_p or no sample.

    Raises:
        Undefined: no parent has a main latent.
    """
    edge, found = edges(c.truth), mains(c)
    if not found.exists.any():
        raise Undefined(f"no parent has a latent of cosine {EDGE_FLOOR} that fires with it")
    given = counts.forced_rows(c.data.forced, c.truth.n_features)
    table = counts.FiringTable(
        c.truth.firing_probability, counts.fired(c.data.score), found.score, given, found.positives
    )
    # Of samples drawn given that p fires, those in which p is alone follow the law of p alone.
    single = replace(
        table,
        active=alone(c.data.score, c.truth),
        given=given.multiply(alone(c.data.positives, c.truth)).tocsc(),
    )
    with_child, by_itself = table.rates(edge.child, edge.parent), single.rates(*[edge.parent] * 2)
    missing = ~found.exists[edge.parent]
    return Silences(
        np.where(missing, np.nan, 1 - with_child.tpr),
        np.where(missing, np.nan, 1 - by_itself.tpr),
        with_child.n_positive,
    )


def _significant(c: Comparison) -> float:
    return floors.significance_threshold(
        c.truth.d, len(c.live), c.truth.n_features, alpha=0.01, signed=not c.absolute
    )


def _parameters() -> dict[str, object]:
    return {"least_cosine": EDGE_FLOOR, "jump": JUMP, "most_mains": MOST_MAINS}


def _with_edges(result: Result, edge: Edges, **evidence: np.ndarray) -> Result:
    more = {"child": edge.child, "parent": edge.parent, **evidence}
    return replace(result, evidence={**result.evidence, **more})
