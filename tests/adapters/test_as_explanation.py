"""What counts as an explanation, what as a method, and what the refusals say."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from groundtruth.adapters import as_explanation, as_method, is_method
from groundtruth.errors import ExplanationError, InputError
from groundtruth.explanation import Dictionary
from groundtruth.generators.presets import BUILDERS
from groundtruth.methods.topk import topk

CLAIM = Dictionary(np.eye(3))


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W_dec = torch.nn.Parameter(torch.eye(3))

    def encode(self, x):
        return torch.relu(x @ self.W_dec.T)


def relu(x):
    return np.maximum(x, 0)


class Coder:
    """Neither a torch module nor an estimator; calling it is no method's call."""

    components_ = np.eye(4)

    def encode(self, x):
        return relu(x)

    def __call__(self, x):
        return self.encode(x) @ self.components_


class CoderMethod(Coder):
    """A method that happens to hold a decoder."""

    def __call__(self, subject, *, seed):
        return CLAIM


def test_what_takes_subject_and_seed_is_a_method_whatever_it_holds():
    assert not is_method(Coder())
    assert is_method(CoderMethod()) and as_method(CoderMethod())(None, seed=0) is CLAIM
    assert is_method(Coder)  # a class is no instance: as_method says what it takes


def test_a_dictionary_passes_through():
    assert as_explanation(CLAIM) is CLAIM


def test_modules_and_fitted_estimators_are_read():
    assert as_explanation(Tied()).name == "Tied"
    assert as_explanation(PCA(2).fit(np.eye(4))).k == 2
    assert as_explanation((relu, np.eye(3))).k == 3
    assert as_explanation(Coder()).k == 4


@pytest.mark.parametrize(
    ("value", "ending"),
    [
        (
            {"decoder": 1, "encode": 2},
            "a dict with keys 'decoder', 'encode'. Return gt.Dictionary(decoder=directions, "
            "encode=function) with its entries.",
        ),
        (
            (1, 2),
            "tuple. Return gt.Dictionary(decoder=directions, encode=function).",
        ),
        (
            None,
            "None. Return gt.Dictionary(decoder=directions, encode=function); is a return "
            "statement missing?",
        ),
        (
            "nowhere",
            "the string 'nowhere', which names no folder. Return gt.Dictionary("
            "decoder=directions, encode=function).",
        ),
        (
            np.eye(2),
            "a numpy array. Return gt.Dictionary(decoder=array) with one row per direction.",
        ),
        (
            torch.eye(2),
            "a torch array. Return gt.Dictionary(decoder=array) with one row per direction.",
        ),
    ],
    ids=["dict", "tuple", "None", "string", "numpy", "torch"],
)
def test_anything_else_is_refused_with_the_fix(value, ending):
    with pytest.raises(ExplanationError) as caught:
        as_explanation(value)
    assert str(caught.value) == f"A method must return a Dictionary, got {ending}"


def test_an_unfitted_estimator_is_no_explanation():
    with pytest.raises(ExplanationError, match=r"^KMeans: expected a fitted estimator"):
        as_explanation(KMeans(2))


def test_callables_that_take_subject_and_seed_are_methods():
    bound = partial(topk, l0=2)
    assert as_method(topk) is topk
    assert as_method(bound) is bound


def test_an_unfitted_estimator_is_a_method():
    claim = as_method(PCA(5))(BUILDERS["sparse/small"](seed=0).subject, seed=0)
    assert (claim.k, claim.d) == (5, 32)


@pytest.mark.parametrize(
    "value",
    [CLAIM, Tied(), PCA(2).fit(np.eye(4)), (relu, np.eye(3)), Coder()],
    ids=["dictionary", "module", "estimator", "pair", "object"],
)
def test_explanations_are_not_methods(value):
    with pytest.raises(InputError) as caught:
        as_method(value)
    assert str(caught.value) == (
        "method: expected a callable (subject, *, seed), got an explanation "
        f"({type(value).__name__}). To score it as it is, pass lambda subject, *, seed: "
        "explanation."
    )


def test_a_callable_of_another_signature_is_refused():
    def train(data, lr):
        """Not a method."""

    with pytest.raises(InputError, match=r"expected train to take .*, but it takes \(data, lr\)"):
        as_method(train)
    with pytest.raises(InputError, match="expected PCA to take"):
        as_method(PCA)
    with pytest.raises(InputError, match=r"expected a callable .*, got int"):
        as_method(3)


def test_importing_and_refusing_load_neither_torch_nor_sklearn():
    code = (
        "import sys, groundtruth.adapters as a\n"
        "try: a.as_explanation({})\n"
        "except ValueError: pass\n"
        "a.as_method(lambda subject, *, seed: None)\n"
        "print(sorted({'torch', 'sklearn', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
