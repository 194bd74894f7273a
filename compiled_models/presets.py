"""Compiled library programs as named testbeds. Nothing is compiled before one is built."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from groundtruth.compiled_models import library
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.compiler import compile_program
from groundtruth.compiled_models.inputs import N_INPUTS
from groundtruth.compiled_models.program import Program
from groundtruth.compiled_models.programs.entries import Entry
from groundtruth.compiled_models.request import Request
from groundtruth.compiled_models.testbed import SOURCE, CompiledTestbed, model_testbed
from groundtruth.errors import UnknownName, reject
from groundtruth.testbed import Testbed

MAX_LENGTH = 10


@dataclass(frozen=True)
class CompiledPreset:
    """A program of the library as a testbed.

    Fields:
        program: its name in the library.
    """

    program: str
    source: str = SOURCE
    version: int = 1

    @property
    def name(self) -> str:
        return f"compiled/{self.program}"

    @property
    def summary(self) -> str:
        """One line."""
        return library.entry(self.program).summary

    @property
    def parameters(self) -> dict[str, Any]:
        """What can be changed: arguments of the program, and how it is compiled and read."""
        entry = library.entry(self.program)
        return {
            **program_parameters(entry),
            "max_length": MAX_LENGTH,
            "closed": True,
            "n_inputs": N_INPUTS,
            "site": None,
        }

    def model(self, /, *, seed: int = 0, **changes: Any) -> CompiledTestbed:
        """The model with all its truths.

        Args:
            seed: of the inputs, where not all are listed, and of all streams.
            changes: "arguments" of the program, "beside", names of other programs of the library
                that the model computes as well, "redundant", names of s-ops that are computed three
                times, "vocab", "max_length", "closed" (see
                `compile_program`), "n_inputs", "twin": arguments of `Compiled.twin`, as
                {"superpose": 0.5}.

        Raises:
            UnknownName: no such parameter.
            ProgramError: it cannot be compiled so.
        """
        chosen = self._changed(changes)
        site = chosen.pop("site")
        compiled = compiled_as(self.program, chosen)
        made = model_testbed(compiled, seed=seed, n_inputs=chosen["n_inputs"])
        return replace(made, recipe=replace(made.recipe, parameters={**chosen, "site": site}))

    def build(self, /, *, seed: int = 0, **changes: Any) -> Testbed:
        """The activations of one site as a dictionary world; see `model` for the whole.

        Args:
            changes: as of `model`, and "site": one of `CompiledTestbed.sites`; the last of the
                residual stream if None.
        """
        made, site = self.model(seed=seed, **changes), self._changed(changes)["site"]
        return made.at(made.last_site if site is None else site)

    def _changed(self, changes: dict[str, Any]) -> dict[str, Any]:
        known = self.parameters
        for key in changes:
            if key not in known:
                raise UnknownName(f"parameter of {self.name}", key, known)
        return {**known, **changes}


def program_parameters(entry: Entry) -> dict[str, Any]:
    """What every preset of a program can be changed in, with the values of its example."""
    return {
        "arguments": list(entry.arguments),
        "beside": [],
        "redundant": [],
        "vocab": list(entry.vocab),
        "twin": None,
    }


def storable_programs() -> list[str]:
    """Programs whose arguments can be stored in a recipe: functions and expressions cannot."""
    storable = (str, int, tuple)
    entries = map(library.entry, library.names())
    return [e.name for e in entries if all(isinstance(value, storable) for value in e.arguments)]


def compiled_as(program: str, chosen: Mapping[str, Any]) -> Compiled:
    """A program of the library by the parameters of a preset."""
    compiled = compile_program(
        variant(library.program(program, *as_tuples(chosen["arguments"])), chosen),
        vocab=as_tuples(chosen["vocab"]),
        max_length=chosen["max_length"],
        closed=chosen["closed"],
    )
    return compiled if chosen["twin"] is None else _twin(compiled, chosen["twin"])


@cache
def compiled_once(program: str, settings: str) -> Compiled:
    """The same, of the parameters as JSON; kept."""
    return compiled_as(program, json.loads(settings))


def as_tuples(value: Any) -> Any:
    """Lists, which is what tuples are in a stored recipe, as tuples."""
    return tuple(map(as_tuples, value)) if isinstance(value, (list, tuple)) else value


def variant(program: Program, chosen: Mapping[str, Any]) -> Program:
    """`program` with others beside it, and what is to be redundant."""
    for which in ("beside", "redundant"):
        if isinstance(chosen[which], str) or not isinstance(chosen[which], Sequence):
            raise reject(which, chosen[which], "a list of names", f'Pass {which}=["reverse"], say.')
    program = program.beside(*map(library.example_program, chosen["beside"]))
    for name in chosen["redundant"]:
        program = program.redundant(name)
    return program


def _twin(compiled: Compiled, arguments: Any) -> Compiled:
    known = {field.name for field in fields(Request)}
    if not isinstance(arguments, dict):
        raise reject("twin", arguments, 'arguments of Compiled.twin, as {"superpose": 0.5}')
    for name in arguments:
        if name not in known:
            raise UnknownName("argument of twin", name, known)
    return compiled.twin(**arguments)


PRESETS: tuple[CompiledPreset, ...] = tuple(map(CompiledPreset, library.names()))
