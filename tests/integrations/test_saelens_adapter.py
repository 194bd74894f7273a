"""Autoencoders of SAELens, as they are, go through `gt.evaluate`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from saelens_cases import autoencoder, decoder, world

import groundtruth as gt
from groundtruth.outputs import BATCH_DEPENDENT

pytestmark = pytest.mark.integration

SMALL = gt.Scoring(n_select=1024, n_score=2048, n_positives=10)
METRICS = ["recover.recall", "recon.ev_total", "recon.l0", "act.latent_f1_all"]

# (kind, whether it is the training class, further settings)
KINDS = [
    ("TopK", False, {"k": 4}),
    ("Standard", False, {}),
    ("JumpReLU", False, {}),
    ("TopK", True, {"k": 4}),
    ("Standard", True, {}),
    ("JumpReLU", True, {}),
    ("BatchTopK", True, {"k": 4}),
]


@pytest.mark.parametrize(("kind", "training", "extra"), KINDS)
def test_a_saelens_autoencoder_is_scored_as_it_is(
    kind: str, training: bool, extra: dict[str, Any]
) -> None:
    bed = world()
    features = bed.truth.features
    sae = autoencoder(features.directions, features.bias, kind=kind, training=training, **extra)
    sae.train(training)
    weights = {name: value.clone() for name, value in sae.state_dict().items()}
    report = gt.evaluate(bed, sae, scoring=SMALL, metrics=METRICS)
    assert report["recover.recall"].value >= (features.n_features - 1) / features.n_features
    assert report["recon.ev_total"].status == "ok"
    x = bed.sample(512)[0]
    with torch.no_grad():
        sae.eval()
        explained = 1 - ((x - sae.decode(sae.encode(x))) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    # Two samples of some thousand rows: explained variance agrees to a few hundredths.
    assert report["recon.ev_total"].value == pytest.approx(float(explained), abs=0.1)
    assert all(torch.equal(value, weights[name]) for name, value in sae.state_dict().items())


@pytest.mark.parametrize("training", [False, True])
def test_the_training_flag_is_left_as_it_was(training: bool) -> None:
    bed = world()
    sae = autoencoder(decoder(bed, 20), bed.truth.features.bias).train(training)
    gt.evaluate(bed, sae, scoring=SMALL, metrics="recon.l0")
    assert sae.training is training


def test_a_batchtopk_training_class_is_flagged_batch_dependent() -> None:
    bed = world()
    features = bed.truth.features
    sae = autoencoder(features.directions, features.bias, kind="BatchTopK", training=True, k=4)
    report = gt.evaluate(bed, sae.train(), scoring=SMALL, metrics="recon.l0")
    assert BATCH_DEPENDENT in report.comparison.outputs.flags
    assert report["recon.l0"].value == pytest.approx(4, abs=0.01)


def test_an_inference_class_is_not_flagged() -> None:
    bed = world()
    sae = autoencoder(bed.truth.features.directions, np.zeros(24))
    report = gt.evaluate(bed, sae, scoring=SMALL, metrics="recon.l0")
    assert report.comparison.outputs.flags == ()
