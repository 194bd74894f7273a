"""The query and key side of heads: which scores choose what a selector chooses, and how exactly."""

from __future__ import annotations

from dataclasses import dataclass

from groundtruth.compiled_models.components import Term
from groundtruth.compiled_models.expressions import Selector, SOp
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.plan import Plan
from groundtruth.compiled_models.pointwise import add_product, cleaned
from groundtruth.compiled_models.rounding import gamma, leak, unevenness
from groundtruth.compiled_models.selections import Condition, Conjunction, Selection


@dataclass(frozen=True)
class Choosing:
    """Terms of a head whose score tells chosen keys from others.

    Fields:
        scale: of each term.
        score_error: how far a score can be off.
        leak: the greatest share of attention that goes where it should not.
        uneven: how much the shares of chosen keys can differ, as a fraction of a share.
    """

    terms: tuple[Term, ...]
    scale: float
    score_error: float
    leak: float
    uneven: float

    @property
    def reads(self) -> tuple[Variable, ...]:
        return tuple(side for term in self.terms for side in (term.keys, term.queries))

    @property
    def met(self) -> float:
        """The score of a key that meets all terms; see `Head`."""
        return self.scale * max(1, len(self.terms))


@dataclass(frozen=True)
class Preferring:
    """What a head adds to the scores of keys besides its terms.

    Fields:
        variable: on which it rests.
        error: how far that can be off.
        size: the greatest absolute value of it.
    """

    variable: Variable
    error: float
    size: float


def selection(plan: Plan, selector: Selector) -> Selection:
    """`selector` on the values that its s-ops have."""
    tables = {}
    for select, table in plan.analysis.tables.items():
        if table.dtype == bool:
            keys, queries = (plan.values.get(side) for side in select.parents)  # type: ignore[arg-type]
            if keys is not None and queries is not None:
                tables[select] = table[: len(keys.labels), : len(queries.labels)]
    return Selection(selector, tables)


def choosing(
    plan: Plan,
    conjunction: Conjunction,
    scale: float,
    tolerated: float,
    preferring: Preferring | None = None,
) -> Choosing:
    """Terms for a conjunction; of cleaned copies of what it reads where more than `tolerated`
    would go wrong in a score otherwise."""
    terms = tuple(
        Term(plan.values[c.keys], plan.values[c.queries], c.chosen.astype(float))
        for c in conjunction
    )
    return _clean_enough(plan, terms, scale, tolerated, preferring)


def jointly_choosing(
    plan: Plan,
    e: SOp,
    chosen: Selection,
    scale: float,
    tolerated: float,
    preferring: Preferring | None = None,
) -> Choosing:
    """One term, on combinations of all keys and of all queries that the selector compares."""
    keys = tuple(dict.fromkeys(side[0] for side in chosen.sides))
    queries = tuple(dict.fromkeys(side[1] for side in chosen.sides))
    sides = []
    for which, sops in (("keys", keys), ("queries", queries)):
        variables = [plan.values[sop] for sop in sops]
        single = len(variables) == 1
        sides.append(variables[0] if single else add_product(plan, e, variables, which))
    term = Term(sides[0], sides[1], chosen.joint(keys, queries).astype(float))
    return _clean_enough(plan, (term,), scale, tolerated, preferring)


def _clean_enough(
    plan: Plan,
    terms: tuple[Term, ...],
    scale: float,
    tolerated: float,
    preferring: Preferring | None,
) -> Choosing:
    error = _score_error(terms, scale, preferring)
    if error > tolerated:
        terms = tuple(
            Term(cleaned(plan, t.keys), cleaned(plan, t.queries), t.wanted) for t in terms
        )
        error = _score_error(terms, scale, preferring)
    lost = leak(plan.n_keys, plan.sharp - 2 * error)
    return Choosing(terms, scale, error, lost, unevenness(error))


def _score_error(terms: tuple[Term, ...], scale: float, preferring: Preferring | None) -> float:
    """0 where all that is read is exact: scores are whole numbers then."""
    error = size = 0.0
    n_terms = 4
    for term in terms:
        keys, queries = term.keys.total, term.queries.total
        error += scale * (keys * (1 + queries) + queries)
        size += scale * (1 + keys) * (1 + queries)
        n_terms += term.keys.active + term.queries.active + 1
    if preferring is not None:
        error += preferring.error
        size += preferring.size
        n_terms += preferring.variable.active + 1
    return error + gamma(n_terms) * 2 * size if error else 0.0


__all__ = ["Choosing", "Condition", "Preferring", "choosing", "jointly_choosing", "selection"]
