"""Programs in a RASP-style language, what they can compute, and a library of them.

A program is an s-op with all that it is computed from (`expressions.py`, `program.py`). Three
interpreters run it and agree: a plain one (`program(sequence)`), a vectorised one
(`BatchInterpreter`) and a causal one (`CausalModel`). `analyse` says what each expression can be;
`compile_program` makes a transformer that computes it, with a certificate.

    s-op                 is None                               where an argument is None
    tokens, indices      never                                 -
    Constant             never                                 -
    Map                  where the function returns it         its default (None)
    SequenceMap          where the function returns it         None
    LinearSequenceMap    never by itself                       None
    Vote                 where no two of three agree           None is one more value
    Select               a pair is chosen or not               the pair is not chosen
    and, or, not         pair by pair, of the above            `not` chooses it
    SelectorWidth        never; 0 where nothing is chosen      -
    Aggregate            its default where nothing is chosen;  such a position is not chosen
                         "only": where the chosen differ

- Functions and predicates never see None. What is None has a value all the same: the compiler
  gives it a direction beside the others (categorical) or a flag beside the number (numerical).
- Begin-of-sequence and padding are no positions of the language: never chosen, never counted.
  Index 0 is the first token. Begin-of-sequence is where attention goes that chooses nothing.
- A causal program cuts every selector to keys <= queries where an Aggregate or SelectorWidth uses
  it, after `not`. `length` is derived from selector width, so it is then index + 1.
- Kinds are declared where there is a choice (Map, SequenceMap, Constant, SelectorWidth) and follow
  elsewhere. Select and SequenceMap take categorical s-ops, "mean", "sum" and LinearSequenceMap
  numerical ones, "only" categorical ones, "max" and "min" either; `categorical` and `numerical`
  convert.
- Numbers of numerical s-ops are exact fractions, negatives included. A domain lists them with their
  least distance, or, beyond 100,000, gives bounds and a grid that they lie on.
- "only" copies: it needs the chosen positions to agree. Where they may differ, a compiled one reads
  a share of 1, apart from the next share by 1 / length. Sums are means times widths; for extremes,
  keys prefer their place in the order of values.
- `compiled.circuit` is the circuit truth, found in the program and in the weights; `circuit_truth`
  gives it for other inputs and ablations.
- A compiled model is a testbed (`compiled.testbed`): its expressions are causal variables, each
  site is a dictionary world, its weights are a sum of components, and its circuit can be drawn.
- Tight domains (`analyse`) hold on sequences; closed ones (`closed=True`) hold under interchange
  too, and are what truth about interventions needs.
"""

import importlib
from typing import TYPE_CHECKING, Any

from groundtruth.compiled_models import library
from groundtruth.compiled_models.analysis import Analysis, analyse, problems
from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.batches import (
    Batch,
    encode,
    every_sequence,
    n_sequences,
    sampled_sequences,
)
from groundtruth.compiled_models.cards import Card, difficulty
from groundtruth.compiled_models.causal_model import CausalModel
from groundtruth.compiled_models.certificate import Certificate, Disagreement, Margin
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.compiler import compile_program
from groundtruth.compiled_models.domains import Domain
from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    Indices,
    LinearSequenceMap,
    Map,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
    Vote,
    categorical,
    everything,
    indices,
    length,
    numerical,
    tokens,
)
from groundtruth.compiled_models.layout import Layout, Variable
from groundtruth.compiled_models.placement import Place, Placement
from groundtruth.compiled_models.program import Node, Program
from groundtruth.compiled_models.random_programs import random_program, random_programs

if TYPE_CHECKING:
    from groundtruth.compiled_models.circuit_subjects import circuit_subject
    from groundtruth.compiled_models.circuits import CircuitDisagreement, circuit_truth
    from groundtruth.compiled_models.compiled_files import load_compiled, save_compiled
    from groundtruth.compiled_models.drawing import draw
    from groundtruth.compiled_models.interchanges import interchange, interchange_accuracy
    from groundtruth.compiled_models.testbed import CompiledTestbed

_LATER = {
    "CircuitDisagreement": "circuits",
    "circuit_subject": "circuit_subjects",
    "circuit_truth": "circuits",
    "CompiledTestbed": "testbed",
    "draw": "drawing",
    "interchange": "interchanges",
    "interchange_accuracy": "interchanges",
    "load_compiled": "compiled_files",
    "save_compiled": "compiled_files",
}
"""Names that load scipy or torch, by the module that has them: they load on first use."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


__all__ = [
    "Aggregate",
    "Analysis",
    "Batch",
    "BatchInterpreter",
    "Card",
    "CausalModel",
    "Certificate",
    "CircuitDisagreement",
    "Column",
    "Compiled",
    "CompiledTestbed",
    "Constant",
    "Disagreement",
    "Domain",
    "Expression",
    "Indices",
    "Layout",
    "LinearSequenceMap",
    "Map",
    "Margin",
    "Node",
    "Place",
    "Placement",
    "Program",
    "SOp",
    "Select",
    "Selector",
    "SelectorAnd",
    "SelectorNot",
    "SelectorOr",
    "SelectorWidth",
    "SequenceMap",
    "Tokens",
    "Variable",
    "Vote",
    "analyse",
    "categorical",
    "circuit_subject",
    "circuit_truth",
    "compile_program",
    "difficulty",
    "draw",
    "encode",
    "every_sequence",
    "everything",
    "indices",
    "interchange",
    "interchange_accuracy",
    "length",
    "library",
    "load_compiled",
    "n_sequences",
    "numerical",
    "problems",
    "random_program",
    "random_programs",
    "sampled_sequences",
    "save_compiled",
    "tokens",
]
