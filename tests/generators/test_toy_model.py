"""The toy model: its formula, its site, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import ExplanationError, InputError, UnknownName
from groundtruth.generators.polytopes import vertices
from groundtruth.generators.toy_model import ToyModel


def case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W (3, 5), b (5,) and x (7, 5)."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((3, 5)), rng.standard_normal(5), rng.random((7, 5))


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_the_output_is_the_formula_in_numpy(activation):
    W, b, x = case()
    expected = x @ W.T @ W + b
    if activation == "relu":
        expected = np.maximum(expected, 0)
    out, cache = ToyModel(W, b, activation=activation).run_with_cache(tensor(x))
    # Sums of 15 float32 products of size one to ten.
    assert out.detach().numpy() == pytest.approx(expected, abs=1e-4)
    assert list(cache) == ["hook_hidden"]
    assert cache["hook_hidden"].numpy() == pytest.approx(x @ W.T, abs=1e-5)
    assert (expected < 0).any() == (activation == "linear")


def test_running_with_a_cache_changes_nothing():
    W, b, x = case()
    model = ToyModel(W, b)
    out, cache = model.run_with_cache(tensor(x))
    assert torch.equal(out, model(tensor(x)))
    assert not cache["hook_hidden"].requires_grad


def test_a_hook_at_the_site_reads_and_edits_the_hidden_vector():
    W, b, x = case()
    model = ToyModel(W, b)
    seen: list[torch.Tensor] = []

    def erase(module: torch.nn.Module, inputs: tuple, h: torch.Tensor) -> torch.Tensor:
        seen.append(h.detach())
        return torch.zeros_like(h)

    handle = model.hook_hidden.register_forward_hook(erase)
    erased = model(tensor(x))
    handle.remove()
    assert seen[0].numpy() == pytest.approx(x @ W.T, abs=1e-5)
    assert erased[0].tolist() == pytest.approx(np.maximum(b, 0), abs=1e-6)
    assert not torch.equal(model(tensor(x)), erased)


def test_the_digon_gives_back_each_feature_that_is_alone():
    model = ToyModel(vertices("digon"))
    alone = torch.tensor([[0.7, 0.0], [0.0, 0.2], [0.0, 0.0]])
    assert torch.equal(model(alone), alone)
    # Both on: the difference stays with the larger one.
    assert model(torch.tensor([[0.5, 0.125]])).tolist() == [[0.375, 0.0]]


def test_sizes_are_those_of_the_weights():
    model = ToyModel(vertices("pentagon"))
    assert (model.d, model.n_features) == (2, 5)
    assert sorted(dict(model.named_parameters())) == ["W", "b"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((np.ones(3),), InputError, "W: expected shape (d, n_features), got (3,)."),
        ((np.ones((1, 2)), np.ones(3)), InputError, "b: expected shape (2,), got (3,)."),
        (
            (np.array([[np.inf]]),),
            ExplanationError,
            "W: expected finite numbers, got 1 NaN or infinite, first at (0, 0).",
        ),
    ],
)
def test_weights_of_other_shapes_are_refused(arguments, kind, message):
    with pytest.raises(kind) as error:
        ToyModel(*arguments)
    assert str(error.value) == message


def test_unknown_activations_are_answered_with_the_nearest():
    with pytest.raises(UnknownName) as error:
        ToyModel(np.ones((1, 2)), activation="rely")
    assert str(error.value) == "No activation is called 'rely'. Nearest: relu."
