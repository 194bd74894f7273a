"""The catalogue: the only module that turns a name into an object.

Names are testbeds ("sparse/small", "compiled/reverse"), methods ("sae/topk", "C0-random",
"my_module:my_method"), metrics ("recover.joint") and suites ("demo").
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from groundtruth import circuit_rows, ladder, methods, prediction_rows, variable_rows
from groundtruth.adapters import as_method
from groundtruth.compiled_models import circuit_presets as program_presets
from groundtruth.compiled_models import prediction_presets
from groundtruth.compiled_models import presets as compiled_presets
from groundtruth.compiled_models import variable_presets as program_variables
from groundtruth.compiled_models.presets import CompiledPreset
from groundtruth.errors import InputError, MethodError, UnknownName, check_no_word, reject
from groundtruth.generators import (
    cause_presets,
    circuit_presets,
    presets,
    toy_presets,
    variable_presets,
)
from groundtruth.ladder.rows import ROWS
from groundtruth.methods import causes, circuits, prediction, variables
from groundtruth.methods.fit import DEFAULTS, Options
from groundtruth.model_preset import ModelPreset

Kind = Literal["method", "oracle", "control"]


HOOKS = frozenset({"progress", "watch", "watch_at", "checkpoint"})
"""What the runner passes of one run, if a method takes it."""

_FIXED = {"subject", "seed", *HOOKS}
"""What the runner passes itself."""


@dataclass(frozen=True)
class MethodEntry:
    """A method by name.

    Fields:
        name: as typed.
        kind: "method", "oracle" or "control".
        summary: one line.
        make: method(subject, *, seed, **parameters) -> explanation; None for reference rows, which
            are made from the testbed and not by a method.
        explains: "dictionary", "circuit", "ranking", "vector", "trigger", "probe", "alignment" or
            "predictor": what it returns; "" where only running it tells.
    """

    name: str
    kind: Kind
    summary: str
    make: Callable[..., Any] | None
    explains: str = "dictionary"

    def parameters(self) -> dict[str, Any]:
        """Settable parameters with their defaults."""
        if self.make is None:
            return {}
        _, *rest = inspect.signature(self.make).parameters.values()
        own = {
            p.name: p.default
            for p in rest
            if p.name not in _FIXED and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        }
        return {**own, **DEFAULTS} if _takes_options(self.make) else own

    def takes(self, name: str) -> bool:
        """Whether the method can be given `name`, a hook such as "checkpoint" included."""
        if self.make is None:
            return False
        if _takes_options(self.make) and name in Options.__annotations__:
            return True
        return name in inspect.signature(self.make).parameters


def _takes_options(make: Callable[..., Any]) -> bool:
    """Whether `make` ends with `**options: Unpack[Options]`, as our autoencoders do."""
    return any(
        p.kind is p.VAR_KEYWORD and p.annotation == "Unpack[Options]"
        for p in inspect.signature(make).parameters.values()
    )


def _entry(name: str, make: Callable[..., Any], kind: Kind = "method") -> MethodEntry:
    summary = (inspect.getdoc(make) or "").split("\n")[0]
    return MethodEntry(name, kind, summary, make)


def _circuit(name: str, make: Callable[..., Any], kind: Kind = "method") -> MethodEntry:
    return replace(_entry(f"circuit/{name}", make, kind), explains="circuit")


def _cause(
    name: str, make: Callable[..., Any], explains: str, kind: Kind = "method"
) -> MethodEntry:
    return replace(_entry(f"causes/{name}", make, kind), explains=explains)


def _prediction(name: str, make: Callable[..., Any], kind: Kind = "method") -> MethodEntry:
    return replace(_entry(f"prediction/{name}", make, kind), explains="predictor")


def _variable(name: str, make: Callable[..., Any], kind: Kind = "method") -> MethodEntry:
    return replace(_entry(f"variables/{name}", make, kind), explains="alignment")


_PLANTED = {
    "ranking": "the planted latents, ranked by what they do",
    "vector": "the planted direction",
    "trigger": "the planted trigger and its direction; none where there is none",
    "probe": "the readout of the concept, cut where it holds",
}


METHODS: dict[str, MethodEntry] = {
    entry.name: entry
    for entry in (
        _entry("sae/relu", methods.relu),
        _entry("sae/topk", methods.topk),
        _entry("sae/batchtopk", methods.batchtopk),
        _entry("sae/jumprelu", methods.jumprelu),
        _entry("sae/gated", methods.gated),
        _entry("sae/matryoshka", methods.matryoshka),
        _entry("sae/matching-pursuit", methods.matching_pursuit),
        _entry("sae/p-annealing", methods.p_annealing),
        _entry("sae/crosscoder", methods.crosscoder),
        _entry("sae/transcoder", methods.transcoder),
        _entry("sae/meta", methods.meta),
        _entry("frozen/decoder", methods.frozen_decoder, "control"),
        _entry("frozen/soft-decoder", methods.soft_frozen_decoder, "control"),
        _entry("frozen/encoder", methods.frozen_encoder, "control"),
        _entry("linear/pca", methods.pca),
        _entry("linear/ica", methods.ica),
        _entry("linear/nmf", methods.nmf),
        _entry("linear/kmeans", methods.kmeans),
        _entry("linear/dictionary-learning", methods.dictionary_learning),
        _entry("linear/ksvd", methods.ksvd),
        _entry("linear/mod", methods.mod),
        *(MethodEntry(row.id, row.kind, row.summary, None) for row in ROWS),
        _circuit("acdc", circuits.acdc),
        _circuit("acdc-sweep", circuits.acdc_sweep),
        _circuit("attribution-graph", circuits.attribution_circuit),
        _circuit("eap", circuits.eap),
        _circuit("eap-ig-inputs", circuits.eap_ig_inputs),
        _circuit("eap-ig-activations", circuits.eap_ig_activations),
        _circuit("information-flow", circuits.information_flow),
        _circuit("edge-pruning", circuits.edge_pruning),
        _circuit("edge-patching", circuits.edge_patching),
        _circuit("group-ablation", circuits.group_ablation),
        _circuit("activation-patching", circuits.activation_patching),
        _circuit("attribution-patching", circuits.attribution_patching),
        _circuit("causal-tracing", causes.causal_tracing),
        _circuit("random", circuits.random_circuit, "control"),
        *(MethodEntry(row.id, row.kind, row.summary, None, "circuit") for row in circuit_rows.ROWS),
        _cause("targeted-ablation", causes.targeted_ablation, "ranking"),
        _cause("correlation", causes.correlation, "ranking"),
        _cause("random-ranking", causes.random_ranking, "ranking", "control"),
        _cause("mean-difference", causes.mean_difference, "vector"),
        _cause("probe-vector", causes.probe_vector, "vector"),
        _cause("random-vector", causes.random_vector, "vector", "control"),
        _cause("trigger-search", causes.trigger_search, "trigger"),
        _cause("spectral-signature", causes.spectral_signature, "trigger"),
        _cause("probe-raw", causes.probe_raw, "probe"),
        _cause("probe-latents", causes.probe_latents, "probe"),
        _cause("random-probe", causes.random_probe, "probe", "control"),
        _prediction("nearest-neighbour", prediction.nearest_neighbour),
        _prediction("random-forest", prediction.random_forest),
        _prediction("majority", prediction.majority, "control"),
        _prediction("acdc", prediction.of_circuits.acdc),
        _prediction("eap", prediction.of_circuits.eap),
        _prediction("eap-ig-inputs", prediction.of_circuits.eap_ig_inputs),
        _prediction("edge-patching", prediction.of_circuits.edge_patching),
        _prediction("information-flow", prediction.of_circuits.information_flow),
        _prediction("random-circuit", prediction.of_circuits.random_circuit, "control"),
        *(MethodEntry(r.id, r.kind, r.summary, None, "predictor") for r in prediction_rows.ROWS),
        _variable("das", variables.das),
        _variable("boundless-das", variables.boundless_das),
        _variable("linear-probe", variables.linear_probe),
        _variable("difference-of-means", variables.difference_of_means),
        _variable("logit-lens", variables.logit_lens),
        _variable("pca", variables.pca),
        _variable("random-subspace", variables.random_subspace, "control"),
        _variable("whole-layer", variables.whole_layer, "control"),
        *(
            MethodEntry(row.id, row.kind, row.summary, None, "alignment")
            for row in variable_rows.ROWS
        ),
        *(MethodEntry(f"O0-{kind}", "oracle", said, None, kind) for kind, said in _PLANTED.items()),
    )
}


TESTBEDS: dict[
    str,
    presets.Preset
    | toy_presets.ToyPreset
    | CompiledPreset
    | ModelPreset[Any]
    | cause_presets.CausePreset,
] = {
    preset.name: preset
    for preset in (
        *presets.PRESETS,
        *toy_presets.PRESETS,
        *compiled_presets.PRESETS,
        *circuit_presets.PRESETS,
        *program_presets.PRESETS,
        *cause_presets.PRESETS,
        *prediction_presets.PRESETS,
        *program_variables.PRESETS,
        *variable_presets.PRESETS,
    )
}


def testbeds() -> list[str]:
    """Names of all testbeds."""
    return sorted(TESTBEDS)


def testbed_summary(name: str) -> str:
    """One line about a testbed; empty if it has no catalogue entry."""
    return TESTBEDS[name].summary if name in TESTBEDS else ""


def build(name: str, /, *, seed: int = 0, **parameters: Any) -> Any:
    """The testbed `name` at `seed`, with any of its parameters changed.

    Returns:
        `Testbed`, whose truth is a dictionary; of a name that begins with "circuit/" a
        `CircuitTestbed`, with "causes/" a testbed of a site (`groundtruth.site_testbed`), with
        "prediction/" a `PredictionTestbed`, with "variables/" a `VariableTestbed`.

    Example:
        >>> testbed = build("sparse/small", seed=0)
        >>> testbed.truth.features.directions.shape
        (128, 32)

    Raises:
        UnknownName: no such testbed or parameter, with the nearest known ones.
        InputError: a parameter out of range.
    """
    if not isinstance(name, str):
        raise reject("testbed", name, "a name, such as 'sparse/small'")
    if name not in TESTBEDS:
        raise UnknownName("testbed", name, TESTBEDS)
    return TESTBEDS[name].build(seed=seed, **parameters)


def method(name: str) -> MethodEntry:
    """The entry of a known method, or of "package.module:function".

    A method of one's own is imported from the current folder or the Python path.
    """
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise UnknownName("method", name, [*METHODS, "my_package.my_module:my_method"])
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise InputError(
                f"method {name!r}: there is no module {missing!r} in this folder or on the Python "
                "path. Run from the folder that holds it, or install it."
            ) from None
        raise MethodError(f"method {name!r}: importing it failed: {error}") from error
    except Exception as error:
        raise MethodError(
            f"method {name!r}: importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not hasattr(module, attribute):
        public = [a for a in vars(module) if not a.startswith("_") and callable(vars(module)[a])]
        raise UnknownName(f"function in {module_name}", attribute, public)
    found = getattr(module, attribute)
    return MethodEntry(name, "method", _summary(found), as_method(found), "")


def check_explains(entry: MethodEntry, explains: str, testbed: str) -> None:
    """Raise for a method, or a row, of another kind than the testbed asks for."""
    # A dictionary is a ranking that leaves the order open.
    unranked = (entry.explains, explains) == ("dictionary", "ranking") and entry.make is not None
    if entry.explains not in ("", explains) and not unranked:
        fitting = sorted(e.name for e in METHODS.values() if e.explains == explains and e.make)
        raise InputError(
            f"{entry.name}: explains by {_a(entry.explains)}, but {testbed} is scored by "
            f"{_a(explains)}. Methods for it: {', '.join(fitting)}."
        )


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def check_parameters(entry: MethodEntry, given: Mapping[str, Any]) -> None:
    """Raise for a parameter that the method does not take, and for words in place of a number."""
    known = entry.parameters()
    accepts_any = (
        entry.make is not None
        and not _takes_options(entry.make)
        and any(p.kind is p.VAR_KEYWORD for p in inspect.signature(entry.make).parameters.values())
    )
    for key, value in given.items():
        if key in _FIXED or (key not in known and not accepts_any):
            raise UnknownName(f"parameter of {entry.name}", key, known)
        check_no_word(f"{key} of {entry.name}", value, known.get(key))


def _summary(found: object) -> str:
    return (inspect.getdoc(found) or "").split("\n")[0]


def ladder_rows() -> list[str]:
    """Ids of the oracle and control rows."""
    return ladder.row_ids()
