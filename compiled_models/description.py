"""What a compiled testbed holds, in words."""

from __future__ import annotations

from collections.abc import Iterator

from groundtruth.compiled_models.cards import difficulty
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.parts import parts
from groundtruth.compiled_models.testbed import CompiledTestbed


def planted(testbed: CompiledTestbed) -> Iterator[tuple[str, str]]:
    """(key, text) pairs: program, difficulty, sizes, nodes, circuit, variables, sites, inputs,
    certificate."""
    compiled = testbed.compiled
    yield "program", str(compiled.program)
    yield "difficulty", str(difficulty(compiled.program, compiled.analysis.vocab))
    yield "sizes", str(compiled.sizes)
    yield "nodes", _nodes(compiled)
    yield "circuit", str(compiled.circuit)
    yield "variables", str(testbed.variables)
    yield "sites", "\n".join(testbed.sites)
    yield "inputs", str(testbed.inputs)
    yield "certificate", str(compiled.certificate)
    yield "hash_model", testbed.hash


def _nodes(compiled: Compiled) -> str:
    lines = [str(part) for part in parts(compiled)]
    output = compiled.program.names[compiled.program.output]
    return "\n".join([*lines, f"logits: {output}"])
