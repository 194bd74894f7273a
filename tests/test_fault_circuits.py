"""Faults in circuits and in circuit methods, through `evaluate` and through the runner."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth.errors import ExplanationError, InputError, MethodError, UnknownName
from groundtruth.methods.circuits import eap
from groundtruth.models.graph import Edge
from groundtruth.models.interventions import patch
from groundtruth.runner import run_suite
from groundtruth.store import Store
from groundtruth.suites import MethodSpec, Suite, WorldSpec
from groundtruth.trials import CircuitScoring

OR = "circuit/gate-or"


def strengths(subject: Any, unit: Any = "edge") -> dict[Any, float]:
    return dict.fromkeys(subject.universe(unit).candidates, 0.5)


def unknown_edge(subject, *, seed):
    return gt.Circuit(subject.universe("edge"), strengths(subject) | {Edge("a0.h0", "m7"): 1.0})


def self_loop(subject, *, seed):
    return gt.Circuit(subject.universe("edge"), members=[Edge("m0", "m0")])


def backward_edge(subject, *, seed):
    return gt.Circuit(subject.universe("edge"), members=[Edge("m0", "a0.h0.v")])


def twice(subject, *, seed):
    return gt.Circuit(subject.universe("edge"), members=[Edge("m0", "logits")] * 2)


def missing_edges(subject, *, seed):
    return gt.Circuit(subject.universe("edge"), {Edge("m0", "logits"): 1.0})


def nan_strength(subject, *, seed):
    return gt.Circuit(
        subject.universe("edge"), strengths(subject) | {Edge("m0", "logits"): float("nan")}
    )


def other_model(subject, *, seed):
    other = gt.build("circuit/gate-and").subject
    return gt.Circuit(other.universe("edge"), strengths(other))


def other_unit(subject, *, seed):
    return gt.Circuit(subject.universe("node"), strengths(subject, "node"))


def other_condition(subject, *, seed):
    return eap(gt.build(OR, ablation="zero").subject)


def plain_dict(subject, *, seed):
    return strengths(subject)


def dictionary(subject, *, seed):
    return gt.Dictionary(np.eye(3))


def patched_from_another_length(subject, *, seed):
    _, cache = subject.model.run_with_cache(subject.tokens[:, :2], "hook_embed")
    subject.model.run_with_hooks(subject.tokens, [("hook_embed", patch(cache["hook_embed"]))])


def raises(subject, *, seed):
    raise ZeroDivisionError("no gradient")


REFUSED: dict[Any, tuple[type[Exception], str]] = {
    unknown_edge: (UnknownName, "No edge of this model is called 'a0.h0 > m7'. Nearest:"),
    self_loop: (UnknownName, "No edge of this model is called 'm0 > m0'."),
    backward_edge: (UnknownName, "No edge of this model is called 'm0 > a0.h0.v'."),
    twice: (ExplanationError, "members: expected each once, got m0 > logits twice."),
    missing_edges: (
        ExplanationError,
        "strengths: expected one for each of 21 edges, got none for 20, the first embed > a0.h0.q. "
        "Give -inf to what was ruled out, or pass members= for a set.",
    ),
    nan_strength: (
        ExplanationError,
        "strengths: expected numbers, or -inf for what was ruled out, got nan for m0 > logits "
        "(1 of 21).",
    ),
    other_model: (ExplanationError, "It was found in another model."),
    other_unit: (ExplanationError, "Compare with the truth of its unit and granularity."),
    other_condition: (InputError, "Circuits are comparable under one condition only"),
    plain_dict: (
        ExplanationError,
        "A method must return a Circuit here, got dict. Return "
        'gt.Circuit(subject.universe("edge"), strengths) with a number for each edge.',
    ),
    dictionary: (ExplanationError, "A method must return a Circuit here, got Dictionary."),
    patched_from_another_length: (
        InputError,
        "hook_embed: source: expected shape (1, 3, 7), got (1, 2, 7). Patch between batches of "
        "equal size and length.",
    ),
    raises: (MethodError, "the method raised ZeroDivisionError: no gradient"),
}


@pytest.mark.parametrize("method", REFUSED, ids=lambda method: method.__name__)
def test_a_fault_is_one_clear_error(method: Any) -> None:
    kind, message = REFUSED[method]
    with pytest.raises(kind) as raised:
        gt.evaluate(OR, method)
    assert message in str(raised.value)


def test_a_circuit_is_refused_like_what_a_method_returns() -> None:
    claim = eap(gt.build("circuit/gate-and").subject)
    with pytest.raises(ExplanationError, match="It was found in another model"):
        gt.evaluate(OR, claim)
    with pytest.raises(ExplanationError, match="got Dictionary"):
        gt.evaluate(OR, gt.Dictionary(np.eye(3)))


def test_a_denominator_of_0_leaves_faithfulness_undefined() -> None:
    report = gt.evaluate("circuit/gate-cancelling", "circuit/edge-patching")
    for metric in ("circuit.faith", "circuit.completeness_comp", "circuit.cpr"):
        assert report[metric].value is None
        assert report[metric].reason == "m(M) - m(0) is 0 on 1 inputs"
    assert report["circuit.edge_auroc"].reason == "none is right"


def test_an_empty_claim_has_recall_0_and_no_precision() -> None:
    empty = gt.Circuit(gt.build(OR).universe, members=[])
    report = gt.evaluate(OR, empty)
    assert report["circuit.edge_recall"].value == 0
    assert report["circuit.edge_precision"].reason == "nothing is claimed"


def leaves_hooks(subject, *, seed):
    subject.model.hook_points["blocks.0.attn.hook_z"].register_forward_hook(lambda *_: None)
    return eap(subject)


def changes_weights(subject, *, seed):
    found = eap(subject)
    with torch.no_grad():
        subject.model.W_U.mul_(2)
    return found


def trains_first(subject, *, seed):
    with torch.no_grad():
        subject.model.W_U.mul_(2)
    return eap(subject)


def values(report: gt.ClaimReport) -> dict[str, float | None]:
    return {metric: result.value for metric, result in report.results.items()}


def test_hooks_that_a_method_leaves_are_taken_off_and_said() -> None:
    kept: list[Any] = []

    def method(subject, *, seed):
        kept.append(subject)
        return leaves_hooks(subject, seed=seed)

    report = gt.evaluate(OR, method)
    assert report.flags == ("hooks left at blocks.0.attn.hook_z (put right)",)
    assert "warning: hooks left at blocks.0.attn.hook_z (put right)" in str(report)
    assert not any(point.hooked for point in kept[0].model.hook_points.values())
    assert values(report) == values(gt.evaluate(OR, eap))


def test_weights_that_a_method_changes_are_put_back_and_said() -> None:
    testbed, kept = gt.build(OR), []

    def method(subject, *, seed):
        kept.append(subject)
        return changes_weights(subject, seed=seed)

    report = gt.evaluate(testbed, method)
    assert report.flags == ("weights changed (put right)",)
    assert torch.equal(kept[0].model.W_U, testbed.scored.model.W_U)
    assert values(report) == values(gt.evaluate(testbed, eap))


def test_a_circuit_of_changed_weights_is_one_of_another_model() -> None:
    with pytest.raises(ExplanationError, match="It was found in another model"):
        gt.evaluate(OR, trains_first)


def test_the_runner_records_each_fault_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = textwrap.dedent(Path(__file__).read_text())
    (tmp_path / "faulty_circuit_methods.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["nan_strength", "other_model", "raises", "leaves_hooks", "changes_weights"]
    methods = tuple(MethodSpec(f"faulty_circuit_methods:{name}") for name in names)
    worlds = (WorldSpec(OR, methods, (0,)),)
    suite = Suite("faults", 1, "", worlds, ("O0-truth",), "circuit.edge_auprc", CircuitScoring())
    ran = run_suite(suite, tmp_path / "out")
    records = {
        run.record["method"]["name"]: run.record for run in Store(tmp_path / "out").records()
    }
    state = {name: records[f"faulty_circuit_methods:{name}"] for name in names}
    assert [state[name]["status"] for name in names] == ["failed"] * 3 + ["ok"] * 2
    assert len(ran.failures) == 3
    assert state["raises"]["error"]["type"] == "ZeroDivisionError"
    assert "no gradient" in state["raises"]["error"]["traceback"]
    auprc = state["raises"]["results"]["circuit.edge_auprc"]
    assert auprc["status"] == "failed" and auprc["value"] == auprc["floor"] > 0
    assert state["leaves_hooks"]["flags"] == ["hooks left at blocks.0.attn.hook_z (put right)"]
    assert state["changes_weights"]["flags"] == ["weights changed (put right)"]
