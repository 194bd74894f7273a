"""Components sum to the weights; taking one out takes out what it computes."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.inputs import uniform_inputs
from groundtruth.compiled_models.mechanisms import mechanism_truth
from groundtruth.compiled_models.running import as_model, outputs
from groundtruth.errors import InputError, UnknownName
from groundtruth.mechanism_truth import Mechanism, MechanismTruth
from groundtruth.models.model_files import weights_of


def compiled_of(name: str):
    entry = library.entry(name)
    program = library.example_program(name)
    return compile_program(program, vocab=entry.vocab, max_length=4, n_sequences=64)


@pytest.mark.parametrize("name", ["reverse", "sort_unique", "running_sum", "shuffle_dyck2"])
def test_components_are_those_of_the_expressions_and_share_no_weight(name):
    compiled = compiled_of(name)
    truth = mechanism_truth(compiled)
    expressions = {v.name for v in compiled.layout.values()}
    found = {mechanism.name for mechanism in truth.mechanisms}
    assert found == expressions | {"begin-of-sequence", "unembedding"}
    for array, whole in compiled.weights.arrays().items():
        held = [m.arrays[array] != 0 for m in truth.mechanisms if array in m.arrays]
        assert (np.sum(held, axis=0) == (whole != 0)).all() if held else not whole.any()


def test_without_a_component_its_subspace_is_empty_and_the_earlier_ones_are_not():
    compiled = compiled_of("reverse")
    truth = mechanism_truth(compiled)
    left = weights_of(compiled.weights.settings(), truth.without("opposite"))
    tokens = [[compiled.weights.bos, 0, 1, 2]]
    _, cache = as_model(left).run_with_cache(tokens)
    residual = cache["blocks.2.hook_resid_post"][0, 1:].numpy()
    assert not residual[:, compiled.layout["opposite"].directions].any()
    assert (residual[:, compiled.layout["length"].directions].max(axis=1) > 0.9).all()


def test_a_component_is_necessary_where_the_output_changes_without_it():
    compiled = compiled_of("reverse")
    inputs = uniform_inputs(4, 3)
    truth = mechanism_truth(compiled, inputs)
    assert truth.necessary is not None and truth.inputs == inputs.hash
    share = dict(zip([m.name for m in truth.mechanisms], truth.necessary.mean(axis=1)))
    # All outputs are 0 then, which reads as the first token: right on a, aa and aaa alone.
    assert share["unembedding"] == share["tokens"] == 81 / 84
    row = [m.name for m in truth.mechanisms].index("opposite")
    model = as_model(weights_of(compiled.weights.settings(), truth.without("opposite")))
    for k in range(0, 84, 7):
        ids = inputs.batch.ids[k, : inputs.batch.lengths[k]]
        found = outputs(model, np.array([[compiled.weights.bos, *ids]])).argmax(axis=-1)[0]
        assert truth.necessary[row, k] == (found.tolist() != ids[::-1].tolist())


def test_components_that_do_not_sum_are_refused():
    whole = {"W": np.ones((2, 2))}
    half = Mechanism("half", {"W": np.full((2, 2), 0.5)})
    assert MechanismTruth((half, Mechanism("other", half.arrays)), whole).necessary is None
    with pytest.raises(InputError, match=r"sum to W, got a sum that is off by 0\.5"):
        MechanismTruth((half,), whole)
    with pytest.raises(InputError, match="one row for each of 2 mechanisms"):
        MechanismTruth((half, half), whole, "", np.zeros((1, 3), dtype=bool))
    with pytest.raises(UnknownName, match="halt"):
        MechanismTruth((half, half), whole).without("halt")
