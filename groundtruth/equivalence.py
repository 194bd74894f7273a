"""What activations cannot tell apart, and whether the planted dictionary is the sparsest one.

Some planted features leave no trace of their own: two that always fire together in one ratio are
one direction to anyone who sees only activations. They form an equivalence class, and whoever finds
the class has found all there is to find.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from groundtruth.population import Population
    from groundtruth.structure import Structure
    from groundtruth.truth import FeatureTruth

DUPLICATE = "duplicate"
ALWAYS_COACTIVE = "always_coactive"
ONE_OF_EACH = "one_of_each"
DEPENDENT = "dependent"

REASONS = {
    DUPLICATE: "another feature has the same direction",
    ALWAYS_COACTIVE: (
        "it and another feature always fire together: activations tell their sum if the ratio is "
        "constant; else the plane of the two, and their axes at best by higher moments"
    ),
    ONE_OF_EACH: (
        "exactly one feature of each of several groups always fires, in a constant ratio: what is "
        "added to all of one group may be taken from all of another (a parent that never fires "
        "without one of its children is a group of one)"
    ),
    DEPENDENT: (
        "in every sample its activity is one weighted sum of others' activities, or others' are of "
        "it: what is added to its direction may be taken from theirs"
    ),
}


@dataclass(frozen=True)
class EquivalenceClass:
    """Features of which activations tell only what they span.

    Fields:
        name: a key of `REASONS`.
        members: indices, at least two.
        basis: (r, d) orthonormal rows that span what can be told; one row where that is a single
            direction, which then is the normalised sum.
    """

    name: Literal["duplicate", "always_coactive", "one_of_each", "dependent"]
    members: tuple[int, ...]
    basis: np.ndarray


def equivalence_classes(truth: FeatureTruth) -> tuple[EquivalenceClass, ...]:
    """The classes of two or more features that no activations tell apart, disjoint.

    Found: equal directions; parents and children that fire equally often (always together); groups
    of which exactly one fires with constant magnitudes, if there are two or more of them; parents
    that never fire without one of their exclusive children; in a population, features whose
    codes depend linearly on one another's in all rows, and those that fire in the same rows.
    """
    found: list[EquivalenceClass] = []
    if truth.population is not None:
        found += _listed(truth, truth.population)
    if truth.structure is not None:
        found += _coactive(truth, truth.structure)
        found += _one_of_each(truth, truth.structure)
        found += _never_alone(truth, truth.structure, _members(found))
    return (*found, *_duplicates(truth, _members(found)))


def _members(classes: Iterable[EquivalenceClass]) -> set[int]:
    return {member for one in classes for member in one.members}


@dataclass(frozen=True)
class SparseOptimum:
    """The planted code beside the sparsest exact rewriting of it that is known.

    Fields:
        l0, l1: of the planted dictionary: mean codes that are not 0, and mean sum of codes, decoder
            rows of length 1.
        rewritten_l0, rewritten_l1: of the rewriting; equal to l0, l1 where none is known.
        n_latents: latents that the rewriting needs.
        rewriting: what it does, in words; empty where none is known.
    """

    l0: float
    l1: float
    rewritten_l0: float
    rewritten_l1: float
    n_latents: int
    rewriting: str

    @property
    def is_planted(self) -> bool:
        """Whether no rewriting is known that costs less in L0 or in L1."""
        least = 1 - 1e-9
        return self.rewritten_l0 >= least * self.l0 and self.rewritten_l1 >= least * self.l1


def sparse_optimum(truth: FeatureTruth) -> SparseOptimum:
    """Whether sparsity, at no loss in reconstruction, prefers another dictionary.

    Two rewritings are tried. A child in a constant ratio to its parent is absorbed: its latent
    becomes their sum, and the parent's own is silent with it (one exclusive group of children for
    each parent, the most frequent). Of groups of which exactly one feature always fires, at a
    constant magnitude, each combination gets a latent. It is no proof that nothing is sparser:
    features that merely often fire together, or lossy codes, are not tried.
    """
    size = truth.size_moments[0]
    l0, l1 = truth.expected_l0, float(truth.firing_probability @ size)
    same = SparseOptimum(l0, l1, l0, l1, truth.n_features, "")
    if truth.population is not None:
        return _listed_optimum(truth, truth.population, same)
    if truth.structure is None or truth.signed:
        return same
    groups = _always_one(truth, truth.structure)
    if len(groups) > 1:
        return _combined(truth, same, groups)
    return _absorbed(truth, truth.structure, same)


def _combined(truth: FeatureTruth, same: SparseOptimum, groups: list[np.ndarray]) -> SparseOptimum:
    """A latent for every combination of one feature from each group."""
    p = truth.firing_probability
    rows = truth.size_moments[0][:, None] * truth.directions
    chance, sums = np.ones(1), np.zeros((1, truth.d))
    for group in groups:
        chance = (chance[:, None] * p[group]).ravel()
        sums = (sums[:, None] + rows[group]).reshape(-1, truth.d)
        if len(chance) > 1_000_000:
            return same
    members = np.concatenate(groups)
    others = np.delete(np.arange(truth.n_features), members)
    cost = float(chance @ np.linalg.norm(sums, axis=1))
    return SparseOptimum(
        same.l0,
        same.l1,
        1 + float(p[others].sum()),
        cost + float(p[others] @ truth.size_moments[0][others]),
        len(chance) + len(others),
        "a latent for each combination of features that fire one of each group",
    )


def _absorbed(truth: FeatureTruth, structure: Structure, same: SparseOptimum) -> SparseOptimum:
    """Children absorbed into sums with their ancestors, as far as the ratio is constant."""
    p, size = truth.firing_probability, truth.size_moments[0]
    chosen = _absorbable(truth, structure)
    if len(chosen) == 0:
        return same
    rows = size[:, None] * truth.directions
    sums, deepest = rows.copy(), p.copy()
    absorbed = np.zeros(truth.n_features, dtype=bool)
    absorbed[chosen] = True
    for level in structure.levels[1:]:
        child = level[absorbed[level]]
        sums[child] = rows[child] + sums[structure.parent[child]]
        np.subtract.at(deepest, structure.parent[child], p[child])
    return SparseOptimum(
        same.l0,
        same.l1,
        same.l0 - float(p[chosen].sum()),
        float(np.maximum(deepest, 0) @ np.linalg.norm(sums, axis=1)),
        truth.n_features,
        f"{len(chosen)} children absorbed: a latent for child and ancestors together",
    )


def _absorbable(truth: FeatureTruth, structure: Structure) -> np.ndarray:
    """Children in a constant ratio to their parent; of each parent, one exclusive group."""
    child = np.flatnonzero(_constant_ratio(truth, structure) & (truth.firing_probability > 0))
    best: dict[int, np.ndarray] = {}
    group = np.where(structure.exclusive[child] >= 0, structure.exclusive[child], -1 - child)
    for key in np.unique(group):
        members = child[group == key]
        parent = int(structure.parent[members[0]])
        often = truth.firing_probability[members].sum()
        if parent not in best or often > truth.firing_probability[best[parent]].sum():
            best[parent] = members
    return np.sort(np.concatenate(list(best.values()))) if best else child[:0]


def _coactive(truth: FeatureTruth, structure: Structure) -> list[EquivalenceClass]:
    """Trees of children that fire as often as their parent."""
    p, parent = truth.firing_probability, structure.parent
    child = np.flatnonzero(parent >= 0)
    child = child[(p[child] == p[parent[child]]) & (p[child] > 0)]
    head = np.arange(truth.n_features)
    together = np.zeros(truth.n_features, dtype=bool)
    together[child] = True
    for level in structure.levels[1:]:
        bound = level[together[level]]
        head[bound] = head[parent[bound]]
    together[parent[child]] = True
    one_ratio = _constant_ratio(truth, structure) & (not truth.signed)
    found = []
    for members in _by_value(head, np.flatnonzero(together)):
        rows = truth.size_moments[0][members, None] * truth.directions[members]
        ratio = one_ratio[members[1:]].all()
        basis = _span(rows.sum(axis=0, keepdims=True) if ratio else rows)
        found.append(EquivalenceClass(ALWAYS_COACTIVE, tuple(members.tolist()), basis))
    return found


def _one_of_each(truth: FeatureTruth, structure: Structure) -> list[EquivalenceClass]:
    """The features of all groups of which exactly one fires, if there are two or more groups."""
    groups = _always_one(truth, structure)
    if len(groups) < 2 or truth.signed:
        return []
    rows = truth.size_moments[0][:, None] * truth.directions
    # All sums of one of each: one of them, and the differences within groups.
    within = [rows[group[1:]] - rows[group[0]] for group in groups]
    first = sum(rows[group[0]] for group in groups)
    members = np.sort(np.concatenate(groups))
    basis = _span(np.concatenate([np.atleast_2d(first), *within]))
    return [EquivalenceClass(ONE_OF_EACH, tuple(members.tolist()), basis)]


def _never_alone(
    truth: FeatureTruth, structure: Structure, taken: set[int]
) -> list[EquivalenceClass]:
    """Parents with the exclusive children of which one always fires with them."""
    p, rows = truth.firing_probability, truth.size_moments[0][:, None] * truth.directions
    ratio = _constant_ratio(truth, structure) & (not truth.signed)
    found = []
    for groups in structure.groups:
        for group in groups:
            parent = int(structure.parent[group[0]])
            if parent < 0 or len(group) < 2 or abs(p[group].sum() - p[parent]) > 1e-9 * p[parent]:
                continue
            members = (parent, *group.tolist())
            if ratio[group].all() and p[parent] > 0 and not taken & {*members}:
                taken |= {*members}
                basis = _span(rows[parent] + rows[group])
                found.append(EquivalenceClass(ONE_OF_EACH, members, basis))
    return found


def _listed(truth: FeatureTruth, population: Population) -> list[EquivalenceClass]:
    """Features whose codes depend linearly on one another's; and others that fire together."""
    found = []
    for members in population.dependent():
        together = all((population.codes[:, members] > 0).sum(axis=1) % len(members) == 0)
        basis = population.span(members, truth.directions)
        name = ALWAYS_COACTIVE if together else DEPENDENT
        found.append(EquivalenceClass(name, tuple(members.tolist()), basis))
    taken = np.fromiter(_members(found), dtype=np.int64)
    for members in population.together():
        if not np.isin(members, taken).any():
            basis = population.span(members, truth.directions)
            found.append(EquivalenceClass(ALWAYS_COACTIVE, tuple(members.tolist()), basis))
    return found


def _listed_optimum(
    truth: FeatureTruth, population: Population, same: SparseOptimum
) -> SparseOptimum:
    """A latent for each combination of features that groups of exactly one make."""
    if len(population.groups) < 2:
        return same
    members = np.unique(np.concatenate(population.groups))
    others = np.setdiff1d(np.arange(truth.n_features), members)
    p, size = truth.firing_probability, truth.size_moments[0]
    # One fires of each group, at its one value: which fire tells the row.
    rows, which = np.unique(population.codes[:, members].toarray(), axis=0, return_inverse=True)
    chance = np.bincount(which.ravel(), population.weights)
    length = np.linalg.norm(rows @ truth.directions[members], axis=1)
    return SparseOptimum(
        same.l0,
        same.l1,
        1 + float(p[others].sum()),
        float(chance @ length) + float(p[others] @ size[others]),
        len(rows) + len(others),
        "a latent for each combination of features that fire one of each group",
    )


def _duplicates(truth: FeatureTruth, taken: Iterable[int]) -> list[EquivalenceClass]:
    free = np.setdiff1d(np.arange(truth.n_features), np.fromiter(taken, dtype=np.int64))
    # Equal rows have equal projections: only those few are compared.
    at = truth.directions @ np.random.default_rng(0).standard_normal(truth.d)
    _, near = np.unique(np.round(at[free], 7), return_inverse=True)
    again = free[np.bincount(near.ravel())[near.ravel()] > 1]
    if len(again) == 0:
        return []
    rounded = np.round(truth.directions[again], 9) + 0.0
    _, same = np.unique(rounded, axis=0, return_inverse=True)
    groups = [again[group] for group in _by_value(same.ravel(), np.arange(len(again)))]
    return [
        EquivalenceClass(DUPLICATE, tuple(group.tolist()), truth.directions[group[:1]])
        for group in groups
        if len(group) > 1
    ]


def _constant_ratio(truth: FeatureTruth, structure: Structure) -> np.ndarray:
    """(n,) whether a child's value is a constant times its parent's; False for roots."""
    own = _fixed_draw(truth)
    fixed, ratio = own.copy(), np.zeros(truth.n_features, dtype=bool)
    for level in structure.levels[1:]:
        parent = structure.parent[level]
        ratio[level] = own[level] & (structure.scaled[level] | fixed[parent])
        fixed[level] = own[level] & (~structure.scaled[level] | fixed[parent])
    return ratio


def _fixed_draw(truth: FeatureTruth) -> np.ndarray:
    """(n,) whether the magnitude law of the feature gives one value only."""
    law = truth.magnitude
    spread = law.second_moment - law.mean**2
    fixed = spread <= 1e-12 * law.second_moment
    return np.broadcast_to(fixed, truth.n_features).copy()


def _always_one(truth: FeatureTruth, structure: Structure) -> list[np.ndarray]:
    """Groups of independent roots of constant magnitude, exactly one of which fires."""
    fixed, found = _fixed_draw(truth) & ~structure.loaded, []
    for groups in structure.groups:
        for group in groups:
            sure = abs(truth.firing_probability[group].sum() - 1) < 1e-9
            if sure and fixed[group].all() and np.all(structure.parent[group] < 0):
                found.append(group)
    return found


def _by_value(values: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
    """The indices in groups of equal values[index]."""
    order = indices[np.argsort(values[indices], kind="stable")]
    cuts = np.flatnonzero(np.diff(values[order])) + 1
    return np.split(order, cuts) if len(order) else []


def _span(rows: np.ndarray) -> np.ndarray:
    """(r, d) orthonormal rows of the same span; a single row keeps its sign."""
    if len(rows) == 1:
        return rows / np.linalg.norm(rows)
    _, size, span = np.linalg.svd(rows, full_matrices=False)
    return span[size > 1e-9 * size[0]]
