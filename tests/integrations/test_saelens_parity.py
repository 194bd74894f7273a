"""SAELens's evaluator and ours agree on the same samples where definitions agree, and only there.

Source of the other side: sae_lens.synthetic.evals of sae-lens 6.54.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from saelens_cases import autoencoder, decoder, ours, theirs, world

pytestmark = pytest.mark.integration

# Both sides round activations to float32, at different places.
CLOSE = 1e-5

READ = {
    "recover.mcc_all": lambda r, k: r.mcc,
    "recover.uniqueness_all": lambda r, k: r.uniqueness,
    "act.latent_precision": lambda r, k: r.classification.precision,
    "act.latent_recall": lambda r, k: r.classification.recall,
    "act.latent_f1_all": lambda r, k: r.classification.f1_score,
    "act.latent_accuracy": lambda r, k: r.classification.accuracy,
    "recon.ev_total": lambda r, k: r.explained_variance,
    "recon.l0": lambda r, k: r.sae_l0,
    "recon.dead_score": lambda r, k: r.dead_latents / k,
    "recon.norm_ratio": lambda r, k: r.shrinkage,
}


@pytest.mark.parametrize("kind", ["JumpReLU", "Standard", "TopK"])
@pytest.mark.parametrize("k", [40, 64, 100])
@pytest.mark.parametrize("batch_size", [None, 700])
def test_same_samples_give_the_same_values(kind: str, k: int, batch_size: int | None) -> None:
    bed = world()
    extra = {"k": 4} if kind == "TopK" else {}
    sae = autoencoder(decoder(bed, k), bed.truth.features.bias, kind=kind, **extra)
    data, found = ours(bed, sae, 3000, list(READ))
    peer = theirs(data, sae, batch_size=batch_size)
    assert peer.dead_latents >= 1  # the convention for dead latents is put to the test
    for name, read in READ.items():
        assert found[name].value == pytest.approx(read(peer, k), abs=CLOSE), name
    assert peer.true_l0 == pytest.approx(data.score.nnz / 3000, abs=CLOSE)


def test_a_decoder_row_of_no_length_is_counted_the_same() -> None:
    bed = world()
    rows = decoder(bed, 40)
    rows[5] = 0
    sae = autoencoder(rows, bed.truth.features.bias)
    data, found = ours(bed, sae, 2000, list(READ))
    peer = theirs(data, sae)
    for name, read in READ.items():
        assert found[name].value == pytest.approx(read(peer, 40), abs=CLOSE), name


WANTED = ["recover.mcc", "recover.mcc_min", "recover.mcc_all", "recover.uniqueness"]


def test_one_perfect_latent_has_their_mcc_1_and_our_mcc_1_in_f() -> None:
    bed = world()
    features = bed.truth.features
    sae = autoencoder(features.directions[:1], features.bias)
    with torch.no_grad():
        sae.b_enc.fill_(0)  # the only latent fires
    data, found = ours(bed, sae, 2000, [*WANTED, "recover.uniqueness_all"])
    peer = theirs(data, sae)
    assert peer.mcc == pytest.approx(1, abs=CLOSE)
    assert found["recover.mcc_all"].value == pytest.approx(1, abs=CLOSE)
    assert found["recover.mcc_min"].value == pytest.approx(1, abs=CLOSE)
    assert found["recover.mcc"].value == pytest.approx(1 / features.n_features, abs=CLOSE)
    assert peer.uniqueness == found["recover.uniqueness_all"].value == 1


def test_a_flipped_decoder_has_their_mcc_1_and_recovers_nothing_here() -> None:
    bed = world()
    features = bed.truth.features
    sae = autoencoder(features.directions, features.bias)
    with torch.no_grad():
        sae.W_dec.neg_()
        sae.b_enc.fill_(-0.3)  # every latent fires as it did, and writes the wrong way
    data, found = ours(bed, sae, 2000, [*WANTED, "recover.recall"])
    peer = theirs(data, sae)
    assert peer.mcc == pytest.approx(1, abs=CLOSE)
    assert found["recover.mcc_all"].value == pytest.approx(1, abs=CLOSE)
    assert found["recover.recall"].value == 0
    # The best signed one-to-one match of a flipped dictionary is what chance leaves it.
    assert found["recover.mcc"].value < 0.75


def test_their_uniqueness_counts_dead_rows_and_ours_does_not() -> None:
    bed = world()
    features = bed.truth.features
    rows = np.vstack([features.directions[:10], features.directions[:10]])
    sae = autoencoder(rows, features.bias)
    with torch.no_grad():
        sae.b_enc[:10] = -0.3
        sae.b_enc[10:] = -1e3  # the copies never fire
    data, found = ours(bed, sae, 2000, ["recover.uniqueness", "recover.uniqueness_all"])
    peer = theirs(data, sae)
    assert peer.uniqueness == found["recover.uniqueness_all"].value == 0.5
    assert found["recover.uniqueness"].value == 1
