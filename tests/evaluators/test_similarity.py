"""The streamed search scores as comparing all pairs does, and refuses what would not fit."""

from __future__ import annotations

import importlib
import tracemalloc

import numpy as np
import pytest
from evaluator_cases import compared
from hypothesis import given
from hypothesis import strategies as st

import groundtruth as gt
from groundtruth.errors import MemoryRefused
from groundtruth.evaluators import Comparison, score, similarity
from groundtruth.evaluators.comparison import EveryLatent
from groundtruth.inference import assignment, sparse_assignment
from groundtruth.inference.top_edges import TopEdges
from groundtruth.outputs import Outputs
from groundtruth.score_data import ScoreData
from groundtruth.testing import score_data, testbeds

# The package gives the functions of these names.
comparison = importlib.import_module("groundtruth.evaluators.comparison")
top_edges = importlib.import_module("groundtruth.inference.top_edges")

KINDS = ("planted", "turned", "mixed", "random", "opposite", "duplicate", "zero", "tiny")

COUNTED = (
    "recover.recall",
    "recover.precision",
    "recover.precision_soft",
    "recover.f1",
    "recover.above_08",
)
# Which of two partners is best is told to the rounding of float32 products.
SUMMED = (
    "recover.mmcs_truth",
    "recover.mmcs_latent",
    "recover.mcc",
    "recover.mcc_min",
    "recover.mcc_all",
)


@st.composite
def claims(draw: st.DrawFn) -> tuple[ScoreData, Outputs]:
    """A world of up to 10 features and a decoder of up to 14 rows of all kinds."""
    data = draw(score_data(testbeds(max_features=10, max_d=8)))
    directions = data.truth.directions
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows: list[np.ndarray] = []
    for _ in range(draw(st.integers(1, 14))):
        row = directions[draw(st.integers(0, len(directions) - 1))]
        noise = rng.standard_normal(row.shape)
        rows.append(
            {
                "planted": row,
                "turned": row + draw(st.sampled_from([0.05, 0.2, 0.5])) * noise,
                "mixed": row + directions[rng.integers(len(directions))],
                "random": noise,
                "opposite": -row,
                "duplicate": rows[rng.integers(len(rows))] if rows else row,
                "zero": 0 * row,
                "tiny": 1e-9 * row,
            }[draw(st.sampled_from(KINDS))]
        )
    return data, Outputs(np.array(rows), np.zeros(data.truth.d), signed=draw(st.booleans()))


def streamed(data: ScoreData, claim: Outputs, *, listed: int, short: bool) -> Comparison:
    """The comparison by the route of large dictionaries, with lists of `listed` partners.

    Args:
        short: search in bfloat16.
    """
    c = compared(data, claim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_EXACT_BELOW", 0)
        patch.setattr(similarity, "_LISTED", listed)
        patch.setattr(comparison, "_DENSE_PAIRS", 0)
        patch.setattr(assignment, "DENSE_ENTRIES", 0)
        patch.setattr(sparse_assignment, "DENSE_SHARE", 1.0)
        patch.setattr(top_edges, "fast_bfloat16", lambda: short)
        patch.setattr(top_edges, "LEAST_LISTED", 1)
        patch.setattr(top_edges, "LISTED_COST", 0)
        # Kept with the comparison, for scoring after the patch.
        assert c.similarity.top is not None or not len(c.live)
        assert len(c.assignment) == 3
        assert isinstance(c.every_latent, EveryLatent)
    return c


@given(claims(), st.integers(1, 5), st.booleans())
def test_streamed_scores_are_those_of_all_pairs(
    case: tuple[ScoreData, Outputs], listed: int, short: bool
) -> None:
    whole, c = compared(*case), streamed(*case, listed=listed, short=short)
    expected, found = (score(one, [*COUNTED, *SUMMED]) for one in (whole, c))
    for name in COUNTED:
        assert found[name].value == expected[name].value, name
    curve = [results["recover.recall"].evidence["curve_recall"] for results in (expected, found)]
    np.testing.assert_array_equal(*curve)
    for name in SUMMED:
        assert found[name].value == pytest.approx(expected[name].value, abs=1e-6), name
    if clear(whole):
        np.testing.assert_array_equal(c.similarity.best_truth, whole.similarity.best_truth)


@given(claims(), st.integers(1, 5), st.booleans())
def test_streamed_near_pairs_are_all_of_them(
    case: tuple[ScoreData, Outputs], listed: int, short: bool
) -> None:
    expected, found = compared(*case).similarity, streamed(*case, listed=listed, short=short)
    for name in ("edge_truth", "edge_latent", "edge_cosine"):
        np.testing.assert_array_equal(getattr(found.similarity, name), getattr(expected, name))


def clear(c: Comparison) -> bool:
    """Whether no live latent has two nearest features."""
    cosine = c.truth.directions @ c.latents.T
    top = np.sort(np.abs(cosine) if c.absolute else cosine, axis=0)
    return len(top) == 1 or bool((top[-1] - top[-2] > 1e-6).all())


def crowded() -> tuple[np.ndarray, np.ndarray]:
    """40 features and 30 latents that are all near one another."""
    rng = np.random.default_rng(0)
    rows = 1 + 0.2 * rng.standard_normal((70, 8))
    rows = similarity.unit_latents(rows)
    return rows[:40], rows[40:]


def test_pairs_that_no_list_has_are_found_by_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_EXACT_BELOW", 0)
    monkeypatch.setattr(similarity, "_LISTED", 3)
    assert len(similarity.similarity(*crowded(), absolute=False).edge_truth) == 1200
    # Without the bounds, three partners of each direction would be all.
    monkeypatch.setattr(similarity, "_unlisted_near", lambda *_: (np.zeros(0, int),) * 2)
    assert len(similarity.similarity(*crowded(), absolute=False).edge_truth) <= 3 * 70


def test_of_equal_partners_the_first_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = similarity.unit_latents(np.random.default_rng(0).standard_normal((6, 5)))
    monkeypatch.setattr(similarity, "_EXACT_BELOW", 0)
    found = similarity.similarity(rows, np.concatenate([rows[:1], rows, rows]), absolute=False)
    assert found.best_latent.tolist() == [0, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("below", [0, 1e12])
def test_more_near_pairs_than_fit_are_refused(monkeypatch, below: float) -> None:
    monkeypatch.setattr(similarity, "_EXACT_BELOW", below)
    monkeypatch.setattr(similarity, "_LISTED", 3)
    monkeypatch.setattr(similarity, "MOST_EDGES", 1200)
    similarity.similarity(*crowded(), absolute=False)
    monkeypatch.setattr(similarity, "MOST_EDGES", 800)
    with pytest.raises(MemoryRefused) as error:
        similarity.similarity(*crowded(), absolute=False)
    assert str(error.value) == (
        "more than 800 pairs of a feature and a latent have cosine 0.5 or more, and a matching "
        "would hold them all. Directions crowd in few dimensions: score fewer latents or features, "
        "or a world of more dimensions."
    )


def test_dictionaries_that_would_not_fit_are_refused_before_anything_is_made_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = gt.build("sparse/small", seed=0)
    claim = gt.Dictionary(np.random.default_rng(0).standard_normal((50_000, 32)))
    monkeypatch.setattr(similarity, "MEMORY_LIMIT", 1 << 29)
    tracemalloc.start()
    with pytest.raises(MemoryRefused) as error:
        gt.evaluate(world, claim, metrics="recover.recall")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value) == (
        "comparing 50,000 latents with 128 features in 32 dimensions needs about 0.6 GiB; the "
        "limit is 0.5 GiB. Score fewer latents at a time, or raise "
        "groundtruth.evaluators.similarity.MEMORY_LIMIT."
    )
    assert peak < claim.decoder.nbytes / 4


@given(st.integers(1, 7))
def test_unit_latents_do_not_depend_on_their_blocks(size: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, 3)) * 10.0 ** rng.integers(-200, 200, (20, 1))
    rows[4] = 0
    whole = similarity.unit_latents(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_BLOCK", size)
        np.testing.assert_array_equal(similarity.unit_latents(rows), whole)


def test_the_lists_are_kept_for_the_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_EXACT_BELOW", 0)
    assert isinstance(similarity.similarity(*crowded(), absolute=True).top, TopEdges)
