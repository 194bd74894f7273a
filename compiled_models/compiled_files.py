"""Compiled models in a folder, ready for a model hub.

model.safetensors, model.json, config.json, vocab.json, README.md
                the weights, what tokens and outputs stand for; see `models/model_files.py`
compiled.json   recipe, program, what lies and is computed where, certificate, content hash

A program is code and is not kept: one of the library is made again from the recipe, any other is
handed in. The certificate in the file is for readers; loading certifies the weights again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from groundtruth import files
from groundtruth.compiled_models import library
from groundtruth.compiled_models.certificate import Readout, certified
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.compiler import compile_program
from groundtruth.compiled_models.inputs import uniform_inputs
from groundtruth.compiled_models.parts import parts
from groundtruth.compiled_models.presets import variant
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.testbed import CompiledTestbed
from groundtruth.compiled_models.twin_bounds import Held
from groundtruth.compiled_models.values import Value
from groundtruth.errors import HashMismatch, InputError, StoreError, reject
from groundtruth.models import Weights
from groundtruth.models.model_files import load_weights, save_weights
from groundtruth.store import NewerSchemaError
from groundtruth.testbed import Recipe

FILE, SCHEMA = "compiled.json", 1
_FIELDS = {"schema", "recipe", "program", "layout", "nodes", "variables", "certificate", "hash"}


def save_compiled(testbed: CompiledTestbed, folder: str | Path) -> None:
    """Write a compiled model with what is known of it to `folder`.

    A model that is there is replaced.

    Raises:
        InputError: no testbed; tokens that JSON does not keep, such as tuples.
        StoreError: the files cannot be written.
    """
    if not isinstance(testbed, CompiledTestbed):
        raise reject("testbed", testbed, "a CompiledTestbed", "Pass compiled.testbed.")
    compiled = testbed.compiled
    body = {
        "schema": SCHEMA,
        "recipe": testbed.recipe.description(),
        "program": str(compiled.program),
        "layout": [str(variable) for variable in compiled.layout.variables],
        "nodes": [str(part) for part in parts(compiled)],
        "variables": {v.name: v.site for v in testbed.variables.variables},
        "certificate": _certificate(compiled),
        "hash": testbed.hash,
    }
    files.check_plain("compiled.json", body)
    save_weights(
        compiled.weights,
        folder,
        f"A transformer that computes {compiled.program.name}",
        tokens=_texts(compiled.analysis.vocab),
        labels=_labels(compiled),
        about=_about(testbed),
    )
    files.write_atomic(Path(folder) / FILE, files.seal(body))


def load_compiled(folder: str | Path, program: Program | None = None) -> CompiledTestbed:
    """The model that `save_compiled` wrote to `folder`, certified again.

    Args:
        program: what it computes, unless the library has it.

    Raises:
        HashMismatch: a file was altered after it was written, or this version of the library lays
            the program out in another way. `load_weights` still reads the weights.
        Disagreement: the weights do not compute the program.
        InputError: the program is not in the library and is not given, or is another one.
        NewerSchemaError: a later version wrote it.
        StoreError: a file is missing, damaged or foreign.

    Example:
        >>> import tempfile
        >>> from groundtruth.compiled_models.presets import CompiledPreset
        >>> testbed = CompiledPreset("hist").model(max_length=3)
        >>> folder = tempfile.mkdtemp()
        >>> save_compiled(testbed, folder)
        >>> load_compiled(folder).hash == testbed.hash
        True
    """
    path = Path(folder) / FILE
    body = _read(path)
    weights = load_weights(folder)
    recipe = Recipe(**body["recipe"])
    compiled = _certified_again(path, body, _program(path, body, program), weights)
    analysis, n_inputs = compiled.analysis, recipe.parameters["n_inputs"]
    n_tokens = len(analysis.vocab)
    inputs = uniform_inputs(n_tokens, analysis.max_length, n=n_inputs, seed=recipe.seed)
    testbed = CompiledTestbed(compiled, inputs, recipe)
    if testbed.hash != body["hash"]:
        raise HashMismatch(
            f"{files.shown(path)}: hash: expected {body['hash'][:12]}, got {testbed.hash[:12]}. "
            "The weights or the inputs are not those that were saved."
        )
    return testbed


def _read(path: Path) -> dict[str, Any]:
    body = files.read_sealed(path)
    schema = body.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchemaError(
            f"{files.shown(path)}: schema: expected at most {SCHEMA}, got {schema}. A newer "
            "version wrote it: upgrade groundtruth."
        )
    if set(body) != _FIELDS:
        wrong = ", ".join(sorted(set(body) ^ _FIELDS))
        raise StoreError(f"{files.shown(path)}: missing or unknown fields: {wrong}.")
    return body


def _program(path: Path, body: dict[str, Any], given: Program | None) -> Program:
    parameters = body["recipe"]["parameters"]
    if given is None:
        if "arguments" not in parameters:
            raise InputError(
                f"{files.shown(path)}: the program is not one of the library. Pass it: "
                "load_compiled(folder, program)."
            )
        name = body["recipe"]["name"].removeprefix("compiled/")
        given = library.program(name, *parameters["arguments"])
        given = variant(given, parameters)
    if str(given) != body["program"]:
        raise InputError(
            f"{files.shown(path)}: expected the program\n{body['program']}\ngot\n{given}"
        )
    return given


def _certified_again(
    path: Path, body: dict[str, Any], program: Program, weights: Weights
) -> Compiled:
    parameters, kept = body["recipe"]["parameters"], body["certificate"]
    made = compile_program(
        program,
        vocab=tuple(parameters["vocab"]),
        max_length=parameters["max_length"],
        closed=parameters["closed"],
        n_sequences=1,
    )
    if parameters["twin"] is not None:
        made = made.twin(**{**parameters["twin"], "n_sequences": 1})
    if [str(variable) for variable in made.layout.variables] != body["layout"]:
        raise HashMismatch(
            f"{files.shown(path)}: layout: this version of the library lays the program out in "
            "another way. Use the version that wrote it, or load_weights for the weights alone."
        )
    certificate = certified(
        made.analysis,
        made.layout,
        weights,
        n=kept["n_sequences"],
        seed=kept["seed"],
        readout=_readout(made),
    )
    return replace(made, weights=weights, certificate=certificate)


def _readout(made: Compiled) -> Readout | None:
    if made.request is None:
        return None
    held = {m.name: Held(m.bound, m.margin) for m in made.certificate.margins}
    return Readout(made.coding, held)


def _certificate(compiled: Compiled) -> dict[str, Any]:
    kept = asdict(compiled.certificate)
    # A program with a single value has no margin: JSON has no infinity.
    margins = [
        {key: None if value == float("inf") else value for key, value in margin.items()}
        for margin in kept["margins"]
    ]
    return {**kept, "margins": margins}


def _texts(vocab: Sequence[Value]) -> list[str]:
    """Names of all token ids; strings are their own unless that makes two alike."""
    texts = [token if isinstance(token, str) else repr(token) for token in vocab]
    if len({*texts, "<bos>", "<pad>"}) < len(texts) + 2:
        texts = [repr(token) for token in vocab]
    return [*texts, "<bos>", "<pad>"]


def _labels(compiled: Compiled) -> list[str]:
    output = compiled.layout[compiled.program.names[compiled.program.output]]
    return [label if isinstance(label, str) else str(label) for label in output.labels]


def _about(testbed: CompiledTestbed) -> str:
    compiled = testbed.compiled
    longest = compiled.analysis.max_length
    return f"""It computes this program, on sequences of up to {longest} tokens:

```
{compiled.program}
```

What lies and is computed where is in `compiled.json`, and can be scored against:

```python
from groundtruth.compiled_models.compiled_files import load_compiled

testbed = load_compiled("this folder")  # certified again
```

{_reading(compiled)}"""


def _reading(compiled: Compiled) -> str:
    """Where outputs lie: one for each value, or the number itself."""
    output = compiled.layout[compiled.program.names[compiled.program.output]]
    if not output.numerical:
        return "The output that is 1 says which value it is; the others are 0."
    none = "" if output.none is None else "; a second one is 1 where it is None"
    return f"The output is the number itself{none}."
