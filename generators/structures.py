"""From a recipe's words (hierarchy, correlation, exclusive, together) to a `Structure`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundtruth.errors import InputError, UnknownName, reject
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.structure import Structure, depths

EXACT, PUBLISHED = "exact_marginals", "as_published"
_REGULAR = {"roots": 0, "branching": 2, "depth": 1}  # words for equal trees, with their defaults
_LEAST_OWN = 0.01  # of a low-rank row's variance that stays its own, as published


@dataclass(frozen=True)
class Forest:
    """Trees over features: parents, exclusive groups, and whether parents scale children."""

    law: str
    parent: np.ndarray
    exclusive: np.ndarray
    scaled: np.ndarray


def structure_of(
    probability: np.ndarray,
    present: np.ndarray,
    magnitude: MagnitudeLaw,
    rng: np.random.Generator,
    *,
    hierarchy: Mapping[str, Any] | None,
    correlation: Mapping[str, Any] | None,
    exclusive: Sequence[Sequence[int]],
    together: Sequence[Sequence[int]],
    places: np.ndarray | None = None,
) -> Structure:
    """The joint law of firing.

    Under "exact_marginals" (also where there is no hierarchy) every feature fires with exactly its
    `probability`: a child's rate is its probability over that of its parent, and of exclusive
    siblings one is chosen. Under "as_published" rates are
    min(1, p_i / p_parent (1 + sum over siblings p_j / p_parent)), a first-order compensation, and
    exclusive siblings race; what comes out is in `Structure.marginal`.

    Args:
        probability: (n,) asked for.
        present: (n,) P(the magnitude is not 0).
        magnitude: the law of a feature's own magnitude. A parent that scales its children is
            divided by its mean; "as_published" by the configured one, not that of what fires.
        places: (n,) which feature takes each place in regular trees; in order if None.
    """
    n = len(probability)
    forest = _forest(n, hierarchy, rng)
    if places is not None:
        forest = _moved(forest, places)
    _add_exclusive(forest, exclusive)
    probability = _add_together(forest, together, probability, present)
    published = forest.law == PUBLISHED
    rate = _published(forest, probability) if published else _exact(forest, probability, present)
    loadings = np.zeros((n, 0))
    if correlation is not None:
        loadings = _loadings(n, correlation, rng)
        if not published:
            loadings[forest.parent >= 0] = 0.0
        _refuse_loaded_groups(forest, published)
    return Structure(
        forest.parent,
        rate,
        forest.exclusive,
        "race" if published else "one",
        present,
        loadings,
        forest.scaled,
        np.broadcast_to(_reference(magnitude, published), n),
    )


def _reference(law: MagnitudeLaw, published: bool) -> np.ndarray:
    if published and law.name == "rectified-normal":
        return law.scale * law.parameters["mean"]
    return law.mean


def _moved(forest: Forest, places: np.ndarray) -> Forest:
    """The forest with feature places[i] where feature i was."""
    parent, group = np.empty_like(forest.parent), np.empty_like(forest.exclusive)
    parent[places] = np.where(forest.parent >= 0, places[forest.parent], -1)
    group[places] = forest.exclusive
    scaled = np.zeros(len(parent), dtype=bool)
    scaled[places] = forest.scaled
    return Forest(forest.law, parent, group, scaled)


# --- trees ----------------------------------------------------------------------------------


def _forest(n: int, hierarchy: Mapping[str, Any] | None, rng: np.random.Generator) -> Forest:
    given = {"law": EXACT} if hierarchy is None else dict(hierarchy)
    law = given.pop("law", EXACT)
    if law not in (EXACT, PUBLISHED):
        raise UnknownName("hierarchy law", str(law), (EXACT, PUBLISHED))
    scaled = given.pop("scale_children", False)
    if not isinstance(scaled, (bool, np.bool_)):
        raise reject("hierarchy.scale_children", scaled, "True or False")
    words = ("parents", "exclusive", *_REGULAR)
    _refuse_more("hierarchy", given.keys() - {*words}, ("law", "scale_children", *words))
    mixed = sorted(given.keys() & _REGULAR.keys())
    if "parents" in given and mixed:
        raise InputError(
            f"hierarchy: expected parents, or {', '.join(_REGULAR)}, got parents and {mixed[0]}. "
            "Leave out one of the two."
        )
    if "parents" in given:
        parent = _parents(n, given["parents"])
        group = _sibling_groups(n, given.get("exclusive", ()))
    else:
        parent, group = _regular(n, given, rng)
    return Forest(law, parent, group, np.where(parent >= 0, scaled, False))


def _regular(
    n: int, given: dict[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Equal trees, numbered level by level from feature 0; a share of parents is exclusive."""
    roots, branching, depth = (
        _whole(f"hierarchy.{name}", given.get(name, default), 0)
        for name, default in _REGULAR.items()
    )
    share = given.get("exclusive", 1.0)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise reject("hierarchy.exclusive", share, "a share of the parents, from 0 to 1")
    parent, group = np.full(n, -1), np.full(n, -1)
    begin, size, done = 0, roots, 0
    while size and begin + size <= n and done < depth:
        level = begin + np.arange(size)
        begin, size, done = begin + size, size * branching, done + 1
        children = begin + np.arange(min(size, n - begin))
        parent[children] = np.repeat(level, branching)[: len(children)]
    if begin + size > n:
        raise InputError(
            f"hierarchy: expected at most {n} features in the trees, got {roots} roots with "
            f"branching {branching} and depth {depth}, which are more. Lower one of them."
        )
    if branching >= 2:
        parents = np.unique(parent[parent >= 0])
        chosen = rng.permutation(len(parents))[: int(share * len(parents))]
        for index, at in enumerate(parents[np.sort(chosen)]):
            group[parent == at] = index
    return parent, group


def _sibling_groups(n: int, exclusive: Any) -> np.ndarray:
    """(n,) index of the group that names the feature, or -1."""
    group = np.full(n, -1)
    if isinstance(exclusive, str) or not isinstance(exclusive, Sequence):
        raise reject("hierarchy.exclusive", exclusive, "groups of siblings, such as [[1, 2]]")
    for index, members in enumerate(exclusive):
        at = _members("hierarchy.exclusive", n, members)
        if np.any(group[at] >= 0):
            raise InputError(
                "hierarchy.exclusive: expected groups without a common feature, got feature "
                f"{at[group[at] >= 0][0]} in two."
            )
        group[at] = index
    return group


def _add_exclusive(forest: Forest, exclusive: Sequence[Sequence[int]]) -> None:
    n = len(forest.parent)
    for members in exclusive:
        at = _members("exclusive", n, members)
        taken = at[(forest.exclusive[at] >= 0) | (forest.parent[at] >= 0)]
        if taken.size:
            raise InputError(
                f"exclusive: expected roots that are in no other group, got feature {taken[0]}. "
                "Exclusive children are named in hierarchy.exclusive."
            )
        forest.exclusive[at] = forest.exclusive.max(initial=-1) + 1


def _add_together(
    forest: Forest,
    together: Sequence[Sequence[int]],
    probability: np.ndarray,
    present: np.ndarray,
) -> np.ndarray:
    """Features that always fire together: the others become children of the first at rate 1, and
    fire as often as it does, unless their own magnitude is 0."""
    probability, n = probability.copy(), len(probability)
    for members in together:
        first, *others = _members("together", n, members)
        for other in others:
            in_tree = forest.parent[other] >= 0 or np.any(forest.parent == other)
            if in_tree or forest.exclusive[other] >= 0:
                raise InputError(
                    f"together: expected features that are in no tree or exclusive group, got "
                    f"feature {other}."
                )
            forest.parent[other] = first
            probability[other] = probability[first] * present[other]
    return probability


def _exact(forest: Forest, probability: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Rates at which every feature fires with its probability."""
    parent = forest.parent
    above = np.where(parent >= 0, probability[parent], 1.0)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # under a parent that never fires: refused below
        rate = np.where(probability > 0, probability / (above * present), 0.0)
    # A child that always fires with its parent can come out an ulp above 1.
    rate = np.where((rate > 1) & (rate < 1 + 1e-9), 1.0, rate)
    bad = np.flatnonzero(rate > 1)
    if bad.size:
        i = int(bad[0])
        where = f"its parent, feature {parent[i]}, fires" if parent[i] >= 0 else "a sample is drawn"
        raise InputError(
            f"hierarchy, firing: expected a feature to fire at most as often as {where} "
            f"({above[i] * present[i]:.6g}), got probability {probability[i]:.6g} for feature {i} "
            f'({bad.size} such). Lower it, or use {{"law": "{PUBLISHED}"}}, which clamps.'
        )
    return rate


def _published(forest: Forest, probability: np.ndarray) -> np.ndarray:
    parent, group = forest.parent, forest.exclusive
    above = np.where(parent >= 0, probability[parent], 1.0)
    conditional = np.divide(probability, above, out=np.ones(len(parent)), where=above > 0)
    rivals = np.zeros(len(parent))
    if group.max(initial=-1) >= 0:
        total = np.bincount(group[group >= 0], weights=conditional[group >= 0])
        rivals = np.where(group >= 0, total[group] - conditional, 0.0)
    return np.minimum(1.0, conditional * (1.0 + rivals))


# --- correlation ----------------------------------------------------------------------------


def _loadings(n: int, correlation: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    given = dict(correlation)
    law = given.pop("law", None)
    if law == "low-rank":
        rank, scale = _whole("correlation.rank", given.pop("rank", 10), 1), given.pop("scale", 0.1)
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 <= scale < 1e3:
            raise reject("correlation.scale", scale, "a number >= 0")
        _refuse_more("correlation", given, ("law", "rank", "scale"))
        loadings = scale * rng.standard_normal((n, rank))
        size = np.square(loadings).sum(axis=1, keepdims=True)
        longest = 1.0 - _LEAST_OWN
        return loadings * np.sqrt(np.minimum(1.0, longest / np.maximum(size, 1e-30)))
    if law == "full":
        matrix = given.pop("matrix", None)
        _refuse_more("correlation", given, ("law", "matrix"))
        return _factored(n, matrix)
    raise UnknownName("correlation law", str(law), ("low-rank", "full"))


def _factored(n: int, matrix: Any) -> np.ndarray:
    """Loadings L (n, n) with L L^T + least eigenvalue I = matrix."""
    try:
        array = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise reject("correlation.matrix", matrix, f"numbers, shape ({n}, {n})") from None
    if array.shape != (n, n) or not np.all(np.isfinite(array)):
        raise reject("correlation.matrix", array.shape, f"finite numbers, shape ({n}, {n})")
    if np.abs(array - array.T).max() > 1e-9 or np.abs(np.diag(array) - 1).max() > 1e-9:
        raise reject("correlation.matrix", array, "a symmetric matrix with ones on its diagonal")
    values, vectors = np.linalg.eigh(array)
    if values[0] < -1e-9:
        raise InputError(
            f"correlation.matrix: expected a positive semi-definite matrix, got one with "
            f"eigenvalue {values[0]:.6g}. No random variables have these correlations; lower "
            "those that contradict each other."
        )
    return vectors * np.sqrt(np.maximum(values - max(values[0], 0.0), 0.0))


def _refuse_loaded_groups(forest: Forest, published: bool) -> None:
    at = np.flatnonzero((forest.exclusive >= 0) & (forest.parent < 0))
    if at.size and not published:
        raise InputError(
            f"exclusive, correlation: expected exclusive roots without a correlation, got feature "
            f'{at[0]}. Which one of a group fires is one choice under "{EXACT}"; leave out one of '
            f'the two, or use hierarchy={{"law": "{PUBLISHED}"}}.'
        )


# --- input ----------------------------------------------------------------------------------


def _parents(n: int, parents: Any) -> np.ndarray:
    array = np.asarray(parents)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise reject("hierarchy.parents", parents, f"{n} indices, -1 for a root")
    if n and (array.min() < -1 or array.max() >= n):
        raise reject("hierarchy.parents", parents, f"indices from -1 to {n - 1}")
    depths(array)  # a cycle is said before its probabilities are found to be wrong
    return array.astype(np.int64)


def _members(name: str, n: int, members: Any) -> np.ndarray:
    array = np.asarray(members)
    if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
        raise reject(name, members, "groups of two or more feature indices")
    if array.min() < 0 or array.max() >= n or len(np.unique(array)) < len(array):
        raise reject(name, members, f"different indices from 0 to {n - 1}")
    return array


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise reject(name, value, f"a whole number >= {least}")
    return int(value)


def _refuse_more(name: str, given: Collection[str], known: tuple[str, ...]) -> None:
    if given:
        raise UnknownName(f"part of {name}", sorted(given)[0], known)
