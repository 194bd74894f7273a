"""A saved model comes back as it was, certified again; what was altered does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from groundtruth import files
from groundtruth.compiled_models import (
    Disagreement,
    Map,
    Program,
    compile_program,
    library,
    tokens,
)
from groundtruth.compiled_models.compiled_files import FILE, load_compiled, save_compiled
from groundtruth.compiled_models.functions import named
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.errors import HashMismatch, InputError, StoreError
from groundtruth.models.model_files import save_weights
from groundtruth.store import NewerSchemaError

OWN = Program(Map(named("x == 'a'", lambda x: x == "a"), tokens, name="is_a"), name="own")


@pytest.fixture
def saved(tmp_path):
    testbed = CompiledPreset("reverse").model(max_length=4, n_inputs=200, seed=3)
    save_compiled(testbed, tmp_path)
    return testbed, tmp_path


def altered(folder, **changes) -> None:
    body = files.read_sealed(folder / FILE)
    (folder / FILE).write_bytes(files.seal({**body, **changes}))


def test_a_model_comes_back_as_it_was(saved):
    testbed, folder = saved
    again = load_compiled(folder)
    assert (again.hash, again.recipe) == (testbed.hash, testbed.recipe)
    assert again.compiled.run(["abcd"]) == [["d", "c", "b", "a"]]
    site = testbed.last_site
    assert again.at(site).hash == testbed.at(site).hash
    assert again.compiled.certificate == testbed.compiled.certificate


def test_the_folder_says_what_was_planted(saved):
    testbed, folder = saved
    body = json.loads((folder / FILE).read_text())
    assert body["variables"]["opposite"] == "blocks.1.hook_resid_post"
    assert "m0 neurons 0 to 6: length of length.share" in body["nodes"]
    assert {m["name"] for m in body["certificate"]["margins"]} == set(body["variables"])
    assert body["program"] == str(testbed.compiled.program)


def test_a_program_of_ones_own_is_handed_in(tmp_path):
    testbed = compile_program(OWN, vocab="ab", max_length=3).testbed
    save_compiled(testbed, tmp_path)
    assert load_compiled(tmp_path, OWN).hash == testbed.hash
    with pytest.raises(InputError, match=r"Pass it: load_compiled\(folder, program\)"):
        load_compiled(tmp_path)
    with pytest.raises(InputError, match="expected the program"):
        load_compiled(tmp_path, library.program("hist"))


def test_what_was_altered_does_not_load(saved):
    _, folder = saved
    text = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(text.replace(b"opposite", b"opposed_", 1))
    with pytest.raises(HashMismatch, match="self_hash"):
        load_compiled(folder)
    (folder / FILE).write_bytes(text)
    altered(folder, layout=["0: nothing"])
    with pytest.raises(HashMismatch, match="another way"):
        load_compiled(folder)
    (folder / FILE).write_bytes(text)
    altered(folder, schema=2)
    with pytest.raises(NewerSchemaError):
        load_compiled(folder)
    altered(folder, schema=1, more=1)
    with pytest.raises(StoreError, match="unknown fields: more"):
        load_compiled(folder)
    (folder / FILE).unlink()
    with pytest.raises(StoreError):
        load_compiled(folder)


def test_other_weights_do_not_load(saved):
    testbed, folder = saved
    weights = testbed.compiled.weights
    save_weights(replace(weights, W_U=weights.W_U * 2), folder)
    with pytest.raises(HashMismatch, match="hash: expected"):
        load_compiled(folder)
    save_weights(replace(weights, W_E=weights.W_E * 1.5), folder)
    with pytest.raises(Disagreement):
        load_compiled(folder)


def test_tokens_that_json_does_not_keep_are_refused(tmp_path):
    pairs = Program(Map(named("x[0]", lambda x: x[0]), tokens, name="first"))
    testbed = compile_program(pairs, vocab=((0, 1), (1, 0)), max_length=2).testbed
    with pytest.raises(InputError, match=r"compiled\.json"):
        save_compiled(testbed, tmp_path)
