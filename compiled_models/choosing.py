"""The query and key side of heads: which scores choose what a selector chooses, and how exactly.

Scores are in units of a head's sharpness g. With begin-of-sequence g below what is chosen, and the
rest below that again, softmax leaks at most n exp(-(g - 2 e)) where scores are off by e; a head
whose chosen keys need not share evenly is made sharper by just what e takes away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from groundtruth.compiled_models.components import Term
from groundtruth.compiled_models.expressions import Select, Selector, SOp
from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Plan
from groundtruth.compiled_models.pointwise import add_product, cleaned
from groundtruth.compiled_models.rounding import gamma, leak, unevenness
from groundtruth.compiled_models.selections import Conjunction, Selection

BLUNTED = 1 / 2
"""How much of its sharpness a head may lose to errors before what it reads is cleaned."""


@dataclass(frozen=True)
class Choosing:
    """Terms of a head whose score tells chosen keys from others.

    Fields:
        sharp: g, a whole number.
        scale: of each term.
        leak: the greatest share of attention that goes where it should not.
        uneven: how much the shares of chosen keys can differ, as a fraction of a share.
    """

    terms: tuple[Term, ...]
    sharp: int
    scale: int
    leak: float
    uneven: float

    @property
    def reads(self) -> tuple[Variable, ...]:
        return tuple(side for term in self.terms for side in (term.keys, term.queries))

    @property
    def met(self) -> int:
        """The score of a key that meets all terms; see `Head`."""
        return self.scale * max(1, len(self.terms))


@dataclass(frozen=True)
class Demand:
    """What a head asks of its scores.

    Fields:
        places: the scale of a term, in units of g: how far apart chosen keys and others are.
        evenly: how far scores may be off for chosen keys to share evenly enough; None if they need
            not.
        preferring: what else enters a score.
    """

    places: int
    evenly: float | None = None
    preferring: Preferring | None = None


@dataclass(frozen=True)
class Preferring:
    """What a head adds to the scores of keys besides its terms, in units of g.

    Fields:
        variable: on which it rests.
        error: how far it can be off.
        size: the greatest absolute value of it.
        chosen_exactly: whether it is exactly 0 for each key that can be chosen.
    """

    variable: Variable
    error: float
    size: float
    chosen_exactly: bool = False


def selection(plan: Plan, selector: Selector) -> Selection:
    """`selector` on the values that its s-ops have."""
    tables = {}
    for select, table in plan.analysis.tables.items():
        if isinstance(select, Select) and {select.keys, select.queries} <= plan.values.keys():
            keys, queries = plan.values[select.keys], plan.values[select.queries]
            tables[select] = table[: len(keys.labels), : len(queries.labels)]
    return Selection(selector, tables)


def choosing(plan: Plan, conjunction: Conjunction, demand: Demand) -> Choosing:
    """A head's terms for a conjunction."""
    terms = (
        Term(plan.values[c.keys], plan.values[c.queries], c.chosen.astype(float))
        for c in conjunction
    )
    return _clean_enough(plan, tuple(terms), demand)


def jointly_choosing(plan: Plan, e: SOp, chosen: Selection, demand: Demand) -> Choosing:
    """One term, on combinations of all keys and of all queries that the selector compares."""
    keys = tuple(dict.fromkeys(side[0] for side in chosen.sides))
    queries = tuple(dict.fromkeys(side[1] for side in chosen.sides))
    sides = []
    for which, sops in (("keys", keys), ("queries", queries)):
        variables = [plan.values[sop] for sop in sops]
        single = len(variables) == 1
        sides.append(variables[0] if single else add_product(plan, e, variables, which))
    term = Term(sides[0], sides[1], chosen.joint(keys, queries).astype(float))
    return _clean_enough(plan, (term,), demand)


def _clean_enough(plan: Plan, terms: tuple[Term, ...], demand: Demand) -> Choosing:
    """`terms`, of cleaned copies of what they read where scores would be too far off otherwise."""
    error, uneven = _score_errors(plan, terms, demand)
    allowed = BLUNTED / 2 if demand.evenly is None else demand.evenly / plan.sharp
    if uneven > allowed:
        terms = tuple(
            Term(cleaned(plan, t.keys), cleaned(plan, t.queries), t.wanted) for t in terms
        )
        error, uneven = _score_errors(plan, terms, demand)
    if 2 * error > BLUNTED:
        raise Problem("what its selector compares is off by too much for one key to stand out")
    sharp = plan.sharp if demand.evenly is not None else math.ceil(plan.sharp / (1 - 2 * error))
    lost = leak(plan.n_keys, sharp * (1 - 2 * error))
    return Choosing(terms, sharp, demand.places * sharp, lost, unevenness(sharp * uneven))


def _score_errors(plan: Plan, terms: tuple[Term, ...], demand: Demand) -> tuple[float, float]:
    """How far a score can be off, and how far one of a key that is chosen."""
    error = plan.tolerance.stretch * _score_error(terms, demand)
    if demand.preferring is None or not demand.preferring.chosen_exactly:
        return error, error
    alone = replace(demand, preferring=None)
    return error, plan.tolerance.stretch * _score_error(terms, alone)


def _score_error(terms: tuple[Term, ...], demand: Demand) -> float:
    """How far a score can be off, in units of g; 0 where all that is read is exact, since scores
    are whole numbers then."""
    error = size = 0.0
    n_terms = 4
    for term in terms:
        keys = min(term.keys.total, term.wanted.sum(axis=0).max() * term.keys.error)
        queries = min(term.queries.total, term.wanted.sum(axis=1).max() * term.queries.error)
        both = term.keys.total * term.queries.total
        error += demand.places * (keys + queries + both)
        size += demand.places * (1 + keys) * (1 + queries)
        n_terms += term.keys.active + term.queries.active + 1
    if demand.preferring is not None:
        error += demand.preferring.error
        size += demand.preferring.size
        n_terms += demand.preferring.variable.active + 1
    return error + gamma(n_terms) * 2 * size if error else 0.0
