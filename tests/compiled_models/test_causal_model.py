"""Interventions replace a variable at some positions; what depends on it follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtruth.compiled_models import CausalModel, Program, library
from groundtruth.errors import InputError, UnknownName
from groundtruth.testing import programs

REVERSE = CausalModel(library.program("reverse"))


def descendants(program: Program, name: str) -> set[str]:
    """The variable itself and all that is computed from it."""
    found = {name}
    for node in program.graph():
        if found & set(node.parents):
            found.add(node.name)
    return found


@given(programs(), st.data())
def test_only_what_depends_on_a_variable_changes(program, data):
    model = CausalModel(program)
    name = data.draw(st.sampled_from(model.variables))
    base, source = (0, 2, 1), (1, 1, 2)
    before = model.run(base)
    after = model.run(base, {name: model.take(name, source)})
    assert after[name] == model.run(source)[name]
    for other in set(model.variables) - descendants(program, name):
        assert after[other] == before[other]


@given(programs(), st.data())
def test_a_variable_set_to_what_it_is_changes_nothing(program, data):
    model = CausalModel(program)
    name = data.draw(st.sampled_from(model.variables))
    base = (0, 2, 1)
    assert model.run(base, {name: model.take(name, base)}) == model.run(base)


@given(programs())
def test_with_all_leaves_replaced_the_run_is_that_of_the_source(program):
    model = CausalModel(program)
    base, source = (0, 2, 1), (1, 1, 2)
    leaves = {n: model.take(n, source) for n in model.variables if not model.parents(n)}
    assert model.run(base, leaves) == model.run(source)


def test_a_value_at_one_position_acts_there_only():
    assert REVERSE.run("abc", {"opposite": {0: 1}})["reverse"] == ["b", "b", "a"]


def test_values_beyond_the_input_have_their_meaning():
    assert REVERSE.run("abc", {"length": {0: 9}})["reverse"] == [None, "b", "a"]


def test_a_selector_is_set_by_rows():
    row = REVERSE.run("abc", {"select_1": {0: [False, True, False]}})
    assert row["reverse"] == ["b", "b", "a"]
    assert REVERSE.run("abc")["select_1"][0] == [False, False, True]


def test_variables_and_parents_are_those_of_the_program():
    assert REVERSE.variables[-1] == "reverse"
    assert REVERSE.parents("opposite") == ("length", "indices")


def test_values_of_a_longer_input_are_taken_where_they_are_asked_for():
    assert REVERSE.take("opposite", "abcde", [1]) == {1: 3}
    longer = {"opposite": REVERSE.take("opposite", "abcde", [1])}
    assert REVERSE.run("abc", longer)["reverse"] == ["c", None, "a"]


@pytest.mark.parametrize(
    ("interventions", "message"),
    [
        ({"opposite": {3: 0}}, "position of opposite: expected an index of the sequence, 0 to 2"),
        ({"opposite": {-1: 0}}, "position of opposite: expected an index"),
        ({"select_1": {0: [True]}}, "row 0 of select_1: expected 3 truth values, one for each key"),
        ({"select_1": {0: 1}}, "row 0 of select_1: expected 3 truth values"),
    ],
)
def test_interventions_that_do_not_fit_are_refused(interventions, message):
    with pytest.raises(InputError, match=message):
        REVERSE.run("abc", interventions)


def test_unknown_variables_are_told_the_nearest():
    with pytest.raises(UnknownName, match="Nearest: opposite"):
        REVERSE.run("abc", {"oposite": {0: 0}})
    with pytest.raises(UnknownName, match="Nearest: opposite"):
        REVERSE.take("oposite", "abc")
