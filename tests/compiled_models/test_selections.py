"""Selectors as disjoint conjunctions: together they choose what the selector does, once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.compiled_models import Select, Selector, indices, tokens
from groundtruth.compiled_models.expressions import Map, SOp, length
from groundtruth.compiled_models.selections import Selection

SIZES: dict[SOp, int] = {tokens: 3, indices: 4, length: 2, Map(str, tokens): 3}
SOPS = list(SIZES)


@dataclass
class Case:
    selector: Selector
    tables: dict = field(default_factory=dict)


@st.composite
def cases(draw) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tables = {}

    def leaf() -> Select:
        keys, queries = (SOPS[draw(st.integers(0, len(SOPS) - 1))] for _ in range(2))
        select = Select(keys, queries, "==")
        tables[select] = rng.random((SIZES[keys], SIZES[queries])) < 0.5
        return select

    selector: Selector = leaf()
    for _ in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["and", "or", "not"])):
            case "and":
                selector = selector & leaf()
            case "or":
                selector = leaf() | selector
            case _:
                selector = ~selector
    return Case(selector, tables)


def chosen(part, tables, keys: dict, queries: dict) -> bool:
    if isinstance(part, Select):
        return bool(tables[part][keys[part.keys], queries[part.queries]])
    values = [chosen(parent, tables, keys, queries) for parent in part.parents]
    match type(part).__name__:
        case "SelectorAnd":
            return all(values)
        case "SelectorOr":
            return any(values)
        case _:
            return not values[0]


def codes(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {sop: int(rng.integers(size)) for sop, size in SIZES.items()}


@given(cases(), st.integers(0, 2**20))
@settings(max_examples=150, deadline=None)
def test_a_pair_meets_one_conjunction_if_it_is_chosen_and_none_if_not(case, seed):
    conjunctions = Selection(case.selector, case.tables).conjunctions()
    for k in range(20):
        keys, queries = codes(seed + 2 * k), codes(seed + 2 * k + 1)
        met = sum(
            all(c.chosen[keys[c.keys], queries[c.queries]] for c in conjunction)
            for conjunction in conjunctions
        )
        assert met == chosen(case.selector, case.tables, keys, queries)


@given(cases(), st.integers(0, 2**20))
@settings(max_examples=100, deadline=None)
def test_the_joint_table_is_the_selector_on_combinations(case, seed):
    selection = Selection(case.selector, case.tables)
    key_sops = tuple(dict.fromkeys(k for k, _ in selection.sides))
    query_sops = tuple(dict.fromkeys(q for _, q in selection.sides))
    table = selection.joint(key_sops, query_sops)
    for k in range(20):
        keys, queries = codes(seed + 2 * k), codes(seed + 2 * k + 1)
        row = np.ravel_multi_index([keys[s] for s in key_sops], [SIZES[s] for s in key_sops])
        column = np.ravel_multi_index(
            [queries[s] for s in query_sops], [SIZES[s] for s in query_sops]
        )
        assert table[row, column] == chosen(case.selector, case.tables, keys, queries)


def test_comparisons_of_one_pair_are_one_condition():
    less, same = (Select(tokens, tokens, p) for p in ("<", "=="))
    tables = {less: np.triu(np.ones((3, 3), bool), 1), same: np.eye(3, dtype=bool)}
    ((condition,),) = Selection(less | same, tables).conjunctions()
    assert (condition.chosen == np.triu(np.ones((3, 3), bool))).all()


def test_a_tie_broken_by_another_comparison_is_two_conjunctions():
    less, same = (Select(tokens, tokens, p) for p in ("<", "=="))
    earlier = Select(indices, indices, "<")
    tables = {less: np.triu(np.ones((3, 3), bool), 1), same: np.eye(3, dtype=bool)}
    tables[earlier] = np.triu(np.ones((4, 4), bool), 1)
    found = Selection(less | (same & earlier), tables).conjunctions()
    assert sorted(map(len, found)) == [1, 2]
