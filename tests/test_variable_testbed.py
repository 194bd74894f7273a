"""Pairs, labels, twins and identity of testbeds of causal variables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from variable_cases import compiled, equality

from groundtruth.alignment import Subspace
from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.interchanges import interchange
from groundtruth.compiled_models.variable_testbeds import variable_testbed
from groundtruth.errors import ExplanationError, InputError, Undefined, UnknownName
from groundtruth.generators.hierarchical_equality import hierarchical_equality
from groundtruth.variable_pairs import are_right


@pytest.mark.parametrize("name", ["hist", "reverse"])
def test_planted_subspaces_of_a_program_are_always_right(name):
    testbed = compiled(name)
    for variable in testbed.hypothesis:
        planted = testbed.truth[variable]
        claim = Subspace(planted.site, planted.basis)
        for pairs in (testbed.pairs(variable, 200), testbed.subject.pairs(variable, 200)):
            assert are_right(testbed.model, pairs, testbed.answers, claim).all()


def test_expected_answers_are_those_of_another_route():
    program = library.program("reverse")
    model = compile_program(program, vocab="abc", max_length=4, closed=True, n_sequences=64)
    testbed = variable_testbed(model)
    pairs = testbed.pairs("length", 50)
    for row, (base, source, places) in enumerate(pairs.cases):
        (found,) = interchange(model, [base], [source], ["length"], places)
        said = [testbed.values("reverse")[k] for k in pairs.expected[row] if k >= 0]
        assert said == found


def test_every_second_pair_of_the_subject_tells():
    testbed = equality()
    pairs = testbed.subject.pairs("WX", 200)
    assert pairs.discriminating[::2].all()
    assert 0.3 < pairs.discriminating[1::2].mean() < 0.7  # Binomial(100, 1/2): once in 10,000
    telling = testbed.pairs("WX", 50, discriminating=True)
    assert telling.discriminating.all()


def test_train_and_score_are_streams_apart_and_repeat():
    testbed = equality()
    first, again = (testbed.subject.pairs("WX", 100, seed=3) for _ in range(2))
    assert (first.base == again.base).all() and (first.source == again.source).all()
    assert (testbed.subject.pairs("WX", 100, seed=4).base != first.base).any()
    scored = testbed.pairs("WX", 100, seed=3)
    assert (scored.base[:50] != first.base[1::2]).any()


def test_labels_are_values_of_the_causal_model():
    testbed = compiled("reverse")
    found = testbed.labelled("length", 20)
    lengths = found.there.sum(1)
    for row, length in enumerate(lengths):
        read = {testbed.values("length")[k] for k in found.labels[row][found.there[row]]}
        assert read == {length}


def test_control_labels_are_one_to_a_token_and_of_the_same_distribution():
    testbed = equality()
    task = testbed.control(seed=1)
    found = task.labelled("WX", 500)
    tokens, labels = found.tokens[found.there], found.labels[found.there]
    assert all(len(set(labels[tokens == token].tolist())) == 1 for token in set(tokens.tolist()))
    assert (task.labelled("WX", 500).labels == found.labels).all()
    assert set(labels.tolist()) <= {0, 1}
    other = testbed.control(seed=2).labelled("WX", 500)
    assert (other.labels[other.there] != labels).any()


def test_control_labels_are_never_all_the_same():
    # Of three tokens, and two thirds of one value, 2 of 5 draws are.
    count = library.program("count", "a")
    testbed = variable_testbed(compile_program(count, vocab="abc", max_length=4, closed=True))
    for seed in range(20):
        found = testbed.control(seed=seed).labelled("is_a", 100)
        assert len(set(found.labels[found.there].tolist())) == 2
    one = variable_testbed(compile_program(count, vocab="a", max_length=4, closed=True))
    found = one.control().labelled("count", 100)
    assert len(set(found.labels[found.there].tolist())) == 1  # there is one token


def test_an_untrained_model_has_the_shapes_and_nothing_else():
    testbed = equality()
    twin, other = testbed.untrained(), testbed.untrained(seed=1)
    old, new = testbed.model.to_weights().arrays(), twin.model.to_weights().arrays()
    assert {k: v.shape for k, v in old.items()} == {k: v.shape for k, v in new.items()}
    assert twin.hash != testbed.hash != other.hash != twin.hash
    assert (twin.pairs("WX", 50).expected == testbed.pairs("WX", 50).expected).all()


def test_the_hash_is_of_what_is_there():
    same, other = hierarchical_equality(4), hierarchical_equality(4, seed=1)
    assert same.hash == hierarchical_equality(4).hash != other.hash
    assert replace(same, hypothesis=("WX",)).hash != same.hash


def test_no_truth_is_reached_through_attributes_of_the_subject():
    subject = equality().subject
    seen = {name for name in dir(subject) if not name.startswith("_")}
    assert seen == {
        "accuracy", "answers", "labelled", "labelled_activations", "model", "pairs", "sites",
        "values",
    }  # fmt: skip


def test_what_cannot_be_asked_is_refused():
    program = library.program("reverse")
    tight = compile_program(program, vocab="abc", max_length=3, n_sequences=64)
    with pytest.raises(InputError, match="expected a program compiled for interchange"):
        variable_testbed(tight)
    testbed = equality()
    with pytest.raises(UnknownName, match="No variable of this hypothesis is called 'W'"):
        testbed.subject.pairs("W", 10)
    with pytest.raises(Undefined, match="interchange of same changes no answer on any of"):
        # Both sequences always say the same here, so nothing changes.
        replace(testbed, draw=lambda rng, n: [[0, 0, 1, 1]] * n).pairs(
            "same", 5, discriminating=True
        )
    narrow = Subspace("blocks.0.hook_resid_post", np.eye(5)[:1])
    pairs = testbed.pairs("WX", 5)
    beyond = Subspace("blocks.0.hook_resid_post", np.eye(19)[:1], positions=(1, 99))
    with pytest.raises(
        ExplanationError, match=r"positions at .*: expected 0 to 4, which the model"
    ):
        are_right(testbed.model, pairs, testbed.answers, beyond)
    with pytest.raises(ExplanationError, match="expected rows of width 19, got 5"):
        are_right(testbed.model, pairs, testbed.answers, narrow)
    headed = Subspace("blocks.0.attn.hook_z", np.eye(2))
    with pytest.raises(InputError, match="Take one without heads"):
        are_right(testbed.model, pairs, testbed.answers, headed)


def test_where_no_answer_ever_changes_methods_get_pairs_all_the_same():
    testbed = replace(equality(), draw=lambda rng, n: [[0, 0, 1, 1]] * n)
    pairs = testbed.subject.pairs("WX", 10)
    assert len(pairs) == 10 and not pairs.discriminating.any()


def test_inputs_can_have_a_law_of_their_own():
    program = library.program("reverse")
    model = compile_program(program, vocab="abc", max_length=4, closed=True, n_sequences=64)
    testbed = variable_testbed(model, ["length"], draw=lambda rng, n: ["abc", "ab"] * (n // 2))
    bases = {"".join(base) for base, _, _ in testbed.pairs("length", 40).cases}
    assert bases == {"abc", "ab"}
