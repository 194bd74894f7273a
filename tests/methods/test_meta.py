"""The meta-SAE: sums of atoms are taken apart, atoms stay whole, and what decides about either."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import groundtruth as gt
from groundtruth import catalogue
from groundtruth.errors import ExplanationError, InputError
from groundtruth.generators.sparse import sparse
from groundtruth.methods import meta_sae
from groundtruth.methods.batchtopk import BatchTopK
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.meta import MetaDictionary, _subject_of

ATOMS = np.eye(8)
GRID = np.array([*ATOMS, *(x + y for x in ATOMS[:4] for y in ATOMS[4:])])
SHORT = {"l0": 40 / 24, "n_samples": 100_000}  # of the grid; parts that its rows have on average
SCORING = {"n_select": 2048, "n_score": 4096, "n_positives": 100}


def sphere(n: int, d: int) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pairs(atoms: np.ndarray) -> np.ndarray:
    return np.array([x + y for i, x in enumerate(atoms) for y in atoms[:i]])


def recall(atoms: np.ndarray, claim: gt.Dictionary) -> float:
    return float(((atoms @ claim.decoder.T).max(axis=1) > 0.9).mean())


def precision(atoms: np.ndarray, claim: MetaDictionary) -> float:
    used = claim.decoder[claim.weights.any(axis=0)]
    return float(((atoms @ used.T).max(axis=0) > 0.9).mean())


@cache
def of_grid() -> MetaDictionary:
    return meta_sae(gt.Dictionary(GRID), seed=0, width=8, **SHORT)


@cache
def world() -> gt.Testbed:
    """One of four x with probability 0.9, and one of four y with probability 0.9."""
    return sparse(
        n_features=8,
        d=8,
        firing={"law": "constant", "probability": 0.9 / 4},
        magnitude={"law": "constant", "value": 1.0},
        dictionary={"law": "orthonormal"},
        exclusive=[[0, 1, 2, 3], [4, 5, 6, 7]],
    )


@cache
def composed() -> gt.Dictionary:
    """A latent for each of the 24 patterns of that world, of which one fires at a time."""
    rows = GRID @ world().truth.features.directions
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode(x: np.ndarray) -> np.ndarray:
        inner = np.asarray(x, dtype=np.float64) @ unit.T
        best = inner == inner.max(axis=1, keepdims=True)
        return best * (inner > 0.5) / np.linalg.norm(rows, axis=1) * inner

    return gt.Dictionary(rows, encode)


def test_sums_of_atoms_are_taken_apart():
    assert recall(ATOMS, of_grid()) == precision(ATOMS, of_grid()) == 1
    assert of_grid().explained > 0.99
    nearest = (ATOMS @ of_grid().decoder.T).argmax(axis=1)
    parts = of_grid().weights[:, nearest] > 0
    np.testing.assert_array_equal(parts, GRID > 0)


def test_atoms_in_superposition_are_found_in_their_pairs():
    atoms = sphere(20, 16)
    claim = meta_sae(gt.Dictionary(pairs(atoms)), seed=0, width=30, starts=2, n_samples=100_000)
    assert recall(atoms, claim) > 0.9
    assert precision(atoms, claim) > 0.7


def test_rows_that_are_atoms_stay_whole():
    atoms = sphere(24, 16)
    claim = meta_sae(gt.Dictionary(3.0 * atoms), seed=0, width=48, l0=1, n_samples=100_000)
    assert recall(atoms, claim) > 0.9
    assert precision(atoms, claim) > 0.9
    assert (claim.weights > 0).sum(axis=1).mean() == pytest.approx(1, abs=0.1)


def test_where_more_parts_are_asked_for_than_rows_have_it_makes_them_up():
    """The limit that the docstring states, and how `explained` of random rows shows it."""
    atoms = np.eye(32)
    given = {"seed": 0, "width": 32, "l0": 2, "starts": 1, "n_samples": 100_000}
    assert precision(atoms, meta_sae(gt.Dictionary(atoms), **given)) < 0.6
    assert meta_sae(gt.Dictionary(sphere(32, 32)), **given).explained > 0.9


def test_a_decoder_bias_would_take_the_atoms_out_of_the_rows():
    """Why there is none: the same training with b_dec finds few atoms of pairs, or none."""
    atoms = sphere(20, 24)
    rows = pairs(atoms)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    options: Options = {"n_samples": 100_000}
    biased = fit(
        _subject_of(torch.from_numpy(rows.astype(np.float32)), b"any"),
        BatchTopK(2, DeadLatents(20)),
        training_of(options),
        options,
        seed=0,
        width=20,
        name="biased",
    )
    unbiased = meta_sae(gt.Dictionary(rows), seed=0, width=20, starts=1, **options)
    # Of seeds 0 to 3: at most 0.05 and at least 0.8.
    assert recall(atoms, biased) < 0.2
    assert recall(atoms, unbiased) > 0.6


def test_codes_of_the_atoms_follow_from_those_of_the_dictionary():
    """A dictionary of patterns explains everything and knows of no atom when it fires; its
    meta-SAE knows all."""
    base = gt.evaluate(world(), composed(), scoring=SCORING)
    assert base["recon.ev_total"].value == pytest.approx(1, abs=1e-6)
    assert base["recover.joint"].value == 0
    assert base["compose.support"].value == pytest.approx(40 / 24)
    claim = meta_sae(composed(), seed=0, width=8, **SHORT)
    found = gt.evaluate(world(), claim, scoring=SCORING)
    assert found["recover.joint"].value == 1
    assert found["recover.joint_precision"].value == 1
    assert found["compose.support"].value == 1
    assert found["recon.ev_total"].value > 0.99


def test_the_reconstruction_is_that_of_the_dictionary_with_rows_put_together():
    claim = meta_sae(composed(), seed=0, width=8, starts=1, n_samples=20_000)
    x = world().subject.sample(50, seed=1)
    lengths = np.linalg.norm(composed().decoder, axis=1, keepdims=True)
    rows = lengths * (claim.weights @ claim.decoder)
    expected = composed().encode(x) @ rows
    assert claim.encode is not None
    np.testing.assert_allclose(claim.encode(x) @ claim.decoder, expected, atol=1e-6)


def test_a_dictionary_without_codes_gives_a_claim_of_rows():
    assert of_grid().encode is None


def test_rows_that_never_fire_are_left_out():
    rows = composed().decoder
    junk = np.concatenate([rows, sphere(10, 8)])
    silent = gt.Dictionary(junk, lambda x: np.pad(composed().encode(x), ((0, 0), (0, 10))))
    claim = meta_sae(silent, seed=0, width=8, subject=world().subject, **SHORT)
    assert not claim.weights[24:].any()
    assert claim.weights[:24].any(axis=1).all()
    assert recall(world().truth.features.directions, claim) == 1
    with pytest.raises(ExplanationError, match="encode: expected a function, got None"):
        meta_sae(gt.Dictionary(rows), seed=0, subject=world().subject)


def test_same_seed_same_bytes_and_the_best_start_is_kept():
    def run(seed: int, starts: int = 1) -> MetaDictionary:
        return meta_sae(gt.Dictionary(GRID), seed=seed, width=8, starts=starts, n_samples=5000)

    assert run(0).decoder.tobytes() == run(0).decoder.tobytes() != run(1).decoder.tobytes()
    assert run(0, 3).explained >= run(0, 2).explained >= run(0).explained


def test_an_outside_object_is_read_as_a_dictionary():
    layer = torch.nn.Linear(3, 3)
    layer.encode, layer.W_dec = layer.forward, torch.eye(3)
    claim = meta_sae(layer, seed=0, width=3, l0=1, starts=1, n_samples=2000)
    assert claim.weights.shape == (3, 3)
    with pytest.raises(ExplanationError, match="got a numpy array"):
        meta_sae(np.eye(3), seed=0)


def test_it_is_in_the_catalogue_with_an_autoencoder_below():
    entry = catalogue.method("sae/meta")
    assert entry.make is not None
    claim = entry.make(world().subject, seed=0, width=24, l0=1, base="topk", n_samples=5000)
    assert claim.d == 8
    with pytest.raises(InputError, match=r'^base: expected "batchtopk" or "topk"'):
        entry.make(world().subject, seed=0, base="relu")


@pytest.mark.parametrize(
    ("dictionary", "given", "message"),
    [
        (
            gt.Dictionary(np.eye(3), decode=lambda codes: codes),
            {},
            "dictionary: expected one that reconstructs by codes @ decoder + bias, got one with "
            "decode=, whose rows may be no parts of the activations.",
        ),
        (
            gt.Dictionary(np.eye(3)[:1]),
            {},
            "dictionary: expected two or more, got '1 rows in use'.",
        ),
        (gt.Dictionary(np.eye(3)), {"width": 0}, "width: expected a whole number >= 1"),
        (gt.Dictionary(np.eye(3)), {"l0": 4, "width": 2}, "l0: expected a number above 0 and at"),
        (gt.Dictionary(np.eye(3)), {"starts": 0, "width": 2}, "starts: expected a whole number"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(dictionary, given, message):
    with pytest.raises(InputError) as caught:
        meta_sae(dictionary, seed=0, **given)
    assert str(caught.value).startswith(message)
