"""Interchange on the planted subspaces gives what the causal model says; on others it does not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from groundtruth.compiled_models import CausalModel, compile_program, library, random_programs
from groundtruth.compiled_models.interchanges import interchange, interchange_accuracy
from groundtruth.compiled_models.variables import variable_truth
from groundtruth.errors import InputError, UnknownName


def closed(name: str, max_length: int = 4):
    return compile_program(
        library.example_program(name),
        vocab=library.entry(name).vocab,
        max_length=max_length,
        closed=True,
        n_sequences=64,
    )


@pytest.mark.parametrize("name", library.names())
def test_every_variable_of_a_closed_model_can_be_interchanged(name):
    compiled = closed(name)
    for variable in variable_truth(compiled).variables:
        assert interchange_accuracy(compiled, [variable.name], n=20) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_so_can_those_of_random_programs(seed):
    for program in itertools.islice(random_programs(5, seed=seed), 4):
        compiled = compile_program(
            program, vocab=(0, 1, 2), max_length=4, closed=True, n_sequences=64
        )
        for variable in variable_truth(compiled).variables:
            assert interchange_accuracy(compiled, [variable.name], n=20) == 1.0


@pytest.mark.parametrize("name", ["reverse", "shuffle_dyck2"])
def test_several_variables_can_be_interchanged_at_once(name):
    compiled = closed(name)
    names = [variable.name for variable in variable_truth(compiled).variables]
    rng = np.random.default_rng(0)
    for _ in range(5):
        some = rng.choice(names, size=3, replace=False).tolist()
        assert interchange_accuracy(compiled, some, n=40) == 1.0


def test_interchange_is_below_one_on_a_wrong_claim():
    compiled = closed("reverse")
    truth = variable_truth(compiled)
    right = truth["opposite"]
    random = np.linalg.qr(np.random.default_rng(0).normal(size=right.basis.T.shape))[0].T
    wrong = {
        "random subspace": (right.site, random),
        "another variable": (right.site, truth["length"].basis),
        "a part of it": (right.site, right.basis[1:3]),
        "too early": ("blocks.0.hook_resid_pre", right.basis),
        "too late": (truth["reverse"].site, right.basis),
    }
    for what, claim in wrong.items():
        found = interchange_accuracy(compiled, ["opposite"], subspaces={"opposite": claim})
        assert found < 0.9, what


def test_a_tight_model_may_differ_under_interchange():
    # An index and a length meet that no sequence joins: the table of their difference lacks them.
    tight = compile_program(library.program("reverse"), vocab="abc", max_length=5)
    assert interchange_accuracy(tight, ["length"]) < 1.0
    assert interchange_accuracy(tight, ["reverse"]) == 1.0


def test_interchange_at_chosen_positions():
    compiled = closed("reverse")
    causal = CausalModel(compiled.program)
    base, source = ["a", "b", "c", "c"], ["c", "a"]
    given = {"opposite": causal.take("opposite", source, [1])}
    found = interchange(compiled, [base], [source], ["opposite"], [1, 3])
    assert found == [causal.run(base, given)["reverse"]] == [["c", "a", "b", "a"]]


def test_values_stand_for_points_and_back():
    compiled = closed("detect_pattern")
    for variable in variable_truth(compiled).variables:
        assert variable.values is not None
        points = variable.encode(variable.values)
        assert points.shape == (len(variable.values), compiled.layout.d_model)
        assert variable.decode(points) == list(variable.values)
        assert variable.decode(points + 0.1) == list(variable.values)


def test_what_the_truth_has_not_is_refused():
    compiled = closed("hist")
    truth = variable_truth(compiled)
    with pytest.raises(UnknownName, match="hits"):
        truth["hits"]
    with pytest.raises(InputError, match="value of hist: expected one of"):
        truth["hist"].encode([99])
    with pytest.raises(InputError, match="source: expected 2 sequences, as in base, got 1"):
        interchange(compiled, ["a", "b"], ["a"], ["hist"])
    last = compiled.analysis.max_length - 1
    with pytest.raises(InputError, match=f"positions: expected indices from 0 to {last}, got .-1."):
        interchange(compiled, ["ab"], ["ba"], ["hist"], [0, -1])
    with pytest.raises(UnknownName, match="No subspace is called 'hist'"):
        interchange(compiled, ["ab"], ["ba"], ["hist"], subspaces={})
    with pytest.raises(InputError, match="n: expected a whole number >= 1, got 0"):
        interchange_accuracy(compiled, ["hist"], n=0)
    assert interchange(compiled, [], [], ["hist"]) == []
