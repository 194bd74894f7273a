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


def test_the_folder_says_what_tokens_and_outputs_stand_for(saved):
    testbed, folder = saved
    vocab = json.loads((folder / "vocab.json").read_text())
    weights = testbed.compiled.weights
    assert (vocab["a"], vocab["<bos>"], vocab["<pad>"]) == (0, weights.bos, weights.pad)
    config = json.loads((folder / "config.json").read_text())
    labels = testbed.compiled.layout["reverse"].labels
    assert config["id2label"] == {str(k): str(label) for k, label in enumerate(labels)}
    assert (config["vocab_size"], config["hidden_size"]) == (6, weights.d_model)
    assert str(testbed.compiled.program) in (folder / "README.md").read_text()


def test_the_card_runs_the_program_without_the_library(saved):
    _, folder = saved
    scope = {}
    exec((folder / "README.md").read_text().split("```python\n")[-1].split("```")[0], scope)
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    for sequence in ("abcd", "cab"):
        found = scope["run"](folder, sequence).argmax(-1)
        assert [labels[str(k)] for k in found] == list(reversed(sequence))


def test_tokens_of_one_name_are_told_apart(tmp_path):
    both = Program(Map(named("x == '1'", lambda x: x == "1"), tokens, name="is_text"), name="own")
    save_compiled(compile_program(both, vocab=(1, "1"), max_length=2).testbed, tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text())
    assert vocab == {"1": 0, "'1'": 1, "<bos>": 2, "<pad>": 3}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {"0": "False", "1": "True"}


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


def test_the_model_without_its_testbed_is_refused(saved):
    testbed, folder = saved
    with pytest.raises(InputError, match=r"expected a CompiledTestbed.*Pass compiled\.testbed\."):
        save_compiled(testbed.compiled, folder)
