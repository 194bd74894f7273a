"""The planted dictionary of sparse/small and its best linear detectors, as weights that any
library's autoencoder can hold, and what such an autoencoder must then score.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth import arrays, seeds
from groundtruth.adapters import as_explanation
from groundtruth.errors import ExplanationError
from groundtruth.ladder.detectors import linear_ceiling
from groundtruth.score_data import ScoreData
from groundtruth.testbed import Testbed

SMALL = gt.Scoring(n_select=2048, n_score=4096, n_positives=50)
ORACLE = ["recover.joint", "recover.recall"]


@dataclass(frozen=True)
class Weights:
    """codes = relu((x - b_dec) W_enc^T + b_enc), x_hat = codes W_dec + b_dec, all float32."""

    W_enc: torch.Tensor
    b_enc: torch.Tensor
    W_dec: torch.Tensor
    b_dec: torch.Tensor

    @property
    def uncentred(self) -> torch.Tensor:
        """b_enc of an encoder that sees x and not x - b_dec."""
        return self.b_enc - self.W_enc @ self.b_dec


@cache
def bed() -> Testbed:
    return gt.build("sparse/small", seed=0)


@cache
def planted() -> Weights:
    """The planted dictionary, encoded by the detectors of ladder row O2*-linear."""
    data = ScoreData(bed(), SMALL)
    found = linear_ceiling(data, seeds.generator(bed().root, "ladder", "O2*-linear"))
    truth = bed().truth.features
    b_enc = found.weights @ (truth.bias - found.centre) - found.thresholds
    made = (found.weights, b_enc, truth.directions, truth.bias)
    return Weights(*(torch.tensor(array, dtype=torch.float32) for array in made))


def shuffled() -> Weights:
    """`planted`, each code with another feature's direction."""
    right = planted()
    return Weights(right.W_enc, right.b_enc, right.W_dec.roll(1, 0), right.b_dec)


def narrow() -> Weights:
    """Random weights for activations of width 24; sparse/small has 32."""
    generator = torch.Generator().manual_seed(0)
    W = torch.nn.functional.normalize(torch.randn(40, 24, generator=generator), dim=1)
    return Weights(W, torch.zeros(40), W, torch.zeros(24))


def check_oracle(model: Any) -> gt.Report:
    """`model` holds `planted`: it scores what the oracle scores."""
    report = gt.evaluate(bed(), model, scoring=SMALL, metrics=ORACLE)
    joint = report["recover.joint"]
    assert joint.value == joint.ceiling == 1
    assert report["recover.recall"].value == 1
    return report


def check_shuffled(model: Any) -> None:
    """`model` holds `shuffled`: every direction is there, and none fires when it should."""
    report = gt.evaluate(bed(), model, scoring=SMALL, metrics=ORACLE)
    assert report["recover.joint"].value < 0.05
    assert report["recover.recall"].value == 1


def check_forward(model: Any, codes: torch.Tensor, x_hat: torch.Tensor, x: torch.Tensor) -> None:
    """The adapter gives `codes` and `x_hat`, the library's own for `x`."""
    claim = as_explanation(model)
    found = claim.encode(x)
    assert torch.equal(found, codes)
    if claim.decode is None:
        decoded = found.double().numpy() @ claim.decoder + claim.bias
    else:
        decoded = arrays.to_numpy("decode", claim.decode(found))
    assert np.allclose(decoded, x_hat.detach().numpy(), atol=1e-4)


def check_width(model: Any) -> None:
    """`model` holds `narrow`: the error names both widths."""
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate(bed(), model, scoring=SMALL)
    assert str(caught.value) == (
        "decoder: expected shape (k, 32) for this testbed, got (40, 24). "
        "Was it made for another testbed?"
    )


def check_transposed(model: Any) -> None:
    """`model` holds its decoder the wrong way round, (32, 128) where rows are latents."""
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate(bed(), model, scoring=SMALL)
    assert str(caught.value) == (
        f"{type(model).__name__}: expected a decoder (k, d) with one row per latent, got (32, "
        "128); but encode takes activations of width 32 and gives 128 codes: the decoder is "
        "transposed. Pass gt.Dictionary(decoder=W.T, encode=encode), where W is the decoder as it "
        "is now."
    )


def check_nan(model: Any, parameter: str) -> None:
    """One weight of `parameter` is made NaN: the error names it."""
    with torch.no_grad():
        model.get_parameter(parameter)[1, 2] = torch.nan
    with pytest.raises(ExplanationError) as caught:
        gt.evaluate(bed(), model, scoring=SMALL)
    assert str(caught.value) == (
        f"{type(model).__name__}: expected finite weights, got 1 NaN in {parameter}, first at "
        "(1, 2). Did training diverge? Lower its learning rate."
    )


def part_of(package: str, part: str) -> Any:
    """The installed module `package`.`part`, without running the package's own __init__.

    That imports everything (vision models, image libraries, language models) and with it
    libraries that are not installed beside a CPU torch; the autoencoders use none of them.
    """
    if package not in sys.modules:
        spec = importlib.machinery.PathFinder.find_spec(package)
        assert spec is not None, f"{package} is not installed; run make test-integrations"
        bare = types.ModuleType(package)
        bare.__spec__, bare.__path__ = spec, list(spec.submodule_search_locations or [])
        sys.modules[package] = bare
    return importlib.import_module(f"{package}.{part}")
