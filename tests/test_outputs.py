"""`take_outputs` runs encode on copies, checks what comes back, and flags codes that are not a
function of the sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import groundtruth as gt
from groundtruth import outputs
from groundtruth.errors import ExplanationError, MethodError
from groundtruth.explanation import Dictionary
from groundtruth.outputs import Outputs, take_outputs
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.testbed import BLOCK

FIRING = {"law": "constant", "probability": 0.05}
WORLD = gt.build("sparse/small", seed=0, n_features=12, d=8, firing=FIRING)
DATA = ScoreData(WORLD, Scoring(n_select=512, n_score=BLOCK + 5, n_positives=80))
ROWS = WORLD.truth.features.directions.astype(np.float32)


def encode(x: np.ndarray) -> np.ndarray:
    return np.maximum(x @ ROWS.T - 0.3, 0)


def taken(encode: Any, **settings: Any) -> Outputs:
    return take_outputs(Dictionary(ROWS, encode, **settings), DATA)


def test_codes_on_every_part_and_the_reconstruction_on_score() -> None:
    bias = np.arange(8.0)
    out = taken(encode, bias=bias)
    assert out.select is not None and out.score is not None and out.positives is not None
    shapes = [part.shape for part in (out.select, out.score, out.positives)]
    assert shapes == [(512, 12), (BLOCK + 5, 12), (len(DATA.forced), 12)]
    np.testing.assert_allclose(out.score.toarray(), encode(DATA.x), atol=1e-6)
    assert out.reconstruction is not None
    expected = out.score.toarray().astype(float) @ ROWS + bias
    np.testing.assert_allclose(out.reconstruction, expected, atol=1e-12)
    assert out.flags == ()


def _plain(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = rng.standard_normal((60, 48))
    codes = rng.exponential(size=(512, 60)) * (rng.random((512, 60)) < 0.2)
    return rows, codes, codes @ rows + 3 * rng.standard_normal((512, 48))


# (offset of x, bias of the decoder, codes of one more latent and of its negative)
FLOAT32_CASES = {
    "plain": (0.0, 0.0, 0.0, 0.0),
    "a bias": (1e4, 1e4, 0.0, 0.0),
    "a latent with a large constant": (1e4, 0.0, 1e4, 0.0),
    "latents that cancel": (0.0, 0.0, 1e6, 1e6),
    "latents that cancel the bias": (0.0, 1e4, 0.0, 1e4),
}


@pytest.mark.parametrize("name", FLOAT32_CASES)
def test_decoding_in_float32_changes_no_score(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offset, bias, *carried = FLOAT32_CASES[name]
    rows, codes, x = _plain(np.random.default_rng(0))
    x = (x + offset).astype(np.float32)
    rows = np.vstack([rows, np.ones(48), -np.ones(48)]).astype(np.float32).astype(np.float64)
    held = sp.csr_array(np.hstack([codes, np.tile(carried, (512, 1))]).astype(np.float32))
    exact = held.astype(np.float64) @ rows + bias
    found = np.empty((512, 48))
    monkeypatch.setattr(outputs, "_SHORT_ABOVE", 0)
    outputs._Decoder(rows, np.full(48, bias)).decode(held, x, found)
    # Where terms cancel or carry a constant, the product is taken in float64 after all.
    assert np.array_equal(found, exact) == any(carried)
    centred = x - x.mean(axis=0, dtype=np.float64)
    unexplained = [((x - x_hat) ** 2).sum() / (centred**2).sum() for x_hat in (exact, found)]
    # 24,576 errors of 1e-7, of no common sign.
    assert unexplained[1] == pytest.approx(unexplained[0], rel=1e-8)
    norms = [np.linalg.norm(x_hat, axis=1) for x_hat in (exact, found)]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("of_rows", "of_codes"), [(1e-38, 1), (1e35, 1), (1e35, 1e-35), (1e9, 1e30)]
)
def test_what_float32_cannot_hold_is_decoded_in_float64(
    of_rows: float, of_codes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, codes, x = _plain(np.random.default_rng(0))
    rows, held = of_rows * rows, sp.csr_array((of_codes * codes).astype(np.float32))
    found = np.empty((512, 48))
    monkeypatch.setattr(outputs, "_SHORT_ABOVE", 0)
    outputs._Decoder(rows, np.zeros(48)).decode(held, x.astype(np.float32), found)
    assert np.array_equal(found, held.astype(np.float64) @ rows)


def test_decode_makes_the_reconstruction_where_it_is_given() -> None:
    out = taken(encode, decode=lambda codes: np.ones((len(codes), 8)))
    assert out.reconstruction is not None and (out.reconstruction == 1).all()


def test_without_encode_there_are_no_codes() -> None:
    out = take_outputs(Dictionary(ROWS), DATA)
    assert out.score is None and out.reconstruction is None and out.flags == ()


def test_tick_is_called_once_per_block() -> None:
    ticks: list[None] = []
    take_outputs(Dictionary(ROWS, encode), DATA, tick=lambda: ticks.append(None))
    assert len(ticks) == sum(-(-n // BLOCK) for n in (512, BLOCK + 5, len(DATA.forced)))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "encode: expected codes (n, 12) as an array, got NoneType."),
        ({"codes": 1}, "encode: expected codes (n, 12) as an array, got dict."),
        (np.ones(12), "encode: expected shape (256, 12), got (12,)."),
        (
            np.ones((255, 12)),
            "encode: expected shape (256, 12) for 256 samples and 12 latents, got (255, 12).",
        ),
        (
            np.ones((12, 256)),
            "encode: expected shape (256, 12) for 256 samples and 12 latents, got (12, 256). "
            "Codes look transposed.",
        ),
        (
            np.full((256, 12), -0.5),
            "encode: expected codes >= 0, got -0.5 for latent 0. If negative codes are meant, "
            "pass gt.Dictionary(..., signed=True); otherwise apply the activation function.",
        ),
        (
            np.full((256, 12), 1e200),
            "encode: expected codes of size at most 1e+150, got 1e+200 for latent 0, on the "
            "select data. Move the scale into the decoder.",
        ),
    ],
)
def test_codes_that_cannot_be_are_refused(result: Any, message: str) -> None:
    with pytest.raises(ExplanationError) as caught:
        taken(lambda x: result)
    assert str(caught.value) == message


def test_a_value_that_is_not_finite_is_placed() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        codes = encode(x)
        codes[3:5, 7] = np.inf
        return codes

    with pytest.raises(ExplanationError) as caught:
        taken(broken)
    assert str(caught.value) == (
        "encode: expected finite codes, got inf (2 of them), first at sample 3 of its block, "
        "latent 7, on the select data."
    )


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (lambda z: z, r"decode: expected shape \(1024, 8\), got \(1024, 12\)\."),
        (lambda z: None, r"decode: expected a numpy, torch or jax array, got NoneType\."),
        (
            lambda z: np.full((len(z), 8), 1e200),
            r"decode: expected a reconstruction of size at most 1e\+150, got 1e\+200\. Do codes "
            r"and decoder have the scale of the activations\?",
        ),
    ],
)
def test_reconstructions_that_cannot_be_are_refused(decode: Any, message: str) -> None:
    with pytest.raises(ExplanationError, match=f"^{message}$"):
        taken(encode, decode=decode)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no"), TypeError("no")])
def test_what_encode_raises_is_a_method_error_with_its_cause(error: BaseException) -> None:
    def broken(x: Any) -> Any:
        raise error

    with pytest.raises(MethodError) as caught:
        taken(broken)
    assert str(caught.value) == f"encode raised {type(error).__name__}: no"
    assert caught.value.__cause__ is error


def test_an_interruption_is_passed_on() -> None:
    def interrupted(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taken(interrupted)


def test_an_encode_for_torch_gets_torch_although_the_decoder_is_numpy() -> None:
    weights = torch.from_numpy(ROWS)
    out = taken(lambda x: torch.relu(torch.nn.functional.linear(x, weights) - 0.3))
    plain = taken(encode)
    assert out.score is not None and plain.score is not None
    np.testing.assert_allclose(out.score.toarray(), plain.score.toarray(), atol=1e-6)


def test_a_torch_module_is_in_inference_mode_and_put_back() -> None:
    class Module(torch.nn.Module):
        seen: tuple[bool, bool] = (True, True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = self.training, torch.is_grad_enabled()
            return torch.relu(x @ torch.from_numpy(ROWS).T)

    module = Module()
    take_outputs(Dictionary(torch.from_numpy(ROWS), module), DATA)
    assert module.seen == (False, False)
    assert module.training and torch.is_grad_enabled()


def test_sparse_codes_count_duplicates_once_and_stored_zeros_never() -> None:
    def doubled(x: np.ndarray) -> sp.coo_array:
        rows = np.repeat(np.arange(len(x)), 3)
        columns = np.tile([2, 2, 5], len(x))
        values = np.tile([0.25, 0.75, 0.0], len(x))
        return sp.coo_array((values, (rows, columns)), shape=(len(x), 12))

    out = taken(doubled)
    assert out.score is not None
    assert (out.score[:, [2]].toarray() == 1).all()
    assert out.score.nnz == out.score.shape[0]


def test_dense_to_csr_keeps_every_code_that_is_not_zero() -> None:
    codes = np.array([[0, 1.5, 0], [0, 0, 0], [-2, 0, 1e-30]])
    out = outputs.dense_to_csr(codes)
    np.testing.assert_array_equal(out.toarray(), codes)
    assert out.indptr.tolist() == [0, 1, 1, 3]


def test_an_encode_that_edits_its_input_is_flagged_and_edits_a_copy() -> None:
    before = DATA.x.copy()

    def editing(x: np.ndarray) -> np.ndarray:
        codes = encode(x)
        x[:] = 0
        return codes

    out, plain = taken(editing), taken(encode)
    assert out.flags == (outputs.MUTATES_INPUT,)
    assert out.score is not None and plain.score is not None
    assert abs(out.score - plain.score).nnz == 0
    np.testing.assert_array_equal(np.concatenate([x for x, _ in DATA.chunks("score")]), before)


def test_codes_that_are_a_view_of_the_input_are_copied() -> None:
    held: list[np.ndarray] = []

    def aliasing(x: np.ndarray) -> np.ndarray:
        held.append(x)
        return x

    out = take_outputs(Dictionary(np.eye(8), aliasing, signed=True), DATA)
    for x in held:
        x[:] = np.nan
    assert out.score is not None
    np.testing.assert_array_equal(out.score.toarray(), DATA.x)
    assert out.flags == ()


def test_codes_that_differ_between_two_calls_are_flagged() -> None:
    rng = np.random.default_rng(0)
    out = taken(lambda x: encode(x) + rng.random((len(x), 12)))
    assert out.flags == (outputs.NONDETERMINISTIC,)


def test_codes_that_depend_on_the_batch_are_flagged() -> None:
    def batch_topk(x: np.ndarray) -> np.ndarray:
        dense = np.maximum(x @ ROWS.T, 0)
        kept = np.sort(dense.ravel())[-2 * len(x)]  # two per sample, on average over the batch
        return np.where(dense >= kept, dense, 0)

    assert taken(batch_topk).flags == (outputs.BATCH_DEPENDENT,)


def test_round_off_between_calls_is_not_flagged() -> None:
    rng = np.random.default_rng(0)
    assert taken(lambda x: encode(x) * (1 + 1e-6 * rng.random((len(x), 1)))).flags == ()


def test_global_state_that_encode_changes_is_put_back_and_flagged() -> None:
    def reseeding(x: np.ndarray) -> np.ndarray:
        torch.rand(1)
        return encode(x)

    before = torch.get_rng_state()
    assert taken(reseeding).flags == ("changed torch random state",)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_flag_of_ours_has_a_sentence() -> None:
    flags = {outputs.BATCH_DEPENDENT, outputs.NONDETERMINISTIC, outputs.MUTATES_INPUT}
    assert set(outputs.FLAGS) == flags
