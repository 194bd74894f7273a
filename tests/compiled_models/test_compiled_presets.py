"""Named compiled testbeds: built on demand, rebuilt from their recipe, described in full."""

from __future__ import annotations

import numpy as np
import pytest

import groundtruth as gt
from groundtruth import catalogue
from groundtruth.compiled_models import library
from groundtruth.compiled_models.description import planted
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.presets import PRESETS, CompiledPreset
from groundtruth.errors import InputError, ProgramError, UnknownName
from groundtruth.models import numpy_reference


def test_every_program_of_the_library_has_an_entry_with_a_summary():
    assert [preset.program for preset in PRESETS] == library.names()
    assert all(preset.summary and preset.name in catalogue.TESTBEDS for preset in PRESETS)


def test_a_recipe_builds_the_same_world_again():
    world = gt.build("compiled/hist", max_length=3, vocab="ab", site="blocks.0.hook_mlp_out")
    assert (world.name, world.truth_class) == ("compiled/hist", "compiled")
    assert world.truth.features.site == "blocks.0.hook_mlp_out"
    recipe = world.recipe
    again = gt.build(recipe.name, seed=recipe.seed, **recipe.parameters)
    assert again.hash == world.hash
    assert gt.build("compiled/hist", seed=1, **recipe.parameters).hash != world.hash


def test_arguments_of_a_program_can_be_changed():
    testbed = CompiledPreset("count").model(arguments=["b"], max_length=3)
    assert testbed.compiled.run(["abb"]) == [[2, 2, 2]]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(UnknownName, match="max_length"):
        gt.build("compiled/hist", maxlength=3)
    with pytest.raises(UnknownName, match="site"):
        gt.build("compiled/hist", max_length=3, site="blocks.7.hook_resid_post")
    with pytest.raises(ProgramError):
        gt.build("compiled/square", vocab=["a", "b"])


def test_sites_inside_heads_and_mlps_are_built_by_name():
    world = gt.build("compiled/hist", max_length=3, site="blocks.0.mlp.hook_post")
    assert world.recipe.parameters["site"] == world.truth.features.site == "blocks.0.mlp.hook_post"
    again = gt.build("compiled/hist", **world.recipe.parameters)
    assert again.hash == world.hash != gt.build("compiled/hist", max_length=3).hash
    with pytest.raises(InputError, match="nothing is written there"):
        gt.build("compiled/hist", max_length=3, site="blocks.0.attn.hook_v")


def test_a_description_names_program_nodes_variables_inputs_and_certificate():
    text = dict(planted(CompiledPreset("reverse").model(max_length=4)))
    assert "opposite = sequence_map(n - 1 - i, length, indices)" in text["program"]
    assert "a0.h0: length.share" in text["nodes"]
    assert "opposite: 7 dimensions from blocks.1.hook_resid_post on" in text["variables"]
    assert "blocks.0.mlp.hook_post\nblocks.0.hook_mlp_out" in text["sites"]
    assert text["inputs"].startswith("all 340 of the sequences of 4 tokens")
    assert text["certificate"].startswith("agrees with the interpreter on all 340 sequences")


@pytest.mark.parametrize("name", ["reverse", "sort_unique", "running_mean", "detect_pattern"])
@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (8, 9)])
def test_torch_and_jax_are_the_reference_within_what_was_proven(name, shape):
    pytest.importorskip("jax")
    from groundtruth.models import jax_forward

    testbed = CompiledPreset(name).model(max_length=8)
    compiled, (n, width) = testbed.compiled, shape
    batch = testbed.inputs.batch
    rows = np.flatnonzero(batch.lengths <= width - 1)[-n:]
    tokens = model_tokens(batch, compiled.weights)[rows, :width]
    there = tokens != compiled.weights.pad
    there[:, 0] = False
    reference = numpy_reference.forward(compiled.weights, tokens)[there]
    torch_outputs = compiled.model(tokens).detach().numpy()[there]
    jax_outputs = np.asarray(jax_forward.forward(jax_forward.to_jax(compiled.weights), tokens))
    output = compiled.layout[compiled.program.names[compiled.program.output]]
    # Each is off by no more than was proven; so they differ by no more than twice that.
    allowed = 2 * output.error + 1e-7
    assert tokens.shape == shape
    assert np.abs(torch_outputs - reference).max() <= allowed
    assert np.abs(jax_outputs[there] - reference).max() <= allowed
