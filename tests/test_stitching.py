"""Stitching, on dictionaries of which every change of explained variance is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

import groundtruth as gt
from groundtruth.errors import InputError
from groundtruth.stitching import stitch

WORLD = gt.build("sparse/orthonormal", n_features=16, d=16, seed=1)
ROWS = WORLD.truth.features.directions
SMALL = {"n_select": 1024, "n_score": 2048, "n_positives": 4}


def report(rows: np.ndarray, encode: Callable | None = None, **given: object) -> gt.Report:
    def exact(x: np.ndarray) -> np.ndarray:
        return np.maximum(np.asarray(x, dtype=np.float64) @ rows.T, 0)

    claim = gt.Dictionary(rows, exact if encode is None else encode, **given)
    return gt.evaluate(WORLD, claim, scoring=SMALL, metrics="recover")


@cache
def of_first(n: int) -> gt.Report:
    return report(ROWS[:n])


def energy() -> np.ndarray:
    """(16,) share of the variance that each feature's codes carry on the score samples."""
    data = of_first(16).comparison.data
    x = data.x.astype(np.float64)
    return np.square(x @ ROWS.T).sum(axis=0) / np.square(x - x.mean(axis=0)).sum()


def test_the_missing_features_are_the_novel_latents_and_each_brings_its_energy():
    found = stitch(of_first(10), of_first(16))
    assert np.flatnonzero(found.novel).tolist() == list(range(10, 16))
    np.testing.assert_allclose(found.inserted[10:], energy()[10:], atol=1e-6)
    assert [f.small for f in found.families] == [(i,) for i in range(10)]
    assert [f.large for f in found.families] == [(i,) for i in range(10)]
    small, novel, swapped, large = found.stages
    assert small.explained == pytest.approx(1 - energy()[10:].sum(), abs=1e-6)
    assert (small.recall, novel.recall) == (10 / 16, 1.0)
    for stage in (novel, swapped, large):
        assert stage.explained == pytest.approx(1, abs=1e-6)
        assert stage.n_latents == 16
    order = 10 + np.argsort(found.cosine[10:], kind="stable")
    steps = np.append(0, np.cumsum(energy()[order]))
    np.testing.assert_allclose(found.path[:7], small.explained + steps, atol=1e-6)


def test_a_reconstruction_latent_harms_when_inserted_and_changes_nothing_when_swapped():
    found = stitch(of_first(10), of_first(16))
    np.testing.assert_allclose(found.inserted[:10], -energy()[:10], atol=1e-6)
    np.testing.assert_allclose([f.swapped for f in found.families], 0, atol=1e-6)
    np.testing.assert_allclose(found.path[6:], 1, atol=1e-6)


def test_a_split_feature_is_one_family():
    """Feature 0 is one latent for small codes and one for large; both have its direction."""
    rows = np.concatenate([ROWS[:1], ROWS])

    def encode(x: np.ndarray) -> np.ndarray:
        codes = np.maximum(np.asarray(x, dtype=np.float64) @ rows.T, 0)
        codes[:, 0] *= codes[:, 0] > 1
        codes[:, 1] *= codes[:, 1] <= 1
        return codes

    found = stitch(of_first(16), report(rows, encode))
    assert not found.novel.any()
    assert found.families[0].small == (0,)
    assert found.families[0].large == (0, 1)
    assert found.families[0].swapped == pytest.approx(0, abs=1e-6)
    assert [stage.n_latents for stage in found.stages] == [16, 16, 17, 17]
    assert found.stages[-1].recall == 1


@pytest.mark.parametrize(("parts", "novel"), [(1, False), (2, False), (3, True)])
def test_sums_of_two_features_join_them_and_sums_of_three_are_novel(parts, novel):
    row = ROWS[:parts].sum(axis=0) / np.sqrt(parts)
    found = stitch(of_first(16), report(np.concatenate([row[None], ROWS[4:]])))
    assert found.cosine[0] == pytest.approx(parts**-0.5)
    assert found.novel[0] == novel
    assert not found.novel[1:].any()
    assert len(found.families) == (12 if novel else 13)
    if not novel:
        assert found.families[0].small == tuple(range(parts))


def test_the_threshold_can_be_wrong_and_the_insertion_says_so():
    """A direction of noise is as far from the small dictionary as a new feature is."""
    rows = np.concatenate([ROWS[:8], np.ones((1, 16)) / 4])
    found = stitch(of_first(8), report(rows, lambda x: np.abs(np.asarray(x) @ rows.T)))
    assert found.novel[8]
    assert found.inserted[8] < 0
    assert "1 novel latents: 0 raise explained variance" in str(found)


def test_changes_are_those_of_dictionaries_put_together_by_hand():
    """The second route: build the stitched dictionary, and evaluate it."""
    rng = np.random.default_rng(0)
    one, two = (rng.standard_normal((n, 16)) for n in (6, 9))
    one[0] = two[0] + 0.1 * one[0]
    one[1:3] = two[1:2] + 0.2 * one[1:3]
    one, two = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, two))
    bias = 0.1 * np.ones(16)

    def explained(rows: np.ndarray, bias: np.ndarray = bias) -> float:
        claim = report_of(rows, bias)
        sums = claim.comparison.reconstructed
        return 1 - float(sums.residual_square.sum() / sums.spread.sum())

    def report_of(rows: np.ndarray, bias: np.ndarray) -> gt.Report:
        encode = lambda x: np.maximum(np.asarray(x, np.float64) @ rows.T - 0.4, 0)  # noqa: E731
        return report(rows, encode, bias=bias)

    found = stitch(report_of(one, bias), report_of(two, -bias))
    assert [f.small for f in found.families] == [(0,), (1, 2)]
    start = found.stages[0].explained
    assert start == pytest.approx(explained(one), abs=1e-6)
    for latent, change in zip(found.latents, found.inserted, strict=True):
        added = explained(np.concatenate([one, two[[latent]]]))
        assert change == pytest.approx(added - start, abs=1e-6)
    for family in found.families:
        kept = np.delete(one, family.small, axis=0)
        swapped = explained(np.concatenate([kept, two[list(family.large)]]))
        assert family.swapped == pytest.approx(swapped - start, abs=1e-6)
    novel = found.latents[found.novel]
    expected = explained(np.concatenate([one, two[novel]]))
    assert found.stages[1].explained == pytest.approx(expected, abs=1e-6)
    assert found.stages[2].explained == pytest.approx(
        explained(np.concatenate([one[3:], two])), abs=1e-6
    )
    assert found.stages[3].explained == pytest.approx(explained(two, -bias), abs=1e-6)
    assert len(found.path) == 1 + len(novel) + 2
    assert found.path[-1] == pytest.approx(found.stages[2].explained)


def test_a_dead_latent_is_none():
    rows = np.concatenate([ROWS[:8], ROWS[8:9]])
    silent = lambda x: np.maximum(np.asarray(x) @ rows.T, 0) * (np.arange(9) < 8)  # noqa: E731
    found = stitch(of_first(8), report(rows, silent))
    assert found.latents.tolist() == list(range(8))


def test_it_prints_what_it_found():
    lines = str(stitch(of_first(10), of_first(16))).split("\n")
    assert lines[0] == "dictionary stitched into dictionary, novel below cosine 0.7"
    assert lines[1] == ("  6 novel latents: 6 raise explained variance when inserted alone")
    assert lines[2] == "  10 reconstruction latents in 10 families: 0 raise it"
    assert lines[3] == "  0 latents of the small one in no family"
    assert lines[-1].split()[:2] == ["large", "16"]
    assert lines[-1].split()[-2:] == ["1.000", "1.000"]


@pytest.mark.parametrize(
    ("small", "threshold", "message"),
    [
        (lambda: 1, 0.7, "small: expected what gt.evaluate returned, got 1."),
        (lambda: of_first(8), 0.4, "threshold: expected a cosine from 0.5 to 1, got 0.4."),
        (lambda: of_first(8), "high", "threshold: expected a cosine from 0.5 to 1, got 'high'."),
        (
            lambda: gt.evaluate(WORLD, gt.Dictionary(ROWS), scoring=SMALL, metrics="recover"),
            0.7,
            "small: expected codes, got none; pass encode= to gt.Dictionary.",
        ),
        (
            lambda: report(ROWS, decode=lambda codes: 2 * np.asarray(codes) @ ROWS),
            0.7,
            "small: expected a reconstruction codes @ decoder + bias, got another from "
            "dictionary: its latents do not add up, so none can be inserted or taken out.",
        ),
        (
            lambda: report(ROWS, lambda x: np.zeros((len(x), 16))),
            0.7,
            "small: expected a latent that fires, got none in dictionary.",
        ),
    ],
)
def test_what_cannot_be_stitched_is_refused(small, threshold, message):
    with pytest.raises(InputError) as caught:
        stitch(small(), of_first(16), threshold=threshold)
    assert str(caught.value) == message


def test_other_worlds_and_other_samples_are_refused():
    other = gt.build("sparse/orthonormal", n_features=16, d=16, seed=2)
    claim = gt.Dictionary(ROWS, lambda x: np.maximum(np.asarray(x) @ ROWS.T, 0))
    with pytest.raises(InputError, match="small, large: expected one world, got"):
        stitch(of_first(8), gt.evaluate(other, claim, scoring=SMALL, metrics="recover"))
    more = gt.evaluate(WORLD, claim, scoring={**SMALL, "n_score": 4096}, metrics="recover")
    with pytest.raises(InputError, match="scoring of large: expected that of small"):
        stitch(of_first(8), more)


def test_a_world_with_manifolds_is_refused():
    circle = gt.build("manifold/circle", n_features=8, d=12)
    rows = circle.truth.features.decoder
    claim = gt.Dictionary(rows, lambda x: np.maximum(np.asarray(x) @ rows.T, 0))
    found = gt.evaluate(circle, claim, scoring=SMALL, metrics="recover")
    with pytest.raises(InputError, match="small, large: expected reports on a world without"):
        stitch(found, found)
