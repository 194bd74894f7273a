"""SAELens autoencoders of known weights, and its evaluator on samples that we drew."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import numpy as np
import torch

from groundtruth import evaluators
from groundtruth.adapters import as_explanation
from groundtruth.generators import sparse
from groundtruth.outputs import take_outputs
from groundtruth.references import References
from groundtruth.result import Result
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.testbed import Testbed

os.environ["HF_HUB_OFFLINE"] = "1"  # before the import below: nothing is fetched

with warnings.catch_warnings():
    # What its own dependencies deprecate, while it is imported, is not ours to mend.
    warnings.simplefilter("ignore")
    sae_lens = importlib.import_module("sae_lens")
    synthetic = importlib.import_module("sae_lens.synthetic")


def world(n_features: int = 64, d: int = 24) -> Testbed:
    return sparse(
        seed=3,
        n_features=n_features,
        d=d,
        firing={"law": "log-uniform", "low": 0.02, "high": 0.1},
        magnitude={"law": "rectified-normal", "mean": 1.0, "std": 0.4},
        bias=0.3,
    )


def decoder(testbed: Testbed, k: int, *, seed: int = 0) -> np.ndarray:
    """Half true rows, half random ones."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((k, testbed.truth.features.d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    true = testbed.truth.features.directions[: k // 2]
    rows[: len(true)] = true
    return rows


def autoencoder(
    rows: np.ndarray,
    bias: np.ndarray,
    *,
    kind: str = "JumpReLU",
    training: bool = False,
    **extra: Any,
) -> Any:
    """An autoencoder with tied weights; its last latent never fires."""
    stem = f"{kind}TrainingSAE" if training else f"{kind}SAE"
    config = getattr(sae_lens, f"{stem}Config")(d_in=rows.shape[1], d_sae=len(rows), **extra)
    sae = getattr(sae_lens, stem)(config)
    with torch.no_grad():
        sae.W_dec.copy_(torch.tensor(rows))
        sae.W_enc.copy_(torch.tensor(rows.T))
        sae.b_dec.copy_(torch.tensor(bias))
        if hasattr(sae, "b_enc"):
            sae.b_enc.fill_(-0.3)
            sae.b_enc[-1] = -1e3
    return sae


def ours(
    testbed: Testbed, sae: Any, n: int, wanted: list[str]
) -> tuple[ScoreData, dict[str, Result]]:
    """The data that scored, and our results on it."""
    data = ScoreData(testbed, Scoring(n_select=2048, n_score=n, n_positives=0))
    outputs = take_outputs(as_explanation(sae), data)
    unknown = References(np.ones(data.truth.n_features))
    comparison = evaluators.Comparison(data.truth, outputs, data, unknown)
    return data, evaluators.score(comparison, wanted)


def theirs(data: ScoreData, sae: Any, *, batch_size: int | None = None) -> Any:
    """What SAELens's evaluator says of the samples that `data` scores on."""
    truth = data.truth
    dictionary = synthetic.FeatureDictionary(truth.n_features, truth.d, initializer=None)
    dictionary.feature_vectors.data = torch.tensor(truth.directions).float()
    dictionary.bias.data = torch.tensor(truth.bias).float()
    return synthetic.eval_sae_on_synthetic_data(
        sae, dictionary, _Drawn(data), data.score.shape[0], batch_size
    )


class _Drawn:
    """Stands in for SAELens's generator: hands out the rows of `score` in order."""

    def __init__(self, data: ScoreData) -> None:
        self.rows = torch.from_numpy(data.score.toarray())

    def sample(self, batch_size: int) -> torch.Tensor:
        given, self.rows = self.rows[:batch_size], self.rows[batch_size:]
        return given
