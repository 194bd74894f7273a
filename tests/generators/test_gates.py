"""Each gate has the table of effects that its page gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from groundtruth.errors import UnknownName
from groundtruth.generators.gates import GATES, gate
from groundtruth.models import graph
from groundtruth.models import numpy_reference as reference
from groundtruth.models.clean_run import writer_outputs
from groundtruth.models.edge_patching import run_with_edges
from groundtruth.models.interventions import only, patch
from groundtruth.models.transformer import Transformer

INPUTS = np.array([[0, 2 + a, 2 + b] for a, b in product((0, 1), repeat=2)])
ON, OFF = INPUTS[[3]], INPUTS[[0]]
SITE = "blocks.0.attn.hook_result"


@pytest.mark.parametrize("name", GATES)
def test_the_closed_form_is_what_the_transformer_computes(name):
    made = gate(name)
    assert np.array_equal(reference.forward(made.weights, INPUTS), made.outputs(INPUTS))
    single = Transformer(made.weights)(INPUTS).detach().numpy()
    assert np.array_equal(single, made.outputs(INPUTS))


def effects(name: str) -> tuple[list[float], float]:
    """Of patching each head, and all, from (1, 1) to (0, 0)."""
    model = Transformer(gate(name).weights, torch.float64)
    _, off = model.run_with_cache(OFF, SITE)
    n = model.components[0][0]

    def effect(heads):
        patched = model.run_with_hooks(ON, [(SITE, only(patch(off[SITE]), heads=heads))])
        return float((model(ON) - patched)[0, -1, 0].detach())

    return [effect([h]) for h in range(n)], effect(list(range(n)))


@pytest.mark.parametrize(
    ("name", "alone", "together"),
    [
        ("and", [1, 1], 1),
        ("or", [0, 0], 1),
        ("backup", [0, 0], 1),
        ("saturated", [1], 1),
        ("cancelling", [1, -1], 0),
        ("decoy", [1, 0], 1),
    ],
)
def test_effects_are_those_of_the_table(name, alone, together):
    assert effects(name) == (alone, together)


def attribution(name: str, clean: np.ndarray, corrupt: np.ndarray, steps: int = 0) -> list[float]:
    """Gradient times change by head (EAP), at the clean run or averaged on the way (EAP-IG)."""
    made = gate(name)
    model = Transformer(made.weights, torch.float64)
    source = writer_outputs(model, corrupt)
    n = model.components[0][0]
    edges = [e for e in graph.edges(model) if e.writer in {f"a0.h{h}" for h in range(n)}]
    at = (np.arange(steps) + 0.5) / steps if steps else np.zeros(1)
    shares = torch.tensor(np.repeat(at[:, None], len(edges), 1), requires_grad=True)
    run_with_edges(model, clean, source, edges, shares)[:, 0, -1, 0].sum().backward()
    assert shares.grad is not None
    slopes = -shares.grad.mean(0)
    return [
        sum(float(s) for e, s in zip(edges, slopes) if e.writer == f"a0.h{h}") for h in range(n)
    ]


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("and", [1, 1]),
        ("or", [0, 0]),
        ("backup", [1, 0]),
        ("saturated", [0]),
        ("cancelling", [1, -1]),
        ("decoy", [1, 0]),
    ],
)
def test_gradients_say_what_the_table_says(name, scores):
    assert attribution(name, ON, OFF) == scores


def test_the_saturated_gate_from_the_other_side_and_integrated():
    # The sign turns with the direction: the other run is the clean one.
    assert attribution("saturated", OFF, ON) == [-2]
    assert attribution("saturated", ON, OFF, steps=100) == pytest.approx([1])
    assert sum(attribution("or", ON, OFF, steps=100)) == pytest.approx(1)


def test_the_decoy_can_be_read_but_is_not():
    model = Transformer(gate("decoy").weights, torch.float64)
    _, cache = model.run_with_cache(INPUTS, SITE)
    written = cache[SITE][:, -1].norm(dim=-1)
    assert written[:, 1].tolist() == [0, 0, 1, 1]
    assert "a0.h1" not in gate("decoy").roles


def test_unknown_gates_are_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="Nearest: and"):
        gate("nand")
