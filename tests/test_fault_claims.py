"""Faults in what a method claims, or in the world it is scored on: a named error that says what,
where, expected, got and how to fix it; or a recorded status; or, for harmless oddities, the same
scores. The number at the head of each section is that of the fault list.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import groundtruth as gt
from groundtruth import inference
from groundtruth.equivalence import DUPLICATE
from groundtruth.errors import ExplanationError, InputError, MemoryRefused
from groundtruth.evaluators.similarity import similarity
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.report import Report
from groundtruth.score_data import Scoring
from groundtruth.truth import FeatureTruth

SCORING = Scoring(n_select=512, n_score=512, n_positives=16)
SIZES: dict[str, Any] = {
    "n_features": 8,
    "d": 8,
    "dictionary": {"law": "orthonormal"},
    "firing": {"law": "constant", "probability": 0.05},
    "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
}


def world(**changes: Any) -> gt.Testbed:
    return gt.build("sparse/small", seed=0, **{**SIZES, **changes})


WORLD = world()
ROWS = WORLD.truth.features.directions.astype(np.float32)


def codes(x: Any, rows: Any = ROWS) -> Any:
    """Exact for an orthonormal dictionary."""
    dense = np.asarray(x) @ np.asarray(rows).T
    return np.where(dense > 0.1, dense, 0).astype(np.float32)


def score(
    decoder: Any, encode: Any = codes, testbed: gt.Testbed = WORLD, **settings: Any
) -> Report:
    claim = gt.Dictionary(decoder, encode, **settings)
    return gt.evaluate(testbed, claim, scoring=SCORING, n_train=2000)


def values(report: Report) -> dict[str, float | None]:
    return {metric: report[metric].value for metric in report}


@pytest.fixture(scope="module")
def plain() -> dict[str, float | None]:
    """Every score of the planted dictionary with its exact codes."""
    return values(score(ROWS))


def assert_same(report: Report, plain: dict[str, float | None], rel: float = 1e-5) -> None:
    found = values(report)
    assert {m for m, v in found.items() if v is None} == {m for m, v in plain.items() if v is None}
    for metric, value in plain.items():
        if value is not None:
            assert found[metric] == pytest.approx(value, rel=rel, abs=1e-5), metric


def refused(make: Callable[[], Any], kind: type[Exception] = ExplanationError) -> str:
    with pytest.raises(kind) as caught:
        make()
    return str(caught.value)


def with_value(array: np.ndarray, where: Any, value: float) -> np.ndarray:
    out = array.copy()
    out[where] = value
    return out


# --- 1 NaN in W, 2 infinity in Z, 3 NaN in one row of x_hat -----------------------------------


def test_01_nan_in_the_decoder() -> None:
    assert refused(lambda: gt.Dictionary(with_value(ROWS, (2, 3), np.nan))) == (
        "decoder: expected finite numbers, got 1 NaN or infinite, first at (2, 3)."
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_02_codes_that_are_not_finite(value: float) -> None:
    broken = lambda x: with_value(codes(x), (slice(4, 6), 1), value)  # noqa: E731
    assert refused(lambda: score(ROWS, broken)) == (
        f"encode: expected finite codes, got {value} (2 of them), first at sample 4 of its block, "
        "latent 1, on the select data."
    )


def test_03_nan_in_one_row_of_the_reconstruction() -> None:
    decode = lambda z: with_value(z @ ROWS, 5, np.nan)  # noqa: E731
    assert refused(lambda: score(ROWS, decode=decode)) == (
        "decode: expected finite numbers, got 8 NaN or infinite, first at (5, 0)."
    )


def test_03_linear_reconstruction_that_overflows() -> None:
    huge = lambda x: codes(x).astype(float) * 1e149  # noqa: E731
    assert refused(lambda: score(ROWS.astype(float) * 1e200, huge)) == (
        "codes @ decoder + bias: expected finite numbers, got "
        f"{512 * 8 - _finite_entries()} NaN or infinite, first at {_first_sum()}."
    )


def _overflowed() -> np.ndarray:
    fires = codes(np.concatenate([x for x, _ in _score_blocks()]))
    with np.errstate(over="ignore", invalid="ignore"):
        return ~np.isfinite((fires.astype(float) * 1e149) @ (ROWS.astype(float) * 1e200))


def _score_blocks() -> Any:
    from groundtruth.score_data import ScoreData

    return ScoreData(WORLD, SCORING).chunks("score")


def _finite_entries() -> int:
    return int((~_overflowed()).sum())


def _first_sum() -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(_overflowed())[0])


# --- 4 transposed decoder, 5 a sample short, 6 no latents, 7 no features, 8 no samples --------


def test_04_transposed_decoder() -> None:
    assert refused(lambda: score(np.ones((8, 5)), None)) == (
        "decoder: expected shape (k, 8) for this testbed, got (8, 5). The decoder looks "
        "transposed: pass decoder=W.T."
    )


def test_04_transposed_square_decoder_is_taken_by_rows_and_scored_low() -> None:
    # Nothing can tell: rows are latents by definition, and the scores show that they are wrong.
    report = score(ROWS.T.copy())
    assert report["recover.recall"].value == 0
    assert report["recon.ev_total"].value < 0.5


def test_05_codes_with_a_sample_too_few() -> None:
    assert refused(lambda: score(ROWS, lambda x: codes(x)[1:])) == (
        "encode: expected shape (256, 8) for 256 samples and 8 latents, got (255, 8)."
    )


def test_06_no_latents() -> None:
    assert refused(lambda: gt.Dictionary(ROWS[:0])) == (
        "decoder: expected at least one latent, got k = 0. An empty dictionary claims nothing; "
        "return the rows that the method did learn."
    )


def test_07_no_features() -> None:
    assert refused(lambda: world(n_features=0), InputError) == (
        "n_features: expected a whole number >= 1, got 0."
    )
    empty = lambda: FeatureTruth(  # noqa: E731
        np.zeros((0, 4)), np.zeros(0), MagnitudeLaw("constant"), np.zeros(4)
    )
    assert refused(empty, InputError) == (
        "truth.directions: expected at least one feature in one dimension, got (0, 4)."
    )


@pytest.mark.parametrize("n", [0, 1, True, 2.5])
def test_08_no_sample_or_one(n: Any) -> None:
    assert refused(lambda: Scoring(n_score=n), InputError) == (
        f"scoring.n_score: expected a whole number >= 2, got {n!r}. One sample has no variance; "
        "the default is 20,000."
    )
    assert refused(lambda: Scoring(n_select=n), InputError).startswith("scoring.n_select: ")


def test_08_no_training_sample() -> None:
    assert refused(lambda: WORLD.subject.sample(0), InputError) == (
        "n: expected a whole number >= 1, got 0."
    )


# --- 9 zero rows, 10 dead codes, 11 constant activations --------------------------------------


def test_09_all_rows_zero() -> None:
    report = score(np.zeros_like(ROWS))
    assert report["recover.joint"].value == 0 and report["recover.recall"].value == 0
    for metric in ("recover.precision", "recover.joint_precision", "recover.uniqueness"):
        assert (report[metric].status, report[metric].reason) == (
            "undefined",
            "no latent ever fires",
        )


def test_09_one_zero_row_counts_as_not_live_and_not_as_nan() -> None:
    report = score(with_value(ROWS, 3, 0.0))
    assert report["recover.recall"].value == 7 / 8
    assert report["recover.precision"].value == 1
    assert report["recon.dead_frac"].value == 1 / 8


def test_10_no_latent_ever_fires() -> None:
    report = score(ROWS, lambda x: np.zeros((len(x), 8)))
    assert report["recover.joint"].value == 0 and report["act.f1"].value == 0
    assert report["recon.dead_frac"].value == 1 and report["recon.l0"].value == 0
    undefined = report["recover.joint_precision"]
    assert (undefined.status, undefined.reason) == ("undefined", "no latent ever fires")


def test_11_constant_activations_have_no_explained_variance() -> None:
    constant = world(
        firing={"law": "constant", "probability": 1.0}, magnitude={"law": "constant", "value": 1.0}
    )
    report = score(constant.truth.features.directions, testbed=constant)
    for metric in ("recon.ev_total", "recon.fvu", "recon.ev_perdim", "recon.ev_biasblind"):
        found = report[metric]
        assert (found.status, found.value) == ("undefined", None)
        assert found.reason == "the activations do not vary"
    assert report["recover.energy_recall"].reason == "no feature varies in this world"


# --- 12 dtypes, 13 float16, 14 scales, 15 signs -----------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "bool", "object", "complex128"])
def test_12_numbers_that_are_not_floating_point(dtype: str) -> None:
    expected = (
        f"expected floating point numbers, got dtype {dtype}. Convert it, for example with "
        ".astype(float)."
    )
    assert refused(lambda: gt.Dictionary(ROWS.astype(dtype))) == f"decoder: {expected}"
    assert refused(lambda: score(ROWS, lambda x: codes(x).astype(dtype))) == f"encode: {expected}"


def test_13_float16_is_squared_in_a_wider_type(plain: dict[str, float | None]) -> None:
    # 400 squared overflows float16, whose largest number is 65504.
    report = score((ROWS * 400).astype(np.float16), lambda x: (codes(x) / 400).astype(np.float16))
    assert report["recover.recall"].value == plain["recover.recall"] == 1
    assert report["recon.ev_total"].value == pytest.approx(plain["recon.ev_total"], abs=1e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e140])
def test_14_decoder_and_codes_of_extreme_scale(
    scale: float, plain: dict[str, float | None]
) -> None:
    report = score(
        ROWS.astype(float) * scale, lambda x: codes(x).astype(float) / max(scale, 1e-140)
    )
    assert report["recover.joint"].value == plain["recover.joint"]
    if scale > 1e-140:
        assert_same(report, plain)


def test_14_denormal_decoder_keeps_its_directions() -> None:
    report = score(ROWS.astype(float) * 1e-310)
    assert report["recover.recall"].value == 1
    assert report["recon.ev_total"].value == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_14_world_of_another_scale_scores_the_same(
    scale: float, plain: dict[str, float | None]
) -> None:
    scaled = world(scale=scale)
    rows = np.float32(ROWS)
    report = score(rows, lambda x: codes(x / np.float32(scale)) * np.float32(scale), scaled)
    assert report["recover.joint"].value == plain["recover.joint"]
    assert report["recon.ev_total"].value == pytest.approx(plain["recon.ev_total"], abs=1e-4)


def test_14_codes_whose_squares_overflow_are_refused() -> None:
    message = refused(lambda: score(ROWS, lambda x: np.full((len(x), 8), 1e200)))
    assert message == (
        "encode: expected codes of size at most 1e+150, got 1e+200 for latent 0, on the select "
        "data. Move the scale into the decoder."
    )


def test_15_negative_codes_declared_nonnegative() -> None:
    assert refused(lambda: score(ROWS, lambda x: codes(x) - 0.25)) == (
        "encode: expected codes >= 0, got -0.25 for latent 0. If negative codes are meant, pass "
        "gt.Dictionary(..., signed=True); otherwise apply the activation function."
    )
    assert score(ROWS, lambda x: codes(x) - 0.25, signed=True).flags == ()


# --- 16 every harmless kind of array ----------------------------------------------------------


def _memory_mapped(path: Path) -> np.ndarray:
    np.save(path / "rows.npy", ROWS)
    return np.load(path / "rows.npy", mmap_mode="r")


def _read_only() -> np.ndarray:
    rows = ROWS.copy()
    rows.setflags(write=False)
    return rows


def _torch_codes(x: torch.Tensor) -> torch.Tensor:
    dense = x.float() @ torch.from_numpy(ROWS).T
    return torch.where(dense > 0.1, dense, 0)


def _jax_codes(x: Any) -> Any:
    dense = x.astype("float32") @ jnp.asarray(ROWS).T
    return jnp.where(dense > 0.1, dense, 0)


TENSOR = torch.from_numpy(ROWS)
HARMLESS: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "fortran order": (lambda _: np.asfortranarray(ROWS), codes),
    "strided view": (lambda _: np.repeat(ROWS, 2, axis=0)[::2], codes),
    "read-only": (lambda _: _read_only(), codes),
    "memory map": (_memory_mapped, codes),
    "nested lists": (lambda _: ROWS.tolist(), codes),
    "sparse decoder and codes": (
        lambda _: sp.csr_array(ROWS),
        lambda x: sp.csc_array(codes(x)),
    ),
    "strided codes": (lambda _: ROWS, lambda x: np.asfortranarray(codes(x))),
    "read-only codes": (lambda _: ROWS, lambda x: np.broadcast_to(codes(x), (len(x), 8))),
    "torch": (lambda _: TENSOR, _torch_codes),
    "torch non-contiguous": (lambda _: TENSOR.T.contiguous().T, _torch_codes),
    "torch requires_grad": (
        lambda _: torch.nn.Parameter(TENSOR.clone()),
        lambda x: _torch_codes(x).requires_grad_(),
    ),
    "torch sparse codes": (lambda _: TENSOR, lambda x: _torch_codes(x).to_sparse()),
    "torch float64": (lambda _: TENSOR.double(), _torch_codes),
    "jax": (lambda _: jnp.asarray(ROWS), _jax_codes),
    "dlpack from jax": (lambda _: torch.from_dlpack(jnp.asarray(ROWS)), _torch_codes),
    "dlpack from torch": (lambda _: np.from_dlpack(TENSOR), codes),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_16_harmless_arrays_score_as_plain_ones(
    kind: str, plain: dict[str, float | None], tmp_path: Path
) -> None:
    decoder, encode = HARMLESS[kind]
    report = score(decoder(tmp_path), encode)
    assert_same(report, plain)
    assert report.flags == ()


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_16_bfloat16_scores_as_plain_to_its_precision(
    library: str, plain: dict[str, float | None]
) -> None:
    encodings: dict[str, tuple[Any, Any]] = {
        "torch": (TENSOR.bfloat16(), lambda x: _torch_codes(x).bfloat16()),
        "jax": (
            jnp.asarray(ROWS).astype(jnp.bfloat16),
            lambda x: _jax_codes(x).astype(jnp.bfloat16),
        ),
    }
    report = score(*encodings[library])
    for metric in ("recover.joint", "recover.recall", "act.f1", "recon.ev_total"):
        # bfloat16 has 8 bits: codes and rows are off by up to 1/256.
        assert report[metric].value == pytest.approx(plain[metric], abs=1e-2)


# --- 17 truth rows, 18 one class, 19 never active ---------------------------------------------


def test_17_duplicated_truth_rows_are_classed_and_only_one_is_matched() -> None:
    eye = np.eye(8)
    rows = [*eye[:5].tolist(), eye[0].tolist()]
    doubled = world(n_features=6, dictionary={"law": "given", "directions": rows})
    classes = doubled.truth.features.identifiability(10**6).classes
    assert np.flatnonzero(classes == DUPLICATE).tolist() == [0, 5]
    report = score(eye[:5], lambda x: codes(x, eye[:5]), doubled)
    assert report["recover.recall"].value == 5 / 6
    assert report["recover.recall_identifiable"].value == 1


def test_17_truth_rows_that_are_not_unit() -> None:
    make = lambda: FeatureTruth(  # noqa: E731
        2 * np.eye(3), np.full(3, 0.1), MagnitudeLaw("constant"), np.zeros(3)
    )
    assert refused(make, InputError) == (
        "truth.directions: expected unit rows, got norm 2 in row 0 (3 such rows). Divide each row "
        "by its norm."
    )


def test_18_a_feature_that_always_fires_has_no_ranking_score() -> None:
    always = world(firing={"law": "given", "values": [1.0, *[0.05] * 7]})
    report = score(always.truth.features.directions.astype(np.float32), testbed=always)
    for metric in ("act.auroc", "act.auprc"):
        found = report[metric]
        assert (found.status, found.n_units) == ("degenerate", 7)
        assert found.reason == "undefined for 12% of features"
        assert np.isnan(found.evidence["per_unit"][0])


def test_19_a_feature_never_active_in_score_is_topped_up() -> None:
    rare = world(firing={"law": "given", "values": [1e-7, *[0.05] * 7]})
    report = score(ROWS, testbed=rare)
    assert report.comparison.data.score[:, [0]].nnz == 0
    assert (report.comparison.data.forced == 0).sum() == SCORING.n_positives
    assert report["act.recall"].evidence["per_unit"][0] > 0.9


# --- 20 the assignment, 22 memory -------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_20_assignment_of_numbers_that_are_not_finite(value: float) -> None:
    matrix = with_value(np.eye(3), (1, 2), value)
    assert refused(lambda: inference.assign(matrix), InputError) == (
        f"similarity: expected finite numbers, got {value} at index (1, 2) (1 of 9 entries are "
        "not finite)."
    )


def test_22_the_dense_assignment_is_refused_with_an_estimate_before_it_allocates() -> None:
    matrix = np.broadcast_to(np.ones(1), (1000, 1000))
    tracemalloc.start()
    message = refused(lambda: inference.assign(matrix, memory_limit=10**6), MemoryRefused)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == (
        "assignment of 1000 truths and 1000 latents: the candidate edges did not suffice (many "
        "equal similarities do this) and the dense solver needs 8,000,000 bytes, above "
        "memory_limit=1,000,000. Remove duplicated or zero latents, or raise memory_limit."
    )
    assert peak < 10**6


def test_22_cosines_are_streamed_and_never_held_at_once() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7000, 48))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    tracemalloc.start()
    found = similarity(rows, rows, absolute=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.best_latent, np.arange(7000))
    assert peak < 0.6 * 7000 * 7000 * 8


# --- 26 widths, 27 one dimension --------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 8, 13])
def test_26_fewer_as_many_and_more_latents_than_features(k: int) -> None:
    rows = np.vstack([ROWS, ROWS])[:k]
    report = score(rows, lambda x: codes(x, rows))
    # The denominator of recall is the truth, that of precision the claim; copies are no success.
    assert report["recover.joint"].value == min(k, 8) / 8
    assert report["recover.joint_precision"].value == min(k, 8) / k
    assert report["recover.mcc"].value == pytest.approx(min(k, 8) / 8)
    assert report["recover.recall"].ceiling == min(1, k / 8)


@pytest.mark.parametrize("n_features", [1, 3])
def test_27_one_dimension(n_features: int) -> None:
    line = world(n_features=n_features, d=1, dictionary={"law": "sphere"})
    rows = line.truth.features.directions.astype(np.float32)
    report = score(rows, lambda x: codes(x, rows), line)
    assert report["recover.recall"].value == 1
    # In one dimension a random direction has cosine 1 or -1: chance is no longer near 0.
    floor = report["recover.recall"].floor
    assert floor is not None and floor >= 0.5
    assert report["recover.aurc"].status == "undefined"


def _small_scale(scale: float = 1.0, scoring: gt.Scoring | None = None, **world: Any) -> gt.Report:
    """The planted dictionary of eight orthonormal features, in the units of `scale`."""
    testbed = gt.build(
        "sparse/small", n_features=8, d=8, dictionary={"law": "orthonormal"}, scale=scale, **world
    )
    rows = testbed.truth.features.directions.astype(np.float32)
    claim = gt.Dictionary(rows, lambda x: np.where(x @ rows.T > 0.1 * scale, x @ rows.T, 0))
    small = gt.Scoring(n_select=512, n_score=512, n_positives=16)
    return gt.evaluate(testbed, claim, scoring=scoring or small, n_train=2000)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_14_a_world_of_extreme_scale_scores_as_any_other(scale: float) -> None:
    report = _small_scale(scale, firing={"law": "constant", "probability": 0.05})
    assert report["recover.joint"].value == 1.0
    assert report["recon.ev_total"].value == pytest.approx(1.0, abs=1e-9)


def test_19_a_feature_that_never_fires_is_left_out_of_activity() -> None:
    report = _small_scale(firing={"law": "given", "values": [0.0, *[0.05] * 7]})
    assert report["act.f1"].n_units == 7
    assert report.features()[0].status != "recovered"


def test_19_a_feature_without_positives_does_not_break_the_mean() -> None:
    scoring = gt.Scoring(n_select=512, n_score=512, n_positives=0)
    report = _small_scale(scoring=scoring, firing={"law": "given", "values": [1e-7, *[0.05] * 7]})
    assert report["act.f1"].status in ("ok", "degenerate")


@pytest.mark.parametrize("key", ["source", "name"])
def test_a_testbed_refuses_parameters_that_are_not_its_own(key: str) -> None:
    with pytest.raises(gt.GroundtruthError, match=f"parameter of sparse/small is called '{key}'"):
        gt.build("sparse/small", **{key: "x"})


def test_22_codes_that_would_not_fit_are_refused_before_they_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("groundtruth.outputs.MEMORY_LIMIT", 10_000)
    with pytest.raises(MemoryRefused, match=r"codes: .* latents fire per sample, so 1,\d+ samples"):
        _small_scale(firing={"law": "constant", "probability": 0.5})
